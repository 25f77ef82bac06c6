"""Canonical events to a Responses reply, item by item: one state machine for streams and for whole replies.

Visible thinking is written as a summary, whatever it is: that is what the official SDK, the AI SDK and LangChain show.
Calls stay open until the end, since their arguments may come interleaved.

Source: https://platform.openai.com/docs/api-reference/responses-streaming and the types of the official SDK (3.52).
"""

from __future__ import annotations

from typing import Any

from headgate.chat import (
    Audio,
    ChatReply,
    ChatRequest,
    Citation,
    ErrorEvent,
    Finish,
    Image,
    Item,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolCallStart,
    Usage,
)
from headgate.dialects.openai.members import added, given
from headgate.dialects.responses.ids import Ids
from headgate.dialects.responses.items import NAME
from headgate.dialects.responses.reply import CUT, RESERVED, echo, failure, logprobs_of, moderation, tier
from headgate.dialects.responses.usage import encode_usage
from headgate.dialects.responses.written import Say, WrittenCall, WrittenMessage, WrittenThought

Json = dict[str, Any]

IGNORED = frozenset(
    {
        "Choice.index",  # there is one answer
        "Message.role",  # it is the assistant's
        "Message.name",
        "Start.role",
        "Text.cache",  # marks of requests
        "Image.cache",
        "ToolCall.cache",
        "Image.detail",  # how to look at a picture that is sent
        "Image.file_id",  # a picture that a model made comes with its bytes or its URL
        "Text.extra",  # items are made anew, and hold what the model knows
        "Image.extra",
        "Audio.extra",
        "Refusal.extra",
        "Reasoning.extra",
        "Reasoning.is_summary",  # all thinking is shown as a summary
        "ReasoningDelta.is_summary",
        "TextDelta.begins",  # one text goes on in deltas
        "ReasoningEnd.item_id",  # an item has its id from its beginning
        "ToolCall.index",  # the order says it
        "ToolCallStart.call",
        "Usage.audio_in",  # there are no such counts
        "Usage.audio_out",
        "Usage.raw",
    }
)
"""Canonical fields of an answer, and of the events of a stream, that have no place in a response."""
_PHASES = {"commentary", "final_answer"}


def encode_reply(reply: ChatReply, request: ChatRequest) -> Json:
    """A whole answer. This dialect has one choice: of several the first is told."""
    composer = Composer(request, _silent)
    composer.start(reply.id, reply.model, reply.created, None)
    choice = reply.choices[0] if reply.choices else None
    if choice is not None:
        composer.learn(choice.message.extra)
        composer.learn({"logprobs": choice.logprobs} if choice.logprobs else {})
        for part in choice.message.parts:
            composer.add(part)
        composer.finish(Finish(choice.finish or "stop", 0, choice.finish_raw, choice.stop, choice.extra))
    else:
        composer.finish(Finish("stop"))
    composer.note(reply.usage, {**reply.extra, "service_tier": reply.service_tier}, is_own=reply.dialect == NAME)
    return composer.reply()


def _silent(_kind: str, _members: Json) -> None:
    """A whole reply has no events."""


class Composer:
    """The reply as it grows. `say` gets the events of a stream, type and members.

    Ids are made from that of the reply; an item that has one of its own keeps it where it is known at its beginning.
    """

    def __init__(self, request: ChatRequest, say: Say) -> None:
        self._say = say
        self._echo = echo(request)
        self._ids = Ids("")
        self._head: Json = {}
        self._used: set[str] = set()
        self._output: dict[int, Json] = {}
        self._count = 0
        self._message: WrittenMessage | None = None
        self._thought: WrittenThought | None = None
        self._calls: dict[int, WrittenCall] = {}
        self._phase: str | None = None
        self._logprobs: list[Json] = []
        self._extra: Json = {}
        self._tail: Json = {}
        self._usage: Usage | None = None
        self._tier: str | None = None
        self._is_own = False
        self._status = "in_progress"
        self._error: Json | None = None
        self._cut: Json | None = None

    # the reply

    def start(self, reply_id: str, model: str, created: int, usage: Usage | None) -> None:
        """The reply begins; `usage` is what is known of the prompt."""
        self._ids = Ids(reply_id)
        self._head = {"id": self._ids.response, "object": "response", "created_at": created, "model": model}
        for kind in ("response.created", "response.in_progress"):
            self._say(kind, {"response": self.reply()})
        self._usage = usage

    def learn(self, members: Json) -> None:
        """Members of the message that have no item of their own."""
        more = dict(members)
        phase = more.pop("phase", None)
        self._phase = phase if phase in _PHASES else self._phase
        self._logprobs += logprobs_of(more.pop("logprobs", None))
        self._extra |= more

    def note(self, usage: Usage | None, extra: Json, *, is_own: bool = False) -> None:
        """What the whole reply used, and members of a vendor's reply."""
        self._usage = usage or self._usage
        more = dict(extra)
        self._tier = tier(more.pop("service_tier", None)) or self._tier
        self._tail |= more
        self._is_own = is_own

    def finish(self, finish: Finish) -> None:
        """The answer is complete, or as complete as it will be. Closes every item."""
        self.learn(finish.extra)
        reason = finish.reason
        last = self._count - 1 if reason not in {"stop", "tool_calls"} else -1
        self._close_thought(None)
        self._close_message(is_cut=self._message is not None and self._message.at == last)
        for call in self._calls.values():
            self._close(call.at, call.end(is_cut=call.at == last))
        self._calls = {}
        self._status = "incomplete" if reason in CUT else "failed" if reason == "error" else "completed"
        self._cut = {"reason": CUT[reason]} if reason in CUT else None
        words = f"the model's answer ended with `{finish.raw or reason}`"
        self._error = failure(None, 0, words) if reason == "error" else None
        if finish.raw not in {None, reason, self._status, CUT.get(reason)}:
            self._extra["native_finish_reason"] = finish.raw
        if finish.stop is not None:
            self._extra["stop_sequence"] = finish.stop

    def fail(self, event: ErrorEvent) -> None:
        """The provider broke off: an `error` event, and the reply as far as it came.

        The error stands in the event twice: flat as documented, and under `error` as OpenAI sends it and as its SDK raises it.
        """
        kind, message = (event.raw or {}).get("type"), event.message or "the provider broke off with an error"
        error = {
            "type": kind if isinstance(kind, str) and kind != "error" else "server_error",
            "code": event.code,
            "message": message,
            "param": None,
        }
        self._say("error", {"code": event.code, "message": message, "param": None, "error": error})
        self._status, self._error = "failed", failure(event.code, event.status, message)
        self._say("response.failed", {"response": self.reply()})

    def end(self) -> None:
        """The last event, with everything in it."""
        self._status = "failed" if self._status == "in_progress" else self._status
        self._say(f"response.{self._status}", {"response": self.reply()})

    def reply(self) -> Json:
        """The reply as it stands."""
        body = {
            **self._head,
            "status": self._status,
            "error": self._error,
            "incomplete_details": self._cut,
            "output": [self._output[at] for at in sorted(self._output)],
            "service_tier": self._tier,
            "usage": None if self._usage is None else encode_usage(self._usage),
            **self._echo,
        }
        extra = {**self._extra, **self._tail}
        return added(body, extra) if self._is_own else added(body | moderation(extra), extra, RESERVED)

    # its items

    def add(self, part: Part) -> None:
        """A whole part."""
        match part:
            case Text():
                self.text(part.text, part.opaque)
                for citation in part.citations:
                    self.cite(citation)
            case Refusal():
                self.refuse(part.text)
            case Reasoning():
                if part.text:
                    self.think(part.text, part.item_id)
                self.end_thought(part.opaque, part.item_id, is_redacted=part.is_redacted)
            case ToolCall():
                self.call(
                    ToolCallStart(part.index, part.id, part.name, 0, part.custom, part.item_id, part.opaque, part.extra)
                )
                self.argue(part.index, part.arguments)
            case Image() | Audio() | Item():
                self.put(part)
            case _:
                raise TypeError(f"a model does not answer with a part of type `{type(part).__name__}`")

    def text(self, text: str, opaque: Opaque | None) -> None:
        """More text. A signature belongs to the text so far."""
        if text or (opaque is not None and self._message is None):
            self._open_message().write("output_text", text)
        if opaque is not None and self._message is not None:
            self._message.opaque = opaque

    def refuse(self, text: str) -> None:
        """More of a refusal."""
        if text:
            self._open_message().write("refusal", text)

    def cite(self, citation: Citation) -> None:
        """A source of the last text; one that came behind its message stands beside the reply."""
        if self._message is None or not self._message.cite(citation):
            self._extra["citations"] = [*self._extra.get("citations", []), citation.raw or {"url": citation.url}]

    def think(self, text: str, item_id: str | None = None) -> None:
        """More thinking."""
        if self._thought is None:
            self._close_message()
            at = self._next()
            self._thought = WrittenThought(self._say, at, self._id("rs", at, item_id))
        self._thought.write(text)

    def end_thought(self, opaque: Opaque | None, item_id: str | None, *, is_redacted: bool) -> None:
        """The end of a block of thinking; what must travel along without any text is an item of its own."""
        if self._thought is not None and not is_redacted:
            self._close_thought(opaque)
            return
        self._close_thought(None)
        if opaque is not None:
            self._close_message()
            at = self._next()
            thought = WrittenThought(self._say, at, self._id("rs", at, item_id, is_redacted=is_redacted))
            self._close(at, thought.end(opaque))

    def call(self, start: ToolCallStart) -> None:
        """A tool call begins."""
        self._close_thought(None)
        self._close_message()
        at = self._next()
        item_id = self._id("ctc" if start.custom else "fc", at, start.item_id)
        call_id = start.id if start.id and start.id not in self._used else self._ids.call(at)
        self._used.add(call_id)
        self._calls[start.call] = WrittenCall(self._say, at, item_id, call_id, start)

    def argue(self, call: int, text: str) -> None:
        """More arguments of a call."""
        if text and call in self._calls:
            self._calls[call].write(text)

    def put(self, part: Image | Audio | Item) -> None:
        """A part that came whole. What is no item of this dialect stands beside the reply."""
        self._close_thought(None)
        if isinstance(part, Item) and part.dialect == NAME:
            self._put(part.raw, part.raw)
        elif isinstance(part, Item):
            held = {**part.raw, "dialect": part.dialect}
            self._extra["provider_items"] = [*self._extra.get("provider_items", []), held]
        elif isinstance(part, Image):
            self._put_picture(part)
        else:
            if part.transcript:
                self.text(part.transcript, None)
            self._extra["audio"] = given(id=part.id, data=part.data, format=part.format, transcript=part.transcript)

    def _put_picture(self, image: Image) -> None:
        if image.data is None:
            held = {"type": "image_url", "image_url": {"url": image.url or ""}}
            self._extra["images"] = [*self._extra.get("images", []), held]
            return
        at = self._count
        kind = (image.media_type or "image/png").rpartition("/")[2]
        item = {
            "id": self._id("ig", at, None),
            "type": "image_generation_call",
            "status": "in_progress",
            "result": None,
        }
        self._put(item, {**item, "status": "completed", "output_format": kind, "result": image.data})

    def _put(self, begun: Json, done: Json) -> None:
        self._close_message()
        at = self._next()
        self._say("response.output_item.added", {"output_index": at, "item": begun})
        self._close(at, done)

    def _next(self) -> int:
        self._count += 1
        return self._count - 1

    def _id(self, kind: str, at: int, own: str | None, *, is_redacted: bool = False) -> str:
        found = own if own and own not in self._used else self._ids.item(kind, at, is_redacted=is_redacted)
        self._used.add(found)
        return found

    def _open_message(self) -> WrittenMessage:
        self._close_thought(None)
        if self._message is None:
            at = self._next()
            self._message = WrittenMessage(self._say, at, self._id("msg", at, None), self._phase)
        return self._message

    def _close_message(self, *, is_cut: bool = False) -> None:
        if self._message is not None:
            self._close(self._message.at, self._message.end(self._logprobs, is_cut=is_cut))
        self._message, self._logprobs = None, self._logprobs if self._message is None else []

    def _close_thought(self, opaque: Opaque | None) -> None:
        if self._thought is not None:
            self._close(self._thought.at, self._thought.end(opaque))
        self._thought = None

    def _close(self, at: int, item: Json) -> None:
        self._output[at] = item
        self._say("response.output_item.done", {"output_index": at, "item": item})
