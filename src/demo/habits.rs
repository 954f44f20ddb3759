//! The customers of the demo's day and what they usually ask for. Data only; the targets are those of the bundled catalog.

use super::story::{Customer, Model};

/// One way of using the studio, with ranges from which each request is drawn.
#[derive(Debug)]
pub struct Habit {
    /// How often, against the other habits of a routine.
    pub weight: u32,
    pub action: &'static str,
    pub target: Model,
    pub count: (i64, i64),
    pub measures: &'static [(&'static str, u32, u32)],
    pub attributes: &'static [(&'static str, &'static str)],
    pub fallbacks: &'static [Model],
    /// Seconds an attempt runs.
    pub runs: (i64, i64),
}

/// A customer's usual day.
#[derive(Debug)]
pub struct Routine {
    pub customer: &'static Customer,
    pub generations: usize,
    pub habits: &'static [Habit],
}

pub const FLUX_SCHNELL: Model = Model::of("fal", "flux-schnell");
pub const FLUX_PRO: Model = Model::of("fal", "flux-pro-1.1");
pub const GPT_IMAGE: Model = Model::of("openai", "gpt-image-1");
pub const WAN: Model = Model::of("fal", "wan-2.2");
pub const GEN4_TURBO: Model = Model::of("runway", "gen4-turbo");
pub const GEN4: Model = Model::of("runway", "gen4");
pub const VEO: Model = Model::of("google", "veo-3");
pub const ELEVEN: Model = Model::of("elevenlabs", "eleven-v3");
pub const GPT_MINI: Model = Model::of("openai", "gpt-5-mini");

/// Makes films for fun, on the plan that everybody has.
pub static MIA: Customer = Customer { name: "mia", users: &["mia"], plan: None, credits: None, buys: true };
pub static LANTERN: Customer = Customer { name: "lantern", users: &["ines", "tom"], plan: Some("independent"), credits: None, buys: false };
pub static PAPER_MOON: Customer = Customer { name: "paper-moon", users: &["yuki"], plan: Some("independent"), credits: None, buys: false };
pub static AURORA: Customer =
    Customer { name: "aurora", users: &["ana", "bo", "chen", "dita"], plan: Some("hollywood"), credits: Some("1000"), buys: false };

pub static CUSTOMERS: [&Customer; 4] = [&MIA, &LANTERN, &PAPER_MOON, &AURORA];

/// A better prompt from a few words: free for the customer.
pub const ENHANCE: Habit = Habit {
    weight: 18,
    action: "prompt.enhance",
    target: GPT_MINI,
    count: (1, 1),
    measures: &[("input_tokens", 80, 400), ("output_tokens", 120, 600)],
    attributes: &[],
    fallbacks: &[],
    runs: (2, 6),
};
pub const SKETCH: Habit = Habit {
    weight: 50,
    action: "image.generate",
    target: FLUX_SCHNELL,
    count: (1, 4),
    measures: &[],
    attributes: &[("resolution", "1024")],
    fallbacks: &[FLUX_PRO],
    runs: (3, 8),
};
pub const STILLS: Habit = Habit { weight: 35, target: FLUX_PRO, count: (1, 3), fallbacks: &[GPT_IMAGE], runs: (6, 15), ..SKETCH };
pub const FRAMES: Habit = Habit {
    weight: 30,
    target: GPT_IMAGE,
    attributes: &[("resolution", "1024"), ("quality", "medium")],
    count: (1, 4),
    fallbacks: &[FLUX_PRO],
    runs: (12, 30),
    ..SKETCH
};
pub const STORYBOARD: Habit = Habit { count: (48, 48), runs: (30, 60), ..SKETCH };
pub const CLIP: Habit = Habit {
    weight: 7,
    action: "video.generate",
    target: WAN,
    count: (1, 1),
    measures: &[("seconds", 3, 5)],
    attributes: &[("resolution", "720p")],
    fallbacks: &[GEN4_TURBO],
    runs: (50, 120),
};
pub const CHEAP_SHOT: Habit = Habit { weight: 20, measures: &[("seconds", 5, 10)], fallbacks: &[GEN4, VEO], ..CLIP };
pub const TURBO_SHOT: Habit = Habit { weight: 8, target: GEN4_TURBO, fallbacks: &[GEN4], ..CHEAP_SHOT };
pub const SHOT: Habit = Habit { weight: 7, target: GEN4, fallbacks: &[VEO], runs: (60, 180), ..CHEAP_SHOT };
pub const GRAND_SHOT: Habit = Habit { weight: 1, target: VEO, measures: &[("seconds", 8, 8)], fallbacks: &[GEN4], ..SHOT };
pub const VOICE: Habit = Habit {
    weight: 6,
    action: "voice.generate",
    target: ELEVEN,
    count: (1, 1),
    measures: &[("characters", 200, 1800)],
    attributes: &[],
    fallbacks: &[],
    runs: (5, 15),
};

pub static ROUTINES: [Routine; 4] = [
    Routine { customer: &MIA, generations: 60, habits: &[ENHANCE, SKETCH, CLIP] },
    Routine { customer: &LANTERN, generations: 95, habits: &[ENHANCE, Habit { weight: 20, ..SKETCH }, STILLS, CHEAP_SHOT, VOICE] },
    Routine { customer: &PAPER_MOON, generations: 95, habits: &[ENHANCE, STILLS, TURBO_SHOT, Habit { weight: 20, ..VOICE }] },
    Routine {
        customer: &AURORA,
        generations: 310,
        habits: &[ENHANCE, SKETCH, STILLS, FRAMES, CHEAP_SHOT, Habit { weight: 5, ..SHOT }, GRAND_SHOT, VOICE],
    },
];
