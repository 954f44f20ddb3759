"""docs/operate.md does what it says, against a real Redis with a ledger that was used and a journal that was left behind.

Its ```console blocks are read and run as those of the README are (test_readme.py), in order, in one directory of their own. `STORE` is the
address of the Redis; `journal` is the journal of a sidecar that has stopped.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path

import sidecar
from test_readme import blocks, commands, run_each

OPERATE = sidecar.ROOT / "docs/operate.md"
# How often it is asked whether a server answers: soon enough for a test, and no load.
BREATH = 0.02


def redis_program():
    """Where tests/lab/tools.rs looks for it, in the same order."""
    built = Path(os.environ.get("CARGO_TARGET_DIR", sidecar.ROOT / "target")) / "test-tools/servers/redis7/redis-server"
    found = os.environ.get("GENQUOTA_TEST_REDIS7") or shutil.which("redis-server") or (built if built.exists() else None)
    if not found:
        raise FileNotFoundError("no redis-server; `tests/run.sh servers` installs it")
    return found


class Redis:
    """A server of its own, on a socket in a directory of its own."""

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="genquota-redis-")
        path = f"{self.directory}/redis.sock"
        command = [redis_program(), "--port", "0", "--unixsocket", path, "--dir", self.directory, "--appendonly", "yes"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.url = f"redis+unix://{path}"
        try:
            self._wait(path)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _wait(self, path):
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.settimeout(sidecar.PATIENCE)
                    connection.connect(path)
                    connection.sendall(b"PING\r\n")
                    if connection.recv(16).startswith(b"+PONG"):
                        return
            except (FileNotFoundError, ConnectionRefusedError):
                pass
            try:
                self.process.wait(BREATH)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(f"redis-server ended with {self.process.returncode}")


class Operate(unittest.TestCase):
    def test_commands_do_what_they_say(self):
        told = list(commands(OPERATE.read_text()))
        self.assertGreater(len(told), 10)
        self.assertEqual(len(blocks(OPERATE.read_text(), "console")), 4)
        with Redis() as redis, tempfile.TemporaryDirectory() as home:
            (Path(home) / "genquota").symlink_to(sidecar.binary())
            (Path(home) / "examples").symlink_to(sidecar.ROOT / "examples")
            environment = sidecar.environment(HOME=home, XDG_DATA_HOME=home, STORE=redis.url, PATH=f"{home}{os.pathsep}{os.environ['PATH']}")
            with sidecar.Sidecar("--journal", f"{home}/journal", store=redis.url) as server:
                for arguments in (["subject", "create", "acme"], ["subject", "subscribe", "acme", "--plan", "independent"]):
                    server_is = {"GENQUOTA_SERVER": f"http://{server.address}"}
                    subprocess.run(["genquota", *arguments], env=environment | server_is, check=True, capture_output=True, timeout=sidecar.PATIENCE)
                self.assertEqual(server.terminate()[0], 0)
            run_each(self, told, home, environment)


if __name__ == "__main__":
    unittest.main()
