"""The image as the Dockerfile's own steps make it on this machine, in the profile that is quickest to build."""

import functools
import os
from pathlib import Path

import dockerfile

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
TOOLS = BUILD / "test-tools"
REVISION = "0123456789"


@functools.cache
def built():
    """Its stage: the root in `root`, and what an engine would note of it."""
    arguments = {"PROFILE": "dev", "REVISION": REVISION}
    directories = {"/target": BUILD, "/tool": TOOLS / "cyclonedx"}
    return dockerfile.Build(ROOT / "Dockerfile", TOOLS / "image", arguments, directories).image


def container(name, *words, how="run", **more):
    """A step of the sandbox: the image, run with these arguments."""
    stage = built()
    environment = stage.environment | more.pop("environment", {})
    arguments = [*stage.entrypoint, *(words or stage.command)]
    return {"name": name, "how": how, "root": stage.root, "arguments": arguments, "environment": environment, **more}
