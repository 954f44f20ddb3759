"""The rendered pods start the real image: with their own command, variables, configuration, secrets and volumes, on a network of their own."""

import json
import re
import subprocess
import tempfile
import unittest
from datetime import datetime, timedelta, timezone
from hashlib import sha256

import trustme

import chart
import cluster
from test_values import SCHEMA, schema_leaves

import image
import sandbox
import servers
from servers import certificate

TOKEN = "a-token-of-this-test-alone"
OBSERVER = "another-that-may-only-look"
HOST = "quota-genquota.media.svc"


class Pods(unittest.TestCase):
    def carry_out(self, *steps):
        results = sandbox.carry_out(steps)
        for step in steps:
            self.assertIn(step["name"], results, json.dumps(results, indent=1))
            self.assertEqual(results[step["name"]]["code"], 0, json.dumps(results, indent=1))
        return results

    def directory(self):
        directory = tempfile.TemporaryDirectory(prefix="genquota-cluster-")
        self.addCleanup(directory.cleanup)
        return directory.name

    def manifests(self, name, *sets):
        return chart.documents(chart.HELM_4.render(chart.CHART, chart.cases()[name], sets=sets))

    def test_a_gateway_and_its_sidecar_share_a_socket(self):
        secrets = {"cache-address": {"url": "redis://cache.media:6379"}, "cache-password": {"password": "sesame"}, "collector": {"headers": "a=b"}}
        pods = cluster.Cluster(self.manifests("sidecar-gateway", "otlp.endpoint="), self.directory(), secrets)
        (sidecar, gateway) = pods.steps("Deployment")
        redis = servers.redis(self.directory(), 6379, *"--user genquota on >sesame ~* &* +@all --user default off ~* &* +@all".split())
        # The gateway's part is played by the command line, which finds the server as the gateway would.
        made = image.container("call", "reserve", "acme", "--action", "image.generate", "--target", "fal/flux-schnell", "--json",
                               shared=gateway["shared"], environment=gateway["environment"])
        results = self.carry_out(redis, sidecar, made)
        self.assertIn('"meter":"credits"', results["call"]["out"])
        # Another pod, with a network of its own and a sidecar of its own on the same ledger.
        results = self.carry_out(redis, *pods.steps("Pod"))
        self.assertIn("committed helm-test-1", results["quota-genquota-test/commit"]["out"])

    def test_the_trial_serves_on_its_own_valkey_and_its_test_can_be_repeated(self):
        manifests = self.manifests("shared-trial")
        pods = cluster.Cluster(manifests, self.directory())
        (server,) = pods.steps("Deployment")
        results = self.carry_out(valkey(manifests, self.directory()), server, *pods.steps("Pod"), *again(pods.steps("Pod")))
        for name in ("quota-genquota-test/commit", "again/commit"):
            self.assertIn("committed helm-test-1", results[name]["out"])

    def test_one_pod_keeps_the_ledger_in_its_volume(self):
        studio = (chart.ROOT / "examples/catalogs/film-studio.yaml").read_text()
        pods = cluster.Cluster(self.manifests("shared-embedded"), self.directory(), configs={"studio-catalog": {"studio.yaml": studio}})
        (server,) = pods.steps("StatefulSet")
        call = ("reserve", "acme", "--id", "kept", "--action", "image.generate", "--target", "fal/flux-schnell", "--server", f"http://{HOST}:7070")
        self.carry_out(server, image.container("first", *call))
        # Another pod on the same claim.
        seen = image.container("seen", "reservation", "acme", "kept", "--server", f"http://{HOST}:7070")
        self.assertIn("image.generate", self.carry_out(server, seen)["seen"]["out"])

    def test_certificates_and_tokens_protect_a_shared_service(self):
        authority = trustme.CA()
        secrets = secured(authority)
        sets = ("store.url=rediss://cache.media:6380", "otlp.endpoint=")
        manifests = self.manifests("shared-secure", *sets)
        (wanted,) = chart.of_kind(manifests, "Certificate")
        # The part of cert-manager.
        secrets[wanted["spec"]["secretName"]] = certificate(authority, *wanted["spec"]["dnsNames"])
        cache = certificate(authority, "cache.media")
        pods = cluster.Cluster(manifests, self.directory(), secrets)
        (server,) = pods.steps("Deployment")
        # Their own command, with another certificate, or with another token.
        (*_, commit) = pods.steps("Pod")
        mine, theirs = certificate(trustme.CA(), "test"), "not-the-token"
        paths = {f"/etc/genquota/test-cert/{name}": data for name, data in mine.items()}
        foreign = commit | {"name": "foreign", "files": commit["files"] | paths}
        unknown = commit | {"name": "unknown", "files": commit["files"] | {"/etc/genquota/test-token/token": theirs}}
        steps = [servers.redis(self.directory(), 6380, "--requirepass", "sesame", certificate=cache), server, *pods.steps("Pod")]
        results = self.carry_out(*steps)
        self.assertIn("committed helm-test-1", results["quota-genquota-test/commit"]["out"])
        results = sandbox.carry_out([*steps[:2], foreign, unknown])
        self.assertEqual(results["foreign"]["code"], 69, results["foreign"]["err"])
        self.assertIn("UNAUTHENTICATED", results["unknown"]["err"])

    def test_everything_else_that_can_be_said_is_understood(self):
        authority = trustme.CA()
        secrets = secured(authority) | {"quota-tls": certificate(authority, "quota.media.svc"), "test-token": {"value": TOKEN}}
        digest = sha256(TOKEN.encode()).hexdigest()
        sets = (f"access.inline.tokens[0].sha256={digest}", "access.inline.tokens[0].name=test", "access.inline.tokens[0].scopes[0]=gateway",
                "test.subject=acme",
                # There is one Redis here, and not every machine has IPv6.
                "config.redis.replicas=0", "address=0.0.0.0")
        pods = cluster.Cluster(self.manifests("shared-everything", *sets), self.directory(), secrets, {"notes": {"a": "b"}})
        (server,) = pods.steps("StatefulSet")
        results = self.carry_out(servers.redis(self.directory(), 6379), server, *pods.steps("Pod"))
        self.assertIn("committed helm-test-1", results["quota-test/commit"]["out"])

    def test_metrics_of_a_sidecar_are_served_over_tls(self):
        authority = trustme.CA()
        secrets = secured(authority) | {"sidecar-tls": certificate(authority, "sidecar"), "cache-client": certificate(authority, "sidecar")}
        manifests = self.manifests("sidecar-metrics", "store.url=rediss://cache.media:6380")
        pods = cluster.Cluster(manifests, self.directory(), secrets)
        sidecar, *steps = pods.steps("Pod")
        sidecar["ready"].append(["https", 7071, "/metrics", OBSERVER])
        results = self.carry_out(servers.redis(self.directory(), 6380, certificate=certificate(authority, "cache.media")), sidecar, *steps)
        self.assertIn("committed helm-test-1", results["quota-genquota-test/commit"]["out"])


class Settings(unittest.TestCase):
    # Keys of the file that values of another name decide.
    DECIDED = {"listen", "http", "health", "catalog", "store", "journal", "access", "insecure", "drain_deadline", "metrics_public",
               "tls.cert", "tls.key", "tls.client_ca", "redis.username", "redis.password", "redis.password_file", "redis.sentinel_username",
               "redis.sentinel_password", "redis.sentinel_password_file", "redis.tls_ca", "redis.tls_cert", "redis.tls_key"}

    def test_the_schema_has_every_setting_of_the_program(self):
        program = image.built().root / "usr/bin/genquota"
        told = subprocess.run([program, "config", "--json"], capture_output=True, check=True, env={"XDG_DATA_HOME": "/tmp"}, timeout=chart.PATIENCE)
        settings = set(json.loads(told.stdout))
        offered = {".".join(path) for path in schema_leaves(SCHEMA["properties"]["config"])}
        self.assertEqual(settings - offered, self.DECIDED)
        self.assertEqual(offered - settings, set())


def secured(authority):
    """The secrets that a platform team has made."""
    until = (datetime.now(timezone.utc) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    tokens = [
        {"name": name, "sha256": sha256(token.encode()).hexdigest(), "scopes": [name], "expires": until}
        for name, token in (("gateway", TOKEN), ("observer", OBSERVER))
    ]
    ca = {"ca.crt": authority.cert_pem.bytes()}
    return {
        "callers": {"access.yaml": json.dumps({"tokens": tokens})},
        "test-token": {"token": TOKEN},
        "test-cert": certificate(authority, "test"),
        "gateways-ca": ca,
        "cache-ca": ca,
        "cache": {"redis-password": "sesame", "sentinel-password": "unused"},
    }


def valkey(manifests, directory):
    """The chart's own Valkey, by its rendered command."""
    (pod,) = [pod for name, pod in chart.pods(manifests) if name.endswith("-valkey")]
    (container,) = pod["containers"]
    assert container["command"] == ["valkey-server"]
    return servers.valkey(directory, container["ports"][0]["containerPort"], *container["args"])


def again(steps):
    return [step | {"name": re.sub(r"^.*/", "again/", step["name"])} for step in steps]


if __name__ == "__main__":
    unittest.main()
