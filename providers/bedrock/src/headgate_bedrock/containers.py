"""Answers of a model container, taken out of what SageMaker wraps around them.

A stream comes as an AWS event stream whose parts are the container's bytes, cut anywhere; an error of the container comes as
SageMaker's own. Sources: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_ResponseStream.html,
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html#API_runtime_InvokeEndpoint_Errors
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from headgate.chat import ErrorEvent
from headgate.dialects import Dialect
from headgate.dialects.sse import Splitter, data_event
from headgate.dialects.words import openai_envelope, words_of
from headgate.errors import ErrorWords, ProviderFailed
from headgate.upstream import Upstream, UpstreamRequest, UpstreamResponse, WholeResponse
from headgate.upstream.interface import RawHeaders
from headgate_bedrock.errors import error_words
from headgate_bedrock.frames import FrameFramer, decode_frame
from headgate_bedrock.stream import error_of

Json = dict[str, Any]

_TYPE = b"content-type"
_STATED = b"x-amzn-sagemaker-content-type"
_FRAMED = b"application/vnd.amazon.eventstream"
_EVENTS = b"text/event-stream"
_STATUSES = {"InternalDependencyException": 502}
"""Where AWS says 530."""
_TIMED_OUT = "ModelInvocationTimeExceeded"
_SILENT = re.compile(r"invocation timed out")
"""What SageMaker itself says, in the place of a container that did not answer in time, with 0 for its status."""
_CONSOLE = ". See https://"
"""What follows in a message is a link into the account's logs, which is the operator's business."""


class ContainerCall(UpstreamRequest, frozen=True):
    """A call whose answer is to be the container's own. What is passed through is none: its client reads AWS's framing.

    Errors are told in `dialect`, in OpenAI's usual envelope where it is None.
    """

    dialect: Dialect | None = None


class Containers:
    """An `Upstream` that answers a ContainerCall as the container would, had it been asked itself."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """See Upstream. Errors have OpenAI's form, streams are server-sent events."""
        response = await self._upstream.send(request)
        if not isinstance(request, ContainerCall):
            return response
        if not 200 <= response.status < 300:
            return await _error_reply(response, request.dialect)
        kind = next((value for name, value in response.headers if name == _TYPE), b"")
        return PartsResponse(response, request.dialect) if kind.lower().startswith(_FRAMED) else response

    async def close(self) -> None:
        """See Upstream."""
        await self._upstream.close()


class PartsResponse:
    """The bytes in the parts of an event stream. Server-sent events go on whole, so that an error never tears one."""

    def __init__(self, response: UpstreamResponse, dialect: Dialect | None = None) -> None:
        stated = next((value for name, value in response.headers if name == _STATED), _EVENTS)
        self._response = response
        self._dialect = dialect
        self._is_events = stated.lower().startswith(_EVENTS)
        self.status = response.status
        self.headers = (*_without_type(response.headers), (_TYPE, stated))

    async def read(self) -> bytes:
        """See UpstreamResponse."""
        return b"".join([piece async for piece in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        """See UpstreamResponse. Ends with an error event where SageMaker sent an exception."""
        framer, splitter = FrameFramer(), Splitter()
        async for data in self._response.chunks():
            taken, error = _parts_of(framer.feed(data))
            whole = splitter.feed(taken) if self._is_events else taken
            if whole:
                yield whole
            if error is not None:
                yield self._told(error)
                return
        framer.end()
        rest = splitter.end()
        if rest:
            yield rest

    def close(self) -> None:
        """See UpstreamResponse."""
        self._response.close()

    def _told(self, error: ErrorEvent) -> bytes:
        """An exception as an error event of the client's; the half of an event that came before it is not said."""
        words = _stream_words(error)
        if not self._is_events:
            raise ProviderFailed(f"the answer was broken off: {words.message}", code="upstream_cut")
        if self._dialect is None:
            return data_event(openai_envelope(words))
        return self._dialect.error_event(ProviderFailed(words.message, code=words.code or ""))


def container_words(status: int, body: bytes, headers: RawHeaders) -> ErrorWords:
    """What an error reply says: the container's own status and words where it was the container that refused."""
    words = error_words(status, body, headers)
    words = replace(words, message=words.message.partition(_CONSOLE)[0])
    if words.code != "ModelError":
        known = _STATUSES.get(words.code or "", words.status)
        return replace(words, status=known if 400 <= known < 600 else 502)
    held = _object_in(body)
    told: Any = held.get("OriginalStatusCode")
    said = str(held.get("OriginalMessage") or "")
    status = 504 if not told and _SILENT.search(said or words.message) else 502
    own = words_of(told if isinstance(told, int) and 400 <= told < 600 else status, said.encode())
    if not own.message:
        return replace(words, status=own.status)
    return replace(own, type=own.type or "upstream_error", code=own.code or words.code, extra={})


def _parts_of(frames: Sequence[bytes]) -> tuple[bytes, ErrorEvent | None]:
    """The bytes in these messages, up to the first exception, and that."""
    parts: list[bytes] = []
    for frame in frames:
        message = decode_frame(frame)
        error = error_of(message)
        if error is not None:
            return b"".join(parts), error
        if message.headers.get(":event-type") == "PayloadPart":
            parts.append(message.payload)
    return b"".join(parts), None


def _stream_words(error: ErrorEvent) -> ErrorWords:
    """An exception within a stream. Its `ErrorCode` says more than its name; one that is a status counts as such."""
    code = str((error.raw or {}).get("ErrorCode") or error.code or "")
    message = error.message.partition(_CONSOLE)[0] or "the container's answer was broken off"
    return ErrorWords(502, message, "upstream_error", "504" if code == _TIMED_OUT else code)


async def _error_reply(response: UpstreamResponse, dialect: Dialect | None) -> WholeResponse:
    try:
        words = container_words(response.status, await response.read(), response.headers)
    finally:
        response.close()
    told = replace(words, message=words.message or f"SageMaker answered with status {response.status}")
    headers = (*_without_type(response.headers), (_TYPE, b"application/json"))
    body = openai_envelope(told) if dialect is None else dialect.encode_error(told)
    return WholeResponse(words.status, headers, body)


def _without_type(headers: RawHeaders) -> RawHeaders:
    return tuple(pair for pair in headers if pair[0] not in {_TYPE, _STATED, b"content-length"})


def _object_in(body: bytes) -> Json:
    try:
        held: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return cast("Json", held) if isinstance(held, dict) else {}
