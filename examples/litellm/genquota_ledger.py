"""Calls to genquota from an event loop: one channel, repeats where they are safe, and errors with their reason.

Owns the connection and the decision whether a call is made again. Knows nothing of LiteLLM.
"""

import asyncio
import os
import random
from pathlib import Path

import grpc
from genquota.v1 import quota_service_pb2_grpc
from google.rpc import error_details_pb2, status_pb2

# The time one try of a call may take, in seconds. genquota itself answers within 10, or says that its store does not.
TRY_TIMEOUT = 5
# The longest pause between two tries, in seconds.
PAUSE_MAX = 2

_NO_ANSWER = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
}
# Answers to be waited for in vain: an operator must act, or the call has met a defect.
_HOPELESS = {"STORE_DATA_LOST", "INTERNAL"}


class LedgerError(Exception):
    """A call that was not answered as asked. `reason` is ErrorInfo.reason, or the name of the status code."""

    def __init__(self, error):
        self.code = error.code()
        self.reason, self.state, self.fields, self.retry_after = self.code.name, "", [], None
        for packed in _details(error):
            for kind in (error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo, error_details_pb2.BadRequest):
                if packed.Is(kind.DESCRIPTOR):
                    detail = kind()
                    packed.Unpack(detail)
                    self._take(detail)
        super().__init__(f"{self.reason}: {error.details()}")

    def _take(self, detail):
        if isinstance(detail, error_details_pb2.ErrorInfo):
            self.reason, self.state = detail.reason, detail.metadata.get("state", "")
        elif isinstance(detail, error_details_pb2.RetryInfo):
            self.retry_after = detail.retry_delay.seconds + detail.retry_delay.nanos / 1e9
        else:
            self.fields = [(violation.field, violation.description) for violation in detail.field_violations]

    @property
    def is_no_answer(self):
        """True: nobody knows yet. The same call may be repeated, and the server may have carried it out."""
        return self.code in _NO_ANSWER

    def pause(self, tries):
        """Seconds until the same call is worth making again, or None where it is not."""
        if not self.is_no_answer or self.reason in _HOPELESS:
            return None
        backoff = min(PAUSE_MAX, 0.05 * 2**tries) * random.uniform(0.5, 1)
        return max(self.retry_after or 0, backoff)


def _details(error):
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            return status_pb2.Status.FromString(value).details
    return ()


class Ledger:
    """A connection to a sidecar.

    `server` is `http://HOST:PORT`, `https://HOST:PORT` or `unix:PATH`. The token is read for every call, so that a secret
    that is replaced on disk is taken up.
    """

    def __init__(self, server, *, token_file=None, tls_ca=None, tls_cert=None, tls_key=None):
        self._server, self._token_file = server, token_file
        self._tls = (tls_ca, tls_key, tls_cert)
        self._stub = None

    async def call(self, method, request, patience):
        """Makes a call, again and again for `patience` seconds while there is no answer. Raises LedgerError."""
        clock = asyncio.get_running_loop().time
        deadline, tries = clock() + patience, 0
        while True:
            try:
                timeout = max(0.1, min(TRY_TIMEOUT, deadline - clock()))
                return await getattr(self._connected(), method)(request, timeout=timeout, metadata=self._credentials())
            except grpc.aio.AioRpcError as caught:
                error = LedgerError(caught)
            pause = error.pause(tries)
            if pause is None or clock() + pause >= deadline:
                raise error
            await asyncio.sleep(pause)
            tries += 1

    def _connected(self):
        # Made at the first call, because a channel belongs to the event loop that it is made in.
        if self._stub is None:
            address = self._server.removeprefix("http://").removeprefix("https://")
            # Tries begin anew within PAUSE_MAX, and not after the two minutes to which the channel would back off.
            options = [("grpc.max_reconnect_backoff_ms", PAUSE_MAX * 1000)]
            if address.startswith("unix:"):
                # grpcio would name the socket's path as the host, which is none and is refused.
                options.append(("grpc.default_authority", "localhost"))
            if self._server.startswith("https://"):
                files = [Path(path).read_bytes() if path else None for path in self._tls]
                channel = grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(*files), options=options)
            else:
                channel = grpc.aio.insecure_channel(address, options=options)
            self._stub = quota_service_pb2_grpc.QuotaServiceStub(channel)
        return self._stub

    def _credentials(self):
        token = Path(self._token_file).read_text() if self._token_file else os.environ.get("GENQUOTA_TOKEN", "")
        return (("authorization", f"Bearer {token.strip()}"),) if token.strip() else ()
