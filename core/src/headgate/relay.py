"""From a provider's answer to a reply: which headers pass on, what counts as broken, and how a stream is watched.

Bytes are relayed as they came. A stream is cut only on event boundaries, so that whatever happens to it, the client
never sees half an event.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import lru_cache
from typing import Any, cast

import msgspec
from msgspec import Struct

from headgate.chat import ErrorEvent
from headgate.dialects import ChatDialect, Dialect
from headgate.dialects.sse import Splitter, data_of, events_of, is_done, is_event, last_events
from headgate.dialects.words import openai_envelope, words_of
from headgate.errors import ProviderError, ProviderFailed
from headgate.exchange import Exchange, RawHeaders, Reply
from headgate.upstream import Upstream, UpstreamRequest, UpstreamResponse

_DROPPED = frozenset(
    {
        # hop by hop, RFC 9110 section 7.6.1, and what describes bytes that are no longer these
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"content-length",
        b"content-encoding",
        # the vendor's session with the gateway is not the caller's
        b"set-cookie",
        b"alt-svc",
        b"strict-transport-security",
        b"server",
        b"date",
    }
)
_DROPPED_PREFIXES = (b"x-headgate-", b"x-portkey-", b"x-accel-", b"x-sendfile")
"""The gateway's own names, and orders to a proxy in front of it."""
_MIN_SECRET = 8
"""Shorter keys are placeholders such as `EMPTY`: no secret, and too likely to stand in an answer."""
COMMENTS_HELD_S = 5.0
COMMENTS_HELD_BYTES = 16 * 1024
"""How long, and how much of, comments that keep a connection alive are held back while nothing else comes."""
_BEGAN = b"the provider began its stream with an error"
_TAIL = 8
_TAIL_BYTES = 4096
_LAST_BYTES = 16 * 1024
"""How much of the end of a body that is relayed unread is looked at."""
_JSON = b"application/json"
_EVENTS = b"text/event-stream"

Secrets = tuple[bytes, ...]
Sink = Callable[[bytes], bool]
Pour = Callable[[Sink], Awaitable[None]]
Decode = Callable[[RawHeaders, bytes], Reply]
"""A vendor's good answer, its headers and body, as the client is told it."""


class OwnedStream:
    """A stream that owns what it reads from: closing it closes that too, even if nobody ever began to read.

    `pour`, where there is one, is the short way between two chunks that `Pouring` describes.
    """

    def __init__(
        self,
        chunks: AsyncGenerator[bytes, None],
        close: Callable[[], Awaitable[None] | None],
        pour: Pour | None = None,
    ) -> None:
        self._chunks = chunks
        self._close = close
        self.pour = pour

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks

    def __anext__(self) -> Awaitable[bytes]:
        return self._chunks.__anext__()

    async def aclose(self) -> None:
        """End the stream and give up its source. Safe to call twice."""
        try:
            await self._chunks.aclose()
        finally:
            closing = self._close()
            if closing is not None:
                await closing


class Origin(Struct, frozen=True):
    """Where a reply comes from, and the deployment's secrets that must not come back in it."""

    provider: str
    deployment: str
    secrets: tuple[bytes, ...] = ()


async def relay(ex: Exchange, upstream: Upstream, request: UpstreamRequest, origin: Origin) -> Reply:
    """Send `request` and make a Reply of what comes back.

    A stream is returned once its first whole event is here, so every failure before that can still go elsewhere.
    Raises ProviderError; an error status with a body is a Reply.
    """
    try:
        response = await upstream.send(request)
        try:
            own = (request.credential.secret.reveal_bytes(),) if request.credential else ()
            return await _reply(ex, response, (*own, *origin.secrets))
        except BaseException:
            response.close()
            raise
    except ProviderError as error:
        error.blame(origin.provider, origin.deployment)
        raise


async def retell(ex: Exchange, upstream: Upstream, request: UpstreamRequest, origin: Origin, decode: Decode) -> Reply:
    """Send `request`, read the whole answer and make of a good one what `decode` makes of its headers and body.

    Raises ProviderError; an error status with a body is a Reply, as with `relay`.
    """
    try:
        response = await upstream.send(request)
        try:
            body = await response.read()
        finally:
            response.close()
        own = (request.credential.secret.reveal_bytes(),) if request.credential else ()
        secrets = (*own, *origin.secrets)
        headers = passed_headers(response.headers, secrets)
        if not 200 <= response.status < 300:
            return relayed_error(ex, response.status, headers, body, secrets)
        reply = decode(headers, scrub(body, secrets))
    except ProviderError as error:
        error.blame(origin.provider, origin.deployment)
        raise
    if reply.chunks is None and ex.dialect is not None:
        reply.usage = ex.dialect.reply_usage(reply.body)
    return reply


async def _reply(ex: Exchange, response: UpstreamResponse, secrets: Secrets) -> Reply:
    is_ok = 200 <= response.status < 300
    headers = passed_headers(response.headers, secrets)
    if is_ok:
        dialect = ex.dialect
        kind = next((value for name, value in headers if name == b"content-type"), b"").lower()
        form = "bytes" if dialect is None else dialect.form_of(kind, is_stream=ex.stream)
        if form == "events" and dialect is not None:
            if not kind.startswith(_EVENTS):
                raise ProviderFailed("a stream was asked for and something else came", code="upstream_bad_reply")
            ex.stream = True
            return await _stream(dialect, Reply(response.status, headers), response, secrets)
        if form != "whole":
            reply = Reply(response.status, headers, form=form)
            stating = dialect if kind.startswith((_JSON, _EVENTS)) else None
            reply.chunks = OwnedStream(_opaque(reply, stating, response, secrets), response.close)
            return reply
    body = await response.read()
    if is_ok:
        body = scrub(body, secrets)
        reply = Reply(response.status, headers, body)
        reply.usage = ex.dialect.reply_usage(body) if ex.dialect is not None else None
    else:
        reply = relayed_error(ex, response.status, headers, body, secrets)
    response.close()
    return reply


def relayed_error(
    ex: Exchange, status: int, headers: RawHeaders, body: bytes, secrets: Secrets, *, is_retold: bool = False
) -> Reply:
    """A provider's error reply for the client: its own bytes where they are an envelope, else its words in one.

    `is_retold`: the provider was asked in words of its own, so an envelope with a number for its code, as Google's is, is not
    the client's.
    """
    body = scrub(body, secrets)
    if not _is_envelope(body, is_retold=is_retold):
        return Reply(status, _without_type(headers), _wrap_error(ex.dialect, status, body))
    is_labelled = any(name == b"content-type" and _JSON in value for name, value in headers)
    return Reply(
        status, headers if is_labelled else _without_type(headers), body
    )  # an envelope is JSON, even labelled as bytes


async def _stream(dialect: Dialect, reply: Reply, response: UpstreamResponse, secrets: Secrets) -> Reply:
    chunks = response.chunks()
    splitter = Splitter()
    first = b""
    is_begun = False
    began = time.monotonic()
    async for data in chunks:
        whole = splitter.feed(data)
        first += whole
        # comments that keep a connection alive commit to nothing, but the client's own connection needs them too
        is_late = len(first) > COMMENTS_HELD_BYTES or time.monotonic() - began > COMMENTS_HELD_S
        is_begun = b"data" in whole or (is_late and bool(first))
        if is_begun:
            break
    if not is_begun:
        rest = splitter.end()
        first = first + rest if is_done(rest) or not is_event(rest) else b""
    if not first:
        raise ProviderFailed("the stream ended before its first event", code="upstream_cut")
    if not is_event(first):
        raise ProviderFailed("the stream holds no server-sent events", code="upstream_bad_reply")
    leading = next((event for event in events_of(first) if b"data" in event and data_of(event)), b"")
    if leading and dialect.is_error(leading):
        response.close()
        return _early_error(dialect, reply, leading, secrets)
    passing = _Passing(splitter, first, secrets)
    events = _events(dialect, reply, response, chunks, passing, first)
    reply.chunks = OwnedStream(events, response.close, passing.way_of(response))
    return reply


def _early_error(dialect: Dialect, reply: Reply, first: bytes, secrets: Secrets) -> Reply:
    """An error event before anything else is an error reply: nothing is committed, another target may still be tried."""
    data = data_of(first)
    words = dialect.decode_error(502, data)
    code = words.code or ""
    status = int(code) if code.isascii() and code.isdigit() and 400 <= int(code) < 600 else _status_of(dialect, first)
    body = data if _is_envelope(data) else _wrap_error(dialect, status, data if data.strip() != b"{}" else _BEGAN)
    return Reply(status, _without_type(reply.headers), scrub(body, secrets))


def _status_of(dialect: Dialect, frame: bytes) -> int:
    """The status that an error event stands for, where the dialect knows."""
    if isinstance(dialect, ChatDialect):
        with contextlib.suppress(ProviderError):
            for event in dialect.stream_decoder().feed(frame):
                if isinstance(event, ErrorEvent) and 400 <= event.status < 600:
                    return event.status
    return 502


class _Passing:
    """What passes of a stream: whole events without secrets. The last ones are kept, for they tell how it ended, and the
    first ones, for some vendors state the prompt's tokens there.
    """

    __slots__ = ("broken", "first", "secrets", "splitter", "tail")

    def __init__(self, splitter: Splitter, first: bytes, secrets: Secrets) -> None:
        self.splitter = splitter
        self.secrets = secrets
        self.broken: ProviderError | None = None
        self.tail: deque[bytes] = deque((last_events(first, _TAIL_BYTES),), _TAIL)
        self.first = first[:_TAIL_BYTES]

    def take(self, data: bytes) -> bytes:
        """The whole events that `data` completes, none as a rule or one. ProviderFailed for one without an end."""
        whole = self.splitter.feed(data)
        if whole.find(b"data") >= 0:  # not the comments that keep a connection alive
            self.tail.append(whole if len(whole) <= _TAIL_BYTES else last_events(whole, _TAIL_BYTES))
        for secret in self.secrets:  # once per piece of a stream, and none has one
            if whole.find(secret) >= 0:
                return scrub(whole, self.secrets)
        return whole

    def way_of(self, response: UpstreamResponse) -> Pour | None:
        """How events go from the engine to a sink without a task; None when the engine cannot."""
        pour: Pour | None = getattr(response, "pour", None)  # Pouring; isinstance of a protocol takes 10 µs
        if pour is None:
            return None

        def pass_events(sink: Sink) -> Awaitable[None]:
            def pass_on(data: bytes) -> bool:
                try:
                    whole = self.take(data)
                except ProviderError as error:
                    self.broken = error
                    return False
                return not whole or sink(whole)

            return pour(pass_on)

        return pass_events


async def _events(
    dialect: Dialect,
    reply: Reply,
    response: UpstreamResponse,
    chunks: AsyncIterator[bytes],
    passing: _Passing,
    first: bytes,
) -> AsyncGenerator[bytes, None]:
    """Whole events as they come; ends cleanly only when the stream did, else raises ProviderError."""
    splitter, secrets, tail = passing.splitter, passing.secrets, passing.tail
    broken: ProviderError | None = None
    is_told = False
    try:
        try:
            yield scrub(first, secrets)
            if passing.broken is not None:
                raise passing.broken
            async for data in chunks:
                whole = passing.take(data)
                if whole:
                    yield whole
                    if passing.broken is not None:  # what a sink met past this task: a stream ends with its reader
                        raise passing.broken
        except ProviderError as error:
            broken = error
        rest = splitter.end()
        if rest and is_done(rest):
            tail.append(rest)
        events = [event for slice_ in tail for event in events_of(slice_)]
        is_torn = bool(rest.strip()) and not is_done(rest) and not rest.startswith(b":")
        ending = dialect.ending(events, is_broken=is_torn or broken is not None)
        is_told = True
        reply.events = [*events_of(passing.first)[:2], *events]
        reply.usage = dialect.tail_usage(reply.events)
        reply.has_error_event = ending == "error"
        if ending == "cut" or (broken is not None and ending != "complete"):
            raise broken or ProviderFailed("the provider closed the stream before it was complete", code="upstream_cut")
        if rest and not is_torn:
            yield scrub(rest, secrets)
    finally:
        if not is_told:  # the reader left, as OpenAI's SDK does at the end mark; what was stated by then counts
            last = [event for slice_ in tail for event in events_of(slice_)]
            reply.usage = dialect.tail_usage([*events_of(passing.first)[:2], *last])
        response.close()


async def _opaque(
    reply: Reply, dialect: Dialect | None, response: UpstreamResponse, secrets: Secrets
) -> AsyncGenerator[bytes, None]:
    """A body that is relayed unread. Only an end that could be the start of a secret waits for the next piece.

    `dialect` is asked what the last of it states about usage.
    """
    held = last = b""
    try:
        async for data in response.chunks():
            data = scrub(held + data, secrets)  # noqa: PLW2901 - the piece with what was held of the last one
            if dialect is not None:
                last = (last + data[len(held) :])[-_LAST_BYTES:]
            keep = max((_started(data, secret) for secret in secrets), default=0)
            held = data[len(data) - keep :]
            if len(data) > keep:
                yield data[: len(data) - keep]
        if held:
            yield held
    finally:
        if dialect is not None:
            reply.usage = dialect.tail_usage((last,))
        response.close()


def _started(data: bytes, secret: bytes) -> int:
    """How many bytes at the end of `data` are the beginning of `secret`."""
    at = data.find(secret[:1], max(0, len(data) - len(secret) + 1)) if len(secret) >= _MIN_SECRET else -1
    while at >= 0:
        if secret.startswith(data[at:]):
            return len(data) - at
        at = data.find(secret[:1], at + 1)
    return 0


async def discard(reply: Reply) -> None:
    """Give up a reply that nobody will read."""
    if reply.socket is not None:
        reply.socket.end()
    close = getattr(reply.chunks, "aclose", None)
    if close is not None:
        await close()


def passed_headers(headers: RawHeaders, secrets: Secrets) -> RawHeaders:
    """The provider's headers the client gets: rate limits, request ids, retry-after and the like."""
    passed = tuple([header for header in headers if _passes(header[0])])
    values = b"\n".join([value for _, value in passed])
    if scrub(values, secrets) is not values:
        return tuple([(name, scrub(value, secrets)) for name, value in passed])
    return passed


@lru_cache(maxsize=1024)
def _passes(name: bytes) -> bool:
    return name not in _DROPPED and not name.startswith(_DROPPED_PREFIXES)


def _without_type(headers: RawHeaders) -> RawHeaders:
    kept = tuple((name, value) for name, value in headers if name != b"content-type")
    return (*kept, (b"content-type", _JSON))


def scrub(data: bytes, secrets: Secrets) -> bytes:
    """A provider that echoes the key it was given must not hand it to the caller."""
    for secret in secrets:
        if data.find(secret) >= 0 and len(secret) >= _MIN_SECRET:
            data = data.replace(secret, b"[redacted]")
    return data


def _is_envelope(body: bytes, *, is_retold: bool = False) -> bool:
    """Whether an error body already is `{"error": {"message": …}}`, which then passes byte for byte."""
    try:
        found = msgspec.json.decode(body, type=dict[str, Any]).get("error")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if not isinstance(found, dict):
        return False
    error = cast("dict[str, Any]", found)
    return "message" in error and not (is_retold and isinstance(error.get("code"), int))


def _wrap_error(dialect: Dialect | None, status: int, body: bytes) -> bytes:
    """An error of another shape in the envelope of the client's dialect, its own words kept."""
    words = words_of(status, body) if dialect is None else dialect.decode_error(status, body)
    told = msgspec.structs.replace(
        words,
        message=words.message or f"the provider answered with status {status}",
        type=words.type or "upstream_error",
        code=words.code or str(status),
        extra={},
    )
    return openai_envelope(told) if dialect is None else dialect.encode_error(told)
