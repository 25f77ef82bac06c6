"""Canonical events to the stream of an OpenAI chat client.

Entries of lists in a delta carry an `index` each, since the official SDK puts pieces together by it. What is said once, such as a
picture or a signed block of thinking, comes whole in one chunk, so that no client has to join it.
"""

from __future__ import annotations

import msgspec

from headgate.chat import (
    Audio,
    ChatRequest,
    CitationDelta,
    ErrorEvent,
    ExtraDelta,
    Finish,
    Image,
    PartDelta,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    RefusalDelta,
    Start,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
)
from headgate.dialects.openai.answer import (
    REPLY,
    encode_audio,
    encode_citation,
    encode_finish,
    encode_image,
    encode_item,
    encode_logprobs,
    encode_moderation,
    encode_tier,
    encode_usage,
    foreign,
    foreign_choice,
    shows_thinking,
    told_of_call,
)
from headgate.dialects.openai.decode import LEGACY
from headgate.dialects.openai.members import Json, added, given, merged, objects
from headgate.dialects.openai.reasoning import encode_detail, encode_signature
from headgate.dialects.sse import DONE, data_event

_ERROR = "the provider broke off with an error"


class OpenAIChatEncoder:
    """Canonical events to chunks. The usage chunk is sent only where the caller asked for it.

    Choices begin in their order, as the official SDK wants it. Finish reasons wait for the end of the stream: usage behind
    them may still bring members of the whole reply, and an error behind them must not look like an end.
    """

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self._shows_thinking = shows_thinking(request)
        self._head: Json = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": request.model}
        self._choices: dict[int, _Choice] = {}
        self._usage: UsageEvent | None = None
        self._has_failed = False

    def feed(self, event: StreamEvent) -> bytes:
        """Encode one event."""
        match event:
            case Start():
                model = event.model or self._request.model
                self._head |= {"id": event.id, "created": event.created, "model": model}
                return self._chunk({"content": ""}, 0)
            case UsageEvent():
                self._usage = event
                return b""
            case ErrorEvent():
                self._has_failed = True
                return encode_error_event(event)
            case Finish():
                self._choice(event.index).finish = event
                return b""
            case ReasoningDelta() | ReasoningEnd() if not self._shows_thinking:
                return b""
            case _:
                delta = self._choice(event.index).delta(event, str(self._head["id"]))
                return self._chunk(delta, event.index) if delta else b""

    def end(self) -> bytes:
        """What closes a complete stream: the finish of every choice, usage, and the end; nothing behind an error."""
        if self._has_failed:
            return b""
        said: list[bytes] = []
        for index in sorted(self._choices):
            choice = self._choices[index]
            said += [self._chunk(delta, index) for delta in choice.unsaid()]
            said.append(self._finished(choice, index))
        usage = self._usage
        if usage is not None:
            extra = {name: value for name, value in usage.extra.items() if name not in REPLY}
            tier = usage.extra.get("service_tier")
            extra |= encode_tier(tier if isinstance(tier, str) else None) | encode_moderation(usage.extra)
            if self._request.include_usage:
                said.append(self._event({"choices": [], "usage": encode_usage(usage.usage), **extra}))
            elif extra and said:
                said[-1] = self._finished(self._choices[max(self._choices)], max(self._choices), extra)
        return b"".join((*said, DONE))

    def _choice(self, index: int) -> _Choice:
        return self._choices.setdefault(index, _Choice(is_legacy=LEGACY in self._request.extra))

    def _finished(self, choice: _Choice, index: int, extra: Json | None = None) -> bytes:
        finish = choice.finish or Finish("tool_calls" if choice.has_calls else "stop")
        members = dict(finish.extra)
        said = {
            **encode_logprobs(members.pop("logprobs", None)),
            **encode_finish(finish.reason, finish.raw, self._request, has_calls=choice.has_calls),
            **given(stop_reason=finish.stop),
        }
        return self._chunk({}, index, added(said, foreign_choice(members)), extra)

    def _chunk(self, delta: Json, index: int, members: Json | None = None, extra: Json | None = None) -> bytes:
        opened = b"".join(self._chunk({}, lower) for lower in range(index) if not self._choice(lower).has_role)
        choice = self._choice(index)
        if not choice.has_role:
            choice.has_role = True
            delta = {"role": "assistant", **delta}
        told = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **(members or {})}
        return opened + self._event({"choices": [told], **(extra or {})})

    def _event(self, members: Json) -> bytes:
        return data_event(msgspec.json.encode({**self._head, **members}))


def encode_error_event(event: ErrorEvent) -> bytes:
    """An event that the official SDK raises on: it looks for a member `error`."""
    raw = event.raw or {}
    kind, param = raw.get("type"), raw.get("param")
    told = {
        "message": event.message or _ERROR,
        "type": kind if isinstance(kind, str) else None,
        "param": param if isinstance(param, str) else None,
        "code": event.code,
    }
    return data_event(msgspec.json.encode({"error": added(told, raw)}))


class _Choice:
    """What one choice has said so far, as far as later deltas depend on it."""

    def __init__(self, *, is_legacy: bool) -> None:
        self.has_role = False
        self.finish: Finish | None = None
        self._is_legacy = is_legacy
        self._numbers: dict[int, int] = {}  # the call that is a function call has -1
        self._custom: set[int] = set()
        self._silent: set[int] = set()
        self._counts: dict[str, int] = {}
        self._size = self._begin = 0
        self._is_open = self._is_cited = False
        self._words: Json = {}
        self._thought: list[str] = []
        self._is_summary = False

    @property
    def has_calls(self) -> bool:
        """Whether it asks for a call."""
        return bool(self._numbers)

    def delta(self, event: StreamEvent, reply_id: str) -> Json:
        """The delta that says `event`; empty when there is nothing to say."""
        if not isinstance(event, TextDelta | CitationDelta):
            self._is_open = False
        if not isinstance(event, ReasoningDelta | ReasoningEnd):
            self._thought.clear()
        match event:
            case TextDelta():
                return self._text(event)
            case CitationDelta():
                self._is_cited = True
                return self._listed("annotations", encode_citation(event.citation, self._begin, self._size))
            case ReasoningDelta():
                self._thought.append(event.text)
                self._is_summary = event.is_summary
                return {"reasoning_content": event.text}
            case ReasoningEnd():
                return self._thought_over(event)
            case RefusalDelta():
                return {"refusal": event.text}
            case ToolCallStart():
                return self._call(event)
            case ToolCallDelta():
                return self._arguments(event.call, event.arguments)
            case PartDelta():
                return self._part(event, reply_id)
            case ExtraDelta():
                return self._further(event.members)
            case _:
                return {}

    def unsaid(self) -> list[Json]:
        """What is left to say of calls that came without arguments: an empty object, for clients parse them; and words."""
        words = [self._words] if self._words else []
        return [*(self._arguments(call, "{}") for call in sorted(self._silent)), *words]

    def _text(self, event: TextDelta) -> Json:
        if not self._is_open or self._is_cited or event.begins:
            self._begin, self._is_open, self._is_cited = self._size, True, False
        self._size += len(event.text)
        if not event.text and event.opaque is None:
            return {}
        return {"content": event.text, **encode_signature(event.opaque, is_last=bool(self._numbers))}

    def _thought_over(self, event: ReasoningEnd) -> Json:
        text = "" if event.is_redacted else "".join(self._thought)
        self._thought.clear()
        part = Reasoning(
            text,
            event.opaque,
            is_redacted=event.is_redacted,
            is_summary=self._is_summary and bool(text),
            item_id=event.item_id,
        )
        detail = encode_detail(part, self._counts.get("reasoning_details", 0))
        return {} if detail is None else self._listed("reasoning_details", detail)

    def _call(self, event: ToolCallStart) -> Json:
        number = self._numbers.setdefault(event.call, len(self._numbers) - self._is_legacy)
        kind, field = ("custom", "input") if event.custom else ("function", "arguments")
        if event.custom:
            self._custom.add(event.call)
        else:
            self._silent.add(event.call)
        if number < 0:
            return {"function_call": {"name": event.name, "arguments": ""}}
        said = {"index": number, "id": event.id, "type": kind, kind: {"name": event.name, field: ""}}
        return {"tool_calls": [merged(added(said, told_of_call(event.extra)), encode_signature(event.opaque))]}

    def _arguments(self, call: int, text: str) -> Json:
        number = self._numbers.get(call)
        if number is None or not text:
            return {}
        self._silent.discard(call)
        if number < 0:
            return {"function_call": {"arguments": text}}
        held = {"custom": {"input": text}} if call in self._custom else {"function": {"arguments": text}}
        return {"tool_calls": [{"index": number, **held}]}

    def _further(self, members: Json) -> Json:
        """Members that this dialect has no events for. A word waits for the end, since the official SDK joins strings."""
        further = foreign(members)
        self._words |= {name: value for name, value in further.items() if isinstance(value, str)}
        told = {name: value for name, value in further.items() if not isinstance(value, str)}
        return {**told, **self._late(members.get("tool_calls"))}

    def _late(self, calls: object) -> Json:
        """Members of calls that came behind their begin."""
        late = [call for call in objects(calls) if call.get("index") in self._numbers]
        return given(tool_calls=[{**call, "index": self._numbers[call["index"]]} for call in late] or None)

    def _part(self, event: PartDelta, reply_id: str) -> Json:
        part = event.part
        if isinstance(part, Image):
            return self._listed("images", encode_image(part))
        if isinstance(part, Audio):
            return {"audio": encode_audio(part, reply_id)}
        return self._listed("provider_items", encode_item(part))

    def _listed(self, name: str, entry: Json) -> Json:
        number = self._counts.get(name, 0)
        self._counts[name] = number + 1
        return {name: [{**entry, "index": number}]}
