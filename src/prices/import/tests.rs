use super::*;

const TABLE: &str = r#"{
"gpt-image-1": {"litellm_provider": "openai", "mode": "image_generation", "input_cost_per_image": 0.042,
    "input_cost_per_token": 5e-06, "input_cost_per_pixel": 4.0054321e-08, "output_cost_per_pixel": 0.0},
"high/1024-x-1024/gpt-image-1": {"litellm_provider": "openai", "mode": "image_generation", "input_cost_per_image": 0.167},
"low/1024-x-1024/gpt-image-1": {"litellm_provider": "openai", "mode": "image_generation", "input_cost_per_image": 0.011},
"mini": {"litellm_provider": "openai", "mode": "image_generation", "output_cost_per_image_token": 8e-06},
"low/1024-x-1024/mini": {"litellm_provider": "openai", "mode": "image_generation", "input_cost_per_image": 0.005},
"runway/gen": {"litellm_provider": "runway", "mode": "video_generation", "output_cost_per_second": 0.1,
    "output_cost_per_second_1080p": 0.3, "output_cost_per_second_480p": 0, "output_cost_per_video_per_second": 0.1},
"chat": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2.5e-07, "output_cost_per_token": 2e-06,
    "input_cost_per_audio_token": 1e-06, "input_cost_per_token_priority": 4e-07, "cache_read_input_token_cost": 0.0},
"again/chat": {"litellm_provider": "again", "mode": "chat", "input_cost_per_token": 1e-06, "output_cost_per_token": 0},
"chat2": {"litellm_provider": "again", "mode": "chat", "input_cost_per_token": 1e-06},
"again/chat2": {"litellm_provider": "again", "mode": "chat", "input_cost_per_token": 2e-06},
"again/chat3": {"litellm_provider": "again", "mode": "chat", "input_cost_per_token": 2.9999900000000002e-06, "output_cost_per_token": 1e-06},
"again/free": {"litellm_provider": "again", "mode": "chat", "input_cost_per_token": 0.0},
"again/rented": {"litellm_provider": "again", "mode": "chat", "input_cost_per_second": 0.01},
"again/a b": {"litellm_provider": "again", "mode": "chat", "input_cost_per_token": 1e-06}
}"#;

fn read(options: &Options) -> Import {
    Import::read(TABLE, options).unwrap()
}

#[test]
fn each_target_has_its_components_those_with_conditions_in_front() {
    let import = read(&Options::default());
    let expected = "\
# Imported from a price table of LiteLLM. The actions of the catalog must declare what these prices ask for.
# measures: [input_audio_tokens, input_tokens, output_tokens, seconds]
# attribute quality: [high, low]
# attribute resolution: [\"1080p\", \"480p\"]
# attribute size: [\"1024x1024\"]
prices:
  - provider: again
    model: chat
    tier: standard
    components:
      - {per: input_tokens, price: 0.000001}
  - provider: again
    model: chat2
    tier: standard
    components:
      - {per: input_tokens, price: 0.000001}
  - provider: openai
    model: chat
    tier: standard
    components:
      - {per: input_tokens, price: 0.00000025}
      - {per: output_tokens, price: 0.000002}
      - {per: input_audio_tokens, price: 0.000001, assume: 0}
  - provider: openai
    model: gpt-image-1
    tier: standard
    components:
      - {per: output, price: 0.167, when: {quality: high, size: \"1024x1024\"}}
      - {per: output, price: 0.011, when: {quality: low, size: \"1024x1024\"}}
      - {per: output, price: 0.042}
  - provider: openai
    model: mini
    tier: standard
    components:
      - {per: output, price: 0.005, when: {quality: low, size: \"1024x1024\"}}
  - provider: runway
    model: gen
    tier: standard
    components:
      - {per: seconds, price: 0.3, when: {resolution: \"1080p\"}}
      - {per: seconds, price: 0, when: {resolution: \"480p\"}}
      - {per: seconds, price: 0.1}
";
    assert_eq!(import.section, expected);
}

#[test]
fn what_is_not_mapped_says_why_and_every_model_is_counted_once() {
    let import = read(&Options::default());
    let unmapped: Vec<_> = import.unmapped.iter().map(|model| format!("{}: {} ({})", model.key, model.reason, model.detail)).collect();
    assert_eq!(
        unmapped,
        [
            "again/chat3: has a price with too many digits (`input_cost_per_token` has more digits after the point than the 19 of a price: \
             2.9999900000000002e-06)",
            "again/free: has no price above 0 ()",
            "again/rented: charges only for what has no place in our book (`input_cost_per_second`: the time of a machine)",
            "again/a b: is no name of ours (the model `a b` is not a name: has ' ' at byte 1; allowed are letters, digits and `._:@/-`)",
            "again/chat2: has another price under another key (`chat2` comes first)",
            "mini: is charged in another way than its variants by size ()",
        ]
    );
    assert_eq!((import.models(), import.mapped(), import.targets), (14, 8, 6));
    assert_eq!(import.modes["chat"], ModeCount { models: 8, mapped: 3 });
    assert_eq!(import.models(), import.mapped() + import.unmapped.len());
}

#[test]
fn fields_that_are_left_out_are_told_unless_they_cost_nothing() {
    let left: Vec<_> = read(&Options::default()).left_out.into_iter().map(|left| (left.key, left.field, left.reason)).collect();
    let told = |key: &str, field: &str, reason: &'static str| (key.to_owned(), field.to_owned(), reason);
    assert_eq!(
        left,
        [
            told("gpt-image-1", "input_cost_per_token", "another way of charging for the same"),
            told("gpt-image-1", "input_cost_per_pixel", "another way of charging for the same"),
            told("runway/gen", "output_cost_per_video_per_second", "the same seconds as `output_cost_per_second`"),
            told("chat", "input_cost_per_token_priority", "a class of service"),
        ]
    );
}

#[test]
fn options_choose_models_tiers_dates_and_what_is_assumed() {
    let options = Options {
        providers: vec!["openai".to_owned()],
        modes: vec!["chat".to_owned(), "image_generation".to_owned()],
        tiers: Tiers { default: "basic".to_owned(), overrides: vec![("premium".to_owned(), "openai/gpt-*".to_owned())] },
        assume: [("output_tokens".to_owned(), "500".to_owned())].into(),
        from: Some("2026-03-01".to_owned()),
    };
    let import = read(&options);
    assert_eq!((import.models(), import.aside, import.targets), (6, 8, 3));
    for (part, times) in [
        ("from: \"2026-03-01\"", 3),
        ("tier: premium", 1),
        ("tier: basic", 2),
        ("{per: output_tokens, price: 0.000002, assume: 500}", 1),
        ("{per: input_audio_tokens, price: 0.000001, assume: 0}", 1),
    ] {
        assert_eq!(import.section.matches(part).count(), times, "{part}: {}", import.section);
    }
}

#[test]
fn a_filter_that_nothing_passes_is_an_error_that_names_what_there_is() {
    let options = Options { modes: vec!["video".to_owned()], ..Options::default() };
    let error = Import::read(TABLE, &options).unwrap_err().to_string();
    assert_eq!(error, "no model has the mode `video`\nhint: the table has `chat`, `image_generation`, `video_generation`");
}

#[test]
fn a_section_that_no_catalog_could_hold_is_an_error() {
    let models: Vec<_> = (0..10_000)
        .map(|number| format!("\"{number}\": {{\"litellm_provider\": \"p\", \"mode\": \"chat\", \"input_cost_per_token\": 1e-06}}"))
        .collect();
    let error = Import::read(&format!("{{{}}}", models.join(",")), &Options::default()).unwrap_err();
    assert!(matches!(error, ImportError::TooLarge { bytes } if bytes > 1 << 20), "{error}");
}

#[test]
fn a_star_stands_for_anything() {
    for (pattern, text, expected) in
        [("*", "", true), ("a/*", "a/b/c", true), ("*/b*", "a/b", true), ("a", "ab", false), ("a*c", "abd", false), ("", "a", false)]
    {
        assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
    }
}
