"""Values that cannot work stop rendering, and say why."""

import unittest

import chart

ADDRESS = "store.url=redis://cache:6379"
OPEN = ["mode=shared", "insecure=true", ADDRESS]
SAFE = ["mode=shared", ADDRESS, "tls.existingSecret=tls", "access.existingSecret=callers", "test.tokenSecret.name=token"]
EMBEDDED = ["mode=shared", "insecure=true", "store.type=embedded", "shared.replicas=1", "persistence.enabled=true"]
GATEWAY = [ADDRESS, "gateway.enabled=true", "gateway.image.repository=gateway"]

# What is set, and a part of what is said. `fail` in a template says the same in every version of Helm.
COMBINATIONS = [
    ([], "0 addresses of the store are given"),
    ([ADDRESS, "valkey.enabled=true"], "2 addresses of the store are given"),
    ([ADDRESS, "store.urlSecret.name=cache"], "2 addresses of the store are given"),
    (["mode=shared", ADDRESS], "other pods can reach it"),
    (["mode=shared", ADDRESS, "tls.existingSecret=tls"], "other pods can reach it"),
    (["mode=shared", ADDRESS, "access.existingSecret=callers", "test.enabled=false"], "other pods can reach it"),
    ([ADDRESS, "metrics.enabled=true"], "other pods can reach it"),
    ([*SAFE, "tls.certManager.enabled=true", "tls.certManager.issuerRef.name=ca"], "`tls.existingSecret` and `tls.certManager.enabled` exclude"),
    ([*SAFE, "tls.existingSecret=", "tls.certManager.enabled=true"], "`tls.certManager.issuerRef.name` is missing"),
    ([ADDRESS, "tls.existingSecret=tls"], "`tls` protects nothing"),
    ([*OPEN, "tls.clientCaSecret.name=ca", "test.certSecret=cert"], "`tls.clientCaSecret` needs a certificate"),
    ([*SAFE, "access.inline.peers[0].name=a"], "`access.existingSecret` and `access.inline` exclude"),
    ([*OPEN, "ports.http=7070"], "`ports` must differ"),
    ([*OPEN, "store.tls.caSecret.name=ca"], "write `rediss`"),
    ([*EMBEDDED, ADDRESS], "`store.type: embedded` has no address"),
    ([*EMBEDDED, "shared.replicas=2"], "a ledger of one process"),
    ([*EMBEDDED, "shared.autoscaling.enabled=true"], "a ledger of one process"),
    ([*EMBEDDED, "persistence.enabled=false"], "would lose the ledger"),
    (["store.type=embedded"], "a ledger of its own"),
    ([ADDRESS, "catalog.inline=a", "catalog.existingConfigMap=b"], "`catalog.inline` and `catalog.existingConfigMap` exclude"),
    ([ADDRESS, "shared.autoscaling.enabled=true"], "`shared.autoscaling` is of mode `shared`"),
    ([ADDRESS, "shared.networkPolicy.enabled=true"], "`shared.networkPolicy` is of mode `shared`"),
    ([ADDRESS, "shared.service.headless=true"], "`shared.service` is of mode `shared`"),
    ([*GATEWAY, "persistence.enabled=true"], "`persistence` needs a StatefulSet"),
    ([ADDRESS, "gateway.enabled=true"], "`gateway.image.repository` is missing"),
    ([*OPEN, "gateway.enabled=true"], "`gateway` is of mode `sidecar`"),
    ([ADDRESS, "metrics.monitor.enabled=true"], "`metrics.monitor.enabled` finds a closed port"),
    ([*OPEN, "shared.autoscaling.enabled=true", "shared.autoscaling.minReplicas=11"], "`shared.autoscaling.minReplicas` is above"),
    ([*OPEN, "shared.autoscaling.enabled=true", "persistence.enabled=true"], "`shared.autoscaling` and `persistence` exclude"),
    ([*OPEN, "shared.autoscaling.enabled=true", "resources.requests.cpu=null"], "set `resources.requests.cpu`"),
    ([*SAFE, "metrics.monitor.enabled=true"], "`metrics.monitor.tokenSecret.name` is missing"),
    ([*SAFE, "test.tokenSecret.name="], "`test.tokenSecret.name` is missing"),
    ([*SAFE, "tls.clientCaSecret.name=ca"], "`test.certSecret` is missing"),
]

# What is set, and the path that the schema names.
SINGLE = [
    (["mode=both"], "mode"),
    (["replicas=2"], "replicas"),
    (["config.listen=a"], "config"),
    (["config.drain_deadline=1s"], "config"),
    (["config.redis.password=a"], "redis"),
    (["config.reservation.ttl=15"], "ttl"),
    (["config.log.format=xml"], "format"),
    (["store.url=redis://user:secret@cache:6379"], "url"),
    (["store.url=memory:"], "url"),
    (["store.type=memory"], "type"),
    (["image.digest=latest"], "digest"),
    (["image.repository="], "repository"),
    (["ports.grpc=0"], "grpc"),
    (["shared.replicas=many"], "replicas"),
    (["drainSeconds=0"], "drainSeconds"),
    (["persistence.size=big"], "size"),
    (["shared.podDisruptionBudget.maxUnavailable=0"], "maxUnavailable"),
    (["access.inline.users[0].name=a"], "inline"),
    (["gateway.runAsUser=0"], "runAsUser"),
    (["otlp.protocol=http/json"], "protocol"),
    (["otlp.endpoint=collector:4317"], "endpoint"),
    (["test.target=flux"], "target"),
    (["tls.existingSecret=Bad Name"], "existingSecret"),
]


class Refusals(unittest.TestCase):
    def refusal(self, engine, sets):
        with self.assertRaises(chart.Refused) as caught:
            engine.render(chart.CHART, sets=sets)
        return str(caught.exception)

    def test_the_bases_of_the_tables_render(self):
        for sets in ([ADDRESS], OPEN, SAFE, EMBEDDED, GATEWAY):
            with self.subTest(sets=sets):
                chart.HELM_4.render(chart.CHART, sets=sets)

    def test_combinations_that_cannot_work_say_why(self):
        for sets, said in COMBINATIONS:
            with self.subTest(sets=sets):
                refusal = self.refusal(chart.HELM_4, sets)
                self.assertIn(said, refusal)
                self.assertEqual(refusal.split("\n- ")[1:][1:], [], "one thing is wrong, and one is told")

    def test_single_values_are_refused_by_the_schema_in_both_versions(self):
        for sets, path in SINGLE:
            for engine in (chart.HELM_3, chart.HELM_4):
                with self.subTest(sets=sets, helm=engine.program):
                    refusal = self.refusal(engine, [*OPEN, *sets])
                    self.assertIn("schema", refusal)
                    self.assertIn(path, refusal)

    def test_everything_that_is_wrong_is_told_at_once(self):
        for engine in (chart.HELM_3, chart.HELM_4):
            refusal = self.refusal(engine, ["mode=shared", "tls.clientCaSecret.name=ca", "gateway.enabled=true"])
            for said in ("other pods can reach it", "0 addresses", "needs a certificate", "`gateway` is of mode"):
                self.assertIn(said, refusal)


if __name__ == "__main__":
    unittest.main()
