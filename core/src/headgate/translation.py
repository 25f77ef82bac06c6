"""An exchange whose client and provider speak different dialects of chat: decode, adapt, encode, and the whole way back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct
from msgspec.structs import replace

from headgate.body import decode_object, encode_with_model
from headgate.chat import (
    ChatReply,
    ChatRequest,
    ErrorEvent,
    Item,
    Opaque,
    Part,
    Reasoning,
    ReasoningEnd,
    Start,
    StreamEvent,
    Text,
    TextDelta,
    ToolCall,
    ToolCallStart,
    UsageEvent,
    replay,
)
from headgate.dialects import ChatDialect, Dialect, Gaps, StreamDecoder, StreamEncoder, WholeDialect
from headgate.dialects.lowering import Called, CallsBack, Lowered, lower
from headgate.dialects.results import results_first
from headgate.dialects.words import details_of
from headgate.errors import ErrorWords, InvalidRequest, ProviderError, ProviderFailed
from headgate.exchange import Exchange, RawHeaders, Reply
from headgate.jobs import carry_out
from headgate.media import fetch_media
from headgate.relay import OwnedStream, Secrets, passed_headers, scrub
from headgate.upstream import UpstreamResponse

if TYPE_CHECKING:
    from headgate.provider import Provider

_SSE: RawHeaders = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"))
_JSON: RawHeaders = ((b"content-type", b"application/json"),)
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
}


async def translate(ex: Exchange, provider: Provider) -> Reply:
    """Carry out the current attempt in the provider's dialect and answer in the client's.

    Raises UnsupportedField for what cannot be said there, ProviderError; an error status with a body is a Reply.
    """
    try:
        client: Any = ex.dialect
        if client is None:
            return await carry_out(ex, provider)
        if isinstance(client, WholeDialect):
            return await _translate_whole(ex, provider, cast("WholeDialect[Any, Any]", client))
        return await _translate_chat(ex, provider)
    except ProviderError as error:
        error.blame(provider.name, provider.deployment)
        raise


async def _translate_chat(ex: Exchange, provider: Provider) -> Reply:
    attempt = ex.attempt
    if attempt is None or not isinstance(attempt.dialect, ChatDialect):
        raise ProviderFailed("an attempt without a dialect cannot be translated")
    asked = ex.chat(attempt.target.override_params)
    client = cast("ChatDialect", ex.dialect)
    gaps = Gaps(provider.name, provider.policy(ex), client.hints, attempt.dialect.name)
    written = await write(replace(asked, model=attempt.model), provider, attempt.dialect, gaps)
    attempt.body = written.body
    ex.tell_dropped(gaps.dropped)
    names = attempt.dialect.names_back(written.request)
    back = CallsBack(written.called) if written.called else None
    marks = Marks(ex.id, attempt.model, int(ex.started_at), provider.account, names, back)
    response = await provider.send(ex)
    try:
        return await _Answer(ex, client, attempt.dialect, asked, marks, provider.secrets_of(ex)).read(response)
    except BaseException:
        response.close()
        raise


class Written(Struct, frozen=True):
    """A request in a provider's dialect, what was encoded, and what the client calls the functions that were made for it."""

    body: bytes
    request: ChatRequest
    called: Mapping[str, Called]


async def write(asked: ChatRequest, provider: Provider, dialect: ChatDialect, gaps: Gaps) -> Written:
    """What a client asked, as `provider` takes it. Raises UnsupportedField, InvalidRequest when there is nothing to send."""
    fitted = await fit(asked, provider, gaps)
    request = fitted.request
    body = dialect.encode_request(request, gaps)
    if _is_empty(request, body):  # said behind what was refused, which may be where they are
        raise InvalidRequest("there is nothing to send: the request holds no messages", param="messages")
    return Written(provider.finish_body(body, request, gaps), request, fitted.called)


async def fit(asked: ChatRequest, provider: Provider, gaps: Gaps) -> Lowered:
    """What a client asked, as `provider` takes it before a dialect says it. Raises UnsupportedField, InvalidRequest."""
    lowered = lower(asked, gaps, has_custom=provider.takes_custom_tools)
    request = without_foreign_thoughts(lowered.request, provider, gaps)
    request = provider.adapt(replace(request, messages=results_first(request.messages)), gaps)
    return Lowered(await fetch_media(request, provider), lowered.called)


def _is_empty(request: ChatRequest, body: bytes) -> bool:
    """Whether there are no messages, or none are left of those that held only what this provider does not understand."""
    if not all(isinstance(part, Item) for message in request.messages for part in message.parts):
        return False
    told = decode_object(body)
    return not request.messages or any(told.get(name) == [] for name in ("messages", "contents", "input"))


def without_foreign_thoughts(request: ChatRequest, provider: Provider, gaps: Gaps) -> ChatRequest:
    """Take out what only another provider or account could read again: it is never sent on, and never faked."""
    if not any(_opaque_of(part) for message in request.messages for part in message.parts):
        return request
    messages = list(request.messages)
    for at, message in enumerate(messages):
        parts = list(message.parts)
        for number, part in enumerate(parts):
            opaque = _opaque_of(part)
            if opaque is None or provider.understands(opaque):
                continue
            gaps.skip(f"messages[{at}].{'reasoning' if isinstance(part, Reasoning) else 'signature'}")
            parts[number] = replace(cast("Text", part), opaque=None)
        kept = [part for part in parts if not (isinstance(part, Reasoning) and part.is_redacted and not part.opaque)]
        messages[at] = replace(message, parts=tuple(kept))
    return replace(request, messages=tuple(messages))


def _opaque_of(part: object) -> Opaque | None:
    return part.opaque if isinstance(part, Text | ToolCall | Reasoning) else None


class _Answer(Struct, frozen=True):
    """The way back of one call: from the provider's `dialect` to the `client`'s."""

    ex: Exchange
    client: ChatDialect
    dialect: ChatDialect
    asked: ChatRequest
    marks: Marks
    secrets: Secrets

    async def read(self, response: UpstreamResponse) -> Reply:
        """The reply for the client. A stream is returned once its first event of substance is here."""
        headers = tuple(pair for pair in passed_headers(response.headers, self.secrets) if pair[0] != b"content-type")
        if not 200 <= response.status < 300:
            words = self.dialect.decode_error(response.status, await response.read(), response.headers)
            response.close()
            return error_reply(self.client, words, headers, self.secrets)
        kind = next((value for name, value in response.headers if name == b"content-type"), b"").lower()
        if self.ex.stream and not kind.startswith(b"application/json"):
            return await self._stream(headers, response)
        decoded = self.marks.on_reply(self.dialect.decode_reply(await response.read()))
        response.close()
        if self.ex.stream:
            encoder = self.client.stream_encoder(self.asked)
            said = scrub(b"".join((*map(encoder.feed, replay(decoded)), encoder.end())), self.secrets)
            reply = Reply(200, (*headers, *_SSE), chunks=OwnedStream(_once(said), _nothing), usage=decoded.usage)
        else:
            body = scrub(self.client.encode_reply(decoded, self.asked), self.secrets)
            reply = Reply(200, (*headers, *_JSON), body, usage=decoded.usage)
        reply.model, reply.service_tier = decoded.model, decoded.service_tier or ""
        return reply

    async def _stream(self, headers: RawHeaders, response: UpstreamResponse) -> Reply:
        events = _Events(response, self.dialect, self.marks)
        first = await events.first()
        broken = next((event for event in first if isinstance(event, ErrorEvent)), None)
        if broken is not None:
            response.close()
            status = broken.status if 400 <= broken.status < 600 else 502
            words = ErrorWords(status, broken.message, "", broken.code, extra=details_of(broken.raw or {}))
            return error_reply(self.client, words, headers, self.secrets)
        reply = Reply(200, (*headers, *_SSE))
        reply.model = next((event.model for event in first if isinstance(event, Start)), "")
        encoded = _encoded(reply, events, first, self.client.stream_encoder(self.asked), self.secrets)
        reply.chunks = OwnedStream(encoded, response.close)
        return reply


def error_reply(client: Dialect, words: ErrorWords, headers: RawHeaders, secrets: Secrets) -> Reply:
    """An error in the client's dialect: its class by status, the vendor's message and code kept."""
    status = words.status if 400 <= words.status < 600 else 502
    kind = _TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
    message = words.message or f"the provider answered with status {status}"
    told = replace(words, status=status, message=message, type=kind, code=words.code or words.type or str(status))
    if words.retry_after_s is not None and not any(name == b"retry-after" for name, _ in headers):
        headers = (*headers, (b"retry-after", b"%d" % max(1, round(words.retry_after_s))))
    return Reply(status, (*headers, *_JSON), scrub(client.encode_error(told), secrets))


async def _encoded(
    reply: Reply, events: _Events, first: list[StreamEvent], encoder: StreamEncoder, secrets: Secrets
) -> AsyncGenerator[bytes, None]:
    try:
        batch = first
        while True:
            said = b"".join(map(encoder.feed, batch))
            for event in batch:
                if isinstance(event, UsageEvent):
                    reply.usage = event.usage
                    reply.service_tier = str(event.extra.get("service_tier") or "")
                elif isinstance(event, ErrorEvent):
                    reply.has_error_event = True
            if events.has_ended and not reply.has_error_event:
                said += encoder.end()
            if said:
                yield scrub(said, secrets)
            if events.has_ended or reply.has_error_event:
                return
            batch = await events.more()
    finally:
        events.close()


class _Events:
    """The canonical events of a running response, in the batches they come in."""

    def __init__(self, response: UpstreamResponse, dialect: ChatDialect, marks: Marks) -> None:
        self._response = response
        self._chunks: AsyncIterator[bytes] = response.chunks()
        self._framer = dialect.framer()
        self._decoder: StreamDecoder = dialect.stream_decoder()
        self._marks = marks
        self.has_ended = False

    async def first(self) -> list[StreamEvent]:
        """Everything up to the first event that commits to something."""
        events: list[StreamEvent] = []
        while not self.has_ended and all(isinstance(event, Start) for event in events):
            events += await self.more()
        return events

    async def more(self) -> list[StreamEvent]:
        """The events of the next piece that says anything, or those of the end. Raises ProviderError for a cut stream."""
        broken: ProviderError | None = None
        try:
            async for data in self._chunks:
                events = [event for frame in self._framer.feed(data) for event in self._decoder.feed(frame)]
                if events:
                    return self._marks.on_events(events)
        except ProviderError as error:
            broken = error
        self.has_ended = True
        try:
            rest = () if broken else self._framer.end()
        except ProviderError as error:
            rest, broken = (), error
        events = [event for frame in rest for event in self._decoder.feed(frame)]
        try:
            events += self._decoder.end(is_broken=broken is not None)
        except ProviderError as error:
            raise broken or error from None
        return self._marks.on_events(events)

    def close(self) -> None:
        """Give the response up."""
        self._response.close()


class Marks(Struct, frozen=True):
    """What every answer gets on its way to the client, whatever the dialects.

    Opaque items are tied to the `account` they came from; tools that were renamed for the provider have their own `names`
    again, and `back` their own kind; an answer that says no id, model or time has the exchange's.
    """

    id: str
    model: str
    created: int
    account: str
    names: Mapping[str, str]
    back: CallsBack | None = None

    def on_events(self, events: list[StreamEvent]) -> list[StreamEvent]:
        """The events with these marks, in the client's words for its tools."""
        marked = list(map(self.on_event, events))
        return marked if self.back is None else self.back.on_events(marked)

    def on_event(self, event: StreamEvent) -> StreamEvent:
        """The event with these marks."""
        match event:
            case Start():
                return event if event.id and event.model and event.created else self._named(event)
            case TextDelta() | ReasoningEnd() if event.opaque is not None:
                return replace(event, opaque=replace(event.opaque, account=self.account))
            case ToolCallStart() if event.opaque is not None or event.name in self.names:
                return replace(event, name=self.names.get(event.name, event.name), opaque=self._tied(event.opaque))
            case _:
                return event

    def on_reply(self, reply: ChatReply) -> ChatReply:
        """The whole reply with these marks."""
        choices = tuple(
            replace(choice, message=replace(choice.message, parts=tuple(map(self._on_part, choice.message.parts))))
            for choice in reply.choices
        )
        reply = replace(
            reply,
            id=reply.id or self.id,
            model=reply.model or self.model,
            created=reply.created or self.created,
            choices=choices,
        )
        return reply if self.back is None else self.back.on_reply(reply)

    def _named(self, start: Start) -> Start:
        return replace(
            start, id=start.id or self.id, model=start.model or self.model, created=start.created or self.created
        )

    def _on_part(self, part: Part) -> Part:
        match part:
            case Text() | Reasoning() if part.opaque is not None:
                return replace(part, opaque=self._tied(part.opaque))
            case ToolCall():
                return replace(part, name=self.names.get(part.name, part.name), opaque=self._tied(part.opaque))
            case _:
                return part

    def _tied(self, opaque: Opaque | None) -> Opaque | None:
        return None if opaque is None else replace(opaque, account=self.account)


def _nothing() -> None:
    """There is nothing to close."""


async def _once(data: bytes) -> AsyncGenerator[bytes, None]:
    """A stream that is here already."""
    yield data


async def _translate_whole(ex: Exchange, provider: Provider, client: WholeDialect[Any, Any]) -> Reply:
    """An operation that never streams: embeddings, reranking."""
    attempt = ex.attempt
    spoken: Any = attempt.dialect if attempt is not None else None
    if attempt is None or not isinstance(spoken, WholeDialect):
        raise ProviderFailed("an attempt without a dialect cannot be translated")
    dialect = cast("WholeDialect[Any, Any]", spoken)
    body = encode_with_model(ex.source, attempt.model, attempt.target.override_params)
    gaps = Gaps(provider.name, provider.policy(ex), dialect=dialect.name)
    asked: Any = client.decode_request(body)
    attempt.body = dialect.encode_request(asked, gaps)
    ex.tell_dropped(gaps.dropped)
    response = await provider.send(ex)
    try:
        secrets = provider.secrets_of(ex)
        headers = tuple(pair for pair in passed_headers(response.headers, secrets) if pair[0] != b"content-type")
        body = await response.read()
    finally:
        response.close()
    if not 200 <= response.status < 300:
        return error_reply(client, dialect.decode_error(response.status, body, response.headers), headers, secrets)
    decoded: Any = dialect.decode_reply(body, asked)
    said = scrub(client.encode_reply(decoded, asked), secrets)
    return Reply(response.status, (*headers, *_JSON), said, usage=decoded.usage)
