"""Containers without an engine: each in a root of its own, read-only, as the user 65532, on a network that has nothing but loopback.

The caller says what is to be started and run, one step after the other; this file runs itself inside fresh namespaces and carries it out. It needs
no rights of root, but a kernel that lets users have namespaces.

A step is a dictionary: `name`, `arguments`, `root` (a directory that is copied), `files` (path to text or bytes), `links` (path to what of this
machine is mounted there), `shared` (path to the directory that is mounted there for writing), `environment`, and `how`:

    start   goes on beside the others until the end; `ready` says when the next step begins
    run     is waited for

`ready` is a list of `["tcp", port]`, `["grpc", port, service]` for health, and `["https", port, path, token]` for an answer of 200.
"""

import base64
import fcntl
import json
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

# Longer than anything takes that works.
PATIENCE = 60
USER = "65532"
# Bytes from which on a file is mounted and not copied.
LARGE = 1 << 20
# What every engine puts into a container beside its root.
OF_ENGINE = ["/proc", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"]
HINT = "hint: the tests need user namespaces: `unshare --user --map-root-user --net --mount --pid --fork true` must succeed (sysctl user.max_user_namespaces)"


def carry_out(steps):
    """The results by name: `code` (negative: ended by that signal), `out`, `err`."""
    with tempfile.TemporaryDirectory(prefix="genquota-pod-") as directory:
        Path(directory, "steps.json").write_text(json.dumps(steps, default=_as_text))
        unshare = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        inside = [*unshare, sys.executable, "-B", __file__, directory]
        # The limits of single steps are inside.
        done = subprocess.run(inside, capture_output=True, text=True, timeout=PATIENCE * (len(steps) + 2))
        results = Path(directory, "results.json")
        if not results.exists():
            raise RuntimeError(f"the sandbox did not come to an end: {done.stdout}{done.stderr}\n{HINT}")
        return json.loads(results.read_text())


def _as_text(value):
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    return str(value)


def _as_bytes(content):
    return base64.b64decode(content["base64"]) if isinstance(content, dict) else content.encode()


# From here on: inside.


class Container:
    """One step. Its root is in memory, and cannot be written to once it is laid out."""

    def __init__(self, step, directory):
        self.step = step
        self.directory = Path(directory, f"{time.monotonic_ns()}-{step['name']}")
        self.root = self.directory / "root"
        self.root.mkdir(parents=True)
        _mount("-t", "tmpfs", "tmpfs", self.root)
        if step.get("root"):
            shutil.copytree(step["root"], self.root, symlinks=True, dirs_exist_ok=True, copy_function=_copy_or_mount)
        # As the kubelet does it.
        files = {"/etc/resolv.conf": "nameserver 127.0.0.1\n", "/etc/hosts": "127.0.0.1 localhost\n"} | step.get("files", {})
        for path, content in files.items():
            self._place(path).write_bytes(_as_bytes(content))
        links = {name: name for name in OF_ENGINE} | step.get("links", {})
        for path, source in links.items():
            target = self._place(path)
            target.mkdir() if Path(source).is_dir() else target.touch()
            _mount("--rbind", source, target)
        for path, source in step.get("shared", {}).items():
            Path(source).mkdir(parents=True, exist_ok=True)
            (self.root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
            _mount("--bind", source, self.root / path.lstrip("/"))
        _mount("-o", "remount,ro", self.root)

    def _place(self, path):
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def begin(self):
        user = ["unshare", "--user", f"--map-user={USER}", f"--map-group={USER}", f"--root={self.root}", "--wd=/"]
        self.out, self.err = (self.directory / name for name in ("out", "err"))
        with self.out.open("wb") as out, self.err.open("wb") as err:
            environment = {"PATH": os.environ["PATH"], **self.step.get("environment", {})}
            self.process = subprocess.Popen([*user, *self.step["arguments"]], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment)

    def wait_until_ready(self):
        probes = {"tcp": _accepts, "grpc": _serves, "https": _answers}
        for kind, *asked in self.step.get("ready", []):
            deadline = time.monotonic() + PATIENCE
            while not probes[kind](*asked):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    return False
                time.sleep(0.02)
        return True

    def result(self):
        return {"code": self.process.returncode, "out": self.out.read_text(errors="replace"), "err": self.err.read_text(errors="replace")}


def _copy_or_mount(source, target):
    """A program is not copied into memory for each of its containers."""
    if Path(source).stat().st_size > LARGE:
        Path(target).touch()
        _mount("--bind", source, target)
    else:
        shutil.copy2(source, target)


def _mount(*words):
    subprocess.run(["mount", *map(str, words)], check=True)


def _accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _serves(port, service):
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=1)
        except grpc.RpcError:
            return False
        return answer.status == health_pb2.HealthCheckResponse.SERVING


def _answers(port, path, token):
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting))
    request = urllib.request.Request(f"https://127.0.0.1:{port}{path}", headers={"authorization": f"Bearer {token}"})
    try:
        with opener.open(request, timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


def _loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        # SIOCSIFFLAGS: IFF_UP and IFF_RUNNING.
        fcntl.ioctl(control, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))


def _answer_names():
    """The cluster's DNS: every name is 127.0.0.1, and none has another kind of address."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))

    def serve():
        while True:
            query, caller = server.recvfrom(512)
            end = query.index(0, 12) + 5
            is_a = query[end - 4 : end - 2] == b"\0\1"
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\x05\0\4\x7f\0\0\1" if is_a else b""
            server.sendto(query[:2] + b"\x81\x80\0\1" + struct.pack(">H", is_a) + b"\0\0\0\0" + query[12:end] + answer, caller)

    threading.Thread(target=serve, daemon=True).start()


def _inside(directory):
    _loopback()
    _answer_names()
    started, results = [], {}
    for step in json.loads(Path(directory, "steps.json").read_text()):
        container = Container(step, directory)
        container.begin()
        if step["how"] == "start":
            started.append(container)
            if not container.wait_until_ready():
                break
        else:
            try:
                container.process.wait(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                container.process.kill()
                container.process.wait()
            results[step["name"]] = container.result()
    for container in reversed(started):
        if container.process.poll() is None:
            container.process.send_signal(signal.SIGTERM)
        try:
            container.process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            container.process.kill()
            container.process.wait()
        results[container.step["name"]] = container.result()
    Path(directory, "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    _inside(sys.argv[1])
