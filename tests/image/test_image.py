"""The image in an empty root: what is in it, and that it serves there with nothing else."""

import json
import os
import re
import tempfile
import tomllib
import unittest

import trustme

import image
import sandbox
import servers

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


class Contents(unittest.TestCase):
    def test_nothing_but_the_program_and_what_it_reads_is_in_it(self):
        root = image.built().root
        files = {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}
        wanted = {"usr/bin/genquota", "usr/share/sbom/genquota.cdx.json", "usr/share/doc/genquota/LICENSE", BUNDLE.lstrip("/")}
        self.assertEqual(files, wanted)
        self.assertEqual(list((root / "var/lib/genquota").iterdir()), [])
        self.assertGreater((root / BUNDLE.lstrip("/")).read_text().count("BEGIN CERTIFICATE"), 50)

    def test_it_starts_as_nobody_and_says_what_it_is(self):
        stage = image.built()
        cargo = tomllib.loads((image.ROOT / "Cargo.toml").read_text())["package"]
        self.assertEqual(stage.base, "scratch")
        self.assertEqual(stage.user, f"{sandbox.USER}:{sandbox.USER}")
        self.assertEqual((stage.entrypoint, stage.command), (["/usr/bin/genquota"], ["serve"]))
        title = "org.opencontainers.image."
        told = {key.removeprefix(title): value for key, value in stage.labels.items()}
        self.assertEqual((told["version"], told["licenses"], told["revision"]), (cargo["version"], cargo["license"], image.REVISION))

    def test_the_list_of_contents_is_what_the_program_was_linked_from(self):
        listed = json.loads((image.built().root / "usr/share/sbom/genquota.cdx.json").read_text())
        self.assertEqual((listed["bomFormat"], listed["specVersion"]), ("CycloneDX", "1.5"))
        locked = {(package["name"], package["version"]) for package in tomllib.loads((image.ROOT / "Cargo.lock").read_text())["package"]}
        components = {(component["name"], component["version"]) for component in listed["components"]}
        self.assertLessEqual(components, locked)
        names = {name for name, _ in components}
        self.assertLessEqual({"tonic", "tokio", "rustls", "redis", "redb"}, names)
        # Of tests and of the build alone.
        self.assertEqual(names & {"proptest", "criterion", "protox"}, set())
        for component in listed["components"]:
            self.assertTrue(component.get("licenses"), component["name"])


class Running(unittest.TestCase):
    def run_steps(self, *steps):
        results = sandbox.carry_out(steps)
        for step in steps:
            self.assertIn(step["name"], results, json.dumps(results, indent=1))
        return results

    def good(self, results, name):
        self.assertEqual(results[name]["code"], 0, json.dumps(results, indent=1))
        return results[name]["out"]

    def test_it_reserves_and_commits_in_a_root_that_cannot_be_written_to(self):
        with tempfile.TemporaryDirectory() as data:
            data_at = {"shared": {"/var/lib/genquota": data}}
            results = self.run_steps(
                image.container("version", "--version"),
                image.container("serve", how="start", ready=[["grpc", 7070, ""], ["tcp", 7071]], **data_at),
                image.container("reserve", "reserve", "acme", "--id", "a", "--action", "image.generate", "--target", "fal/flux-schnell"),
                # By a name of the hosts file.
                image.container("commit", "commit", "acme", "a", "--server", "http://localhost:7070"),
                image.container("balance", "balance", "acme", "--json"),
                # Once more, with nowhere to write.
                image.container("nowhere"),
            )
            self.assertIn(image.REVISION, self.good(results, "version"))
            self.assertIn("held a", self.good(results, "reserve"))
            self.assertIn("committed a", self.good(results, "commit"))
            self.assertEqual(json.loads(self.good(results, "balance"))["balances"][0]["committed"], "1")
            self.good(results, "serve")
            self.assertNotEqual(results["nowhere"]["code"], 0)
            self.assertRegex(results["nowhere"]["err"], r"[Rr]ead-only file system")
            self.assertNotEqual(os.listdir(data), [])

    def test_it_finds_a_store_by_dns_and_trusts_what_the_bundle_trusts(self):
        authority = trustme.CA()
        store = "rediss://cache.media.svc:6380"
        ours = (image.built().root / BUNDLE.lstrip("/")).read_bytes() + authority.cert_pem.bytes()
        with tempfile.TemporaryDirectory() as data:
            results = self.run_steps(
                servers.redis(f"{data}/redis", 6380, certificate=servers.certificate(authority, "cache.media.svc")),
                image.container("stranger", "store", "check", store, shared={"/var/lib/genquota": f"{data}/stranger"}),
                image.container("known", "store", "check", store, files={BUNDLE: ours}, shared={"/var/lib/genquota": f"{data}/known"}),
            )
        self.assertNotEqual(results["stranger"]["code"], 0)
        self.assertRegex(results["stranger"]["out"] + results["stranger"]["err"], r"(?i)certificate|issuer")
        self.assertRegex(self.good(results, "known"), re.compile(r"^reach +ok", re.MULTILINE))


if __name__ == "__main__":
    unittest.main()
