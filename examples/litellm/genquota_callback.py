"""Quota for the LiteLLM proxy: every counted request is held before a model is called, and settled by what came of it.

In the proxy's configuration: `litellm_settings: {callbacks: [genquota_callback.quota]}`, with this file and the client that
`make_client.sh` writes beside it. README.md has the settings and what LiteLLM's events do and do not tell.

One request is one reservation. Each try that the router makes, as a retry or on a fallback, is one attempt in it: opened when the
router has chosen a deployment and before that is called. The first success commits; a request that ends without one releases.
"""

import asyncio
import contextlib
import dataclasses
import os
import sys
import uuid
from pathlib import Path

# LiteLLM loads this file by its path, which makes its neighbours known to nobody.
sys.path.insert(0, str(Path(__file__).resolve().parent))

import grpc
import litellm
from fastapi import HTTPException
from genquota.v1 import quota_service_pb2 as quota_pb
from genquota.v1 import types_pb2 as types
from genquota_ledger import Ledger, LedgerError
from genquota_mapping import Mapping, VideoIds, label, who
from google.protobuf.duration_pb2 import Duration
from litellm._logging import verbose_proxy_logger as log
from litellm.integrations.custom_logger import CustomLogger
from litellm.types.videos.main import VideoObject

# Where the reservation's id travels in LiteLLM's metadata of a request.
MARK = "genquota_reservation"
# How long a decision may keep a customer waiting, in seconds.
DECISION_PATIENCE = 3
# How long a settlement is tried, in seconds. What fails for longer ends at its deadline.
SETTLE_PATIENCE = 600
# How long after the end of a request its events may still come, in seconds: LiteLLM tells them in the background, one by one.
EVENT_PATIENCE = 60

# How an attempt ended, by the name of LiteLLM's exception. Everything else has failed. After a timeout nobody knows.
OUTCOMES = {
    "ContentPolicyViolationError": types.OUTCOME_BLOCKED,
    "Timeout": types.OUTCOME_UNKNOWN,
    "APITimeoutError": types.OUTCOME_UNKNOWN,
    "TimeoutError": types.OUTCOME_UNKNOWN,
    "CancelledError": types.OUTCOME_CANCELLED,
}
BLOCKED_CODES = {"content_policy_violation", "content_filter", "moderation_blocked"}
# The status of a denial: 429 where it passes by itself or with credits, 503 where the operator has to act, and 403 for what the
# customer has not bought.
STATUSES = {types.DENIAL_REASON_CAP_REACHED: 429, types.DENIAL_REASON_QUOTA_EXHAUSTED: 429, types.DENIAL_REASON_UNPRICED_TARGET: 503}


class Explanation(dict):
    """The body of a refusal. LiteLLM prints it as text on some routes and as JSON on others; its text is the message."""

    def __str__(self):
        return self["message"]


class Refusal(HTTPException):
    """A request that is not let through. LiteLLM copies `message`, `type` and `param` into its body."""

    def __init__(self, status, message, kind, param=None, retry_after=None):
        self.message, self.type, self.param = message, kind, param
        headers = {"retry-after": str(retry_after)} if retry_after is not None else {"x-should-retry": "false"}
        body = Explanation(message=message, type=kind, param=param, code=str(status))
        super().__init__(status_code=status, detail=body, headers=headers)


class TargetRefused(litellm.BadRequestError):
    """A next attempt that may not be made. A bad request is what the router neither repeats for long nor holds against a deployment."""


@dataclasses.dataclass
class Generation:
    """What one request holds. Lives in the process that serves the request, until that is over and settled."""

    subject: str
    user: str
    reservation_id: str
    kind: str
    action: str
    target: types.Target
    work: types.Work
    # False: genquota gave no answer and the settings let requests pass; what is made is recorded afterwards.
    held: bool = True
    # The number of the open attempt.
    attempt: int = 1
    # LiteLLM's kind of call inside which attempts are opened; calls within calls have another.
    call_type: object = None
    # True: the open attempt has been sent to its deployment.
    running: bool = False
    # How the open attempt ended, once that is known and it was not a success.
    failure: int | None = None
    settled: bool = False
    # Retries that passed without an answer and are told before the settlement.
    untold: list = dataclasses.field(default_factory=list)
    # Set when a success or a failure of the whole request is known.
    decided: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    keeper: asyncio.Task | None = None


class Genquota_PROXY_Callback(CustomLogger):
    """The hooks of LiteLLM. `who` may be another function from a key to (subject, user).

    `_PROXY_` in the name is LiteLLM's sign for what belongs to the proxy: other callbacks are told nothing of a request that
    says `no-log`, and it would be free.
    """

    def __init__(self, who=who):
        super().__init__()
        self._who = who
        self._generations = {}
        # asyncio keeps no strong reference to a task.
        self._tasks = set()
        self._ledger = None

    # What LiteLLM calls, in the order of a request.

    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        """Reserves, or raises a Refusal."""
        self._set_up()
        # What a client writes into its own request names no reservation.
        for metadata in _metadata(data):
            metadata.pop(MARK, None)
        counted = self._mapping.action(call_type)
        if counted is None:
            return data
        generation = await self._reserve(user_api_key_dict, data, *counted)
        self._generations[generation.reservation_id] = generation
        for metadata in _metadata(data):
            # LiteLLM's own: the other is the client's, and may be sent to the provider.
            if "user_api_key" in metadata:
                metadata[MARK] = generation.reservation_id
        if generation.held:
            generation.keeper = self._spawn(self._keep(generation))
        # The only sign of the end that all routes give: this task serves the request.
        asyncio.current_task().add_done_callback(lambda _: self._spawn(self._after_request(generation)))
        return data

    async def async_pre_call_deployment_hook(self, kwargs, call_type):
        """Before each try of the router: closes the attempt before it and opens the next, or raises TargetRefused."""
        generation = self._generation(kwargs)
        if generation is None or generation.settled:
            return
        if generation.running and call_type != generation.call_type:
            # A call inside the call, such as a message in Anthropic's form that becomes a chat.
            return
        target = self._mapping.target(kwargs["model"], kwargs.get("custom_llm_provider"))
        if generation.running:
            outcome = generation.failure if generation.failure is not None else _last_failure(kwargs, generation)
            generation.failure = outcome
            await self._next_attempt(generation, outcome, target)
        elif target != generation.target:
            # The router balances over targets: the one that was planned is not called.
            await self._next_attempt(generation, types.OUTCOME_CANCELLED, target)
        generation.running, generation.call_type, generation.failure = True, call_type, None

    async def async_log_failure_event(self, kwargs, response_obj, start_time, end_time):
        """An attempt has failed. Whether another follows is not known here."""
        generation, error = self._generation(kwargs), kwargs.get("exception")
        if generation is not None and not isinstance(error, TargetRefused):
            generation.failure = _outcome(error)

    async def async_post_call_success_hook(self, data, user_api_key_dict, response):
        """Videos: puts the reservation into the id that the customer gets, and refunds when a job is seen to have failed."""
        if not isinstance(response, VideoObject):
            return
        ids, generation, asked = _video_ids(), self._generation(data), data.get("video_id")
        if generation is not None:
            sealed = ids.seal(response.id, generation.subject, generation.reservation_id)
            if sealed is None:
                log.error("genquota: the video id `%s` has no place for a reservation: if it fails, refund `%s` by hand", response.id, generation.reservation_id)
            response.id = sealed or response.id
        elif asked and (paid := ids.open(asked)):
            # LiteLLM makes the id of its answer anew: the customer goes on with the one that was asked for.
            response.id = asked
            if response.status == "failed":
                self._spawn(self._refund(*paid, response.error))

    async def async_post_call_failure_hook(self, request_data, original_exception, user_api_key_dict, traceback_str=None):
        """The whole request has failed."""
        generation = self._generation(request_data)
        if generation is not None:
            if generation.failure is None:
                generation.failure = _outcome(original_exception)
            generation.decided.set()

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        """Commits what was made: units and model, never LiteLLM's own idea of the cost, which is a binary float."""
        generation = self._generation(kwargs)
        if generation is None or generation.settled:
            return
        told = kwargs.get("standard_logging_object") or {}
        tokens = {"input_tokens": told.get("prompt_tokens"), "output_tokens": told.get("completion_tokens")}
        work = self._mapping.delivered(generation.kind, generation.work, response_obj, tokens)
        # An answer out of LiteLLM's cache is charged like any other, and costs nothing.
        billed = types.Work() if kwargs.get("cache_hit") else None
        self._spawn(self._commit(generation, work, billed))

    # The life of a reservation.

    def _set_up(self):
        # At the first request, because LiteLLM loads callbacks before it has read the settings.
        if self._ledger is None:
            settings = dict((litellm.callback_settings or {}).get("genquota", {}))
            server = settings.pop("server", None) or os.environ.get("GENQUOTA_SERVER", "http://127.0.0.1:7070")
            self._mapping = Mapping(settings.pop("actions", {}), settings.pop("targets", {}))
            self._fail_open, self._ttl = settings.pop("fail_open", False), settings.pop("ttl", 300)
            self._ledger = Ledger(server, **settings)

    async def _reserve(self, key, data, kind, action):
        from litellm.proxy.proxy_server import llm_router

        subject, user = self._who(key)
        if not subject:
            raise Refusal(403, "this key belongs to no subject: set `genquota_subject` in its metadata, or give it a team", "no_subject")
        if not data.get("model"):
            raise Refusal(400, "the request names no `model`", "invalid_request_error")
        try:
            work = self._mapping.asked(kind, data)
        except ValueError as error:
            raise Refusal(400, str(error), "invalid_request_error") from None
        target, *fallbacks = self._mapping.chain(llm_router, data)
        # Never LiteLLM's call id: images and speech have none yet, and a client may choose it.
        generation = Generation(subject, user, str(uuid.uuid4()), kind, action, target, work)
        request = quota_pb.ReserveRequest(
            subject=subject, user=user, reservation_id=generation.reservation_id, action=action, target=target, fallbacks=fallbacks,
            work=work, ttl=Duration(seconds=self._ttl), labels=_labels(data),
        )
        try:
            answer = await self._ledger.call("Reserve", request, DECISION_PATIENCE)
        except LedgerError as error:
            generation.held = False
            self._unanswered(error)
            return generation
        if answer.WhichOneof("outcome") == "denial":
            raise _denied(answer.denial)
        return generation

    def _unanswered(self, error):
        """Raises a Refusal, unless there was no answer and the settings let requests pass then."""
        if error.code == grpc.StatusCode.INVALID_ARGUMENT:
            fields = [{"field": field, "description": description} for field, description in error.fields]
            raise Refusal(400, f"this cannot be counted: {'; '.join(text for _, text in error.fields)}", "invalid_request_error", fields)
        log.error("genquota: no decision: %s", error)
        if not (self._fail_open and error.is_no_answer):
            wait = max(1, round(error.retry_after or 0))
            raise Refusal(503, "quota cannot be checked at the moment", "quota_unavailable", retry_after=wait)

    async def _next_attempt(self, generation, outcome, target):
        if not generation.held:
            generation.target = target
            return
        request = quota_pb.RetryRequest(
            subject=generation.subject, reservation_id=generation.reservation_id, attempt=generation.attempt, outcome=outcome, next_target=target,
        )
        try:
            await self._tell_untold(generation, DECISION_PATIENCE)
            answer = await self._ledger.call("Retry", request, DECISION_PATIENCE)
        except LedgerError as error:
            log.error("genquota: no decision on attempt %d of `%s`: %s", generation.attempt + 1, generation.reservation_id, error)
            if not (self._fail_open and error.is_no_answer):
                raise TargetRefused("quota cannot be checked at the moment", target.model, target.provider) from None
            generation.untold.append(request)
        else:
            if answer.WhichOneof("outcome") == "denial":
                raise TargetRefused(answer.denial.message, target.model, target.provider)
        generation.attempt += 1
        generation.target = target

    async def _keep(self, generation):
        """Holds for as long as this process serves the request: a deadline that is short gives units back soon after a crash."""
        request = quota_pb.ExtendRequest(subject=generation.subject, reservation_id=generation.reservation_id, ttl=Duration(seconds=self._ttl))
        while True:
            await asyncio.sleep(self._ttl / 3)
            with contextlib.suppress(LedgerError):
                await self._ledger.call("Extend", request, DECISION_PATIENCE)

    async def _after_request(self, generation):
        """Settles what no success has settled, once the request is over and its events have had time to come."""
        if generation.running and generation.failure is None:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(generation.decided.wait(), EVENT_PATIENCE)
        self._generations.pop(generation.reservation_id, None)
        if generation.settled:
            return
        if generation.failure is not None:
            await self._release(generation, generation.failure)
        else:
            await self._release(generation, types.OUTCOME_UNKNOWN if generation.running else types.OUTCOME_CANCELLED)

    async def _commit(self, generation, work, billed):
        request = quota_pb.CommitRequest(subject=generation.subject, reservation_id=generation.reservation_id, work=work, billed_work=billed)
        await self._settle(generation, "Commit", request)

    async def _release(self, generation, outcome):
        request = quota_pb.ReleaseRequest(subject=generation.subject, reservation_id=generation.reservation_id, outcome=outcome)
        await self._settle(generation, "Release", request)

    async def _settle(self, generation, method, request):
        if generation.settled:
            return
        generation.settled = True
        generation.decided.set()
        try:
            await self._tell_untold(generation, SETTLE_PATIENCE)
            await self._ledger.call(method, request, SETTLE_PATIENCE)
        except LedgerError as error:
            if method == "Commit" and error.reason == "RESERVATION_NOT_FOUND":
                await self._record(generation, request)
            elif error.reason != "RESERVATION_NOT_FOUND":
                log.error("genquota: `%s` of `%s` was not settled: %s: %s", generation.reservation_id, generation.subject, method, error)
        finally:
            if generation.keeper is not None:
                generation.keeper.cancel()

    async def _tell_untold(self, generation, patience):
        while generation.untold:
            try:
                await self._ledger.call("Retry", generation.untold[0], patience)
            except LedgerError as error:
                if error.is_no_answer:
                    raise
                # The hold is over. A commit is honoured all the same, and matters more.
                log.error("genquota: attempt %d of `%s` is missing: %s", generation.untold[0].attempt, generation.reservation_id, error)
            generation.untold.pop(0)

    async def _record(self, generation, commit):
        """Books what was made without a hold, under the id that the hold would have had."""
        request = quota_pb.RecordUsageRequest(
            subject=generation.subject, user=generation.user, usage_id=generation.reservation_id, action=generation.action, target=generation.target,
            work=commit.work if commit.HasField("work") else generation.work, billed_work=commit.billed_work if commit.HasField("billed_work") else None,
        )
        try:
            await self._ledger.call("RecordUsage", request, SETTLE_PATIENCE)
        except LedgerError as error:
            log.error("genquota: usage `%s` of `%s` was not recorded: %s", generation.reservation_id, generation.subject, error)

    async def _refund(self, subject, reservation_id, error):
        """Gives the units of a video back that failed after it was accepted. One request id: who asks again changes nothing."""
        detail = label(f"the video failed: {(error or {}).get('code', 'no reason given')}")
        request = quota_pb.RefundRequest(subject=subject, reservation_id=reservation_id, request_id="video-failed", detail=detail)
        for pause in (0.2, 1, 5, 30, None):
            try:
                await self._ledger.call("Refund", request, SETTLE_PATIENCE)
                return
            except LedgerError as refused:
                # The commit may still be on its way, from another process too.
                if refused.state != "HELD" or pause is None:
                    log.error("genquota: `%s` of `%s` was not refunded: %s", reservation_id, subject, refused)
                    return
            await asyncio.sleep(pause)

    # Where things are.

    def _generation(self, data):
        marks = (metadata.get(MARK) for where in (data, data.get("litellm_params") or {}) for metadata in _metadata(where))
        return next((self._generations[mark] for mark in marks if mark in self._generations), None)

    def _spawn(self, work):
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _metadata(data):
    """The metadata of a request: LiteLLM's own, whose name differs by route, and what a client may have sent under the other name."""
    return [data[name] for name in ("metadata", "litellm_metadata") if isinstance(data.get(name), dict)]


def _labels(data):
    return {"gateway": "litellm", "model_group": label(data["model"])}


def _outcome(error):
    """How an attempt ended. LiteLLM does not know every provider's word for a block; the provider's own error lies beneath its."""
    cause = error
    while cause is not None:
        if getattr(cause, "code", None) in BLOCKED_CODES:
            return types.OUTCOME_BLOCKED
        cause = cause.__cause__ or cause.__context__
    return OUTCOMES.get(type(error).__name__, types.OUTCOME_FAILED)


def _last_failure(kwargs, generation):
    """How the attempt before ended, where no event told: of a retried chat or video LiteLLM tells the first failure alone."""
    for own in _metadata(kwargs):
        # The router keeps one short list for all requests, so an entry of ours may be gone.
        for entry in reversed(own.get("previous_models") or ()):
            if any(metadata.get(MARK) == generation.reservation_id for metadata in _metadata(entry)):
                return OUTCOMES.get(entry.get("exception_type"), types.OUTCOME_FAILED)
    return types.OUTCOME_FAILED


def _video_ids():
    from litellm.proxy.proxy_server import master_key

    return VideoIds(master_key or "")


def _denied(denial):
    """The answer to a customer who is denied: why, what would help, and when to ask again."""
    reason = types.DenialReason.Name(denial.reason).removeprefix("DENIAL_REASON_")
    wait = denial.retry_after.seconds + (denial.retry_after.nanos > 0) if denial.HasField("retry_after") else None
    remedies = [_remedy(remedy) for remedy in denial.remedies if remedy.WhichOneof("remedy")]
    param = {"reason": reason, "remedies": remedies, "retry_after_seconds": wait}
    return Refusal(STATUSES.get(denial.reason, 403), denial.message, reason.lower(), param, wait)


def _remedy(remedy):
    kind = remedy.WhichOneof("remedy")
    value = getattr(remedy, kind)
    if kind == "wait_until":
        value = value.ToJsonString()
    elif kind == "use_target":
        value = f"{value.provider}/{value.model}"
    return {kind: value}


quota = Genquota_PROXY_Callback()
