"""Streams of Converse: messages of an event stream to canonical events, one small state machine.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html. Recorded streams show what
the page does not say: text and thinking begin without a contentBlockStart, and each payload is padded with a key `p`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import (
    Citation,
    CitationDelta,
    ErrorEvent,
    ExtraDelta,
    Finish,
    Image,
    Item,
    Opaque,
    PartDelta,
    ReasoningDelta,
    ReasoningEnd,
    Start,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
)
from headgate.dialects.openai.members import Members
from headgate.errors import InvalidRequest, ProviderFailed
from headgate_bedrock.decode import citation_of, is_bare, opaque_of
from headgate_bedrock.frames import Message, decode_frame
from headgate_bedrock.tools import OUTPUT_TOOL, called_name
from headgate_bedrock.turns import NAME
from headgate_bedrock.usage import finish_of, stop_of, usage_of

Json = dict[str, Any]

STATUSES: Mapping[str, int] = {
    "accessdeniedexception": 403,
    "expiredtokenexception": 401,
    "incompletesignatureexception": 401,
    "internalserverexception": 500,
    "invalidsignatureexception": 401,
    "modelerrorexception": 502,
    "modelnotreadyexception": 429,
    "modelstreamerrorexception": 502,
    "modeltimeoutexception": 504,
    "resourcenotfoundexception": 404,
    "serviceunavailableexception": 503,
    "throttlingexception": 429,
    "unrecognizedclientexception": 401,
    "validationexception": 400,
}
"""The status an exception stands for. A model that failed or hung behind Bedrock is 502 and 504, and keys that are not
good are 401, where Bedrock itself says 424, 408 and 403."""
_HELD = frozenset(
    {"messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"}
)


class ConverseDecoder:
    """Messages to canonical events. A part ends with its contentBlockStop, or where the next one begins."""

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}
        self._after_text = False
        self._calls = 0
        self._has_started = False
        self._has_finished = False
        self._has_failed = False
        self._usage: UsageEvent | None = None
        self._has_usage = False

    def feed(self, frame: bytes) -> Sequence[StreamEvent]:
        """The events of one message; unknown kinds give nothing. Raises ProviderFailed for what is no message of Converse."""
        message = decode_frame(frame)
        error = error_of(message)
        if error is not None:
            self._has_failed = True
            return (error,)
        kind = message.headers.get(":event-type", "")
        if kind not in _HELD or self._has_failed:
            return ()
        try:
            return list(self._events(kind, Members(decode_object(message.payload))))
        except InvalidRequest as problem:
            words = f"a message of the stream is not one of Converse: {problem}"
            raise ProviderFailed(words, code="upstream_bad_reply") from None

    def end(self, *, is_broken: bool = False) -> Sequence[StreamEvent]:
        """Nothing more; ProviderFailed when the answer did not finish, or was cut before it said what it used."""
        if not self._has_failed and (not self._has_finished or (is_broken and not self._has_usage)):
            raise ProviderFailed("the provider closed the stream before it was complete", code="upstream_cut")
        return ()

    def _events(self, kind: str, event: Members) -> Iterator[StreamEvent]:
        if not self._has_started:
            self._has_started = True
            yield Start("", "")
        match kind:
            case "contentBlockStart":
                yield from self._begin(_index(event), event)
            case "contentBlockDelta":
                yield from self._more(_index(event), event)
            case "contentBlockStop":
                block = self._blocks.pop(_index(event), None)
                yield from block.end() if block else ()
            case "messageStop":
                yield from self._stop(event)
            case "metadata":
                self._usage = _usage_event(event)
                self._has_usage = True
            case _:
                pass
        if self._has_finished and self._usage is not None:
            yield self._usage
            self._usage = None

    def _begin(self, index: int, event: Members) -> Iterator[StreamEvent]:
        yield from self._end_others(index)
        start = event.inner("start")
        raw = start.rest()
        self._after_text = self._after_text and not raw
        if "toolUse" in raw:
            use = start.inner("toolUse")
            if use.take("type") not in {None, "tool_use"}:
                self._blocks[index] = _Whole("toolUse", raw["toolUse"])
            elif called_name(use.need("name", str)) == OUTPUT_TOOL:
                self._blocks[index] = _Answer()
            else:
                yield self._call(index, Members(raw["toolUse"], use.place))
        elif raw:
            kind = next(iter(raw))
            self._blocks[index] = _Whole(kind, start.find(kind, Json) or {})

    def _call(self, index: int, use: Members) -> ToolCallStart:
        use.take("type")
        name = called_name(use.need("name", str))
        number, self._calls = self._calls, self._calls + 1
        self._blocks[index] = _Call(number)
        call_id = use.need("toolUseId", str)
        return ToolCallStart(number, call_id, name, extra=use.rest())

    def _more(self, index: int, event: Members) -> Iterator[StreamEvent]:
        delta = event.inner("delta")
        held = self._blocks.get(index)
        if held is None:
            yield from self._end_others(index)
            held = _Thought() if "reasoningContent" in delta.rest() else _Plain(begins=self._after_text)
            self._blocks[index], self._after_text = held, isinstance(held, _Plain)
        yield from held.more(delta)

    def _end_others(self, index: int) -> Iterator[StreamEvent]:
        """Some streams leave contentBlockStop out."""
        for other in sorted(self._blocks):
            if other != index:
                yield from self._blocks.pop(other).end()

    def _stop(self, event: Members) -> Iterator[StreamEvent]:
        yield from self._end_others(-1)
        raw, fields = event.need("stopReason", str), event.take("additionalModelResponseFields")
        extra = {} if is_bare(fields) else {"additionalModelResponseFields": fields}
        self._has_finished = True
        yield Finish(finish_of(raw, has_calls=self._calls > 0), raw=raw, stop=stop_of(fields), extra=extra)


class _Block:
    """One block of content while it comes."""

    def more(self, delta: Members) -> Iterator[StreamEvent]:
        """The events of one delta."""
        return _plain(delta)

    def end(self) -> Iterator[StreamEvent]:
        """What is said when the block is over."""
        return iter(())


class _Plain(_Block):
    """Text, and whatever else comes without a contentBlockStart. Its sources come before it, and are said behind it."""

    def __init__(self, *, begins: bool = False) -> None:
        self._begins = begins
        self._citations: list[Citation] = []

    @override
    def more(self, delta: Members) -> Iterator[StreamEvent]:
        citation = delta.find("citation", Json)
        if citation:
            self._citations.append(citation_of(citation))
        for event in _plain(delta):
            if self._begins and isinstance(event, TextDelta):
                self._begins = False
                yield TextDelta(event.text, begins=True)
            else:
                yield event

    @override
    def end(self) -> Iterator[StreamEvent]:
        return iter([CitationDelta(citation) for citation in self._citations])


class _Call(_Block):
    """A call of a function, its input in fragments."""

    def __init__(self, number: int) -> None:
        self._number = number

    @override
    def more(self, delta: Members) -> Iterator[StreamEvent]:
        use = delta.inner_if_given("toolUse")
        fragment = use.find("input", str) if use else None
        if fragment:
            yield ToolCallDelta(self._number, fragment)
        yield from _plain(delta)


class _Answer(_Block):
    """The input of the tool that an answer is put into: text."""

    def __init__(self) -> None:
        self._is_empty = True

    @override
    def more(self, delta: Members) -> Iterator[StreamEvent]:
        use = delta.inner_if_given("toolUse")
        fragment = use.find("input", str) if use else None
        if fragment:
            self._is_empty = False
            yield TextDelta(fragment)

    @override
    def end(self) -> Iterator[StreamEvent]:
        if self._is_empty:
            yield TextDelta("{}")


class _Thought(_Block):
    """Thinking: text, then its signature; or what was taken out of it, encrypted."""

    def __init__(self) -> None:
        self._signature = ""
        self._redacted = bytearray()

    @override
    def more(self, delta: Members) -> Iterator[StreamEvent]:
        thought = delta.inner_if_given("reasoningContent")
        if thought is not None:
            text = thought.find("text", str)
            self._signature += thought.find("signature", str) or ""
            self._redacted += _bytes_of(thought.find("redactedContent", str))
            if text:
                yield ReasoningDelta(text)
        yield from _plain(delta)

    @override
    def end(self) -> Iterator[StreamEvent]:
        if self._redacted:
            yield ReasoningEnd(Opaque("bedrock", base64.b64encode(self._redacted).decode()), is_redacted=True)
        else:
            yield ReasoningEnd(opaque_of(self._signature) if self._signature else None)


class _Whole(_Block):
    """A block that is worth something only as a whole: a picture, or what a tool of Bedrock's own did."""

    def __init__(self, kind: str, members: Json) -> None:
        self._kind = kind
        self._members = members
        self._input = ""
        self._data = bytearray()
        self._content: list[Any] = []

    @override
    def more(self, delta: Members) -> Iterator[StreamEvent]:
        held = delta.take(self._kind)
        if isinstance(held, list):
            self._content += cast("list[Any]", held)
        elif isinstance(held, dict):
            members = Members(cast("Json", held), self._kind)
            source = members.inner_if_given("source")
            self._data += _bytes_of(source.find("bytes", str) if source else None)
            self._input += members.find("input", str) or ""
        return iter(())

    @override
    def end(self) -> Iterator[StreamEvent]:
        if self._kind == "image" and self._data:
            data = base64.b64encode(self._data).decode()
            yield PartDelta(Image(data=data, media_type=f"image/{self._members.get('format', 'png')}"))
            return
        if self._kind == "toolUse":
            self._members["input"] = _decoded(self._input)
        elif self._content:
            self._members["content"] = self._content
        yield PartDelta(Item(NAME, {self._kind: self._members}))


def error_of(message: Message) -> ErrorEvent | None:
    """The error a message stands for: a modelled exception, or an error with its words in the headers."""
    kind = message.headers.get(":message-type", "event")
    if kind == "event":
        return None
    code = message.headers.get(":exception-type") or message.headers.get(":error-code") or kind
    decoded = _decoded(message.payload.decode("utf-8", "replace"))
    raw: Json = cast("Json", decoded) if isinstance(decoded, dict) else {}
    said = raw.get("message") or raw.get("Message") or message.headers.get(":error-message") or ""
    original = raw.get("originalMessage")
    if original and original != said:  # the model's own words, beside general ones
        said = f"{said}: {original}" if said else original
    return ErrorEvent(str(said), code, raw or None, STATUSES.get(code.lower(), 502))


def _plain(delta: Members) -> Iterator[StreamEvent]:
    text = delta.find("text", str)
    if text:
        yield TextDelta(text)
    rest = delta.rest()
    if rest:
        yield ExtraDelta(rest)


def _usage_event(event: Members) -> UsageEvent:
    raw, tier = event.find("usage", Json) or {}, event.inner_if_given("serviceTier")
    service = tier.find("type", str) if tier else None
    event.take("p")
    extra = event.rest()
    if service:
        extra["service_tier"] = service
    return UsageEvent(usage_of(raw), extra)


def _index(event: Members) -> int:
    return event.find("contentBlockIndex", int) or 0


def _bytes_of(data: str | None) -> bytes:
    try:
        return base64.b64decode(data or "", validate=True)
    except ValueError:
        raise InvalidRequest("a blob is no base64") from None


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text) if text else {}
    except (msgspec.DecodeError, RecursionError):
        return text
