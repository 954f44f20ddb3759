"""`examples/python/gateway.py` against a real sidecar, in good weather and in bad."""

import asyncio
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import sidecar  # first: it makes the client

import grpc
from front import Front
from genquota.v1 import quota_service_pb2 as quota_pb
from genquota.v1 import types_pb2 as types
from secured import Secured

sys.path.insert(0, str(sidecar.ROOT / "examples/python"))
import gateway
import gateway_aio

WAN, GEN4 = "fal/wan-2.2", "runway/gen4-turbo"
# What the bundled catalog gives to a subject that nobody has subscribed.
ALLOWANCE = "300"
FAILED, UNKNOWN, ACCEPTED = types.OUTCOME_FAILED, types.OUTCOME_UNKNOWN, types.OUTCOME_ACCEPTED


def timing_out(seconds):
    raise TimeoutError("no answer in 60 s")


def breaking(seconds):
    raise KeyError("the gateway itself is wrong")


def interrupted(seconds):
    raise KeyboardInterrupt


class Gateway(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = sidecar.Sidecar().__enter__()
        cls.addClassCleanup(cls.server.__exit__)
        cls.front = Front(cls.server.address).__enter__()
        cls.addClassCleanup(cls.front.__exit__)
        cls.quota = gateway.Quota(f"http://{cls.front.address}")
        cls.addClassCleanup(cls.quota.channel.close)

    def setUp(self):
        self.subject = self._testMethodName
        self.front.seen.clear()

    def make(self, seconds=4, **providers):
        return gateway.make_video(self.quota, {WAN: providers.get("wan", gateway.obliging), GEN4: providers.get("gen4", gateway.obliging)}, self.subject, seconds)

    def available(self):
        answer = self.quota.call("GetBalance", quota_pb.GetBalanceRequest(subject=self.subject), 10)
        return answer.balances[0].available

    def only_generation(self):
        (found,) = self.quota.call("ListGenerations", quota_pb.ListGenerationsRequest(subject=self.subject), 10).generations
        return found

    def attempts(self):
        return [(gateway.named(attempt.target), attempt.outcome) for attempt in self.only_generation().attempts]

    def test_a_video_is_charged_as_it_was_made(self):
        video, charged = self.make(wan=lambda seconds: gateway.obliging(seconds - 1))
        self.assertEqual((video["seconds"], charged.units_committed, charged.cost_committed), (3, "3", "0.12"))
        self.assertEqual((self.attempts(), self.available()), ([(WAN, ACCEPTED)], "297"))

    def test_failover_is_an_attempt_of_the_same_reservation(self):
        _, charged = self.make(wan=gateway.overloaded)
        self.assertEqual(self.attempts(), [(WAN, FAILED), (GEN4, ACCEPTED)])
        self.assertEqual((charged.cost_committed, charged.attempts[1].cost_shift), ("0.2", "0.04"))

    def test_a_timeout_is_no_failure_and_books_an_estimate(self):
        with self.assertRaises(gateway.ProviderError):
            self.make(wan=timing_out, gen4=timing_out)
        self.assertEqual(self.attempts(), [(WAN, UNKNOWN), (GEN4, UNKNOWN)])
        self.assertEqual((self.only_generation().cost, self.available()), ("0.36", ALLOWANCE))

    def test_what_goes_wrong_inside_releases_and_is_raised(self):
        with self.assertRaises(KeyError):
            self.make(wan=breaking)
        self.assertEqual((self.attempts(), self.available()), ([(WAN, FAILED)], ALLOWANCE))

    def test_an_interruption_releases_as_cancelled(self):
        with self.assertRaises(KeyboardInterrupt):
            self.make(wan=interrupted)
        self.assertEqual((self.attempts(), self.available()), ([(WAN, types.OUTCOME_CANCELLED)], ALLOWANCE))

    def test_a_failover_that_the_plan_forbids_is_not_made(self):
        with self.assertRaises(gateway.ProviderError):
            gateway.make_video(self.quota, {WAN: gateway.overloaded, "google/veo-3": gateway.obliging}, self.subject, 4)
        self.assertEqual(self.attempts(), [(WAN, FAILED)])

    def test_a_denial_says_what_would_help(self):
        with self.assertRaises(gateway.Denied) as caught:
            self.make(seconds=60)
        self.assertIn("seconds `60`", str(caught.exception))
        self.assertEqual(list(caught.exception.remedies()), ["change to the plan `hollywood`"])
        self.assertEqual(self.available(), ALLOWANCE)

    def test_calls_that_did_not_get_through_are_made_again(self):
        for method in ("Reserve", "Retry", "Commit"):
            self.front.refuse(method, 2)
        _, charged = self.make(wan=gateway.overloaded)
        self.assertEqual((charged.units_committed, len(self.front.seen["Commit"])), ("4", 3))

    def test_lost_answers_change_nothing_because_the_id_stays_the_same(self):
        for method in ("Reserve", "Retry", "Commit"):
            self.front.lose(method, 2)
        self.make(wan=gateway.overloaded)
        for method in ("Reserve", "Retry", "Commit"):
            self.assertEqual((len(self.front.seen[method]), len(set(self.front.seen[method]))), (3, 1), method)
        self.assertEqual((self.attempts(), self.available()), ([(WAN, FAILED), (GEN4, ACCEPTED)], "296"))

    def test_a_commit_without_an_answer_is_never_followed_by_a_release(self):
        self.front.lose("Commit", 50)
        with mock.patch.object(gateway, "SETTLE_PATIENCE", 0.5), self.assertRaises(grpc.RpcError):
            self.make()
        self.front.trouble.clear()
        self.assertEqual((len(self.front.seen["Release"]), self.available()), (0, "296"))

    def test_a_release_that_cannot_be_made_does_not_hide_what_went_wrong(self):
        self.front.refuse("Release", 50)
        with mock.patch.object(gateway, "SETTLE_PATIENCE", 0.5), self.assertLogs("gateway", "ERROR"), self.assertRaises(KeyError):
            self.make(wan=breaking)
        self.front.trouble.clear()

    def test_a_job_that_goes_on_is_held_for_whoever_settles_it(self):
        targets = [types.Target(provider="fal", model="wan-2.2")]
        with self.quota.reserve(self.subject, "video.generate", targets, gateway.video_work(4), ttl=10) as generation:
            ids = generation.hand_over(3600)
        held = self.quota.call("GetReservation", quota_pb.GetReservationRequest(**ids), 10).reservation
        self.assertEqual((held.state, held.outcome_unknown), (types.STATE_HELD, True))
        self.assertGreater(held.expire_time.seconds - held.create_time.seconds, 3000)
        done = self.quota.call("Commit", quota_pb.CommitRequest(**ids, work=gateway.video_work(4)), 10).reservation
        self.assertEqual(done.units_committed, "4")


class Doors(unittest.TestCase):
    """The ways in: TLS, mTLS, tokens, a socket."""

    def charged(self, server, **options):
        quota = gateway.Quota(server, **options)
        with quota.channel:
            return gateway.make_video(quota, {WAN: gateway.obliging}, "acme", 4)[1].units_committed

    def test_tls_with_a_certificate_of_the_client_and_a_token(self):
        with tempfile.TemporaryDirectory() as directory, Secured(directory) as server:
            address, trust = f"https://{server.address}", {"ca": server.ca, "token": server.token.read_text().strip()}
            ours = {"cert": server.cert, "key": server.key}
            self.assertEqual(self.charged(address, **trust, **ours), "4")
            with self.assertRaises(grpc.RpcError) as caught:
                self.charged(address, **ours, **trust | {"token": "wrong"})
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAUTHENTICATED)
            with mock.patch.object(gateway, "DECISION_PATIENCE", 1), self.assertRaises(grpc.RpcError) as caught:
                self.charged(address, **trust)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)

    def test_a_unix_socket(self):
        with tempfile.TemporaryDirectory() as directory:
            socket = f"unix:{Path(directory) / 'socket'}"
            with sidecar.Sidecar("--listen", socket):
                self.assertEqual(self.charged(socket), "4")


class EventLoop(unittest.TestCase):
    """The same in an event loop."""

    def play(self, story, front):
        async def told():
            quota = gateway_aio.AsyncQuota(f"http://{front.address}")
            async with quota.channel:
                await story(quota)
                request = quota_pb.ListGenerationsRequest(subject="acme")
                (generation,) = (await quota.call("ListGenerations", request, 10)).generations
                return [(attempt.target.model, attempt.outcome) for attempt in generation.attempts]

        return asyncio.run(told())

    def test_failover_and_lost_answers_are_one_generation(self):
        async def story(quota):
            providers = {WAN: gateway_aio.overloaded, GEN4: gateway_aio.obliging}
            _, charged = await gateway_aio.make_video(quota, providers, "acme", 4)
            self.assertEqual(charged.cost_committed, "0.2")

        with sidecar.Sidecar() as server, Front(server.address) as front:
            for method in ("Reserve", "Retry", "Commit"):
                front.lose(method, 2)
            self.assertEqual(self.play(story, front), [("wan-2.2", FAILED), ("gen4-turbo", ACCEPTED)])
            self.assertEqual(len(set(front.seen["Commit"])), 1)

    def test_a_task_that_is_cancelled_releases_what_it_holds(self):
        async def story(quota):
            called = asyncio.Event()

            async def endless(seconds):
                called.set()
                await asyncio.Event().wait()

            making = asyncio.create_task(gateway_aio.make_video(quota, {WAN: endless}, "acme", 4))
            await called.wait()
            making.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await making

        with sidecar.Sidecar() as server, Front(server.address) as front:
            self.assertEqual(self.play(story, front), [("wan-2.2", types.OUTCOME_CANCELLED)])


class Program(unittest.TestCase):
    def says(self, program, *lines):
        with sidecar.Sidecar() as server:
            environment = sidecar.environment(GENQUOTA_SERVER=f"http://{server.address}", PYTHONPATH=sidecar.CLIENT)
            command = [sys.executable, "-B", sidecar.ROOT / "examples/python" / program]
            run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=sidecar.PATIENCE)
            self.assertEqual((run.returncode, run.stderr), (0, ""))
            for line in lines:
                self.assertIn(line, run.stdout)

    def test_the_program_says_what_happened(self):
        self.says(
            "gateway.py",
            "made by runway/gen4-turbo: 4 credits, 0.2 USD (0.04 more than planned)",
            "failed: fal/wan-2.2 is overloaded; nothing was charged",
            "denied: the plan does not include seconds `60`",
            "  instead: change to the plan `hollywood`",
            "left: 296 credits",
        )

    def test_the_program_in_an_event_loop_says_what_happened(self):
        self.says("gateway_aio.py", *(f"visitor-{number}: made by runway/gen4-turbo: 4 credits, 0.2 USD" for number in range(3)))


if __name__ == "__main__":
    unittest.main()
