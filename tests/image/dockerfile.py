"""Carries out a Dockerfile without an engine, as far as ours goes: its very steps, on this machine, in directories of their own.

This machine stands for the base image of the stages that build. A step's directories are those that ENV names, moved below the stage's own; what else an
engine would do (layers, caches, mounts) is left out. An instruction that is not known here is an error.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

# Of this process, for the tools that build.
INHERITED = ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "CARGO_NET_OFFLINE", "SSL_CERT_FILE"]
# The longest a step may take: a build from nothing on a slow machine.
PATIENCE = 1800
# What a step may read of the base image.
OF_BASE = {"/etc/ssl/certs/ca-certificates.crt"}


class Stage:
    def __init__(self, name, base, root):
        self.name, self.base, self.root = name, base, root
        self.variables, self.environment, self.directories = {}, {}, {}
        self.workdir = "/"
        self.shell = ["/bin/sh", "-c"]
        self.labels, self.user, self.ports, self.entrypoint, self.command = {}, None, [], [], []

    def here(self, path):
        """Where a path of the stage is on this machine."""
        path = str(Path(self.workdir, path))
        return Path(self.directories.get(path, self.root / path.lstrip("/")))


class Build:
    """`arguments` are those of `--build-arg`; `directories` says where a directory of the stages is kept, for the next build to find."""

    def __init__(self, dockerfile, root, arguments, directories):
        self.context = dockerfile.parent
        self.root, self.arguments, self.directories = root, arguments, directories
        self.known = {}
        self.stages = {}
        self.stage = None
        for word, rest in instructions(dockerfile.read_text()):
            getattr(self, f"_{word.lower()}")(rest)

    @property
    def image(self):
        return self.stage

    def _from(self, rest):
        base, *name = re.split(r"\s+AS\s+", rest)
        name = name[0] if name else "image"
        root = self.root / name
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        self.stage = self.stages[name] = Stage(name, self._filled(base), root)
        self.stage.directories = self.directories

    def _arg(self, rest):
        name, _, default = rest.partition("=")
        value = self.arguments.get(name, "".join(shlex.split(default)))
        (self.stage.variables if self.stage else self.known)[name] = value

    def _env(self, rest):
        for word in shlex.split(rest):
            name, _, value = word.partition("=")
            self.stage.environment[name] = self.stage.variables[name] = value

    def _label(self, rest):
        for word in shlex.split(rest):
            name, _, value = word.partition("=")
            self.stage.labels[name] = self._filled(value)

    def _shell(self, rest):
        self.stage.shell = json.loads(rest)

    def _entrypoint(self, rest):
        self.stage.entrypoint = json.loads(rest)

    def _cmd(self, rest):
        self.stage.command = json.loads(rest)

    def _user(self, rest):
        self.stage.user = rest

    def _expose(self, rest):
        self.stage.ports = [int(port) for port in rest.split()]

    def _workdir(self, rest):
        self.stage.workdir = rest
        self.stage.here(".").mkdir(parents=True, exist_ok=True)

    def _copy(self, rest):
        words = shlex.split(rest)
        options = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
        *sources, target = [word for word in words if not word.startswith("--")]
        assert set(options) <= {"from", "chown"}, rest
        for source in sources:
            if "from" in options:
                path = self.stages[options["from"]].here(source)
            else:
                assert f"!{source}" in (self.context / ".dockerignore").read_text().split(), f"`{source}` is kept out by .dockerignore"
                path = self.context / source
            to = self.stage.here(target)
            if path == to:
                continue
            to.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, to, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy2(path, to / path.name if target.endswith("/") or to.is_dir() else to)

    def _run(self, rest):
        command = re.sub(r"^(?:--mount=\S+\s+)+", "", rest)
        literal = set(re.findall(r"(?<![\w$}\"{./:*-])/\w[\w./-]*", command)) - OF_BASE
        assert not literal, f"a step names {literal}: let ENV name the directory"
        variables = {name: str(self.stage.here(value)) if value.startswith("/") else value for name, value in self.stage.variables.items()}
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ} | variables
        subprocess.run([*self.stage.shell, command], cwd=self.stage.here("."), env=environment, check=True, timeout=PATIENCE)

    def _filled(self, text):
        variables = self.known | (self.stage.variables if self.stage else {})
        return re.sub(r"\$\{(\w+)\}", lambda match: variables[match[1]], text)


def instructions(text):
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for joined in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        word, rest = joined.split(maxsplit=1)
        yield word, rest
