"""The table of values in the chart's README, out of `values.yaml`: each value with the `# --` comment above it."""

import json
import re

import yaml

import chart

README = chart.CHART / "README.md"
VALUES = chart.CHART / "values.yaml"
_BEGIN, _END = "<!-- values: written by the tests, GENQUOTA_HELM_WRITE=1 tests/run.sh chart -->\n", "<!-- end of values -->\n"
_KEY = re.compile(r"^( *)([A-Za-z]+):")
_COMMENT = re.compile(r"^ *# -- (.+)$")


def documented(text):
    """Path and description of every value with a comment, in the order of the file."""
    path, about = [], None
    for line in text.splitlines():
        comment, key = _COMMENT.match(line), _KEY.match(line)
        if comment:
            about = comment[1]
        elif key:
            depth = len(key[1]) // 2
            path = [*path[:depth], key[2]]
            if about:
                yield tuple(path), about
            about = None


def leaves(values, covered, path=()):
    """Path of every value that stands under no description."""
    for name, value in values.items():
        here = (*path, name)
        if here in covered:
            continue
        if isinstance(value, dict) and value:
            yield from leaves(value, covered, here)
        else:
            yield here


def defaults():
    return yaml.safe_load(VALUES.read_text())


def _default(values, path):
    for name in path:
        values = values[name]
    return json.dumps(values)


def table():
    values = defaults()
    rows = ["| value | default | what |", "|---|---|---|"]
    for path, about in documented(VALUES.read_text()):
        cells = [f"`{'.'.join(path)}`", f"`{_default(values, path)}`", about]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def current(text):
    """The README with the table of today."""
    before, rest = text.split(_BEGIN)
    _, after = rest.split(_END)
    return f"{before}{_BEGIN}\n{table()}\n{_END}{after}"
