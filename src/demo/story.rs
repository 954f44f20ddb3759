//! The day: who asks for what and when, and what the providers make of it.
//!
//! Written from a seed alone, so that the same seed tells the same day. It knows no price, no credit and no answer: those are the server's.

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};

use super::habits::{self, FLUX_SCHNELL, GPT_IMAGE, Habit, Routine, VEO, WAN};

/// A model of a provider, as the bundled catalog names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model {
    pub provider: &'static str,
    pub name: &'static str,
}

/// A subject of the day and how it came to its credits.
#[derive(Debug)]
pub struct Customer {
    pub name: &'static str,
    pub users: &'static [&'static str],
    /// None: nobody subscribes it, and the default plan applies.
    pub plan: Option<&'static str>,
    /// Credits bought before the day.
    pub credits: Option<&'static str>,
    /// It buys credits, once, when its quota is used up.
    pub buys: bool,
}

/// Something that happens at an instant.
#[derive(Debug, Clone)]
pub struct Scene {
    pub at: Timestamp,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    Generate(Request),
    /// A target goes down.
    Down(Model),
    /// And comes back.
    Up(Model),
}

/// One generation as its customer asks for it.
#[derive(Debug, Clone)]
pub struct Request {
    /// 1 for the first of the day.
    pub number: usize,
    pub customer: &'static Customer,
    pub user: &'static str,
    pub action: &'static str,
    pub count: i64,
    /// Of each output.
    pub measures: Vec<(&'static str, u32)>,
    pub attributes: Vec<(&'static str, &'static str)>,
    pub target: Model,
    /// Where it may go when the target fails.
    pub fallbacks: &'static [Model],
    /// What the customer takes when the target is denied.
    pub instead: Option<Model>,
    pub accept_fewer: bool,
    /// How long an attempt runs.
    pub runs_for: SignedDuration,
    /// What becomes of the attempts, one after the other; any further one is delivered.
    pub fates: Vec<Fate>,
    /// The reply that gets lost, if one does.
    pub lost_reply: Option<Reply>,
}

/// What becomes of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Delivered,
    /// One output less than asked.
    Short,
    Failed {
        /// The provider bills the work all the same.
        billed: bool,
    },
    Blocked,
    Rejected,
    Cancelled,
    /// The gateway dies and never settles.
    Crash,
    /// The gateway dies, comes back when the hold has long expired, and commits.
    CrashThenLate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    Reserve,
    Commit,
}

/// The whole day.
#[derive(Debug)]
pub struct Story {
    /// By time.
    pub scenes: Vec<Scene>,
    pub generations: usize,
}

/// When the day begins: 12 March 2026, 06:00 UTC.
pub const DAY_START: Timestamp = Timestamp::constant(MIDNIGHT + 6 * 3600, 0);
/// When it is over: before the day's caps start anew, and late enough for every hold to have ended.
pub const DAY_END: Timestamp = Timestamp::constant(MIDNIGHT + 23 * 3600 + 50 * 60, 0);
/// 12 March 2026, 00:00 UTC, in seconds since 1970.
const MIDNIGHT: i64 = 1_773_273_600;

/// Who asks in which of the hours from 06:00 on: a peak in the morning and a higher one in the evening.
const HOURS: [u32; 17] = [2, 4, 8, 12, 14, 11, 7, 6, 8, 9, 8, 7, 8, 12, 15, 13, 7];

impl Model {
    pub const fn of(provider: &'static str, name: &'static str) -> Self {
        Self { provider, name }
    }
}

impl std::fmt::Display for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.provider, self.name)
    }
}

impl Request {
    /// What is asked, in words: `8 s of video`, `4 images`.
    pub fn in_words(&self) -> String {
        let measure = |name: &str| self.measures.iter().find(|(measure, _)| *measure == name).map_or(0, |(_, value)| *value);
        let plural = if self.count == 1 { "" } else { "s" };
        match self.action {
            "video.generate" => format!("{} s of video", measure("seconds")),
            "prompt.enhance" => "a prompt".to_owned(),
            "voice.generate" => format!("{} characters of voice", measure("characters")),
            "image.generate" => format!("{} image{plural}", self.count),
            other => other.to_owned(),
        }
    }
}

impl Story {
    /// The day of this seed.
    pub fn of(seed: u64) -> Self {
        let mut author = Author { rng: Rng::with_seed(seed), scenes: Vec::new() };
        for routine in &habits::ROUTINES {
            author.routine(routine);
        }
        author.little_accidents();
        author.outage();
        author.crashes();
        author.limits_met();
        author.finish()
    }
}

/// Writes scenes.
struct Author {
    rng: Rng,
    scenes: Vec<Scene>,
}

impl Author {
    /// A customer's usual day.
    fn routine(&mut self, routine: &Routine) {
        for _ in 0..routine.generations {
            let weights: Vec<u32> = routine.habits.iter().map(|habit| habit.weight).collect();
            let habit = &routine.habits[self.weighted(&weights)];
            let hour = i64::try_from(self.weighted(&HOURS)).unwrap_or(0);
            let at = after(DAY_START, hour * 3600 + self.rng.i64(0..3600));
            let fates = self.fates(habit);
            self.ask(at, routine.customer, habit, |request| request.fates = fates);
        }
    }

    /// One of each kind, so that no day is without.
    fn little_accidents(&mut self) {
        let at = self.about(9, 10);
        self.ask(at, &habits::AURORA, &habits::FRAMES, |request| request.lost_reply = Some(Reply::Commit));
        let at = self.about(9, 40);
        self.ask(at, &habits::PAPER_MOON, &habits::STILLS, |request| request.fates = vec![Fate::Rejected, Fate::Rejected]);
        let at = self.about(10, 20);
        self.ask(at, &habits::LANTERN, &habits::STILLS, |request| request.fates = vec![Fate::Blocked]);
        let at = self.about(11, 5);
        let four = |request: &mut Request| (request.count, request.fates) = (4, vec![Fate::Short]);
        self.ask(at, &habits::AURORA, &habits::FRAMES, four);
        let at = self.about(13, 10);
        self.ask(at, &habits::AURORA, &habits::SHOT, |request| request.fates = vec![Fate::Failed { billed: true }]);
        let at = self.about(15, 40);
        self.ask(at, &habits::AURORA, &habits::SHOT, |request| request.lost_reply = Some(Reply::Reserve));
    }

    /// An hour in the afternoon without the cheap provider of video.
    fn outage(&mut self) {
        let begin = self.about(14, 0);
        let end = after(begin, 3600);
        self.scenes.push(Scene { at: begin, what: What::Down(WAN) });
        self.scenes.push(Scene { at: end, what: What::Up(WAN) });
        let hit = [(&habits::AURORA, 6, &habits::CHEAP_SHOT), (&habits::LANTERN, 3, &habits::CHEAP_SHOT)];
        let hit = hit.into_iter().chain([(&habits::PAPER_MOON, 2, &habits::CHEAP_SHOT), (&habits::MIA, 2, &habits::CLIP)]);
        for (customer, times, habit) in hit {
            for _ in 0..times {
                let at = after(begin, self.rng.i64(60..3400));
                self.ask(at, customer, habit, |_| ());
            }
        }
    }

    fn crashes(&mut self) {
        let at = self.about(11, 20);
        for nth in 0..2 {
            self.ask(after(at, nth * 20), &habits::AURORA, &habits::CHEAP_SHOT, |request| request.fates = vec![Fate::Crash]);
        }
        let at = self.about(16, 30);
        self.ask(at, &habits::PAPER_MOON, &habits::CHEAP_SHOT, |request| request.fates = vec![Fate::CrashThenLate]);
    }

    /// Everything that a plan says no to.
    fn limits_met(&mut self) {
        let at = self.about(10, 45);
        self.ask(at, &habits::LANTERN, &habits::CHEAP_SHOT, |request| request.attributes = vec![("resolution", "4k")]);
        let at = self.about(12, 5);
        let too_good = |request: &mut Request| (request.target, request.instead) = (GPT_IMAGE, Some(FLUX_SCHNELL));
        self.ask(at, &habits::MIA, &habits::SKETCH, too_good);
        let at = self.about(17, 20);
        for nth in 0..3 {
            self.ask(after(at, nth), &habits::MIA, &habits::SKETCH, |_| ());
        }
        for (hour, minute) in [(20, 30), (21, 0), (21, 30), (21, 50)] {
            let at = self.about(hour, minute);
            self.ask(at, &habits::LANTERN, &habits::GRAND_SHOT, |request| request.instead = Some(WAN));
        }
        // More than the month's allowance has left: the last but few get fewer, and then it is used up.
        let at = self.about(20, 10);
        for nth in 0..7 {
            self.ask(after(at, nth * 240), &habits::MIA, &habits::STORYBOARD, |request| request.accept_fewer = nth < 5);
        }
    }

    /// Adds one request after a habit, changed by `edit`.
    fn ask(&mut self, at: Timestamp, customer: &'static Customer, habit: &Habit, edit: impl FnOnce(&mut Request)) {
        let mut request = Request {
            number: 0,
            customer,
            user: customer.users[self.rng.usize(0..customer.users.len())],
            action: habit.action,
            count: self.rng.i64(habit.count.0..=habit.count.1),
            measures: habit.measures.iter().map(|(name, least, most)| (*name, self.rng.u32(*least..=*most))).collect(),
            attributes: habit.attributes.to_vec(),
            target: habit.target,
            fallbacks: habit.fallbacks,
            instead: (habit.target == VEO).then_some(WAN),
            accept_fewer: false,
            runs_for: SignedDuration::from_secs(self.rng.i64(habit.runs.0..=habit.runs.1)),
            fates: Vec::new(),
            lost_reply: None,
        };
        edit(&mut request);
        self.scenes.push(Scene { at, what: What::Generate(request) });
    }

    /// What becomes of the attempts of an everyday request.
    fn fates(&mut self, habit: &Habit) -> Vec<Fate> {
        let mut fates = Vec::new();
        for _ in 0..3 {
            let fate = match self.rng.u32(0..1000) {
                0..25 => Fate::Failed { billed: false },
                25..33 => Fate::Failed { billed: true },
                // What writes prompts is no picture: nothing looks at it.
                33.. if habit.action == "prompt.enhance" => Fate::Delivered,
                33..50 => Fate::Blocked,
                50..82 => Fate::Rejected,
                82..90 => Fate::Cancelled,
                90..112 => Fate::Short,
                _ => Fate::Delivered,
            };
            fates.push(fate);
            if !matches!(fate, Fate::Failed { .. } | Fate::Rejected) {
                break;
            }
        }
        fates
    }

    /// Some time in the ten minutes from hour and minute on.
    fn about(&mut self, hour: i64, minute: i64) -> Timestamp {
        after(DAY_START, (hour - 6) * 3600 + minute * 60 + self.rng.i64(0..600))
    }

    fn weighted(&mut self, weights: &[u32]) -> usize {
        let mut left = self.rng.u32(0..weights.iter().sum::<u32>().max(1));
        for (index, weight) in weights.iter().enumerate() {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return index,
            }
        }
        0
    }

    /// In the order of time, numbered.
    fn finish(mut self) -> Story {
        self.scenes.sort_by_key(|scene| scene.at);
        let mut generations = 0;
        for scene in &mut self.scenes {
            if let What::Generate(request) = &mut scene.what {
                generations += 1;
                request.number = generations;
            }
        }
        Story { scenes: self.scenes, generations }
    }
}

fn after(start: Timestamp, seconds: i64) -> Timestamp {
    start.checked_add(SignedDuration::from_secs(seconds)).expect("the day lies far inside the calendar")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_tells_the_same_day_and_another_seed_another() {
        let told = |seed| format!("{:?}", Story::of(seed).scenes);
        assert_eq!(told(7), told(7));
        assert_ne!(told(7), told(8));
    }

    #[test]
    fn a_day_is_in_order_and_ends_in_time() {
        for seed in 0..50 {
            let story = Story::of(seed);
            assert!(story.scenes.is_sorted_by_key(|scene| scene.at));
            assert!((550..700).contains(&story.generations), "{}", story.generations);
            assert!(story.scenes.iter().all(|scene| (DAY_START..DAY_END).contains(&scene.at)));
        }
    }
}
