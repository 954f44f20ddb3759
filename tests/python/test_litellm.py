"""The LiteLLM proxy under quota: the real proxy with `examples/litellm`, a real sidecar, and providers on loopback."""

import asyncio
import base64
import concurrent.futures
import contextlib
import json
import sys
import tempfile
import time
import unittest
from pathlib import Path

import sidecar  # first: it makes the client

import grpc
from genquota.v1 import cost_service_pb2 as costs
from genquota.v1 import cost_service_pb2_grpc, quota_service_pb2_grpc
from genquota.v1 import quota_service_pb2 as quota
from genquota.v1 import types_pb2 as types
from front import Front
from litellm_proxy import EXAMPLE, Proxy
from providers import Providers
from secured import Secured

sys.path.insert(0, str(EXAMPLE))
from genquota_ledger import Ledger, LedgerError

CATALOG = ("--catalog", str(EXAMPLE / "catalog.yaml"))
# What the example's plan `starter` gives.
ALLOWANCE = 100
FAILED, ACCEPTED = types.OUTCOME_FAILED, types.OUTCOME_ACCEPTED


def until(condition, patience=sidecar.PATIENCE):
    """What the condition yields once it holds."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError("this never came to be")
        time.sleep(0.05)
    return found


class Books:
    """What genquota says of subjects."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        self.quota = quota_service_pb2_grpc.QuotaServiceStub(self.channel)
        self.costs = cost_service_pb2_grpc.CostServiceStub(self.channel)

    def generations(self, subject):
        return self.quota.ListGenerations(quota.ListGenerationsRequest(subject=subject), timeout=10).generations

    def settled(self, subject):
        """The one generation of the subject, once it is settled."""
        (found,) = until(lambda: [generation for generation in self.generations(subject) if generation.state != types.STATE_HELD])
        return found

    def reservation(self, subject):
        (generation,) = until(lambda: self.generations(subject))
        request = quota.GetReservationRequest(subject=subject, reservation_id=generation.reservation_ids[0])
        return self.quota.GetReservation(request, timeout=10).reservation

    def available(self, subject):
        (balance,) = self.quota.GetBalance(quota.GetBalanceRequest(subject=subject), timeout=10).balances
        return balance.available


class LiteLLM(unittest.TestCase):
    """One proxy and one sidecar for all tests; each test has a subject of its own, named after it."""

    @classmethod
    def setUpClass(cls):
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(sidecar.Sidecar(*CATALOG))
            cls.providers = stack.enter_context(Providers())
            cls.ledger = Books(server.address)
            stack.callback(cls.ledger.channel.close)
            cls.proxy = stack.enter_context(Proxy(f"http://{server.address}", cls.providers))
            cls.addClassCleanup(stack.pop_all().close)

    def setUp(self):
        self.providers.reset()
        self.subject = self._testMethodName

    def send(self, path, **body):
        return self.proxy.open(path, json.dumps(body).encode(), f"sk-{self.subject}")

    def answers(self, status, path, **body):
        with self.send(path, **body) as answer:
            text = answer.read()
            self.assertEqual(answer.status, status, text)
            return json.loads(text)

    def images(self, status=200, **body):
        return self.answers(status, "/v1/images/generations", **{"model": "image", "prompt": "a lighthouse", "n": 2} | body)

    def chat(self, status=200, **body):
        return self.answers(status, "/v1/chat/completions", **self.message(**body))

    def message(self, **body):
        return {"model": "chat", "messages": [{"role": "user", "content": "hello"}]} | body

    def video(self, **body):
        return self.answers(200, "/v1/videos", model="video", prompt="a storm", size="1280x720", **body)

    def look_at(self, video_id):
        with self.proxy.open(f"/v1/videos/{video_id}", None, f"sk-{self.subject}") as answer:
            self.assertEqual(answer.status, 200)
            return json.load(answer)

    def attempts(self, generation):
        return [(attempt.target.model, attempt.outcome) for attempt in generation.attempts]

    def test_images_are_held_and_charged_by_model_and_never_by_the_proxys_own_cost(self):
        self.assertEqual(len(self.images(quality="hd")["data"]), 2)
        made = self.ledger.settled(self.subject)
        self.assertEqual((made.state, made.units, made.cost, made.user), (types.STATE_COMMITTED, "2", "0.16", "ada"))
        self.assertEqual(self.attempts(made), [("dall-e-3", ACCEPTED)])
        self.assertEqual(dict(made.labels), {"gateway": "litellm", "model_group": "image"})
        self.assertEqual(self.ledger.available(self.subject), str(ALLOWANCE - 2))

    def test_a_fallback_is_the_same_reservation_with_one_attempt_for_each_try(self):
        self.providers.fail("image", 2)
        self.images()
        made = self.ledger.settled(self.subject)
        self.assertEqual(self.attempts(made), [("dall-e-3", FAILED), ("dall-e-3", FAILED), ("gpt-image-1", ACCEPTED)])
        reasons = [attempt.reason for attempt in made.attempts]
        self.assertEqual(reasons, [types.ATTEMPT_REASON_FIRST, types.ATTEMPT_REASON_RETRY, types.ATTEMPT_REASON_FAILOVER])
        # Premium images count twice, and cost 0.063 where 0.04 was planned.
        self.assertEqual((made.units, made.cost, made.attempts[2].cost_shift), ("4", "0.126", "0.046"))
        self.assertEqual((self.providers.calls["image"], self.providers.calls["image-fallback"]), (2, 1))
        filters = costs.CostFilters(subject=self.subject, failover_only=True)
        stream = self.ledger.costs.WatchCosts(costs.WatchCostsRequest(cursor="0", filters=filters), timeout=10)
        event = next(answer.event for answer in stream if answer.WhichOneof("update") == "event")
        stream.cancel()
        self.assertEqual((event.attempt.target.model, event.planned_target.model, event.attempt.cost_shift), ("gpt-image-1", "dall-e-3", "0.046"))

    def test_the_hold_is_sized_for_the_dearest_fallback(self):
        self.providers.hang("image")
        with self.in_the_background(self.images):
            self.assertTrue(self.providers.asked.wait(sidecar.PATIENCE))
            self.assertEqual(self.ledger.available(self.subject), str(ALLOWANCE - 4))
            self.providers.go_on.set()
        self.assertEqual(self.ledger.settled(self.subject).units, "2")

    def test_a_group_balanced_over_targets_closes_the_planned_attempt_uncalled(self):
        self.images(model="mixed")
        made = self.ledger.settled(self.subject)
        self.assertEqual(self.attempts(made), [("dall-e-3", types.OUTCOME_CANCELLED), ("gpt-image-1", ACCEPTED)])
        self.assertEqual((made.units, made.cost, self.providers.calls["mixed"]), ("4", "0.126", 1))

    def test_over_quota_is_429_with_the_reason_and_remedies_and_no_call_of_the_model(self):
        error = self.images(429, n=200)["error"]
        self.assertEqual((error["type"], error["param"]["reason"], error["code"]), ("quota_exhausted", "QUOTA_EXHAUSTED", "429"))
        self.assertIn({"upgrade_to_plan": "studio"}, error["param"]["remedies"])
        self.assertIn({"fewer_count": "50"}, error["param"]["remedies"])
        self.assertIn("400 credits asked, 100 available", error["message"])
        self.assertEqual((self.providers.calls["image"], self.ledger.available(self.subject)), (0, str(ALLOWANCE)))
        self.assertEqual(list(self.ledger.generations(self.subject)), [])

    def test_a_denial_that_passes_by_itself_says_when(self):
        for _ in range(3):
            self.chat()
        with self.send("/v1/chat/completions", **self.message()) as answer:
            error = json.load(answer)["error"]
            self.assertEqual((answer.status, error["param"]["reason"]), (429, "CAP_REACHED"))
            wait = int(answer.headers["retry-after"])
        self.assertTrue(0 < wait <= 86400, wait)
        self.assertEqual(error["param"]["retry_after_seconds"], wait)
        self.assertIn("wait_until", {name for remedy in error["param"]["remedies"] for name in remedy})

    def test_what_the_plan_does_not_include_is_403(self):
        answer = self.answers(403, "/v1/videos", model="video", prompt="a storm", size="1792x1024")
        self.assertEqual(answer["error"]["param"], {"reason": "FEATURE_NOT_IN_PLAN", "remedies": [{"upgrade_to_plan": "studio"}], "retry_after_seconds": None})

    def test_what_cannot_be_counted_is_400_and_names_the_field(self):
        error = self.images(400, quality="sublime")["error"]
        self.assertEqual(error["param"][0]["field"], "work.items[0].attributes.quality")
        self.assertIn("`sublime`", error["message"])

    def test_a_request_cannot_name_a_reservation_itself(self):
        self.images(metadata={"genquota_reservation": "of-somebody-else"})
        self.assertEqual(self.ledger.settled(self.subject).units, "2")

    def test_a_request_cannot_hide_in_other_metadata(self):
        self.chat(litellm_metadata={"genquota_reservation": "of-somebody-else"})
        self.assertEqual(self.ledger.settled(self.subject).units, "1")

    def test_a_request_that_asks_not_to_be_logged_is_charged(self):
        self.images(**{"no-log": True})
        self.assertEqual(self.ledger.settled(self.subject).units, "2")

    def test_a_request_that_fails_for_good_is_released_with_every_attempt(self):
        self.providers.fail("image", 2)
        self.providers.fail("image-fallback", 2)
        self.images(500)
        ended = self.ledger.settled(self.subject)
        self.assertEqual(ended.state, types.STATE_RELEASED)
        self.assertEqual(self.attempts(ended), [("dall-e-3", FAILED)] * 2 + [("gpt-image-1", FAILED)])
        self.assertEqual((ended.units, ended.cost, self.ledger.available(self.subject)), ("0", "0", str(ALLOWANCE)))
        # The router would have tried four times. The plan allows three attempts, and the fourth never reached a provider.
        self.assertEqual((self.providers.calls["image"], self.providers.calls["image-fallback"]), (2, 1))

    def test_retries_of_a_chat_are_attempts_though_only_the_first_failure_is_told(self):
        self.providers.fail("chat", 2)
        self.chat(500)
        ended = self.ledger.settled(self.subject)
        self.assertEqual((ended.state, self.attempts(ended)), (types.STATE_RELEASED, [("gpt-5-mini", FAILED)] * 2))

    def test_a_blocked_request_is_told_from_a_failed_one(self):
        self.providers.fail("image", 2, status=400, code="moderation_blocked")
        self.images()
        made = self.ledger.settled(self.subject)
        self.assertEqual(self.attempts(made), [("dall-e-3", types.OUTCOME_BLOCKED)] * 2 + [("gpt-image-1", ACCEPTED)])

    def test_after_a_timeout_nobody_knows_and_the_cost_is_an_estimate(self):
        self.providers.hang("voice")
        with self.send("/v1/audio/speech", model="voice", input="x" * 1000, voice="alloy", timeout=0.5) as answer:
            self.assertGreaterEqual(answer.status, 400)
        ended = self.ledger.settled(self.subject)
        self.assertEqual((ended.state, self.attempts(ended)), (types.STATE_RELEASED, [("tts-1", types.OUTCOME_UNKNOWN)]))
        self.assertEqual((ended.cost, self.ledger.available(self.subject)), ("0.015", str(ALLOWANCE)))

    def test_a_chat_is_priced_by_the_tokens_that_were_used(self):
        self.chat()
        made = self.ledger.settled(self.subject)
        # 1000 and 2000 tokens at 0.25 and 2 for a million.
        self.assertEqual((made.units, made.cost), ("1", "0.00425"))

    def test_a_response_is_a_chat_too_and_the_provider_sees_nothing_of_the_reservation(self):
        self.answers(200, "/v1/responses", model="chat", input="hello", metadata={"order": "7"})
        made = self.ledger.settled(self.subject)
        self.assertEqual((made.units, made.cost, self.attempts(made)), ("1", "0.00425", [("gpt-5-mini", ACCEPTED)]))
        self.assertEqual(self.providers.last["metadata"], {"order": "7"})

    def test_messages_in_anthropics_form_are_one_attempt_though_they_become_another_call(self):
        self.answers(200, "/v1/messages", model="chat", max_tokens=100, messages=[{"role": "user", "content": "hello"}])
        made = self.ledger.settled(self.subject)
        self.assertEqual((made.units, made.cost, self.attempts(made)), ("1", "0.00425", [("gpt-5-mini", ACCEPTED)]))

    def test_an_answer_out_of_the_cache_is_charged_and_costs_nothing(self):
        for _ in range(2):
            self.chat(cache={"use-cache": True, "namespace": self.subject})
        newest, oldest = until(lambda: self.committed(2))
        self.assertEqual((oldest.units, oldest.cost), ("1", "0.00425"))
        self.assertEqual((newest.units, newest.cost, self.providers.calls["chat"]), ("1", "0", 1))

    def committed(self, count):
        found = [generation for generation in self.ledger.generations(self.subject) if generation.state == types.STATE_COMMITTED]
        return found if len(found) == count else None

    def test_a_streamed_chat_is_settled_at_its_end(self):
        with self.send("/v1/chat/completions", **self.message(stream=True, stream_options={"include_usage": True})) as answer:
            self.assertTrue(answer.read().endswith(b"data: [DONE]\n\n"))
        made = self.ledger.settled(self.subject)
        self.assertEqual((made.state, made.units, made.cost), (types.STATE_COMMITTED, "1", "0.00425"))

    def test_a_customer_who_hangs_up_on_a_stream_is_charged_for_it(self):
        self.providers.hang("chat")
        with self.send("/v1/chat/completions", **self.message(stream=True, stream_options={"include_usage": True})) as answer:
            self.assertIn(b"a ", answer.readline())
        # The proxy reads what the provider bills to its end.
        self.providers.go_on.set()
        made = self.ledger.settled(self.subject)
        self.assertEqual((made.state, made.units, made.cost), (types.STATE_COMMITTED, "1", "0.00425"))

    def test_speech_is_counted_by_characters(self):
        with self.send("/v1/audio/speech", model="voice", input="x" * 1500, voice="alloy") as answer:
            self.assertEqual((answer.status, answer.read()), (200, b"sound"))
        made = self.ledger.settled(self.subject)
        self.assertEqual((made.units, made.cost), ("2", "0.0225"))

    def test_speech_that_fails_is_released_though_no_route_tells_its_end(self):
        self.providers.fail("voice", 1)
        with self.send("/v1/audio/speech", model="voice", input="hello", voice="alloy") as answer:
            self.assertEqual(answer.status, 500)
        ended = self.ledger.settled(self.subject)
        self.assertEqual((ended.state, self.attempts(ended)), (types.STATE_RELEASED, [("tts-1", FAILED)]))

    def test_a_video_is_charged_when_it_is_queued_and_stays_charged_when_it_is_done(self):
        video = self.video(seconds="8")
        self.assertEqual((video["status"], self.ledger.settled(self.subject).units), ("queued", "8"))
        (job,) = [name for name in self.providers.jobs if name in self.inside(video["id"])]
        self.providers.jobs[job]["status"] = "completed"
        seen = self.look_at(video["id"])
        self.assertEqual((seen["status"], seen["id"]), ("completed", video["id"]))
        made = self.ledger.reservation(self.subject)
        self.assertEqual((made.units_committed, made.units_refunded, made.cost_committed), ("8", "0", "0.8"))

    def test_a_video_that_fails_later_gives_its_units_back_once(self):
        video = self.video(seconds="8")
        self.ledger.settled(self.subject)
        (job,) = [name for name in self.providers.jobs if name in self.inside(video["id"])]
        self.providers.jobs[job]["status"] = "failed"
        for _ in range(2):
            self.assertEqual(self.look_at(video["id"])["status"], "failed")
            until(lambda: self.ledger.reservation(self.subject).units_refunded == "8")
        # What the provider billed stays booked.
        self.assertEqual((self.ledger.available(self.subject), self.ledger.reservation(self.subject).cost_committed), (str(ALLOWANCE), "0.8"))

    def test_a_failed_video_cannot_be_made_to_refund_another(self):
        good, failed = self.video(seconds="4"), self.video(seconds="4")
        until(lambda: self.ledger.available(self.subject) == str(ALLOWANCE - 8))
        (job,) = [name for name in self.providers.jobs if name in self.inside(failed["id"])]
        self.providers.jobs[job]["status"] = "failed"
        # The failed job with the reservation of the good one, looked at before the failed one itself.
        (failed_job, paid_for_failed), (_, paid_for_good) = (self.inside(video["id"]).split(";genquota:") for video in (failed, good))
        forged = base64.b64encode(f"{failed_job};genquota:{paid_for_good}".encode()).decode()
        self.assertEqual(self.look_at(f"video_{forged}")["status"], "failed")
        self.look_at(failed["id"])
        until(lambda: self.refunded(paid_for_failed) == "4")
        self.assertEqual(self.refunded(paid_for_good), "0")

    def refunded(self, paid):
        request = quota.GetReservationRequest(subject=self.subject, reservation_id=paid.split("|")[1])
        return self.ledger.quota.GetReservation(request, timeout=10).reservation.units_refunded

    def inside(self, video_id):
        return base64.b64decode(video_id.removeprefix("video_")).decode()

    @contextlib.contextmanager
    def in_the_background(self, call):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(call)
            try:
                yield
            finally:
                self.providers.go_on.set()
            running.result()


class Connection(unittest.TestCase):
    """The callback's connection to genquota, without a proxy around it."""

    def request(self):
        work = types.Work(items=[types.Item()])
        target = types.Target(provider="openai", model="dall-e-3")
        return quota.ReserveRequest(subject="acme", reservation_id="r-1", action="image.generate", target=target, work=work)

    def reserve(self, server, **options):
        async def once():
            return await Ledger(server, **options).call("Reserve", self.request(), 3)

        return asyncio.run(once())

    def test_mtls_with_a_token_out_of_a_file_that_may_change(self):
        with tempfile.TemporaryDirectory() as directory, Secured(directory, *CATALOG) as server:
            options = {"token_file": server.token, "tls_ca": server.ca, "tls_cert": server.cert, "tls_key": server.key}
            self.assertEqual(self.reserve(f"https://{server.address}", **options).reservation.units_reserved, "1")
            server.token.write_text("another")
            with self.assertRaises(LedgerError) as caught:
                self.reserve(f"https://{server.address}", **options)
            self.assertEqual((caught.exception.reason, caught.exception.is_no_answer), ("UNAUTHENTICATED", False))

    def test_lost_answers_are_asked_for_again_under_the_same_id(self):
        with sidecar.Sidecar(*CATALOG) as server, Front(server.address) as front:
            front.lose("Reserve", 2)
            self.assertTrue(self.reserve(f"http://{front.address}").replayed)
            self.assertEqual((len(front.seen["Reserve"]), len(set(front.seen["Reserve"]))), (3, 1))

    def test_errors_carry_their_reason_and_fields(self):
        with sidecar.Sidecar(*CATALOG) as server, self.assertRaises(LedgerError) as caught:
            asyncio.run(Ledger(f"http://{server.address}").call("Reserve", quota.ReserveRequest(subject="{}"), 3))
        self.assertEqual(caught.exception.reason, "INVALID_FIELD")
        self.assertIn("subject", {field for field, _ in caught.exception.fields})


class Trouble(unittest.TestCase):
    """What happens to requests when genquota or the proxy goes away."""

    def images(self, proxy, subject):
        body = {"model": "image", "prompt": "a lighthouse", "n": 2}
        with proxy.open("/v1/images/generations", json.dumps(body).encode(), f"sk-{subject}") as answer:
            return answer.status, json.load(answer), answer.headers

    def test_without_an_answer_requests_are_refused_with_503(self):
        with tempfile.TemporaryDirectory() as nowhere, Providers() as providers, Proxy(f"unix:{nowhere}/socket", providers) as proxy:
            status, body, _ = self.images(proxy, "acme")
            self.assertEqual((status, body["error"]["type"], providers.calls["image"]), (503, "quota_unavailable", 0))

    def test_failing_open_lets_requests_pass_and_records_them_and_a_crash_gives_holds_back(self):
        with tempfile.TemporaryDirectory() as directory, Providers() as providers:
            socket = f"unix:{Path(directory) / 'socket'}"
            with Proxy(socket, providers, fail_open="true", ttl="2") as proxy:
                self.assertEqual(self.images(proxy, "acme")[0], 200)
                with sidecar.Sidecar(*CATALOG, "--listen", socket) as server:
                    ledger = Books(server.address)
                    with ledger.channel:
                        made = ledger.settled("acme")
                        self.assertEqual((made.state, made.units, made.cost), (types.STATE_COMMITTED, "2", "0.08"))
                        self.crash_in_a_request(proxy, providers, ledger)

    def test_failing_open_tells_attempts_later_that_passed_without_an_answer(self):
        with sidecar.Sidecar(*CATALOG) as server, Front(server.address) as front, Providers() as providers:
            with Proxy(f"http://{front.address}", providers, fail_open="true") as proxy:
                providers.fail("image", 1)
                front.refuse("Retry", 50)
                self.assertEqual(self.images(proxy, "acme")[0], 200)
                front.trouble.clear()
                ledger = Books(server.address)
                with ledger.channel:
                    made = ledger.settled("acme")
                self.assertEqual([attempt.outcome for attempt in made.attempts], [FAILED, ACCEPTED])
                self.assertEqual((made.units, made.cost), ("2", "0.08"))

    def crash_in_a_request(self, proxy, providers, ledger):
        providers.hang("image")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            cut_off = pool.submit(self.images, proxy, "lantern")
            self.assertTrue(providers.asked.wait(sidecar.PATIENCE))
            # The proxy prolongs what it holds, for as long as it lives.
            began = ledger.reservation("lantern").expire_time.ToNanoseconds()
            until(lambda: ledger.reservation("lantern").expire_time.ToNanoseconds() > began)
            self.assertEqual(ledger.available("lantern"), str(ALLOWANCE - 4))
            proxy.crash()
            with self.assertRaises(OSError):
                cut_off.result()
        ended = ledger.settled("lantern")
        self.assertEqual((ended.state, ledger.available("lantern")), (types.STATE_EXPIRED, str(ALLOWANCE)))


if __name__ == "__main__":
    unittest.main()
