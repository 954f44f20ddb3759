"""The client made from `proto/`, and a real `genquota serve` to talk to. Import this before `genquota.v1`."""

import atexit
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[2]
# Longer than anything takes that works.
PATIENCE = 60


def binary():
    path = Path(os.environ.get("GENQUOTA_BINARY", ROOT / "target/debug/genquota")).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"no binary at {path}; `cargo build`, or set GENQUOTA_BINARY")
    return path


def _generate():
    """Writes the client of today's contract to a directory of this process, and lets it be imported."""
    out = tempfile.mkdtemp(prefix="genquota-client-")
    atexit.register(shutil.rmtree, out, ignore_errors=True)
    files = sorted(str(path) for path in (ROOT / "proto/genquota/v1").glob("*.proto"))
    well_known = resources.files("grpc_tools") / "_proto"
    arguments = [f"-I{ROOT / 'proto'}", f"-I{well_known}", f"--python_out={out}", f"--grpc_python_out={out}", *files]
    if protoc.main(["protoc", *arguments]) != 0:
        raise RuntimeError("the contract cannot be compiled")
    sys.path.insert(0, out)
    return out


CLIENT = _generate()


def environment(**more):
    """The variables of this process without any that configure genquota."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GENQUOTA_")} | more


class Sidecar:
    """A server of its own, with a store of its own unless `store` names another; `with` ends both."""

    def __init__(self, *flags, store=None):
        self.flags, self.store = flags, store

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="genquota-")
        self.log = Path(self.directory) / "log"
        store = self.store or f"embedded:{self.directory}/store"
        command = [binary(), "serve", "--listen", "127.0.0.1:0", "--http", "off", "--store", store, "--json"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*command, *self.flags], stdout=subprocess.PIPE, stderr=log, env=environment())
        try:
            self.address = json.loads(self._first_line())["listen"][0]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def terminate(self):
        """Asks it to stop, and tells the exit code and what it had printed since its first line."""
        self.process.send_signal(signal.SIGTERM)
        rest, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, rest.decode()

    def _first_line(self):
        lines = queue.Queue()
        threading.Thread(target=lambda: lines.put(self.process.stdout.readline()), daemon=True).start()
        line = lines.get(timeout=PATIENCE)
        if not line:
            raise RuntimeError(f"the server did not start:\n{self.log.read_text()}")
        return line
