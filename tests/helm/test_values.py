"""What the chart says about itself: its values, their schema, its README, its version."""

import json
import re
import unittest

import yaml

import chart
import values_table

SCHEMA = json.loads((chart.CHART / "values.schema.json").read_text())
# Values that Helm itself hands to a chart inside another.
OF_HELM = {("global",)}


def resolved(schema):
    reference = schema.get("$ref")
    return SCHEMA["definitions"][reference.rsplit("/", 1)[1]] if reference else schema


def schema_leaves(schema, path=()):
    for name, inner in resolved(schema).get("properties", {}).items():
        here = (*path, name)
        if resolved(inner).get("properties"):
            yield from schema_leaves(inner, here)
        else:
            yield here


def objects(schema, path=()):
    schema = resolved(schema)
    if "properties" in schema:
        yield path, schema
        for name, inner in schema["properties"].items():
            yield from objects(inner, (*path, name))


class Values(unittest.TestCase):
    def test_every_value_has_a_description_and_the_readme_lists_it(self):
        covered = dict(values_table.documented(values_table.VALUES.read_text()))
        self.assertEqual(list(values_table.leaves(values_table.defaults(), covered)), [])
        text = values_table.README.read_text()
        if chart.WRITE:
            values_table.README.write_text(values_table.current(text))
        else:
            self.assertEqual(text, values_table.current(text), "GENQUOTA_HELM_WRITE=1 tests/run.sh chart")

    def test_schema_and_values_have_the_same_names(self):
        covered = {path for path, _ in values_table.documented(values_table.VALUES.read_text())}

        def by_value(paths):
            return {next((path[:n] for n in range(1, len(path) + 1) if path[:n] in covered), path) for path in paths}

        self.assertEqual(by_value(schema_leaves(SCHEMA)) - OF_HELM, covered)

    def test_schema_lets_no_unknown_name_through(self):
        for path, schema in objects(SCHEMA):
            with self.subTest(path=".".join(path)):
                self.assertIs(schema["additionalProperties"], False)

    def test_chart_has_the_version_of_the_program(self):
        cargo = (chart.ROOT / "Cargo.toml").read_text()
        about = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())
        self.assertEqual(about["appVersion"], re.search(r'^version = "(.+)"$', cargo, re.MULTILINE)[1])
        team = yaml.safe_load((chart.ROOT / "examples/helm/Chart.yaml").read_text())
        self.assertEqual([dependency["version"] for dependency in team["dependencies"]], [about["version"]])

    def test_readme_shows_the_deployment_of_the_example(self):
        shown = re.findall(r"^```yaml\n(apiVersion: apps/v1\n.*?)^```$", values_table.README.read_text(), re.DOTALL | re.MULTILINE)
        self.assertEqual(shown, [(chart.ROOT / "examples/helm/templates/deployment.yaml").read_text()])


if __name__ == "__main__":
    unittest.main()
