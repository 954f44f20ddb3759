"""What Helm makes of the chart, with every file of values in `helm/ci`, for every version of Kubernetes that the chart is for."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import kubernetes_validate

import chart

EXPECTED = chart.CASES / "expected"
# Kinds that Kubernetes itself does not know, and who judges them here.
OF_OTHERS = {"ServiceMonitor": "operator", "PodMonitor": "operator", "PrometheusRule": "operator", "Certificate": "cert-manager"}


def rendered(name, engine=chart.HELM_4, **more):
    return engine.render(chart.CHART, chart.cases()[name], **more)


def manifests(name, **more):
    return chart.documents(rendered(name, **more))


class Rendering(unittest.TestCase):
    maxDiff = None

    def test_both_versions_find_nothing_to_complain_of(self):
        for engine in (chart.HELM_3, chart.HELM_4):
            for path in chart.cases().values():
                with self.subTest(helm=engine.program, values=path.name):
                    engine.run("lint", "--strict", chart.CHART, "--values", path)

    def test_manifests_are_the_expected_ones_in_both_versions(self):
        names = set(chart.cases())
        self.assertGreaterEqual(len(names), 7)
        if chart.WRITE:
            shutil.rmtree(EXPECTED, ignore_errors=True)
            EXPECTED.mkdir()
            for name in names:
                (EXPECTED / f"{name}.yaml").write_text(chart.normalised(rendered(name)))
        self.assertEqual({path.stem for path in EXPECTED.iterdir()}, names)
        for name in names:
            for engine in (chart.HELM_3, chart.HELM_4):
                with self.subTest(values=name, helm=engine.program):
                    expected = (EXPECTED / f"{name}.yaml").read_text()
                    self.assertEqual(chart.normalised(rendered(name, engine)), expected, "GENQUOTA_HELM_WRITE=1 tests/run.sh chart")

    def test_kubernetes_of_every_version_knows_every_field(self):
        for kubernetes in chart.KUBERNETES_ALL:
            for name in chart.cases():
                for manifest in manifests(name, kubernetes=kubernetes):
                    if manifest["kind"] in OF_OTHERS:
                        continue
                    with self.subTest(kubernetes=kubernetes, values=name, manifest=f"{manifest['kind']} {manifest['metadata']['name']}"):
                        # A version or kind that it has no schema for is an error here, and no warning.
                        kubernetes_validate.validate(manifest, kubernetes, strict=True)

    def test_an_older_kubernetes_is_refused(self):
        with self.assertRaisesRegex(chart.Refused, "incompatible with Kubernetes"):
            rendered("sidecar", kubernetes="1.28")

    def test_a_pod_that_ends_is_waited_for_where_kubernetes_can(self):
        for kubernetes, waits in (("1.29", False), ("1.30", True)):
            (deployment,) = chart.of_kind(manifests("shared-secure", kubernetes=kubernetes), "Deployment")
            self.assertEqual("lifecycle" in deployment["spec"]["template"]["spec"]["containers"][0], waits)

    def test_the_package_renders_the_same_and_leaves_the_tests_out(self):
        with tempfile.TemporaryDirectory() as directory:
            for engine in (chart.HELM_3, chart.HELM_4):
                engine.run("package", chart.CHART, "--destination", directory)
                (package,) = Path(directory).glob("genquota-*.tgz")
                name = "shared-secure"
                self.assertEqual(engine.render(package, chart.cases()[name]), rendered(name, engine))
                shutil.unpack_archive(package, directory)
                self.assertEqual(sorted(os.listdir(Path(directory, "genquota"))),
                                 [".helmignore", "Chart.yaml", "README.md", "files", "templates", "values.schema.json", "values.yaml"])
                package.unlink()
                shutil.rmtree(Path(directory, "genquota"))


class Security(unittest.TestCase):
    def test_every_pod_is_restricted(self):
        """The rules of the `restricted` Pod Security Standard, for each container of each pod: init containers, the hook and Valkey too."""
        seen = set()
        for name in chart.cases():
            for pod_name, pod in chart.pods(manifests(name)):
                for key in ("hostNetwork", "hostPID", "hostIPC"):
                    self.assertNotIn(key, pod)
                self.assertIs(pod["automountServiceAccountToken"], False, pod_name)
                for volume in pod.get("volumes", []):
                    self.assertLessEqual(set(volume) - {"name"}, {"configMap", "secret", "projected", "emptyDir"})
                for container in chart.containers(pod):
                    with self.subTest(values=name, pod=pod_name, container=container["name"]):
                        seen.add(container["name"])
                        context = pod["securityContext"] | container["securityContext"]
                        self.assertIs(context["runAsNonRoot"], True)
                        self.assertGreater(context["runAsUser"], 0)
                        self.assertIs(context["allowPrivilegeEscalation"], False)
                        self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
                        self.assertEqual(context["seccompProfile"], {"type": "RuntimeDefault"})
                        # The gateway's image is not ours.
                        if container["name"] != "gateway":
                            self.assertIs(context["readOnlyRootFilesystem"], True)
                            self.assertIn("memory", container["resources"]["limits"])
        self.assertEqual(seen, {"genquota", "gateway", "valkey", "create", "subscribe", "reserve", "commit"})

    def test_no_secret_stands_in_a_manifest(self):
        for name in chart.cases():
            for manifest in chart.of_kind(manifests(name), "Secret"):
                # Who may call, by hashes and names.
                self.assertEqual(list(manifest["stringData"]), ["access.yaml"])

    def test_mounts_are_directories_so_that_changes_arrive(self):
        for name in chart.cases():
            for _, pod in chart.pods(manifests(name)):
                for container in chart.containers(pod):
                    for mount in container.get("volumeMounts", []):
                        self.assertNotIn("subPath", mount)


class Wiring(unittest.TestCase):
    def test_a_pod_has_time_for_its_drain(self):
        (everything,) = chart.of_kind(manifests("shared-everything"), "StatefulSet")
        self.assertGreater(everything["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], 45)
        (gateway,) = chart.of_kind(manifests("sidecar-gateway"), "Deployment")
        self.assertGreater(gateway["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], 30 + 20)

    def test_selectors_find_their_pods_and_nothing_else(self):
        for name in chart.cases():
            documents = manifests(name)
            labels = [document["spec"]["template"]["metadata"]["labels"] for document in documents if "template" in document.get("spec", {})]
            labels += [document["metadata"]["labels"] for document in chart.of_kind(documents, "Pod")]
            for service in chart.of_kind(documents, "Service", "PodDisruptionBudget"):
                selector = service["spec"]["selector"]
                selector = selector.get("matchLabels", selector)
                found = [label for label in labels if selector.items() <= label.items()]
                self.assertEqual(len(found), 1, f"{name}: {service['kind']} {service['metadata']['name']}")

    def test_pods_are_replaced_for_settings_and_not_for_what_is_read_anew(self):
        def checksums(name, *sets):
            (workload,) = chart.of_kind(manifests(name, sets=sets), "Deployment")
            annotations = workload["spec"]["template"]["metadata"]["annotations"]
            return {key: value for key, value in annotations.items() if key.startswith("checksum/")}

        before = checksums("shared-trial")
        self.assertNotEqual(checksums("shared-trial", "config.retention=30d"), before)
        with_catalog = checksums("shared-trial", "catalog.inline=a")
        self.assertEqual(checksums("shared-trial", "catalog.inline=b"), with_catalog)
        self.assertNotEqual(checksums("sidecar-gateway", "catalog.inline=b"), checksums("sidecar-gateway"))
        self.assertEqual(checksums("sidecar-gateway", "access.inline.peers[0].uid=1"), checksums("sidecar-gateway"))

    def test_a_team_s_own_chart_includes_the_sidecar(self):
        with tempfile.TemporaryDirectory() as directory:
            team = shutil.copytree(chart.ROOT / "examples/helm", Path(directory, "examples/helm"))
            shutil.copytree(chart.CHART, Path(directory, "helm"))
            for engine in (chart.HELM_3, chart.HELM_4):
                engine.run("dependency", "update", team)
                engine.run("lint", "--strict", team)
                documents = chart.documents(engine.render(team))
                for document in documents:
                    if document["kind"] not in OF_OTHERS:
                        kubernetes_validate.validate(document, chart.KUBERNETES, strict=True)
                (deployment,) = chart.of_kind(documents, "Deployment")
                pod = deployment["spec"]["template"]["spec"]
                (sidecar,) = pod["initContainers"]
                self.assertEqual((sidecar["name"], sidecar["restartPolicy"]), ("genquota", "Always"))
                volumes = {volume["name"] for volume in pod["volumes"]}
                for container in chart.containers(pod):
                    self.assertLessEqual({mount["name"] for mount in container["volumeMounts"]}, volumes)
                names = {document["metadata"]["name"] for document in chart.of_kind(documents, "ConfigMap")}
                self.assertLessEqual({volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume}, names)


class Monitoring(unittest.TestCase):
    def test_the_operator_knows_every_field_of_monitors_and_rules(self):
        documents = [document for name in chart.cases() for document in manifests(name) if OF_OTHERS.get(document["kind"]) == "operator"]
        self.assertEqual({document["kind"] for document in documents}, {"ServiceMonitor", "PodMonitor", "PrometheusRule"})
        script = Path(__file__).with_name("operator.mjs")
        environment = os.environ | {"GENQUOTA_HELM_TOOLS": str(chart.TOOLS)}
        judged = subprocess.run(["node", script], input=json.dumps(documents), env=environment, capture_output=True, text=True, timeout=chart.PATIENCE)
        self.assertEqual((judged.returncode, judged.stderr), (0, ""))
        self.assertEqual(judged.stdout, f"{len(documents)} valid, 1 refused\n")

    def test_prometheus_takes_the_rules_and_they_are_those_of_the_examples(self):
        (rule,) = chart.of_kind(manifests("shared-secure"), "PrometheusRule")
        (example,) = chart.documents((chart.ROOT / "examples/prometheus/alerts.yaml").read_text())
        self.assertEqual(rule["spec"], example)
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "rules.yaml")
            path.write_text(json.dumps(rule["spec"]))
            checked = subprocess.run([promtool(), "check", "rules", path], capture_output=True, text=True, timeout=chart.PATIENCE)
            self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_the_dashboard_is_that_of_the_examples(self):
        for config in chart.of_kind(manifests("shared-secure"), "ConfigMap"):
            if config["metadata"]["labels"].get("grafana_dashboard") == "1":
                shown = json.loads(config["data"]["genquota.json"])
                self.assertEqual(shown, json.loads((chart.ROOT / "examples/grafana/genquota.json").read_text()))
                return
        self.fail("no dashboard")

    def test_the_certificate_names_the_service(self):
        documents = manifests("shared-secure")
        (certificate,) = chart.of_kind(documents, "Certificate")
        self.assertEqual(certificate["apiVersion"], "cert-manager.io/v1")
        spec = certificate["spec"]
        self.assertLessEqual(set(spec), {"secretName", "issuerRef", "duration", "renewBefore", "privateKey", "usages", "dnsNames"})
        self.assertEqual(spec["issuerRef"], {"name": "internal", "kind": "ClusterIssuer", "group": "cert-manager.io"})
        (service, _) = chart.of_kind(documents, "Service")
        name = service["metadata"]["name"]
        self.assertLessEqual({name, f"{name}.{chart.NAMESPACE}.svc", "quota.example.org"}, set(spec["dnsNames"]))
        (deployment,) = chart.of_kind(documents, "Deployment")
        mounted = [volume["secret"]["secretName"] for volume in deployment["spec"]["template"]["spec"]["volumes"] if volume["name"] == "genquota-tls"]
        self.assertEqual(mounted, [spec["secretName"]])


def promtool():
    program = shutil.which("promtool") or chart.TOOLS.parent / "servers/prometheus/promtool"
    return os.environ.get("GENQUOTA_TEST_PROMTOOL", program)


if __name__ == "__main__":
    unittest.main()
