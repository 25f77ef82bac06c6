"""generateContent streams to canonical events: a state machine for the reply, and one for each candidate.

With `alt=sse` a stream is one chunk per event and has no last word; without it, it is one JSON array.
Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta, Raw, Struct, field

from headgate.body import decode_object
from headgate.chat import (
    Audio,
    CitationDelta,
    ErrorEvent,
    ExtraDelta,
    Finish,
    Image,
    Item,
    PartDelta,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    Start,
    StreamEvent,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
)
from headgate.dialects.google.facts import finish_of, finish_word
from headgate.dialects.google.frames import chunk_of
from headgate.dialects.google.parts import Fields, with_exact_calls
from headgate.dialects.google.reply import (
    answer_part,
    blocked,
    citations_of,
    decode_call,
    decode_logprobs,
    decode_usage,
    has_counts,
    seconds,
    surfaced,
    tier_of,
)
from headgate.dialects.openai.members import Json
from headgate.errors import InvalidRequest, ProviderFailed

_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d+)\]|\[(?:'([^']*)'|"([^"]*)")\]""")


class _PlainPart(Struct, frozen=True, forbid_unknown_fields=True):
    text: str
    thought: bool = False


class _PlainContent(Struct, frozen=True, forbid_unknown_fields=True):
    parts: Annotated[list[_PlainPart], Meta(min_length=1, max_length=1)]
    role: str = ""


class _PlainCandidate(Struct, frozen=True, forbid_unknown_fields=True):
    content: _PlainContent
    index: int = 0


class _PlainChunk(Struct, frozen=True, forbid_unknown_fields=True):
    """A chunk with a piece of text and nothing else: nearly every one. Its usage counts only if it is the last."""

    candidates: Annotated[list[_PlainCandidate], Meta(min_length=1, max_length=1)]
    usage: Raw = field(default=Raw(b""), name="usageMetadata")
    model: str = field(default="", name="modelVersion")
    reply: str = field(default="", name="responseId")
    created: str = field(default="", name="createTime")


_plain_chunk = msgspec.json.Decoder(_PlainChunk)


class GoogleDecoder:
    """Chunks to canonical events. Whether a candidate is complete is known at the end: some finish in every chunk."""

    def __init__(self) -> None:
        self._id = ""
        self._has_started = False
        self._usage: Json = {}
        self._last_usage = b""
        self._extra: Json = {}
        self._candidates: dict[int, _Candidate] = {}
        self._blocked: Json | None = None
        self._has_failed = False

    def feed(self, frame: bytes) -> Sequence[StreamEvent]:
        """Decode one frame. Raises ProviderFailed for what is no chunk."""
        data = chunk_of(frame)
        if not data or data == b"[DONE]":
            return ()
        plain = self._plain(data) if self._has_started else None
        if plain is not None:
            return plain
        self._settle_usage()
        try:
            return list(self._events(Fields(with_exact_calls(decode_object(data), data))))
        except (InvalidRequest, ValueError) as error:
            raise ProviderFailed(
                f"a stream event is no chunk of an answer: {error}", code="upstream_bad_reply"
            ) from None

    def end(self, *, is_broken: bool = False) -> Sequence[StreamEvent]:
        """Finish reasons and usage, which count when everything is here."""
        if self._has_failed:
            return ()
        self._settle_usage()
        unfinished = any(not held.word for held in self._candidates.values())
        if is_broken or unfinished or not (self._candidates or self._blocked):
            raise ProviderFailed("the provider closed the stream before it was complete", code="upstream_cut")
        events: list[StreamEvent] = []
        for index in sorted(self._candidates):
            events += self._candidates[index].finish()
        if self._blocked is not None and not self._candidates:
            choice = blocked(self._blocked)
            events.append(Finish("content_filter", 0, choice.finish_raw, extra=choice.extra))
        if has_counts(self._usage):
            tier = tier_of(self._usage)
            extra = self._extra | ({"service_tier": tier} if tier else {})
            events.append(UsageEvent(decode_usage(self._usage), extra))
        return events

    def _plain(self, data: bytes) -> Sequence[StreamEvent] | None:
        """The delta of a chunk that holds nothing but text; None for any other."""
        try:
            chunk = _plain_chunk.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        [candidate] = chunk.candidates
        held = self._candidates.get(candidate.index)
        if held is None or held.is_calling:
            return None
        usage = bytes(chunk.usage)
        if b"TokenCount" in usage:
            self._last_usage = usage
        [part] = candidate.content.parts
        return held.say(part.text, is_thought=part.thought)

    def _settle_usage(self) -> None:
        """Read the usage of the plain chunks so far, of which only the last counts."""
        usage, self._last_usage = self._last_usage, b""
        if usage:
            with contextlib.suppress(InvalidRequest):
                self._usage = decode_object(usage)

    def _events(self, chunk: Fields) -> Iterator[StreamEvent]:
        error = chunk.take("error")
        if error:
            self._has_failed = True
            yield error_of(error)
            return
        usage, feedback = chunk.find("usageMetadata", Json), chunk.find("promptFeedback", Json)
        candidates = chunk.each("candidates")
        head = str(chunk.take("responseId") or ""), str(chunk.take("modelVersion") or "")
        created = seconds(chunk.take("createTime"))
        if not self._has_started and (candidates or feedback or usage):
            self._has_started = True
            self._id = head[0]
            yield Start(*head, created)
        for at, candidate in enumerate(candidates):
            index = candidate.count("index")
            index = at if index is None else index
            held = self._candidates.setdefault(index, _Candidate(index, self._id))
            yield from held.feed(candidate)
        if usage and (has_counts(usage) or not has_counts(self._usage)):
            self._usage = usage
        if feedback:
            self._blocked = feedback
        self._extra |= chunk.rest()


class _Candidate:
    """One answer while it comes."""

    def __init__(self, index: int, reply_id: str) -> None:
        self._index = index
        self._id = reply_id
        self._calls = 0
        self._open: _Growing | None = None
        self._said: list[str] = []
        self._extra: Json = {}
        self.word: str | None = None

    def feed(self, candidate: Fields) -> Iterator[StreamEvent]:
        """The events of one chunk."""
        content = candidate.inner_if_given("content") or Fields({})
        content.take("role")
        for part in content.each("parts"):
            yield from self._part(part)
        more = content.rest()
        if more:
            yield ExtraDelta(more, self._index)
        self.word = finish_word(candidate.take("finishReason")) or self.word
        for name, value in candidate.rest().items():
            if name != "content" and (value or name not in self._extra):
                self._extra[name] = _joined(self._extra.get(name), value)

    @property
    def is_calling(self) -> bool:
        """Whether a call has begun whose arguments are not all here."""
        return self._open is not None

    def say(self, text: str, *, is_thought: bool) -> Sequence[StreamEvent]:
        """More text, or more thinking."""
        if not text:
            return ()
        if is_thought:
            return (ReasoningDelta(text, self._index, is_summary=True),)
        self._said.append(text)
        return (TextDelta(text, self._index),)

    def finish(self) -> list[StreamEvent]:
        """What is left to say at the end: a call that is still open, sources, and why it ended."""
        events = list(self._closed())
        events += [CitationDelta(found, self._index) for _, found in citations_of(self._extra, ["".join(self._said)])]
        word = self.word or ""
        result = self._extra.pop("logprobsResult", None)
        if isinstance(result, dict):
            self._extra["logprobs"] = decode_logprobs(cast("Json", result))
        reason = finish_of(word, has_calls=self._calls > 0)
        events.append(Finish(reason, self._index, word, extra=self._extra))
        return events

    def _part(self, part: Fields) -> Iterator[StreamEvent]:
        growing = _partial(part)
        if growing is not None:
            yield from self._grow(part, growing)
            return
        yield from self._closed()
        held = surfaced(decode_call(part, self._id, self._calls, self._index) or answer_part(part))
        match held:
            case ToolCall():
                self._calls += 1
                yield from _called(held, self._index)
            case Text():
                self._said.append(held.text)
                if held.text or held.opaque is not None:
                    yield TextDelta(held.text, self._index, held.opaque)
                if held.extra:
                    yield ExtraDelta(held.extra, self._index)
            case Reasoning():
                if held.text:
                    yield ReasoningDelta(held.text, self._index, is_summary=True)
                if held.opaque is not None:
                    yield ReasoningEnd(held.opaque, self._index, held.is_redacted)
            case Image() | Audio() | Item():
                yield PartDelta(held, self._index)
            case _:
                return

    def _grow(self, part: Fields, call: Json) -> Iterator[StreamEvent]:
        """A call whose arguments come in pieces: https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling"""
        if call.get("name"):
            yield from self._closed()
            self._open = _Growing(call, part.take("thoughtSignature"))
        elif self._open is not None:
            self._open.add(call)
        if self._open is not None and not call.get("willContinue"):
            yield from self._closed()

    def _closed(self) -> Iterator[StreamEvent]:
        if self._open is None:
            return
        whole, self._open = self._open.whole(), None
        call = decode_call(whole, self._id, self._calls, self._index)
        if call is not None:
            self._calls += 1
            yield from _called(call, self._index)


def _partial(part: Fields) -> Json | None:
    """The call that a part carries a piece of; None for any other part, a whole call included."""
    held = part.take("functionCall")
    if not isinstance(held, dict):
        part.put("functionCall", held)
        return None
    call = Fields(cast("Json", held)).rest()
    if call.get("willContinue") or "partialArgs" in call or not call.get("name"):
        return call
    part.put("functionCall", cast("Json", held))
    return None


def _called(call: ToolCall, index: int) -> Iterator[StreamEvent]:
    yield ToolCallStart(call.index, call.id, call.name, index, opaque=call.opaque, extra=call.extra)
    if call.arguments:
        yield ToolCallDelta(call.index, call.arguments, index)


class _Growing:
    """The arguments of one call, put together from values with the JSON paths they belong to."""

    def __init__(self, call: Json, signature: object) -> None:
        self._head = {name: call[name] for name in ("id", "name") if name in call}
        self._signature = signature
        args = call.get("args")
        self._args: Any = msgspec.json.decode(args) if isinstance(args, Raw) else args or {}
        self.add(call)

    def add(self, call: Json) -> None:
        """One more piece. Raises InvalidRequest for a path that leads nowhere."""
        for piece in Fields({"partialArgs": call.get("partialArgs")}).each("partialArgs"):
            path, values = piece.find("jsonPath", str) or "$", piece.rest()
            for name in _VALUES & values.keys():
                self._put(path, None if name == "nullValue" else values[name])

    def whole(self) -> Fields:
        """The part as it would have come in one."""
        part: Json = {"functionCall": {**self._head, "args": self._args}}
        if self._signature:
            part["thoughtSignature"] = self._signature
        return Fields(part)

    def _put(self, path: str, value: object) -> None:
        steps = [
            int(step[2]) if step[2] is not None else cast("str", step[1] or step[3] or step[4] or "")
            for step in _STEP.finditer(path)
        ]
        if not steps:
            return
        node: Any = self._args
        for step, following in pairwise(steps):
            node = _child(node, step, [] if isinstance(following, int) else {})
        begun = _child(node, steps[-1], "" if isinstance(value, str) else value)
        if isinstance(value, str):
            node[steps[-1]] = f"{begun}{value}"


def _child(node: Any, step: str | int, fresh: Any) -> Any:
    """What stands at one step of a path, `fresh` where nothing did."""
    if isinstance(step, int) and isinstance(node, list):
        items = cast("list[Any]", node)
        if step > len(items):
            raise InvalidRequest(f"`partialArgs` leaves out items before {step}")
        if step == len(items):
            items.append(fresh)
        return items[step]
    if isinstance(step, str) and isinstance(node, dict):
        return cast("Json", node).setdefault(step, fresh)
    raise InvalidRequest(f"`partialArgs` has a path that does not fit what came before: `{step}`")


_VALUES = {"stringValue", "numberValue", "boolValue", "nullValue"}


def _joined(held: Any, more: Any) -> Any:
    """Metadata of a candidate over all chunks: lists in an object go on, anything else is replaced."""
    if not isinstance(held, dict) or not isinstance(more, dict):
        return more
    joined: Json = dict(cast("Json", held))
    for name, value in cast("Json", more).items():
        mine = joined.get(name)
        joined[name] = (
            [*mine, *value] if name in _GROWING and isinstance(mine, list) and isinstance(value, list) else value
        )
    return joined


_GROWING = {"chosenCandidates", "topCandidates", "citations", "citationSources"}


def error_of(error: object) -> ErrorEvent:
    """The error that a provider sent in place of a chunk."""
    raw: Json = cast("Json", error) if isinstance(error, dict) else {"message": str(error)}
    code = raw.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 0
    word = raw.get("status")
    return ErrorEvent(str(raw.get("message") or ""), str(word) if word else None, raw, status)
