"""The README and the documents that show commands do what they say.

The README's ```python block is `examples/python/quickstart.py`, word for word. In ```console blocks every line `$ genquota ...` or `$ echo ...` is run
in order against one fresh server for each document and must exit with 0; a comment such as `# exits 3` at its end says otherwise. Other lines are output
and are not compared, and other commands are not run. A line that ends in a backslash goes on in the next. `$ genquota serve ...` is not
started: its flags are checked by `genquota config`. The commands see the repository as their directory and an empty home.
"""

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import sidecar

README = sidecar.ROOT / "README.md"
# Documents whose commands are run.
DOCUMENTS = (README, sidecar.ROOT / "docs/security.md")
QUICKSTART = sidecar.ROOT / "examples/python/quickstart.py"
EXITS = re.compile(r"\s+#.*\bexits (\d+)\b.*$")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def commands(text):
    """The commands of the console blocks that are run, each with the exit code it must have."""
    for block in blocks(text, "console"):
        for line in block.replace("\\\n", " ").splitlines():
            if re.match(r"\$ (genquota|echo)\b", line):
                told = EXITS.search(line)
                yield EXITS.sub("", line[2:]).strip(), int(told.group(1)) if told else 0


def checked_only(command):
    """A server would run for ever: its configuration is read and printed instead."""
    return re.sub(r"^genquota serve\b(.*?)\s*&?$", r"genquota config\1", command)


class Convention(unittest.TestCase):
    def test_commands_are_found_with_their_exit_codes(self):
        text = "```console\n$ cargo build\n$ genquota a \\\n    b\nout $ genquota\n$ genquota c  # denied: exits 3\n```\n```\n$ genquota d\n```\n"
        self.assertEqual([(command.split(), code) for command, code in commands(text)], [(["genquota", "a", "b"], 0), (["genquota", "c"], 3)])
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


@unittest.skipUnless(README.exists(), "there is no README.md yet")
class Readme(unittest.TestCase):
    def test_python_in_the_readme_is_the_quickstart(self):
        for block in blocks(README.read_text(), "python"):
            self.assertEqual(block, QUICKSTART.read_text(), "copy examples/python/quickstart.py into README.md")

    def test_commands_in_documents_do_what_they_say(self):
        for document in DOCUMENTS:
            with self.subTest(document=document.name):
                self.run_commands(document)

    def run_commands(self, document):
        with sidecar.Sidecar() as server, tempfile.TemporaryDirectory() as home:
            (Path(home) / "genquota").symlink_to(sidecar.binary())
            environment = sidecar.environment(
                GENQUOTA_SERVER=f"http://{server.address}", HOME=home, XDG_DATA_HOME=home, PATH=f"{home}{os.pathsep}{os.environ['PATH']}"
            )
            for command, code in commands(document.read_text()):
                with self.subTest(command=command):
                    run = subprocess.run(
                        ["bash", "-euo", "pipefail", "-c", checked_only(command)],
                        cwd=sidecar.ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=sidecar.PATIENCE,
                    )
                    self.assertEqual(run.returncode, code, f"{command}\n{run.stdout}{run.stderr}")


if __name__ == "__main__":
    unittest.main()
