"""`examples/node` against a real sidecar: the same story as in Python, told by grpc-js."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import sidecar  # first: it makes the client

import grpc
from front import Front
from genquota.v1 import quota_service_pb2 as quota_pb
from genquota.v1 import quota_service_pb2_grpc
from genquota.v1 import types_pb2 as types
from secured import Secured

EXAMPLE = sidecar.ROOT / "examples/node"
SAID = """\
made by runway/gen4-turbo: 4 credits, 0.2 USD (0.04 more than planned)
failed: fal/wan-2.2 is overloaded; nothing was charged
failed: fal/wan-2.2 gave no answer in time; nothing was charged
denied: the plan does not include seconds `60`
  instead: change to the plan `hollywood`
refused: INVALID_FIELD
  work.items[0].measures.seconds: must be a plain decimal such as `1.65`: digits, at most one point, no sign and no exponent; got "-1"
left: 296 credits
"""


def modules():
    """The packages of the example. Missing, they fail the test."""
    path = os.environ.get("GENQUOTA_TEST_NODE_MODULES")
    if not path or not (Path(path) / "@grpc/grpc-js").is_dir():
        raise FileNotFoundError(f"no packages in `{path}`; hint: `tests/run.sh gateways` installs them and prints what to set")
    return Path(path).resolve()


class Node(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = Path(tempfile.mkdtemp(prefix="genquota-node-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        for name in ("gateway.js", "quota.js", "errors.proto", "package.json"):
            shutil.copy(EXAMPLE / name, cls.directory)
        (cls.directory / "node_modules").symlink_to(modules())
        cls.server = sidecar.Sidecar("--listen", f"unix:{cls.directory / 'socket'}").__enter__()
        cls.addClassCleanup(cls.server.__exit__)

    def play(self, server, **variables):
        environment = sidecar.environment(GENQUOTA_SERVER=server, GENQUOTA_PROTO=str(sidecar.ROOT / "proto"), **variables)
        return subprocess.run(["node", "gateway.js"], cwd=self.directory, env=environment, capture_output=True, text=True, timeout=sidecar.PATIENCE)

    def plays_well(self, server, **variables):
        run = self.play(server, **variables)
        self.assertEqual((run.stdout, run.stderr, run.returncode), (SAID, "", 0))

    def test_the_program_says_what_happened(self):
        self.plays_well(f"http://{self.server.address}")

    def test_over_a_unix_socket(self):
        self.plays_well(f"unix:{self.directory / 'socket'}")

    def test_lost_answers_change_nothing_because_the_id_stays_the_same(self):
        with Front(self.server.address) as front:
            for method in ("Reserve", "Retry", "Commit", "Release"):
                front.lose(method, 2)
            self.plays_well(f"http://{front.address}")
            for method in ("Retry", "Commit"):
                self.assertEqual((len(front.seen[method]), len(set(front.seen[method]))), (3, 1), method)
            subject = quota_pb.ReserveRequest.FromString(front.seen["Reserve"][0]).subject
        with grpc.insecure_channel(self.server.address) as channel:
            request = quota_pb.ListGenerationsRequest(subject=subject)
            generations = quota_service_pb2_grpc.QuotaServiceStub(channel).ListGenerations(request, timeout=10).generations
        told = [[(attempt.target.model, attempt.outcome, attempt.cost) for attempt in generation.attempts] for generation in reversed(generations)]
        self.assertEqual(
            told,
            [
                [("wan-2.2", types.OUTCOME_FAILED, "0"), ("gen4-turbo", types.OUTCOME_ACCEPTED, "0.2")],
                [("wan-2.2", types.OUTCOME_FAILED, "0")],
                [("wan-2.2", types.OUTCOME_UNKNOWN, "0.16")],
            ],
        )

    def test_tls_with_a_certificate_of_the_client_and_a_token(self):
        with tempfile.TemporaryDirectory() as directory, Secured(directory) as server:
            files = {"GENQUOTA_CA": str(server.ca), "GENQUOTA_CLIENT_CERT": str(server.cert), "GENQUOTA_CLIENT_KEY": str(server.key)}
            # By its name: Node warns of certificates for an address.
            address = "https://" + server.address.replace("127.0.0.1", "localhost")
            self.plays_well(address, GENQUOTA_TOKEN=server.token.read_text().strip(), **files)
            run = self.play(address, GENQUOTA_TOKEN="wrong", **files)
            self.assertEqual((run.returncode, run.stdout), (1, ""))
            self.assertIn("Reserve: UNAUTHENTICATED: ", run.stderr)


if __name__ == "__main__":
    unittest.main()
