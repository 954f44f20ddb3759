"""A gateway in small: one video under quota, made by the first of several providers that can.

It shows what the quickstart leaves out: failover inside one reservation, calls that are repeated under the same id, an end
for every reservation whatever happens, denials with remedies, TLS and tokens. `Quota` and `Generation` know nothing of videos:
copy them. Start a server with `genquota serve`, then make the client from the contract and run this file:

    pip install grpcio-tools grpcio-status
    python -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. proto/genquota/v1/*.proto
    PYTHONPATH=. python examples/python/gateway.py

GENQUOTA_SERVER is `http://HOST:PORT`, `https://HOST:PORT` or `unix:PATH`; GENQUOTA_TOKEN is a bearer token. For TLS, GENQUOTA_CA
is a file with the certificates to trust, GENQUOTA_CLIENT_CERT and GENQUOTA_CLIENT_KEY are for mTLS.
"""

import logging
import os
import random
import time
import uuid
from pathlib import Path

import grpc
from genquota.v1 import quota_service_pb2 as quota_pb
from genquota.v1 import quota_service_pb2_grpc
from genquota.v1 import types_pb2 as types
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status

log = logging.getLogger("gateway")

# How long one try of a call may take, how long a decision may keep a customer waiting, and how long a settlement is tried, in seconds.
TRY_TIMEOUT = 5
DECISION_PATIENCE = 10
SETTLE_PATIENCE = 60


class Denied(Exception):
    """A "no". Nothing is held; ask again when something has changed."""

    def __init__(self, denial):
        super().__init__(denial.message)
        self.denial = denial

    def remedies(self):
        """What would help, in words, the cheapest first."""
        for remedy in self.denial.remedies:
            kind = remedy.WhichOneof("remedy")
            if kind == "wait_until":
                yield f"wait until {remedy.wait_until.ToJsonString()}"
            elif kind == "upgrade_to_plan":
                yield f"change to the plan `{remedy.upgrade_to_plan}`"
            elif kind == "buy_credits":
                yield f"buy {remedy.buy_credits} credits"
            elif kind == "use_target":
                yield f"use {named(remedy.use_target)}"
            elif kind == "fewer_count":
                yield f"ask for {remedy.fewer_count}"


class Quota:
    """A connection to a sidecar. One is enough for a process: it may be used by many threads."""

    def __init__(self, server, *, token=None, ca=None, cert=None, key=None, library=grpc):
        address = server.removeprefix("http://").removeprefix("https://")
        if server.startswith("https://"):
            files = [Path(path).read_bytes() if path else None for path in (ca, key, cert)]
            self.channel = library.secure_channel(address, grpc.ssl_channel_credentials(*files))
        else:
            # Over a socket grpcio would name its path as the host, which is none and is refused.
            options = [("grpc.default_authority", "localhost")] if address.startswith("unix:") else []
            self.channel = library.insecure_channel(address, options=options)
        self._stub = quota_service_pb2_grpc.QuotaServiceStub(self.channel)
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()

    @classmethod
    def of_environment(cls):
        variables = os.environ.get
        return cls(
            variables("GENQUOTA_SERVER", "http://127.0.0.1:7070"),
            token=variables("GENQUOTA_TOKEN"),
            ca=variables("GENQUOTA_CA"),
            cert=variables("GENQUOTA_CLIENT_CERT"),
            key=variables("GENQUOTA_CLIENT_KEY"),
        )

    def reserve(self, subject, action, targets, work, **more):
        """Holds units for one generation on the first target, enough for the dearest of the others. Raises Denied."""
        request = reservation_of(subject, action, targets, work, **more)
        require_grant(self.call("Reserve", request, DECISION_PATIENCE))
        return Generation(self, request)

    def call(self, method, request, patience):
        """Makes a call, and makes it again with the same payload while nobody knows what became of it.

        That is safe for every call of QuotaService, because the request carries its own id: what has been done is answered, and not
        done twice.
        """
        deadline, tries = time.monotonic() + patience, 0
        while True:
            try:
                return self._once(method, request)
            except grpc.RpcError as error:
                pause = pause_before_repeat(error, tries)
                if pause is None or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            tries += 1

    def _once(self, method, request):
        return getattr(self._stub, method)(request, timeout=TRY_TIMEOUT, metadata=self._metadata)


class Attempts:
    """What is known of a reservation, and the requests that follow from it. Calls nobody."""

    def __init__(self, quota, reservation):
        self._quota, self._targets = quota, [reservation.target, *reservation.fallbacks]
        self._ids = {"subject": reservation.subject, "reservation_id": reservation.reservation_id}
        self._attempt = 1
        # How the open attempt ended, where it was no success.
        self._outcome = None
        # True: a commit was sent. Even if its answer never came, nothing may be released any more.
        self._settled = False

    def failed(self, outcome=types.OUTCOME_FAILED):
        """Says how the open attempt ended."""
        self._outcome = outcome

    def _next(self, target):
        return quota_pb.RetryRequest(**self._ids, attempt=self._attempt, outcome=self._outcome, next_target=target)

    def _is_open(self, target, answer):
        """True: the answer to `_next` lets the target be called."""
        if answer.WhichOneof("outcome") == "denial":
            log.info("no failover to %s: %s", named(target), answer.denial.message)
            return False
        self._attempt, self._outcome = self._attempt + 1, None
        return True

    def _committed(self, work):
        self._settled = True
        return quota_pb.CommitRequest(**self._ids, work=work)

    def _handed_over(self, ttl):
        self._settled = True
        return quota_pb.ExtendRequest(**self._ids, ttl=Duration(seconds=ttl), outcome_unknown=True)

    def _released(self, error):
        """The release after `error`, or after nothing at all."""
        if self._outcome is None:
            self._outcome = types.OUTCOME_FAILED if isinstance(error, Exception) else types.OUTCOME_CANCELLED
        return quota_pb.ReleaseRequest(**self._ids, outcome=self._outcome, detail=str(error or "")[:64])


class Generation(Attempts):
    """What is held for one generation. As a context it ends with it: committed inside, or released at the end."""

    def attempts(self):
        """The targets to try, each as an attempt of its own; the next one only after `failed`, and only if the plan allows it."""
        yield self._targets[0]
        for target in self._targets[1:]:
            if self._is_open(target, self._quota.call("Retry", self._next(target), DECISION_PATIENCE)):
                yield target

    def commit(self, work):
        """Charges what was made. What was held beyond it goes back."""
        return self._quota.call("Commit", self._committed(work), SETTLE_PATIENCE).reservation

    def hand_over(self, ttl):
        """Keeps the hold for another `ttl` seconds and leaves its end to somebody else, such as the webhook of a job: returns its ids."""
        self._quota.call("Extend", self._handed_over(ttl), DECISION_PATIENCE)
        return self._ids

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if self._settled:
            return
        try:
            self._quota.call("Release", self._released(error), SETTLE_PATIENCE)
        except grpc.RpcError as refused:
            # It ends at its deadline. What went wrong inside is the news, and not this.
            log.error("not released: %s: %s", self._ids, refused.details())


def reservation_of(subject, action, targets, work, *, user="", ttl=900, labels=None):
    """A request for a hold, under an id that is new and stays the same however often the request is sent."""
    return quota_pb.ReserveRequest(
        subject=subject, user=user, reservation_id=str(uuid.uuid4()), action=action, target=targets[0], fallbacks=targets[1:],
        work=work, ttl=Duration(seconds=ttl), labels=labels,
    )


def require_grant(answer):
    if answer.WhichOneof("outcome") == "denial":
        raise Denied(answer.denial)


def pause_before_repeat(error, tries):
    """Seconds until the same call is worth making again, or None where it is not."""
    reason, asked = error.code().name, 0
    status = rpc_status.from_call(error)
    for packed in status.details if status else ():
        for detail in (error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()):
            if packed.Unpack(detail):
                reason = getattr(detail, "reason", reason)
                asked = detail.retry_delay.ToMilliseconds() / 1000 if hasattr(detail, "retry_delay") else asked
    worth_it = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)
    if not worth_it or reason == "STORE_DATA_LOST":
        return None
    return max(asked, min(2, 0.05 * 2**tries) * random.uniform(0.5, 1))


def named(target):
    return f"{target.provider}/{target.model}"


# From here on: a gateway for videos.


class ProviderError(Exception):
    """A provider made no video."""


def make_video(quota, providers, subject, seconds):
    """Makes one video with the first provider that can, and returns it with what it was charged. Raises Denied or ProviderError."""
    targets = [types.Target(provider=name.split("/")[0], model=name.split("/")[1]) for name in providers]
    with quota.reserve(subject, "video.generate", targets, video_work(seconds)) as generation:
        last = None
        for target in generation.attempts():
            try:
                video = providers[named(target)](seconds)
            except TimeoutError as error:
                # It may be billed all the same: an estimate of that is booked.
                generation.failed(types.OUTCOME_UNKNOWN)
                last = ProviderError(f"{named(target)}: {error}")
            except ProviderError as error:
                generation.failed()
                last = error
            else:
                return video, generation.commit(video_work(video["seconds"]))
        raise last


def video_work(seconds):
    return types.Work(items=[types.Item(measures={"seconds": str(seconds)}, attributes={"resolution": "720p"})])


def overloaded(seconds):
    raise ProviderError("fal/wan-2.2 is overloaded")


def obliging(seconds):
    return {"seconds": seconds, "url": "https://videos.example/1"}


def main():
    quota = Quota.of_environment()
    subject = f"visitor-{uuid.uuid4()}"

    _, charged = make_video(quota, {"fal/wan-2.2": overloaded, "runway/gen4-turbo": obliging}, subject, 4)
    last = charged.attempts[-1]
    print(f"made by {named(last.target)}: {charged.units_committed} credits, {charged.cost_committed} {charged.currency} ({last.cost_shift} more than planned)")

    try:
        make_video(quota, {"fal/wan-2.2": overloaded}, subject, 4)
    except ProviderError as error:
        print(f"failed: {error}; nothing was charged")

    try:
        make_video(quota, {"fal/wan-2.2": obliging}, subject, 60)
    except Denied as no:
        print(f"denied: {no}")
        for remedy in no.remedies():
            print(f"  instead: {remedy}")

    answer = quota.call("GetBalance", quota_pb.GetBalanceRequest(subject=subject), DECISION_PATIENCE)
    print(f"left: {answer.balances[0].available} {answer.balances[0].meter}")


if __name__ == "__main__":
    main()
