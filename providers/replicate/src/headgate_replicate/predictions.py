"""A prediction from its beginning to its end: begun, watched or streamed, and canceled when nobody waits for it any more.

Sources: https://replicate.com/docs/topics/predictions/create-a-prediction,
https://replicate.com/docs/topics/predictions/lifecycle and https://replicate.com/docs/topics/predictions/streaming
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import structlog
from msgspec import Struct
from msgspec.structs import replace

from headgate.body import decode_object
from headgate.dialects.openai.members import Json, as_object
from headgate.dialects.sse import SseFramer
from headgate.errors import InvalidRequest, ProviderError, ProviderFailed, ProviderTimeout
from headgate.upstream import Tls, Upstream, UpstreamRequest, UpstreamResponse, WholeResponse, origin_of
from headgate_replicate.replies import OVER, event_of

STREAM_ORIGIN = "https://stream.replicate.com:443"
"""Where Replicate streams from. No other origin that an answer names is reached, beside the deployment's own."""
API_ORIGIN = "https://api.replicate.com:443"
WAIT_S = 5
"""So long Replicate holds a call open for a whole answer. It is short, because until it answers nobody knows which prediction
to cancel."""
POLL_S = 0.5
"""The first pause between two looks at a prediction; each next one is half as long again, up to `POLL_MOST_S`."""
POLL_MOST_S = 2.0
LEAVING_S = 10.0
"""How long a prediction is followed that nobody waits for, so that it can be canceled."""
MISSES = 3
"""Looks that may fail one after another before the answer is given up."""
_METRICS_TRIES = 3
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Prediction(Struct, frozen=True):
    """What is known of a prediction by the reply that told of it."""

    response: WholeResponse
    body: bytes
    told: Json

    @property
    def id(self) -> str:
        """Its id, which is safe in a path; empty where there is none."""
        held: Any = self.told.get("id")
        return held if isinstance(held, str) and _ID.fullmatch(held) else ""

    @property
    def is_good(self) -> bool:
        """Whether the reply is a prediction at all, and no error."""
        return 200 <= self.response.status < 300

    @property
    def is_over(self) -> bool:
        """Whether it is in a state that it does not leave."""
        return self.told.get("status") in OVER

    def answer(self) -> UpstreamResponse:
        """The reply of a prediction that is over; one that did not succeed is an error of the model's."""
        if not self.is_good or self.told.get("status") == "succeeded":
            return self.response
        return WholeResponse(502, self.response.headers, self.body)


class Predictions:
    """The predictions of one deployment, at its `url`. What it began and nobody waits for is canceled in the background."""

    def __init__(self, url: str, upstream: Upstream, leaving: set[asyncio.Task[None]] | None = None) -> None:
        self._url = url
        self._upstream = upstream
        self._leaving: set[asyncio.Task[None]] = set() if leaving is None else leaving

    def at(self, url: str) -> Predictions:
        """Predictions at another address, the caller's."""
        return Predictions(url, self._upstream, self._leaving)

    async def answer(self, request: UpstreamRequest) -> UpstreamResponse:
        """The whole answer to `request`, which begins a prediction. Raises ProviderTimeout when it is not over in time."""
        limits = request.timeouts
        try:
            async with asyncio.timeout(min(limits.first_byte_s, limits.total_s)):
                found = await self._begin(
                    replace(request, headers=(*request.headers, (b"prefer", b"wait=%d" % WAIT_S)))
                )
                return (await self._watch(request, found) if found.is_good else found).answer()
        except TimeoutError:
            raise ProviderTimeout("the prediction was not over in time, and was canceled") from None

    async def stream(self, request: UpstreamRequest) -> UpstreamResponse:
        """The stream of the prediction that `request` begins; its whole answer where the model does not stream."""
        found = await self._begin(request)
        if not found.is_good or found.is_over:
            return found.answer()
        address: Any = (as_object(found.told.get("urls")) or {}).get("stream")
        if not address:
            return (await self._watch(request, found)).answer()
        try:
            response = await self._upstream.send(self._streaming(request, str(address)))
        except BaseException:
            self._leave(request, found)
            raise
        if not 200 <= response.status < 300:
            self._leave(request, found)
            return response
        return PredictionStream(
            response, found, lambda: self._ended(request, found), lambda: self._leave(request, found)
        )

    async def settled(self) -> None:
        """Wait until everything that was left is canceled."""
        await asyncio.gather(*self._leaving, return_exceptions=True)

    # beginning and watching

    async def _begin(self, request: UpstreamRequest) -> Prediction:
        """Begin a prediction. A caller who leaves meanwhile leaves it to be canceled as soon as its id is known."""
        task = asyncio.create_task(self._read(request))
        try:
            found = await asyncio.shield(task)
        except asyncio.CancelledError:
            self._spawn(self._abandon(request, task))
            raise
        if found.is_good and not found.id:
            raise ProviderFailed("the reply is no prediction: it has no id", code="upstream_bad_reply")
        return found

    async def _watch(self, request: UpstreamRequest, found: Prediction) -> Prediction:
        """Look at a prediction until it is over; it is canceled when the caller leaves, or when too many looks fail."""
        pause_s, misses = POLL_S, 0
        try:
            while not found.is_over:
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 1.5, POLL_MOST_S)
                seen = await self._look(request, found.id)
                misses = 0 if seen is not None and seen.is_good else misses + 1
                if misses >= MISSES:
                    self._leave(request, found)
                    return seen or found
                found = seen if seen is not None and seen.is_good else found
        except asyncio.CancelledError:
            self._leave(request, found)
            raise
        return found

    async def _look(self, request: UpstreamRequest, prediction_id: str) -> Prediction | None:
        """The prediction as it stands; None when it could not be had. Its address is made of its id, not taken from a reply."""
        try:
            return await self._read(_bare(request, "GET", f"{self._url}/predictions/{prediction_id}"))
        except ProviderError:
            return None

    async def _ended(self, request: UpstreamRequest, found: Prediction) -> bytes:
        """A streamed prediction once it is over, for its metrics; empty when it cannot be had soon."""
        for _ in range(_METRICS_TRIES):
            seen = await self._look(request, found.id)
            if seen is not None and seen.is_good and seen.is_over:
                return seen.body
            await asyncio.sleep(POLL_S / 2)
        return b""

    def _streaming(self, request: UpstreamRequest, address: str) -> UpstreamRequest:
        """The call of a stream. The key goes to Replicate's own two origins, or to the deployment's alone."""
        own = origin_of(self._url)
        try:
            origin = origin_of(address)
        except ValueError:
            origin = ""
        if origin not in {own, STREAM_ORIGIN}:
            raise ProviderFailed(
                "the prediction's stream is at an address that is not Replicate's", code="upstream_denied"
            )
        call = _bare(request, "GET", address)
        headers = tuple(pair for pair in call.headers if pair[0] != b"accept")
        accept = (b"accept", b"text/event-stream")
        if origin == own:
            return replace(call, headers=(*headers, accept))
        key, agent = call.credential, tuple(pair for pair in headers if pair[0] == b"user-agent")
        key = replace(key, origins=frozenset({STREAM_ORIGIN})) if key is not None and own == API_ORIGIN else None
        return replace(call, headers=(*agent, accept), credential=key, private_hosts=frozenset[str](), tls=Tls())

    async def _read(self, request: UpstreamRequest) -> Prediction:
        response = await self._upstream.send(request)
        try:
            body = await response.read()
        finally:
            response.close()
        whole = WholeResponse(response.status, response.headers, body)
        try:
            return Prediction(whole, body, decode_object(body))
        except InvalidRequest as error:
            if 200 <= response.status < 300:
                raise ProviderFailed(f"the reply is no prediction: {error}", code="upstream_bad_reply") from None
            return Prediction(whole, body, {})

    # leaving

    def _leave(self, request: UpstreamRequest, found: Prediction) -> None:
        self._spawn(self._cancel(request, found.id))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _abandon(self, request: UpstreamRequest, task: asyncio.Task[Prediction]) -> None:
        """Wait a little for a prediction that is being begun, to cancel it."""
        try:
            async with asyncio.timeout(LEAVING_S):
                found = await task
        except (ProviderError, TimeoutError):
            return
        if found.is_good and found.id and not found.is_over:
            await self._cancel(request, found.id)

    async def _cancel(self, request: UpstreamRequest, prediction_id: str) -> None:
        try:
            async with asyncio.timeout(LEAVING_S):
                await self._read(_bare(request, "POST", f"{self._url}/predictions/{prediction_id}/cancel"))
        except (ProviderError, TimeoutError) as error:
            log.warning("a prediction could not be canceled", prediction=prediction_id, error=str(error))


class Awaited:
    """Predictions as an engine whose replies are answers: what is sent begins one, and its reply comes once that is over."""

    def __init__(self, predictions: Predictions) -> None:
        self._predictions = predictions

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """See Upstream."""
        return await self._predictions.answer(request)

    async def close(self) -> None:
        """There is nothing to close."""


class PredictionStream:
    """A stream as Replicate sends it, with the prediction in an event before it and, once that is over, in one behind it."""

    def __init__(
        self, response: UpstreamResponse, found: Prediction, ended: Callable[[], Any], leave: Callable[[], None]
    ) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._found = found
        self._ended = ended
        self._leave = leave
        self._is_left = False

    async def read(self) -> bytes:
        """See UpstreamResponse."""
        return b"".join([piece async for piece in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        """See UpstreamResponse. Ends with the event `done`: Replicate wants the connection given up then."""
        yield prediction_event(self._found.body)
        framer = SseFramer()
        async for data in self._response.chunks():
            for frame in framer.feed(data):
                kind = event_of(frame)
                self._is_left = self._is_left or kind in {"done", "error"}
                yield frame
                if kind == "done":
                    last: bytes = await self._ended()
                    if last:
                        yield prediction_event(last)
                    return
        framer.end()

    def close(self) -> None:
        """See UpstreamResponse. A prediction that is not over is canceled."""
        self._response.close()
        if not self._is_left:
            self._is_left = True
            self._leave()


def prediction_event(prediction: bytes) -> bytes:
    """A prediction as an event; its JSON may be written over several lines."""
    return b"event: prediction\n" + b"".join(b"data: " + line + b"\n" for line in prediction.splitlines()) + b"\n"


def _bare(request: UpstreamRequest, method: str, url: str) -> UpstreamRequest:
    """A call beside `request`, with its key and its limits, but without a body."""
    kept = tuple(pair for pair in request.headers if pair[0] not in {b"content-type", b"prefer"})
    return replace(request, method=method, url=url, headers=kept, body=b"")
