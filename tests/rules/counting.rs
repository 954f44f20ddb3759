//! Counting, rule by rule, with the numbers of the product: R1 to R8 and R10.

use genquota::domain::work::Work;

use crate::bench::{count, example, item, outputs, seconds};

#[test]
fn a_message_with_its_reply_counts_one_whatever_its_length() {
    let agency = example("agency-workspace");
    for (input, output) in [("1", "1"), ("12", "900"), ("200000", "64000")] {
        let work = Work { items: vec![item(1, &[("input_tokens", input), ("output_tokens", output)], &[])] };
        assert_eq!(count(&agency, "text.message", Some("openai/gpt-5-mini"), &work).unwrap(), "1");
    }
    assert_eq!(count(&agency, "text.message", None, &outputs(1)).unwrap(), "1");
}

#[test]
fn every_image_counts_one_whatever_resolution_quality_or_model() {
    let agency = example("agency-workspace");
    for model in [None, Some("fal/flux-pro-1.1"), Some("openai/gpt-image-1"), Some("nobody/unheard-of")] {
        for resolution in ["1024", "2048", "4096"] {
            for quality in ["draft", "standard", "high"] {
                let work = Work { items: vec![item(4, &[], &[("resolution", resolution), ("quality", quality)])] };
                assert_eq!(count(&agency, "image.generate", model, &work).unwrap(), "4");
            }
        }
    }
}

#[test]
fn a_later_edit_of_an_image_counts_again() {
    let agency = example("agency-workspace");
    assert_eq!(count(&agency, "image.generate", None, &outputs(1)).unwrap(), "1");
    assert_eq!(count(&agency, "image.edit", None, &outputs(1)).unwrap(), "1");
}

#[test]
fn five_seconds_at_a_third_rounds_up_to_two() {
    let agency = example("agency-workspace");
    assert_eq!(count(&agency, "video.generate", Some("runway/gen4-turbo"), &seconds(&["5"])).unwrap(), "2");
}

#[test]
fn three_seconds_at_two_count_six_and_a_whole_product_does_not_move() {
    let agency = example("agency-workspace");
    assert_eq!(count(&agency, "video.generate", Some("google/veo-3"), &seconds(&["3"])).unwrap(), "6");
    assert_eq!(count(&agency, "video.generate", Some("google/veo-3"), &seconds(&["3.5"])).unwrap(), "7");
    assert_eq!(count(&agency, "video.generate", Some("google/veo-3"), &seconds(&["3.500000001"])).unwrap(), "8");
    assert_eq!(count(&agency, "video.generate", Some("runway/gen4-turbo"), &seconds(&["100"])).unwrap(), "33");
    assert_eq!(count(&agency, "video.generate", Some("runway/gen4-turbo"), &seconds(&["0.000000001"])).unwrap(), "1");
}

#[test]
fn every_output_is_rounded_for_itself() {
    let agency = example("agency-workspace");
    // 1.65 twice is 3.3; rounded for each output it is 2 and 2.
    assert_eq!(count(&agency, "video.generate", Some("runway/gen4-turbo"), &seconds(&["5", "5"])).unwrap(), "4");
    let two_alike = Work { items: vec![item(2, &[("seconds", "5")], &[])] };
    assert_eq!(count(&agency, "video.generate", Some("runway/gen4-turbo"), &two_alike).unwrap(), "4");
}

#[test]
fn a_request_can_be_rounded_as_a_whole() {
    let film = example("film-studio");
    // 400 + 400 + 300 characters at 0.001 are 1.1 and count 2, not 3.
    let lines = ["400", "400", "300"].map(|characters| item(1, &[("characters", characters)], &[]));
    let work = Work { items: lines.to_vec() };
    assert_eq!(count(&film, "voice.generate", Some("elevenlabs/eleven-v3"), &work).unwrap(), "2");
}

#[test]
fn twenty_variations_of_one_master_count_twenty() {
    assert_eq!(count(&example("agency-workspace"), "feed.variation", None, &outputs(20)).unwrap(), "20");
}

#[test]
fn five_formats_of_one_creative_count_once() {
    let work = Work { items: vec![item(1, &[("formats", "5")], &[])] };
    assert_eq!(count(&example("agency-workspace"), "feed.creative", None, &work).unwrap(), "1");
}

#[test]
fn five_translated_cells_count_five_and_one_voiceover_counts_one() {
    let agency = example("agency-workspace");
    assert_eq!(count(&agency, "sheet.translate", None, &outputs(5)).unwrap(), "5");
    let voiceover = Work { items: vec![item(1, &[("characters", "4200"), ("seconds", "95")], &[])] };
    assert_eq!(count(&agency, "voiceover.generate", Some("elevenlabs/eleven-v3"), &voiceover).unwrap(), "1");
}

#[test]
fn one_click_that_returns_three_images_counts_one() {
    let stock = example("stock-studio");
    assert_eq!(count(&stock, "image.generate", Some("fal/flux-dev"), &outputs(3)).unwrap(), "1");
    let mixed = Work { items: vec![item(2, &[], &[("resolution", "1024")]), item(1, &[], &[("resolution", "2048")])] };
    assert_eq!(count(&stock, "image.generate", Some("fal/flux-dev"), &mixed).unwrap(), "1");
    // R2 on the same request: both must be expressible.
    assert_eq!(count(&example("agency-workspace"), "image.generate", None, &outputs(3)).unwrap(), "3");
}

#[test]
fn free_actions_have_no_meter_and_count_nothing() {
    for (catalog, actions) in [
        ("agency-workspace", &["asset.upload", "image.crop", "prompt.enhance"][..]),
        ("stock-studio", &["image.upload", "image.crop", "prompt.enhance"]),
        ("film-studio", &["script.draft", "prompt.enhance"]),
    ] {
        let catalog = example(catalog);
        for action in actions {
            assert_eq!(catalog.actions[*action].meter(), None, "{action}");
            assert_eq!(count(&catalog, action, None, &outputs(100)).unwrap(), "0", "{action}");
        }
    }
}

#[test]
fn the_basic_tier_is_free_and_the_premium_tier_is_charged_every_time() {
    let avatar = example("avatar-studio");
    assert_eq!(count(&avatar, "background.generate", Some("fal/flux-schnell"), &outputs(3)).unwrap(), "0");
    assert_eq!(count(&avatar, "background.generate", Some("fal/flux-pro-1.1"), &outputs(3)).unwrap(), "3");
    // A regenerate is the same request again, and is charged again.
    assert_eq!(count(&avatar, "background.generate", Some("fal/flux-pro-1.1"), &outputs(3)).unwrap(), "3");
    // A target nobody declared is not taken for a basic one.
    assert_eq!(count(&avatar, "background.generate", Some("fal/unheard-of"), &outputs(3)).unwrap(), "3");
}

#[test]
fn five_seconds_are_five_credits_ten_are_ten_and_an_image_is_one() {
    let avatar = example("avatar-studio");
    for (length, credits) in [("5", "5"), ("10", "10"), ("4.2", "5")] {
        assert_eq!(count(&avatar, "avatar.video", Some("heygen/avatar-iv"), &seconds(&[length])).unwrap(), credits);
    }
    assert_eq!(count(&avatar, "avatar.image", Some("heygen/avatar-iv"), &outputs(1)).unwrap(), "1");
}

#[test]
fn rules_may_look_at_tier_and_resolution_of_each_item() {
    let film = example("film-studio");
    let shot = |resolution| item(1, &[("seconds", "8")], &[("resolution", resolution)]);
    let work = Work { items: vec![shot("720p"), shot("4k")] };
    assert_eq!(count(&film, "video.generate", Some("google/veo-3"), &work).unwrap(), "48");
    assert_eq!(count(&film, "video.generate", Some("runway/gen4-turbo"), &work).unwrap(), "16");
}

#[test]
fn what_an_action_does_not_declare_is_refused_and_names_the_field() {
    let agency = example("agency-workspace");
    assert!(!agency.actions.contains_key("image.genrate"));
    let refused = |action: &str, work: Work| count(&agency, action, None, &work).unwrap_err().to_string();
    assert_eq!(
        refused("image.generate", seconds(&["5"])),
        "items[0].measures.seconds: `seconds` is not a measure of `image.generate`; it declares none"
    );
    assert_eq!(
        refused("video.generate", Work { items: vec![item(1, &[("seconds", "5")], &[("style", "noir")])] }),
        "items[0].attributes.style: `style` is not an attribute of `video.generate`; it declares none"
    );
    assert_eq!(
        refused("image.generate", Work { items: vec![item(1, &[], &[]), item(1, &[], &[("quality", "best")])] }),
        "items[1].attributes.quality: `best` is not a value of `quality`; allowed are `draft`, `high`, `standard`"
    );
}

#[test]
fn a_missing_measure_is_refused_and_never_counted_as_zero() {
    let refused = count(&example("agency-workspace"), "video.generate", None, &outputs(1)).unwrap_err();
    assert_eq!(refused.to_string(), "items[0].measures.seconds: is missing; the counting rule needs it");
}
