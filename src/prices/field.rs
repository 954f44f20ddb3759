//! What each price field of the table means in our book, by the mode of its model. `docs/prices.md` is this file as a table.

/// What a model charges for. Most are alternatives: of those a model tells, one is taken, in the order of [`ways`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    Image,
    Pixel,
    Second,
    Character,
    Page,
    Token,
    /// On top of any of the others.
    Request,
}

/// What becomes of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    Part {
        way: Way,
        /// `request`, `output` or a measure.
        per: &'static str,
        /// The resolution it is for.
        resolution: Option<String>,
        /// Most requests have none of this measure.
        rare: bool,
    },
    /// Our book cannot express it; the reason.
    LeftOut(&'static str),
}

use Meaning::LeftOut;

/// How models of a mode may be charged, the one that is taken first in front. Per image comes before per token, for callers know
/// before the run how many images they ask for.
pub(super) fn ways(mode: &str) -> &'static [Way] {
    match mode {
        "image_generation" | "image_edit" => &[Way::Image, Way::Pixel, Way::Token],
        "video_generation" | "audio_transcription" => &[Way::Second, Way::Token],
        "audio_speech" => &[Way::Character, Way::Second, Way::Token],
        "ocr" => &[Way::Page, Way::Token],
        _ => &[Way::Token, Way::Character],
    }
}

/// The meaning of a field of a model of this mode. `has` tells whether the model prices another field.
pub(super) fn meaning(mode: &str, field: &str, has: impl Fn(&str) -> bool) -> Meaning {
    if let Some(reason) = never(field) {
        return LeftOut(reason);
    }
    let part = |way, per| Meaning::Part { way, per, resolution: None, rare: false };
    let rare = |way, per, rare| Meaning::Part { way, per, resolution: None, rare };
    let is_image = matches!(mode, "image_generation" | "image_edit");
    // Where the output is an image or sound, its tokens are the price and those of text come rarely; elsewhere it is the other way round.
    let is_media = is_image || matches!(mode, "audio_speech" | "audio_transcription");
    match (mode, field) {
        (_, "input_cost_per_request" | "input_cost_per_query") => part(Way::Request, "request"),
        (_, "ocr_cost_per_page") => part(Way::Page, "pages"),
        (_, "input_cost_per_token") => part(Way::Token, "input_tokens"),
        (_, "output_cost_per_token") => {
            let other = is_media && (has("output_cost_per_image_token") || has("output_cost_per_audio_token"));
            rare(Way::Token, "output_tokens", other)
        }
        (_, "input_cost_per_audio_token") => rare(Way::Token, "input_audio_tokens", mode != "audio_transcription"),
        (_, "output_cost_per_audio_token") => rare(Way::Token, "output_audio_tokens", mode != "audio_speech"),
        (_, "input_cost_per_image_token") => rare(Way::Token, "input_image_tokens", true),
        (_, "output_cost_per_image_token") => rare(Way::Token, "output_image_tokens", !is_image),
        (_, "output_cost_per_image") if is_image => part(Way::Image, "output"),
        (_, "input_cost_per_image") if is_image && !has("output_cost_per_image") => part(Way::Image, "output"),
        (_, "input_cost_per_image") => LeftOut("an image in the prompt"),
        (_, _) if is_image && image_size(field).is_some() => {
            Meaning::Part { way: Way::Image, per: "output", resolution: image_size(field).map(str::to_owned), rare: false }
        }
        (_, "output_cost_per_image") => LeftOut("an image in an answer of text"),
        (_, "output_cost_per_pixel") if is_image => part(Way::Pixel, "pixels"),
        (_, "input_cost_per_pixel") if is_image && !has("output_cost_per_pixel") => part(Way::Pixel, "pixels"),
        ("audio_speech", "input_cost_per_character") => part(Way::Character, "characters"),
        (_, "input_cost_per_character") => part(Way::Character, "input_characters"),
        (_, "output_cost_per_character") => part(Way::Character, "output_characters"),
        ("audio_transcription", "input_cost_per_second") => part(Way::Second, "seconds"),
        ("audio_transcription", "output_cost_per_second") if !has("input_cost_per_second") => part(Way::Second, "seconds"),
        ("audio_transcription", "output_cost_per_second") => LeftOut("the same seconds as `input_cost_per_second`"),
        ("video_generation" | "audio_speech", _) if field.starts_with("output_cost_per_") => seconds(field, has),
        (_, "input_cost_per_second" | "output_cost_per_second") => LeftOut("the time of a machine"),
        (_, "output_cost_per_reasoning_token") => LeftOut("reasoning tokens are output tokens"),
        _ => LeftOut("an unknown field"),
    }
}

/// `output_cost_per_second`, `output_cost_per_video_per_second`, and either with a resolution behind it.
fn seconds(field: &str, has: impl Fn(&str) -> bool) -> Meaning {
    const NAMES: [&str; 2] = ["output_cost_per_second", "output_cost_per_video_per_second"];
    for name in NAMES {
        let Some(rest) = field.strip_prefix(name) else { continue };
        if name == NAMES[1] && has(&format!("{}{rest}", NAMES[0])) {
            return LeftOut("the same seconds as `output_cost_per_second`");
        }
        let resolution = rest.strip_prefix('_').filter(|text| is_resolution(text)).map(str::to_owned);
        if rest.is_empty() || resolution.is_some() {
            return Meaning::Part { way: Way::Second, per: "seconds", resolution, rare: false };
        }
    }
    LeftOut("an unknown field")
}

/// The resolution behind `output_cost_per_image_`: `4K`, `0.5K`, `1024`.
fn image_size(field: &str) -> Option<&str> {
    let size = field.strip_prefix("output_cost_per_image_")?;
    let digits = size.strip_suffix(['K', 'k']).unwrap_or(size);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_number.then_some(size)
}

/// `1080p`, `4k`.
fn is_resolution(text: &str) -> bool {
    text.strip_suffix(['p', 'k']).is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Why a field is left out whatever the mode: what it depends on is no property of a work in our book.
fn never(field: &str) -> Option<&'static str> {
    const ENDS: [(&str, &str); 5] = [
        ("_priority", "a class of service"),
        ("_flex", "a class of service"),
        ("_batches", "a class of service"),
        ("_batch_requests", "a class of service"),
        ("_pixels", "by the size of the image"),
    ];
    const PARTS: [(&str, &str); 14] = [
        ("cache", "tokens from a cache"),
        ("_tokens", "by the length of the prompt"),
        ("s_interval", "by the length of the prompt"),
        ("premium_image", "by a class of the image"),
        ("dbu_cost", "in a currency of the provider's own"),
        ("search_context", "a tool or an option"),
        ("code_interpreter", "a tool or an option"),
        ("file_search", "a tool or an option"),
        ("vector_store", "a tool or an option"),
        ("computer_use", "a tool or an option"),
        ("annotation", "a tool or an option"),
        ("citation", "a tool or an option"),
        ("tiered_pricing", "by volume"),
        ("input_cost_per_video", "sound or video in the prompt"),
    ];
    let by_end = ENDS.iter().find(|(end, _)| field.ends_with(end));
    let by_part = || PARTS.iter().find(|(part, _)| field.contains(part));
    let sound = || (field.starts_with("input_cost_per_audio_per_second")).then_some("sound or video in the prompt");
    by_end.or_else(by_part).map(|(_, reason)| *reason).or_else(sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(mode: &str, field: &str, others: &[&str]) -> String {
        match meaning(mode, field, |name| others.contains(&name)) {
            Meaning::Part { per, resolution, rare, .. } => {
                let resolution = resolution.map(|resolution| format!(" at {resolution}")).unwrap_or_default();
                format!("{per}{resolution}{}", if rare { ", rare" } else { "" })
            }
            LeftOut(reason) => reason.to_owned(),
        }
    }

    #[test]
    fn a_field_means_what_its_mode_makes_of_it() {
        for (mode, field, others, expected) in [
            ("image_generation", "output_cost_per_image", &[][..], "output"),
            ("image_generation", "input_cost_per_image", &[], "output"),
            ("image_generation", "input_cost_per_image", &["output_cost_per_image"], "an image in the prompt"),
            ("chat", "input_cost_per_image", &[], "an image in the prompt"),
            ("image_generation", "output_cost_per_image_4K", &[], "output at 4K"),
            ("image_generation", "output_cost_per_image_0.5K", &[], "output at 0.5K"),
            ("image_generation", "output_cost_per_image_token", &[], "output_image_tokens"),
            ("image_generation", "input_cost_per_pixel", &[], "pixels"),
            ("image_generation", "output_cost_per_token", &["output_cost_per_image_token"], "output_tokens, rare"),
            ("image_generation", "output_cost_per_token", &[], "output_tokens"),
            ("chat", "output_cost_per_audio_token", &[], "output_audio_tokens, rare"),
            ("video_generation", "output_cost_per_second", &[], "seconds"),
            ("video_generation", "output_cost_per_second_1080p", &[], "seconds at 1080p"),
            ("video_generation", "output_cost_per_second_4k", &[], "seconds at 4k"),
            ("video_generation", "output_cost_per_video_per_second", &[], "seconds"),
            (
                "video_generation",
                "output_cost_per_video_per_second",
                &["output_cost_per_second"],
                "the same seconds as `output_cost_per_second`",
            ),
            ("video_generation", "output_cost_per_second_with_audio", &[], "an unknown field"),
            ("audio_transcription", "input_cost_per_second", &[], "seconds"),
            ("audio_transcription", "output_cost_per_second", &["input_cost_per_second"], "the same seconds as `input_cost_per_second`"),
            ("chat", "input_cost_per_second", &[], "the time of a machine"),
            ("audio_speech", "input_cost_per_character", &[], "characters"),
            ("chat", "input_cost_per_character", &[], "input_characters"),
            ("rerank", "input_cost_per_query", &[], "request"),
            ("ocr", "ocr_cost_per_page", &[], "pages"),
            ("chat", "input_cost_per_token_priority", &[], "a class of service"),
            ("chat", "output_cost_per_token_above_128k_tokens", &[], "by the length of the prompt"),
            ("chat", "cache_read_input_token_cost", &[], "tokens from a cache"),
            ("chat", "input_cost_per_token_cache_hit", &[], "tokens from a cache"),
            ("image_generation", "output_cost_per_image_above_512_and_512_pixels", &[], "by the size of the image"),
            ("chat", "input_cost_per_audio_per_second", &[], "sound or video in the prompt"),
        ] {
            assert_eq!(told(mode, field, others), expected, "{mode} {field}");
        }
    }
}
