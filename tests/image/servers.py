"""Servers that stand elsewhere in the cluster, as steps of the sandbox: the real ones of this machine, on its libraries."""

import os
import shutil
from pathlib import Path

import image

# Where the system's programs and libraries are.
OF_SYSTEM = [path for path in ("/usr", "/lib", "/lib64") if Path(path).exists()]


def redis(directory, port, *words, certificate=None):
    """Redis with its data in `directory`. `certificate` has `tls.crt`, `tls.key` and `ca.crt`; with it the port speaks TLS."""
    program = os.environ.get("GENQUOTA_TEST_REDIS7") or shutil.which("redis-server") or image.TOOLS / "servers/redis7/redis-server"
    arguments = ["--dir", "/data", "--appendonly", "yes", *words]
    if certificate:
        arguments += ["--port", "0", "--tls-port", port, "--tls-auth-clients", "optional", "--tls-cert-file", "/tls/tls.crt",
                      "--tls-key-file", "/tls/tls.key", "--tls-ca-cert-file", "/tls/ca.crt"]
    else:
        arguments += ["--port", port]
    return _step("redis", program, arguments, directory, port, {f"/tls/{name}": data for name, data in (certificate or {}).items()})


def valkey(directory, port, *words):
    program = os.environ.get("GENQUOTA_TEST_VALKEY") or image.TOOLS / "servers/valkey/valkey-server"
    return _step("valkey", program, words, directory, port, {})


def _step(name, program, arguments, directory, port, files):
    links = {path: path for path in OF_SYSTEM}
    if not str(program).startswith("/usr/"):
        # A server that was unpacked instead of installed, with the libraries beside it.
        links[str(image.TOOLS)] = image.TOOLS
    arguments = [str(word) for word in (program, *arguments)]
    return {"name": name, "how": "start", "arguments": arguments, "files": files, "links": links, "shared": {"/data": directory}, "ready": [["tcp", port]]}


def certificate(authority, *names):
    """A certificate of an authority of `trustme`, as a Secret of Kubernetes has it."""
    pair = authority.issue_cert(*names)
    return {"tls.crt": pair.cert_chain_pems[0].bytes(), "tls.key": pair.private_key_pem.bytes(), "ca.crt": authority.cert_pem.bytes()}
