"""The chart, and the real Helm that renders it. What is rendered is read here and nowhere else."""

import os
import re
import subprocess
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm"
CASES = CHART / "ci"
# Where `tests/run.sh` puts what it installs.
TOOLS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"), "test-tools/helm").resolve()
# True: what is generated is written anew instead of compared.
WRITE = os.environ.get("GENQUOTA_HELM_WRITE") == "1"
NAMESPACE = "media"
RELEASE = "quota"
# The version of Kubernetes that the expected manifests are for.
KUBERNETES = "1.33"
# The oldest and the newest that the chart is for, and all between.
KUBERNETES_ALL = [f"1.{minor}" for minor in range(29, 38)]
# Longer than anything takes that works.
PATIENCE = 60

_HOME = tempfile.TemporaryDirectory(prefix="genquota-helm-")


class Refused(Exception):
    """Helm did not render. The text is what it said."""


class Helm:
    """One version of Helm, with a home of its own."""

    def __init__(self, major):
        self.program = TOOLS / f"helm{major}/helm"
        if not self.program.is_file():
            raise FileNotFoundError(f"no Helm at {self.program}\nhint: `tests/run.sh chart` installs it")
        homes = {f"HELM_{name}_HOME": f"{_HOME.name}/{major}/{name.lower()}" for name in ("CONFIG", "CACHE", "DATA")}
        self.environment = {"PATH": os.environ["PATH"], **homes}

    def run(self, *words):
        done = subprocess.run([self.program, *map(str, words)], env=self.environment, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode != 0:
            raise Refused(done.stderr)
        return done.stdout

    def render(self, chart, *values, sets=(), kubernetes=KUBERNETES):
        """The manifests as text. `sets` are as in `--set`."""
        words = ["template", RELEASE, chart, "--namespace", NAMESPACE, "--kube-version", f"{kubernetes}.0"]
        for path in values:
            words += ["--values", path]
        for item in sets:
            words += ["--set", item]
        return self.run(*words)


HELM_3, HELM_4 = Helm(3), Helm(4)


def cases():
    """The files with values that are tested, by name."""
    return {path.name.removesuffix("-values.yaml"): path for path in sorted(CASES.glob("*-values.yaml"))}


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(manifests, *kinds):
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def pods(manifests):
    """Name and spec of every pod that the manifests bring about."""
    for manifest in manifests:
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        if manifest["kind"] == "Pod":
            yield name, manifest["spec"]
        elif "template" in manifest.get("spec", {}):
            yield name, manifest["spec"]["template"]["spec"]


def containers(pod):
    return [*pod.get("initContainers", []), *pod["containers"]]


# Files that are taken in as a whole; that they are is tested by itself.
_WHOLE_FILES = re.compile(r"^(# Source: genquota/templates/(?:alerts|dashboard)\.yaml\n.*?^(?:spec|data):\n).*", re.DOTALL | re.MULTILINE)


def normalised(text):
    """Without what differs between versions of Helm, blank lines and the order of the files, and without files that are elsewhere."""
    parts = re.split(r"^---\n", text, flags=re.MULTILINE)
    parts = ["\n".join(line.rstrip() for line in part.splitlines() if line.strip()) for part in parts]
    parts = [_WHOLE_FILES.sub(r"\1  # ...", part) for part in parts]
    return "".join(f"---\n{part}\n" for part in sorted(filter(None, parts)))
