"""The gateway of `gateway.py` in an event loop: the same requests, awaited.

A task that is cancelled releases what it holds before it ends. Run it like `gateway.py`, with that file beside it.
"""

import asyncio
import time

import grpc
from gateway import DECISION_PATIENCE, SETTLE_PATIENCE, Attempts, ProviderError, Quota, log, named, pause_before_repeat, require_grant, reservation_of, types, video_work


class AsyncQuota(Quota):
    """A connection to a sidecar for one event loop."""

    def __init__(self, server, **options):
        super().__init__(server, **options, library=grpc.aio)

    async def reserve(self, subject, action, targets, work, **more):
        request = reservation_of(subject, action, targets, work, **more)
        require_grant(await self.call("Reserve", request, DECISION_PATIENCE))
        return AsyncGeneration(self, request)

    async def call(self, method, request, patience):
        deadline, tries = time.monotonic() + patience, 0
        while True:
            try:
                return await self._once(method, request)
            except grpc.RpcError as error:
                pause = pause_before_repeat(error, tries)
                if pause is None or time.monotonic() + pause > deadline:
                    raise
            await asyncio.sleep(pause)
            tries += 1


class AsyncGeneration(Attempts):
    async def attempts(self):
        yield self._targets[0]
        for target in self._targets[1:]:
            if self._is_open(target, await self._quota.call("Retry", self._next(target), DECISION_PATIENCE)):
                yield target

    async def commit(self, work):
        # What was delivered is charged, even if the customer has gone by now.
        answer = await asyncio.shield(self._quota.call("Commit", self._committed(work), SETTLE_PATIENCE))
        return answer.reservation

    async def hand_over(self, ttl):
        await self._quota.call("Extend", self._handed_over(ttl), DECISION_PATIENCE)
        return self._ids

    async def __aenter__(self):
        return self

    async def __aexit__(self, kind, error, traceback):
        if self._settled:
            return
        try:
            await asyncio.shield(self._quota.call("Release", self._released(error), SETTLE_PATIENCE))
        except grpc.RpcError as refused:
            log.error("not released: %s: %s", self._ids, refused.details())


async def make_video(quota, providers, subject, seconds):
    """Makes one video with the first provider that can. `gateway.make_video` says more."""
    targets = [types.Target(provider=name.split("/")[0], model=name.split("/")[1]) for name in providers]
    async with await quota.reserve(subject, "video.generate", targets, video_work(seconds)) as generation:
        last = None
        async for target in generation.attempts():
            try:
                video = await providers[named(target)](seconds)
            except ProviderError as error:
                generation.failed()
                last = error
            else:
                return video, await generation.commit(video_work(video["seconds"]))
        raise last


async def overloaded(seconds):
    raise ProviderError("fal/wan-2.2 is overloaded")


async def obliging(seconds):
    return {"seconds": seconds, "url": "https://videos.example/1"}


async def main():
    quota = AsyncQuota.of_environment()
    async with quota.channel:
        providers = {"fal/wan-2.2": overloaded, "runway/gen4-turbo": obliging}
        videos = await asyncio.gather(*(make_video(quota, providers, f"visitor-{number}", 4) for number in range(3)))
    for _, charged in videos:
        print(f"{charged.subject}: made by {named(charged.attempts[-1].target)}: {charged.units_committed} credits, {charged.cost_committed} {charged.currency}")


if __name__ == "__main__":
    asyncio.run(main())
