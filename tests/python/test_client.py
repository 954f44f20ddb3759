"""What a gateway in Python meets: the contract's answers, typed errors, health, reflection, and a clean end."""

import unittest

import sidecar  # first: it makes the client

import grpc
from genquota.v1 import quota_service_pb2 as quota
from genquota.v1 import quota_service_pb2_grpc, subject_service_pb2_grpc
from genquota.v1 import subject_service_pb2 as subjects
from genquota.v1 import types_pb2 as types
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

SCHNELL = types.Target(provider="fal", model="flux-schnell")
PRO = types.Target(provider="fal", model="flux-pro-1.1")
GPT = types.Target(provider="openai", model="gpt-image-1")


def images(count):
    return types.Work(items=[types.Item(count=count)])


def details(error):
    """The typed details of an error, by the name of their type."""
    found = {}
    for packed in rpc_status.from_call(error).details:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            if packed.Is(kind.DESCRIPTOR):
                message = kind()
                packed.Unpack(message)
                found[kind.DESCRIPTOR.name] = message
    return found


class Client(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(sidecar.Sidecar()) if hasattr(cls, "enterClassContext") else cls._enter()
        cls.channel = grpc.insecure_channel(cls.server.address)
        cls.addClassCleanup(cls.channel.close)
        cls.quota = quota_service_pb2_grpc.QuotaServiceStub(cls.channel)
        cls.subjects = subject_service_pb2_grpc.SubjectServiceStub(cls.channel)

    @classmethod
    def _enter(cls):
        server = sidecar.Sidecar().__enter__()
        cls.addClassCleanup(server.__exit__)
        return server

    def setUp(self):
        # Each test has a customer of its own, named after it.
        self.subject = self._testMethodName
        self.subjects.CreateSubject(subjects.CreateSubjectRequest(subject=self.subject, time_zone="Europe/Berlin"), timeout=10)
        request = subjects.SubscribeRequest(subject=self.subject, request_id="signup", plan="independent")
        self.subjects.Subscribe(request, timeout=10)

    def reserve(self, id, count, target=SCHNELL, **more):
        request = quota.ReserveRequest(
            subject=self.subject, reservation_id=id, action="image.generate", target=target, work=images(count), **more
        )
        return self.quota.Reserve(request, timeout=10)

    def commit(self, id, **more):
        return self.quota.Commit(quota.CommitRequest(subject=self.subject, reservation_id=id, **more), timeout=10)

    def release(self, id, outcome=types.OUTCOME_FAILED):
        return self.quota.Release(quota.ReleaseRequest(subject=self.subject, reservation_id=id, outcome=outcome), timeout=10)

    def balance(self):
        answer = self.quota.GetBalance(quota.GetBalanceRequest(subject=self.subject), timeout=10)
        self.assertEqual([balance.meter for balance in answer.balances], ["credits"])
        return answer.balances[0]

    def fails(self, call, code):
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        return details(caught.exception)

    def test_commit_charges_what_was_delivered_and_gives_the_rest_back(self):
        held = self.reserve("r-1", 4, target=GPT)
        self.assertEqual(held.WhichOneof("outcome"), "reservation")
        # Premium images count twice.
        self.assertEqual((held.reservation.units_reserved, held.reservation.state), ("8", types.STATE_HELD))
        self.assertEqual((self.balance().available, self.balance().reserved), ("992", "8"))
        done = self.commit("r-1", work=images(3)).reservation
        self.assertEqual((done.units_committed, done.cost_committed, done.currency), ("6", "0.126", "USD"))
        self.assertEqual(done.attempts[0].tier, "premium")
        balance = self.balance()
        self.assertEqual((balance.available, balance.reserved, balance.committed), ("994", "0", "6"))

    def test_release_gives_everything_back(self):
        self.reserve("r-1", 10)
        self.assertEqual(self.balance().available, "990")
        released = self.release("r-1").reservation
        self.assertEqual((released.state, released.units_committed), (types.STATE_RELEASED, "0"))
        self.assertEqual(self.balance().available, "1000")

    def test_repeats_are_answered_alike_and_change_nothing(self):
        first, again = self.reserve("r-1", 5), self.reserve("r-1", 5)
        self.assertEqual((first.replayed, again.replayed), (False, True))
        self.assertEqual(again.reservation, first.reservation)
        first, again = self.commit("r-1"), self.commit("r-1")
        self.assertEqual((first.replayed, again.replayed), (False, True))
        self.assertEqual(again.reservation, first.reservation)
        self.assertEqual(self.balance().committed, "5")

    def test_denial_is_an_answer_with_violations_and_remedies(self):
        denial = self.reserve("r-1", 1500).denial
        self.assertEqual(denial.reason, types.DENIAL_REASON_QUOTA_EXHAUSTED)
        violation = denial.violations[0]
        self.assertEqual((violation.requested, violation.available, violation.meter), ("1500", "1000", "credits"))
        remedies = {remedy.WhichOneof("remedy"): remedy for remedy in denial.remedies}
        self.assertEqual(remedies["upgrade_to_plan"].upgrade_to_plan, "hollywood")
        self.assertEqual(remedies["buy_credits"].buy_credits, "500")
        self.assertEqual(remedies["fewer_count"].fewer_count, "1000")
        self.assertTrue(denial.message)
        self.assertEqual(self.balance().available, "1000")
        # A denied id is not remembered.
        self.assertEqual(self.reserve("r-1", 1).WhichOneof("outcome"), "reservation")

    def test_quote_prices_each_target_and_holds_nothing(self):
        request = quota.QuoteRequest(subject=self.subject, action="image.generate", work=images(2), targets=[PRO, GPT])
        answer = self.quota.Quote(request, timeout=10)
        seen = [(offer.units, offer.cost, offer.cost_shift, offer.fits) for offer in answer.offers]
        self.assertEqual(seen, [("2", "0.08", "0", True), ("4", "0.084", "0.004", True)])
        self.assertEqual(self.balance().reserved, "0")

    def test_usage_without_a_hold_is_recorded(self):
        request = quota.RecordUsageRequest(
            subject=self.subject, usage_id="u-1", action="image.generate", target=SCHNELL, work=images(7), labels={"job": "nightly"}
        )
        recorded = self.quota.RecordUsage(request, timeout=10)
        self.assertEqual((recorded.reservation.state, recorded.reservation.units_committed), (types.STATE_COMMITTED, "7"))
        self.assertTrue(self.quota.RecordUsage(request, timeout=10).replayed)
        shown = self.quota.GetReservation(quota.GetReservationRequest(subject=self.subject, reservation_id="u-1"), timeout=10)
        self.assertEqual(shown.reservation, recorded.reservation)
        self.assertEqual(dict(shown.reservation.labels), {"job": "nightly"})

    def test_bad_fields_come_all_at_once_with_their_paths(self):
        request = quota.ReserveRequest(subject="{braces}", reservation_id="r-1", action="image.generate", target=SCHNELL, work=images(0))
        found = self.fails(lambda: self.quota.Reserve(request, timeout=10), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertEqual((found["ErrorInfo"].reason, found["ErrorInfo"].domain), ("INVALID_FIELD", "genquota"))
        fields = {violation.field for violation in found["BadRequest"].field_violations}
        self.assertEqual(fields, {"subject", "work.items[0].count"})

    def test_errors_carry_their_reason(self):
        found = self.fails(lambda: self.commit("never-reserved"), grpc.StatusCode.NOT_FOUND)
        self.assertEqual(found["ErrorInfo"].reason, "RESERVATION_NOT_FOUND")
        self.reserve("r-1", 1)
        found = self.fails(lambda: self.reserve("r-1", 2), grpc.StatusCode.ALREADY_EXISTS)
        self.assertEqual(found["ErrorInfo"].reason, "ID_REUSED")
        self.commit("r-1")
        found = self.fails(lambda: self.release("r-1"), grpc.StatusCode.FAILED_PRECONDITION)
        self.assertEqual((found["ErrorInfo"].reason, found["ErrorInfo"].metadata["state"]), ("RESERVATION_SETTLED", "COMMITTED"))

    def test_health_is_told_for_the_server_and_each_service(self):
        health = health_pb2_grpc.HealthStub(self.channel)
        for service in ("", "genquota.v1.QuotaService", "genquota.v1.SubjectService"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
            self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING, service)

    def test_reflection_shows_the_contract(self):
        shown = ProtoReflectionDescriptorDatabase(self.channel)
        self.assertLessEqual({"genquota.v1.QuotaService", "genquota.v1.SubjectService", "grpc.health.v1.Health"}, set(shown.get_services()))
        file = shown.FindFileContainingSymbol("genquota.v1.QuotaService")
        methods = {method.name for service in file.service for method in service.method}
        self.assertEqual(methods, {method.name for method in quota.DESCRIPTOR.services_by_name["QuotaService"].methods})


class End(unittest.TestCase):
    def test_sigterm_ends_the_server_cleanly_while_a_client_is_connected(self):
        with sidecar.Sidecar() as server, grpc.insecure_channel(server.address) as channel:
            stub = subject_service_pb2_grpc.SubjectServiceStub(channel)
            stub.CreateSubject(subjects.CreateSubjectRequest(subject="acme"), timeout=10)
            self.assertEqual(server.terminate(), (0, ""), server.log.read_text())
            with self.assertRaises(grpc.RpcError) as caught:
                stub.GetSubject(subjects.GetSubjectRequest(subject="acme"), timeout=10)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)


if __name__ == "__main__":
    unittest.main()
