"""The commands that the documents show: every `helm install` and `helm upgrade` in them renders, with a test."""

import re
import shlex
import tempfile
import unittest
from pathlib import Path

import kubernetes_validate

import chart

DOCUMENTS = [chart.ROOT / "docs/install.md", chart.CHART / "README.md"]


def commands(text, program):
    for block in re.findall(r"^```sh\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line)
            if words[:1] == [program]:
                yield words[1:]


class Documents(unittest.TestCase):
    def test_what_they_install_renders(self):
        shown = [command for document in DOCUMENTS for command in commands(document.read_text(), "helm") if command[0] in ("install", "upgrade")]
        self.assertGreaterEqual(len(shown), 3)
        with tempfile.TemporaryDirectory() as directory:
            catalog = Path(directory, "catalog.yaml")
            catalog.write_text((chart.ROOT / "examples/catalogs/film-studio.yaml").read_text())
            values = []
            for what, release, path, *flags in shown:
                with self.subTest(flags=flags):
                    self.assertTrue((chart.ROOT / path / "Chart.yaml").is_file())
                    flags = [flag.replace("=catalog.yaml", f"={catalog}") for flag in flags if flag not in ("--create-namespace", "--reset-then-reuse-values")]
                    # An upgrade begins with the values of the release, here of the one that was shown last.
                    values = values + flags if what == "upgrade" else flags
                    text = chart.HELM_4.run("template", release, chart.CHART, "--kube-version", f"{chart.KUBERNETES}.0", *values)
                    manifests = chart.documents(text)
                    for manifest in manifests:
                        if manifest["apiVersion"] != "cert-manager.io/v1":
                            kubernetes_validate.validate(manifest, chart.KUBERNETES, strict=True)
                    self.assertEqual(len(chart.of_kind(manifests, "Pod")), 1)


if __name__ == "__main__":
    unittest.main()
