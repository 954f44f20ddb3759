"""A sidecar that speaks TLS, asks for the certificate of a client, and wants a token."""

import subprocess
from pathlib import Path

import sidecar

import trustme


class Secured(sidecar.Sidecar):
    """Keeps everything in a directory: `ca`, `cert` and `key` are what a client needs, `token` is a file with a token of the scope `gateway`."""

    def __init__(self, directory, *flags):
        directory, authority = Path(directory), trustme.CA()
        self.ca, self.token = directory / "ca.pem", directory / "token"
        authority.cert_pem.write_to_path(self.ca)
        self.cert, self.key = _files(directory, "client", authority.issue_cert("gateway.example"))
        cert, key = _files(directory, "server", authority.issue_cert("127.0.0.1", "localhost"))
        access = directory / "access.yaml"
        access.write_text("tokens:\n" + _new_token(self.token))
        doors = ("--tls-cert", cert, "--tls-key", key, "--tls-client-ca", self.ca, "--access", access)
        super().__init__(*doors, *flags)


def _files(directory, name, certificate):
    cert, key = directory / f"{name}.pem", directory / f"{name}-key.pem"
    cert.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(key)
    return cert, key


def _new_token(path):
    """Writes a token to a file and returns its entry for the access file."""
    command = [sidecar.binary(), "token", "new", "--name", "gateway", "--scope", "gateway", "--out", path]
    return subprocess.run(command, env=sidecar.environment(), check=True, capture_output=True, text=True, timeout=sidecar.PATIENCE).stdout
