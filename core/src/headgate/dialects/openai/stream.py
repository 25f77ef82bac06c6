"""OpenAI chat streams to canonical events, one small state machine per stream."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from headgate.body import decode_object
from headgate.chat import (
    Audio,
    Citation,
    CitationDelta,
    ErrorEvent,
    ExtraDelta,
    Finish,
    Image,
    Item,
    Part,
    PartDelta,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    Refusal,
    RefusalDelta,
    Start,
    StreamEvent,
    Text,
    TextDelta,
    Usage,
    UsageEvent,
)
from headgate.dialects.openai.calls import Calls
from headgate.dialects.openai.errors import error_in
from headgate.dialects.openai.members import Json, Members, as_object, seconds
from headgate.dialects.openai.message import decode_content, take_citations, take_images, take_items
from headgate.dialects.openai.plain import PlainChunk, plain_chunk
from headgate.dialects.openai.reasoning import Thoughts, take_signature
from headgate.dialects.openai.reply import finish_of, told, usage_in
from headgate.dialects.openai.usage import decode_usage
from headgate.dialects.sse import data_of, is_done
from headgate.errors import InvalidRequest, ProviderFailed

_PADDING = ("p", "obfuscation")
"""Members that make all chunks alike in size: Mistral's and OpenAI's."""
_NOISE = ("role", "name", "index", "token_id")
"""Members of a delta that say nothing that is not known."""


class OpenAIChatDecoder:
    """Chunks to canonical events that obey their order, whatever the vendor repeats.

    Start comes with the first thing to say and has the first id and model that are not empty. Finish reasons and usage, which
    some vendors repeat in every chunk, are said at the end; the last word counts.
    """

    def __init__(self) -> None:
        self._start: Start | None = Start("", "")
        self._choices: dict[int, _Choice] = {}
        self._usage: Usage | None = None
        self._extra: Json = {}
        self._reply_id = ""
        self._is_over = False

    def feed(self, frame: bytes) -> Sequence[StreamEvent]:
        """Decode one event; comments give nothing. Raises ProviderFailed for what is no chat chunk."""
        if self._is_over:
            return ()
        if is_done(frame):
            return self._settled()
        data = data_of(frame).strip()
        if not data:
            return ()
        if self._start is None:
            plain = plain_chunk(data)
            choice = None if plain is None else self._choices.get(plain.choice)
            said = None if plain is None or choice is None else choice.plain(plain)
            if said is not None:
                return said
        try:
            return list(self._begun(self._events(Members(decode_object(data)), frame)))
        except (InvalidRequest, ValueError) as error:
            raise ProviderFailed(f"a stream event is no chat chunk: {error}", code="upstream_bad_reply") from None

    def end(self, *, is_broken: bool = False) -> Sequence[StreamEvent]:
        """The stream has ended. Without `[DONE]` it is complete when every choice has finished and nothing was cut."""
        if self._is_over:
            return ()
        choices = self._choices.values()
        if is_broken or not choices or not all(choice.is_finished for choice in choices):
            self._is_over = True
            raise ProviderFailed("the provider closed the stream before it was complete", code="upstream_cut")
        return self._settled()

    def _events(self, chunk: Members, frame: bytes) -> Iterator[StreamEvent]:
        error = error_in(chunk, frame)
        if error is not None:
            self._is_over = True
            yield error
            return
        usage = usage_in(chunk)
        if usage:
            self._usage = decode_usage(usage)
        self._take_head(chunk)
        for choice in chunk.listed("choices"):
            index = choice.find("index", int) or 0
            yield from self._choices.setdefault(index, _Choice(index)).feed(choice, self._reply_id)
        for name in ("object", *_PADDING):
            chunk.take(name)
        self._extra |= told(chunk.rest())

    def _take_head(self, chunk: Members) -> None:
        held = self._start
        told_id, model, created = str(chunk.take("id") or ""), str(chunk.take("model") or ""), chunk.take("created")
        if held is not None:
            self._reply_id = held.id or told_id
            self._start = Start(
                self._reply_id, held.model or model, held.created or seconds(created), usage=_prompt_of(self._usage)
            )

    def _begun(self, events: Iterable[StreamEvent]) -> Iterator[StreamEvent]:
        """`events`, with Start before the first one of the stream."""
        for event in events:
            start, self._start = self._start, None
            if start is not None and not isinstance(event, ErrorEvent):
                yield start
            yield event

    def _settled(self) -> Sequence[StreamEvent]:
        """Everything that waited for the end."""
        self._is_over = True
        return list(self._begun(self._last_events()))

    def _last_events(self) -> Iterator[StreamEvent]:
        stated = [usage for index in sorted(self._choices) if (usage := self._choices[index].take_usage())]
        if self._usage is None and stated:
            self._usage = decode_usage(stated[-1])
        if self._usage is None and self._extra:
            yield ExtraDelta(self._extra, min(self._choices, default=0))
        choices = [self._choices[index] for index in sorted(self._choices)]
        for choice in choices:
            yield from choice.unsaid(self._reply_id)
        for choice in choices:
            yield from choice.finish()
        if self._usage is not None:
            yield UsageEvent(self._usage, self._extra)


def _prompt_of(usage: Usage | None) -> Usage | None:
    """What is known of the prompt while the answer is still coming."""
    if usage is None:
        return None
    return Usage(usage.prompt, cached=usage.cached, cache_write=usage.cache_write, audio_in=usage.audio_in)


class _Choice:
    """One choice while it comes. Sources that come before the text wait until it ends: they have nothing to stand in."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._thoughts = Thoughts(index)
        self._calls = Calls(index)
        self._sound = _Sound()
        self._early: list[Citation] = []
        self._has_text = False
        self._word: str | None = None
        self._stop: str | None = None
        self._logprobs: Json = {}
        self._extra: Json = {}

    @property
    def is_finished(self) -> bool:
        """Whether the vendor has said why it ended."""
        return self._word is not None

    def feed(self, choice: Members, reply_id: str) -> Iterator[StreamEvent]:
        """The events of one chunk. What some vendors send beside a delta says the same again: the message so far, its text."""
        delta = choice.inner_if_given("delta")
        message, _ = as_object(choice.take("message")), choice.take("text")
        if delta is None and message is not None:
            delta = Members(message, choice.at("message"))
        if delta is not None:
            yield from self._delta(delta, reply_id)
        self._word = choice.find("finish_reason", str) or self._word
        self._stop = choice.find_if("stop_reason", str) or self._stop
        self._add_logprobs(choice.take("logprobs"))
        self._extra |= {name: value for name, value in choice.rest().items() if _tells(name, value)}

    def plain(self, chunk: PlainChunk) -> Sequence[StreamEvent] | None:
        """The events of a chunk that holds a piece of text, thinking or arguments and nothing else; None for a call not begun."""
        piece = None if chunk.call is None else self._calls.more(chunk.call, chunk.arguments)
        if piece is None and chunk.call is not None:
            return None
        said = self._thoughts.tell(chunk.thinking) if chunk.thinking else ()
        if chunk.text:
            self._has_text = True
            said = [*said, *self._thoughts.end(), TextDelta(chunk.text, self._index)]
        if piece is None or not piece.arguments:
            return said
        return [*said, *self._in_order([piece])]

    def unsaid(self, reply_id: str) -> Iterator[StreamEvent]:
        """What could not be said before the end was known."""
        yield from self._thoughts.end()
        yield from self._sources()
        yield from self._calls.end(reply_id)
        sound = self._sound.part()
        if sound is not None:
            yield PartDelta(sound, self._index)

    def take_usage(self) -> Json | None:
        """The usage that stands in the choice: Moonshot's, where none was asked for."""
        return as_object(self._extra.pop("usage", None))

    def finish(self) -> Iterator[StreamEvent]:
        """Why it ended, if the vendor has said it."""
        reason = finish_of(self._word, has_calls=self._calls.has_any) if self._word else None
        if reason is not None:
            extra = {**self._extra, **({"logprobs": self._logprobs} if self._logprobs else {})}
            yield Finish(reason, self._index, self._word, self._stop, extra)

    def _delta(self, delta: Members, reply_id: str) -> Iterator[StreamEvent]:
        for name in _NOISE:
            delta.take(name)
        yield from self._thoughts.feed(delta)
        place = delta.at("content")
        refusal = delta.find("refusal", str)
        parts: list[Part] = [*take_items(delta), *decode_content(delta.take("content"), place), *take_images(delta)]
        parts += [Refusal(refusal)] if refusal else []
        said = [event for part in parts for event in self._events(part, place)]
        opaque = take_signature(delta)
        said += [TextDelta("", self._index, opaque)] if opaque is not None else []
        self._has_text |= any(isinstance(event, TextDelta) for event in said)
        citations = take_citations(delta)
        if self._has_text:
            said += [CitationDelta(citation, self._index) for citation in citations]
        else:
            self._early += citations
        said += self._calls.feed(delta, reply_id)
        yield from self._in_order(said)
        self._sound.feed(delta)
        extra = {name: value for name, value in delta.rest().items() if value}
        if extra:
            yield ExtraDelta(extra, self._index)

    def _in_order(self, said: Iterable[StreamEvent]) -> Iterator[StreamEvent]:
        """The events; thinking is over where another kind follows, and so is the text that early sources wait for."""
        for event in said:
            if not isinstance(event, ReasoningDelta):
                yield from self._thoughts.end()
            if self._has_text and not isinstance(event, TextDelta):
                yield from self._sources()
            yield event

    def _sources(self) -> Iterator[StreamEvent]:
        """The sources that came before the text."""
        early, self._early = self._early, []
        for citation in early:
            yield CitationDelta(citation, self._index)

    def _events(self, part: Part, place: str) -> Iterator[StreamEvent]:
        event = self._event(part, place)
        if event is not None:
            yield event
        if isinstance(part, Reasoning) and part.opaque is not None:
            yield ReasoningEnd(part.opaque, self._index)

    def _event(self, part: Part, place: str) -> StreamEvent | None:
        match part:
            case Text():
                return TextDelta(part.text, self._index) if part.text else None
            case Reasoning():
                return ReasoningDelta(part.text, self._index) if part.text else None
            case Refusal():
                return RefusalDelta(part.text, self._index)
            case Image() | Item() | Audio():
                return PartDelta(part, self._index)
            case _:
                raise InvalidRequest(f"`{place}` has a part that cannot be streamed", param=place)

    def _add_logprobs(self, value: object) -> None:
        """Token probabilities come token by token and are one list in the end."""
        if not isinstance(value, dict):
            return
        for name, items in cast("Json", value).items():
            known: Any = self._logprobs.get(name)
            if isinstance(items, list) and isinstance(known, list):
                self._logprobs[name] = [*cast("list[Any]", known), *cast("list[Any]", items)]
            elif items is not None:
                self._logprobs[name] = items


def _tells(name: str, value: object) -> bool:
    """Whether a member of a choice says something that its delta has not said."""
    return name != "delta" and value not in (None, {}, [])


class _Sound:
    """A model's sound while it comes: base64 in pieces, each with its own padding."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._transcript = ""
        self._id: str | None = None
        self._extra: Json = {}
        self._has_come = False

    def feed(self, delta: Members) -> None:
        """Take in one delta's piece."""
        audio = delta.inner_if_object("audio")
        if audio is None:
            return
        self._has_come = True
        self._id = audio.find("id", str) or self._id
        self._transcript += audio.find("transcript", str) or ""
        try:
            self._data += b64decode(audio.find("data", str) or "")
        except (NotBase64, ValueError):
            raise InvalidRequest(f"`{audio.at('data')}` is not base64", param=audio.at("data")) from None
        rest = told(audio.rest())
        self._extra |= rest
        for name in rest:
            audio.take(name)

    def part(self) -> Audio | None:
        """The whole sound."""
        if not self._has_come:
            return None
        data = b64encode(bytes(self._data)).decode()
        return Audio(data, "", self._transcript or None, self._id, extra=self._extra)
