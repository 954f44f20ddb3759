use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its problems")]
struct Shop {
    name: Placed<String>,
    #[serde(default)]
    open: bool,
    #[serde(default)]
    shelves: Entries<Shelf>,
    #[serde(default)]
    tags: Option<OneOrMany<Placed<String>>>,
    policy: Option<Policy>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its problems")]
struct Shelf {
    price: String,
    count: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "read for its problems")]
enum Policy {
    Refuse,
    Hold(String),
}

fn problems(text: &str) -> Vec<String> {
    read::<Shop>(text).problems.iter().map(|problem| problem.in_text("shop").to_string()).collect()
}

#[test]
fn a_decimal_stays_the_text_it_was() {
    let read = read::<Shop>("name: 1e3\nshelves:\n  a: {price: 0.12345678901234567890}\n");
    let shop = read.value.unwrap();
    assert_eq!(shop.name.value, "1e3");
    assert_eq!(shop.shelves.0[0].value.as_ref().unwrap().price, "0.12345678901234567890");
}

#[test]
fn every_problem_is_found_with_its_place_and_none_that_only_follows() {
    let text = "\
name: [a]
opne: true
shelves:
  top: {price: 1, count: many}
  low:
    count: 5
    prise: 3
  top: {price: 2}
tags: []
policy: hold
";
    assert_eq!(
        problems(text),
        [
            "shop:8:3: shelves.top: duplicate key\n  hint: keep one of them",
            "shop:1:1: name: must be a single value, not a list",
            "shop:2:1: opne: unknown key: `opne`\n  hint: did you mean `open`?",
            "shop:4:26: shelves.top.count: must be a whole number, not negative: got `many`",
            "shop:7:5: shelves.low.prise: unknown key: `prise`\n  hint: did you mean `price`?",
            "shop:5:3: shelves.low.price: is missing",
            "shop:9:1: tags: is an empty list\n  hint: name at least one, or leave it out",
            "shop:10:9: policy: `hold` needs a value: `{hold: ...}`",
        ]
    );
}

#[test]
fn the_name_of_a_masked_entry_is_still_known() {
    let read = read::<Shop>("name: x\nshelves: {top: 5, low: {price: 1}}\n");
    let shop = read.value.unwrap();
    assert_eq!(shop.shelves.names().collect::<Vec<_>>(), ["top", "low"]);
    assert!(shop.shelves.0[0].value.is_none());
    assert_eq!(read.places.problem_of_name(shop.shelves.0[1].at, "").column, 19);
}

#[test]
fn what_is_written_but_empty_is_a_problem() {
    assert_eq!(problems("name:\n"), ["shop:1:5: name: is empty\n  hint: give it a value or leave it out"]);
    assert_eq!(problems("name: x\npolicy: ~\n"), ["shop:2:9: policy: is empty\n  hint: give it a value or leave it out"]);
    assert_eq!(problems(""), ["shop:1:1: is empty"]);
    assert_eq!(problems("# nothing\n"), ["shop:1:1: is empty"]);
}

#[test]
fn a_switch_is_true_or_false_and_no_other_word() {
    for word in ["yes", "on", "True", "1", "'true'"] {
        assert_eq!(problems(&format!("name: x\nopen: {word}\n")).len(), 1, "{word}");
    }
    assert_eq!(problems("name: no\nopen: true\n"), [""; 0]);
}

#[test]
fn a_list_of_one_may_be_written_as_its_value() {
    let tags = |text| read::<Shop>(text).value.unwrap().tags.unwrap().0.into_iter().map(|tag| tag.value).collect::<Vec<_>>();
    assert_eq!(tags("name: x\ntags: 10\n"), ["10"]);
    assert_eq!(tags("name: x\ntags: [a, 2]\n"), ["a", "2"]);
}

#[test]
fn text_that_is_not_one_plain_document_is_refused_with_its_place() {
    for (text, expected) in [
        (
            "name: a\n---\nname: b\n",
            "shop:2:1: a second document starts here; one file holds one document\n  hint: remove the `---` between them",
        ),
        ("name: !secret a\n", "shop:1:7: name: tags such as `!name` mean nothing here\n  hint: remove the tag"),
        ("name: a\n? [b]\n: c\n", "shop:2:3: a key must be a single value"),
        ("- a\n", "shop:1:1: must be a mapping, not a list"),
    ] {
        assert_eq!(problems(text)[0], expected, "{text}");
    }
    assert!(problems("name: 'a\n")[0].contains("is not valid YAML"));
}

#[test]
fn size_depth_and_copies_are_bounded() {
    assert!(problems(&"#".repeat(TEXT_BYTES_MAX + 1))[0].contains("is too large"));
    assert!(problems(&"[".repeat(200))[0].contains("levels deep"));
    assert!(problems(&"- ".repeat(100_000))[0].contains("levels deep"));
    let bomb: String = (1..20).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}, *a{0}, *a{0}]\n", n - 1)).collect();
    assert!(problems(&format!("a0: &a0 [x]\n{bomb}"))[0].contains("aliases copy more than"));
    assert!(problems("a: &a [*a]\n")[0].contains("alias"));
    let many: String = (0..500).map(|n| format!("x{n}: 1\n")).collect();
    assert_eq!(problems(&many).len(), PROBLEMS_MAX + 1);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[a-z:\\-\\[\\]{},&*!#|>'\"?% \n\t0-9é]{0,80}") {
        let read = read::<Shop>(&text);
        prop_assert!(read.value.is_some() || !read.problems.is_empty());
    }
}
