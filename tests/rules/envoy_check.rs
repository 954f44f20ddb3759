//! What a catalog's check says of its `envoy` section, and where.

use genquota::catalog::check;

/// A catalog without a mistake, for tests to spoil.
const MAPPED: &str = "\
catalog: genquota/v1
meters: {credits: {}}
actions:
  image.generate:
    meter: credits
    attributes: {quality: [low, high]}
    rules: [{per: output, rate: 1}]
  video.generate:
    meter: credits
    measures: seconds
    rules: [{per: seconds, rate: 1}]
prices:
  - {provider: fal, model: flux, tier: basic, components: [{per: output, price: 0.04}]}
envoy:
  rate_limits:
    gateway:
      - match: {route: images}
        mode: take
        subject: {entry: subject}
        action: image.generate
        count: {hits: true}
  processor:
    unmapped: refuse
    routes:
      - match: {method: POST, path: \"/v1/{model}/images\", headers: {x-kind: any}}
        subject: {header: X-Subject}
        id: {header: x-request-id, optional: true}
        action: image.generate
        provider: fal
        model: {path: model}
        attributes: {quality: {header: x-quality, default: low}}
        labels: {team: {header: x-team, optional: true}}
        settle:
          count: {header: x-made}
          outcomes: {unknown: 202, rejected: [422, NOT_FOUND]}
          unanswered: failed
";

/// Each spoiled catalog and all that is said about it.
fn expect(cases: &[(&str, &str, &str)]) {
    for (good, bad, said) in cases {
        assert_eq!(MAPPED.matches(good).count(), 1, "`{good}` stands once");
        assert_eq!(check("c.yaml", &MAPPED.replace(good, bad)).1.to_string(), *said, "{bad}");
    }
}

#[test]
fn the_catalog_to_spoil_has_no_mistake() {
    assert_eq!(check("c.yaml", MAPPED).1.to_string(), "");
}

#[test]
fn what_a_descriptor_cannot_be_is_said() {
    expect(&[
        (
            "match: {route: images}\n        mode: take",
            "mode: take",
            "c.yaml:17:9: envoy.rate_limits.gateway[0].match: is missing\n  hint: name the entries it has, such as `match: {route: images}`",
        ),
        ("        mode: take\n", "", "c.yaml:17:9: envoy.rate_limits.gateway[0].mode: is missing"),
        (
            "mode: take",
            "mode: hold",
            "c.yaml:18:15: envoy.rate_limits.gateway[0].mode: must be one of `check`, `take`, `record`: got `hold`",
        ),
        (
            "subject: {entry: subject}",
            "subject: {header: x-subject}",
            "c.yaml:19:9: envoy.rate_limits.gateway[0].subject: cannot come from `header` here\n  hint: possible here is `entry` or `hits`",
        ),
        (
            "subject: {entry: subject}",
            "subject: {entry: subject, optional: true}",
            "c.yaml:19:9: envoy.rate_limits.gateway[0].subject: cannot be optional\n  hint: give it a `default`, or let such requests be refused",
        ),
        (
            "subject: {entry: subject}",
            "subject: {entry: subject, hits: true}",
            "c.yaml:19:9: envoy.rate_limits.gateway[0].subject: must say where it comes from, once: `entry` or `hits`",
        ),
        (
            "subject: {entry: subject}",
            "subject: a b",
            "c.yaml:19:18: envoy.rate_limits.gateway[0].subject: not a name: has ' ' at byte 1; allowed are letters, digits and `._:@/-`",
        ),
        (
            "count: {hits: true}",
            "count: 0",
            "c.yaml:21:16: envoy.rate_limits.gateway[0].count: must be a whole number from 1 to 10000: got `0`",
        ),
        (
            "count: {hits: true}",
            "measures: {seconds: {hits: true}}",
            "c.yaml:21:20: envoy.rate_limits.gateway[0].measures.seconds: is no measure of `image.generate`: `seconds`\n  hint: declare it under `actions.image.generate`",
        ),
        (
            "count: {hits: true}",
            "fallbacks: []",
            "c.yaml:21:9: envoy.rate_limits.gateway[0].fallbacks: unknown key: `fallbacks`\n  hint: known here are `match`, `mode`, `subject`, `user`, `id`, `generation`, `action`, `provider`, `model`, `planned`, `count`, `measures`, `attributes`, `labels`",
        ),
    ]);
}

#[test]
fn what_a_route_cannot_be_is_said() {
    expect(&[
        (
            "method: POST",
            "method: PSOT",
            "c.yaml:25:25: envoy.processor.routes[0].match.method: is no method of HTTP: `PSOT`\n  hint: did you mean `POST`?",
        ),
        (
            "/v1/{model}/images",
            "v1/{model}/images",
            "c.yaml:25:37: envoy.processor.routes[0].match.path: must begin with `/`: got `v1/{model}/images`\n  hint: a pattern such as `/v1/{model}/images`; `*` is any segment, `**` at the end any rest\nc.yaml:30:9: envoy.processor.routes[0].model: the path has no segment `{model}`\n  hint: name a segment `{model}` in `match.path`",
        ),
        (
            "model: {path: model}",
            "model: {path: modle}",
            "c.yaml:30:9: envoy.processor.routes[0].model: the path has no segment `{modle}`\n  hint: did you mean `model`?",
        ),
        ("        model: {path: model}\n", "", "c.yaml:25:9: envoy.processor.routes[0].model: is missing"),
        (
            "action: image.generate\n        provider",
            "action: image.create\n        provider",
            "c.yaml:28:17: envoy.processor.routes[0].action: unknown action: `image.create`\n  hint: declared are `image.generate`, `video.generate`",
        ),
        (
            "provider: fal\n        model: {path",
            "provider: fall\n        model: {path",
            "c.yaml:29:19: warning: envoy.processor.routes[0].provider: no price has the provider `fall`, and targets without a price are refused\n  hint: did you mean `fal`?",
        ),
        (
            "default: low",
            "default: best",
            "c.yaml:31:60: envoy.processor.routes[0].attributes.quality.default: `best` is not a value of `quality`\n  hint: declared are `high`, `low`",
        ),
        (
            "id: {header: x-request-id, optional: true}",
            "id: one",
            "c.yaml:27:13: envoy.processor.routes[0].id: is the same id for many requests\n  hint: say where it comes from, or leave it out for one of its own for each request",
        ),
    ]);
}

#[test]
fn what_a_settlement_cannot_be_is_said() {
    expect(&[
        (
            "count: {header: x-made}",
            "count: {header: x-made, default: 1}",
            "c.yaml:34:11: envoy.processor.routes[0].settle.count: says what to do where an answer does not say it\n  hint: leave `default` and `optional` out: what an answer does not say is as it was reserved",
        ),
        (
            "unknown: 202",
            "unkown: 202",
            "c.yaml:35:22: envoy.processor.routes[0].settle.outcomes.unkown: is no outcome: `unkown`\n  hint: did you mean `unknown`?",
        ),
        (
            "[422, NOT_FOUND]",
            "[422, NOTFOUND]",
            "c.yaml:35:52: envoy.processor.routes[0].settle.outcomes.rejected[1]: is no status of an answer: `NOTFOUND`\n  hint: write a status such as `404`, a class such as `4xx`, or a code of gRPC such as `NOT_FOUND`",
        ),
        (
            "[422, NOT_FOUND]",
            "[202]",
            "c.yaml:35:47: envoy.processor.routes[0].settle.outcomes.rejected[0]: has two outcomes\n  hint: name each status once",
        ),
        (
            "unanswered: failed",
            "unanswered: never",
            "c.yaml:36:23: envoy.processor.routes[0].settle.unanswered: is no outcome: `never`\n  hint: declared are `accepted`, `rejected`, `failed`, `blocked`, `cancelled`, `unknown`",
        ),
    ]);
}

#[test]
fn many_mistakes_are_said_in_one_go() {
    let bad = MAPPED
        .replace("mode: take", "mode: hold")
        .replace("unanswered: failed", "unanswered: never")
        .replace("unmapped: refuse", "unmapped: keep");
    let said = check("c.yaml", &bad).1;
    assert_eq!(said.errors(), 3, "{said}");
}
