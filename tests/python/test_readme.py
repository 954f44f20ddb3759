"""The README and the guides that show commands do what they say.

In `console` blocks every line `$ genquota ...`, `$ echo ...`, `$ python ...` and `$ node ...` is run in order, all of one file against one fresh
server, and must exit with 0; a comment such as `# exits 3` at its end says otherwise. Other lines are output and are not compared,
and other commands are not run. A line that ends in a backslash goes on in the next. `$ genquota serve ...` is not started: its
flags are checked by `genquota config`. The commands see a copy of what a checkout has for its users, and an empty home.

The ```python block of the README is `examples/python/quickstart.py`, word for word.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import sidecar
from test_node import modules

README = sidecar.ROOT / "README.md"
# A guide that needs more than a server has a test of its own.
DOCUMENTS = (README, sidecar.ROOT / "docs/integrate.md", sidecar.ROOT / "docs/security.md")
QUICKSTART = sidecar.ROOT / "examples/python/quickstart.py"
COMMAND = re.compile(r"\$ (?:[A-Z]+=\S+ )*(?:genquota|echo|python|node)\b")
EXITS = re.compile(r"\s+#.*\bexits (\d+)\b.*$")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def commands(text):
    """The commands of the console blocks that are run, each with the exit code it must have."""
    for block in blocks(text, "console"):
        for line in block.replace("\\\n", " ").splitlines():
            if COMMAND.match(line):
                told = EXITS.search(line)
                yield EXITS.sub("", line[2:]).strip(), int(told.group(1)) if told else 0


def checked_only(command):
    """A server would run for ever: its configuration is read and printed instead."""
    return re.sub(r"^genquota serve\b(.*?)\s*&?$", r"genquota config\1", command)


def run_each(test, told, directory, environment):
    """Runs commands in order, and tells of each whose exit code is another."""
    for command, code in told:
        with test.subTest(command=command):
            run = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", checked_only(command)],
                cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=sidecar.PATIENCE,
            )
            test.assertEqual(run.returncode, code, f"{command}\n{run.stdout}{run.stderr}")


class Convention(unittest.TestCase):
    def test_commands_are_found_with_their_exit_codes(self):
        text = "```console\n$ cargo build\n$ genquota a \\\n    b\nout $ genquota\n$ genquota c  # denied: exits 3\n$ P=. python d\n```\n```\n$ genquota e\n```\n"
        found = [(command.split(), code) for command, code in commands(text)]
        self.assertEqual(found, [(["genquota", "a", "b"], 0), (["genquota", "c"], 3), (["P=.", "python", "d"], 0)])
        self.assertEqual(checked_only("genquota serve --http off &"), "genquota config --http off")


class Quickstart(unittest.TestCase):
    def test_quickstart_runs_twice_against_one_server_and_says_what_happened(self):
        with sidecar.Sidecar() as server:
            for used in (6, 12):
                environment = sidecar.environment(GENQUOTA_SERVER=f"http://{server.address}", PYTHONPATH=sidecar.CLIENT)
                run = subprocess.run([sys.executable, "-B", QUICKSTART], env=environment, capture_output=True, text=True, timeout=sidecar.PATIENCE)
                self.assertEqual((run.returncode, run.stderr), (0, ""))
                for line in (
                    "4 images: 8 credits held",
                    "  committed: 6 credits, 0.126 USD to the provider",
                    "  released: everything went back",
                    "1500 images: denied, ",
                    '  instead: upgrade_to_plan: "hollywood"',
                    f"left: {1000 - used} credits, {used} used",
                ):
                    self.assertIn(line, run.stdout)

    def test_python_in_the_readme_is_the_quickstart(self):
        for block in blocks(README.read_text(), "python"):
            self.assertEqual(block, QUICKSTART.read_text(), "copy examples/python/quickstart.py into README.md")


class Documents(unittest.TestCase):
    def test_commands_do_what_they_say(self):
        for document in DOCUMENTS:
            found = list(commands(document.read_text()))
            self.assertTrue(found, document)
            with self.subTest(document=document.name), sidecar.Sidecar() as server, tempfile.TemporaryDirectory() as home:
                self.run_all(found, server, Path(home))

    def run_all(self, found, server, home):
        checkout, programs = home / "checkout", home / "bin"
        for part in ("docs", "examples", "proto"):
            shutil.copytree(sidecar.ROOT / part, checkout / part, ignore=shutil.ignore_patterns("node_modules"))
        (checkout / "examples/node/node_modules").symlink_to(modules())
        programs.mkdir()
        (programs / "genquota").symlink_to(sidecar.binary())
        # Not a link: Python would look for its packages beside that.
        python = programs / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        environment = sidecar.environment(
            GENQUOTA_SERVER=f"http://{server.address}", HOME=str(home), XDG_DATA_HOME=str(home), PATH=f"{programs}{os.pathsep}{os.environ['PATH']}"
        )
        run_each(self, found, checkout, environment)


if __name__ == "__main__":
    unittest.main()
