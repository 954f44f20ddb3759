"""Certificates of an authority of a test's own."""

from pathlib import Path

import grpc
import trustme


class Certificates:
    """An authority, a server on loopback and a client, as files in a directory."""

    def __init__(self, directory):
        directory, authority = Path(directory), trustme.CA()
        self.ca, self.cert, self.key = (directory / name for name in ("ca.pem", "client.pem", "client-key.pem"))
        authority.cert_pem.write_to_path(self.ca)
        client = authority.issue_cert("gateway")
        client.private_key_pem.write_to_path(self.key)
        self.cert.write_bytes(b"".join(blob.bytes() for blob in client.cert_chain_pems))
        self._server, self._authority = authority.issue_cert("127.0.0.1", "localhost"), authority.cert_pem.bytes()

    def server(self, *, asks_for_client):
        """What a server of grpcio needs for TLS, or for mTLS."""
        chain = b"".join(blob.bytes() for blob in self._server.cert_chain_pems)
        pairs = [(self._server.private_key_pem.bytes(), chain)]
        return grpc.ssl_server_credentials(pairs, self._authority if asks_for_client else None, asks_for_client)
