"""Checks the files of the repository: what no compiler looks at.

Long files, what was left behind, paths of somebody's machine, and links in Markdown that lead nowhere.
"""

import re
import subprocess
import sys
from pathlib import Path

LINES_MAX = 600
# Text that must not stand in any file. The names are put together so that this file does not find itself.
MACHINE_PATH = re.compile(r"(?<![\w.~$}:/-])/(?:" + "|".join(["wo" + "rk", "ro" + "ot", "ho" + "me", "Us" + "ers"]) + r")/[\w.]")
LEFT_BEHIND = re.compile(r"\b(?:to" + r"do!|db" + r"g!|FIX" + r"ME\b|XX" + r"X\b|TO" + r"DO\b)")
CONFLICT = re.compile(r"^(?:<{7}|>{7}|={7}$)", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
# Written by tools.
GENERATED = {"Cargo.lock", "LICENSE"}
# A made-up home directory, with which a test never meets the real one.
NOBODY = "/ho" + "me/somebody"


def tracked():
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], check=True, stdout=subprocess.PIPE)
    return [Path(name) for name in listed.stdout.decode().split("\0") if name and Path(name).is_file()]


def of_text(path, text):
    name = path.as_posix()
    for number, line in enumerate(text.splitlines(), 1):
        if MACHINE_PATH.search(line.replace(NOBODY, "")):
            yield f"{name}:{number}: a path of one machine: {line.strip()}"
        if LEFT_BEHIND.search(line):
            yield f"{name}:{number}: left behind: {line.strip()}"
        if path.suffix != ".md" and line != line.rstrip():
            yield f"{name}:{number}: spaces at the end of the line"
    if CONFLICT.search(text):
        yield f"{name}: the mark of a merge conflict"
    if text and not text.endswith("\n"):
        yield f"{name}: no newline at the end"
    if "\r" in text:
        yield f"{name}: a carriage return"
    lines = text.count("\n")
    if path.parts[0] == "src" and lines > LINES_MAX:
        yield f"{name}: {lines} lines; more than {LINES_MAX} are two things"


def of_links(path, text):
    for link in LINK.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        target = link.split("#")[0]
        if target and not re.match(r"[a-z]+:", target) and not (path.parent / target).exists():
            yield f"{path.as_posix()}: the link `{link}` leads nowhere"


def main():
    problems = []
    files = tracked()
    for path in files:
        if path.name in GENERATED:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        problems.extend(of_text(path, text))
        if path.suffix == ".md":
            problems.extend(of_links(path, text))
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"   {len(files)} files, {len(problems)} problems")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
