"""OpenAI's operations on pictures and sound: bodies are relayed, their texts and their usage are known.

Pictures and voices pass as they come, however large they are; a transcript is text, and read whole.
Sources: https://platform.openai.com/docs/api-reference/images, https://platform.openai.com/docs/api-reference/audio
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, cast

from msgspec.structs import replace
from typing_extensions import override

from headgate.body import decode_object, replace_paths
from headgate.chat import Usage
from headgate.dialects.interface import EventView, Form, TextPlace, WordlessDialect
from headgate.dialects.openai.text import strings_in
from headgate.dialects.openai.usage import decode_usage as prompt_usage
from headgate.dialects.responses.usage import decode_usage as input_usage
from headgate.dialects.sse import Ending, data_of, ending_of
from headgate.errors import InvalidRequest

Json = dict[str, Any]
Path = tuple[str | int, ...]

_JSON = b"application/json"
_EVENTS = b"text/event-stream"
_DONE = "transcript.text.done"
_RETOLD = ("words", "segments", "logprobs")
"""What tells the text of a transcript once more, in other pieces."""
_json = json.JSONDecoder()


class _Media(WordlessDialect):
    """What these operations share: no text in running replies, and usage as the last thing that a reply says."""

    @override
    def tail_usage(self, tail: Sequence[bytes]) -> Usage | None:
        return last_usage(b"".join(tail))


class OpenAIImages(_Media):
    """The `openai.images` dialect: making, editing and varying pictures. Pictures are no text."""

    name = "openai.images"
    operation = "images.generate"

    @override
    def form_of(self, content_type: bytes, *, is_stream: bool) -> Form:
        return "large" if content_type.startswith(_JSON) else "bytes"

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return list(strings_in(body, "prompt"))

    @override
    def reply_texts(self, body: Json) -> Sequence[TextPlace]:
        return [
            TextPlace(("data", at, "revised_prompt"), item["revised_prompt"], "assistant", f"{at}.revised_prompt")
            for at, item in enumerate(_objects(body.get("data")))
            if isinstance(item.get("revised_prompt"), str)
        ]

    @override
    def reply_usage(self, body: bytes) -> Usage | None:
        return last_usage(body)


class OpenAISpeech(_Media):
    """The `openai.speech` dialect. What a voice says was said in the request; nobody here can hear it."""

    name = "openai.speech"
    operation = "audio.speech"
    reads_replies = False

    @override
    def form_of(self, content_type: bytes, *, is_stream: bool) -> Form:
        return "bytes"

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return [*strings_in(body, "input"), *strings_in(body, "instructions")]


class OpenAITranscription(_Media):
    """The `openai.transcription` dialect: transcriptions and translations, as JSON, as plain text or subtitles, or streamed."""

    name = "openai.transcription"
    operation = "audio.transcriptions"

    @override
    def form_of(self, content_type: bytes, *, is_stream: bool) -> Form:
        return "events" if content_type.startswith(_EVENTS) else "whole"

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return list(strings_in(body, "prompt"))

    @override
    def reply_texts(self, body: Json) -> Sequence[TextPlace]:
        places = (
            [TextPlace(("text",), body["text"], "assistant", "0.text")] if isinstance(body.get("text"), str) else []
        )
        for at, segment in enumerate(_objects(body.get("segments"))):
            if isinstance(segment.get("text"), str):
                places.append(TextPlace(("segments", at, "text"), segment["text"], "assistant", "0.segments"))
        return places

    @override
    def view_reply(self, body: bytes) -> Sequence[TextPlace]:
        """A reply that is no JSON, or JSON of another shape, is all text: plain, or subtitles."""
        held = _object_in(body)
        places = self.reply_texts(held) if held is not None else ()
        if places or held == {}:
            return places
        return [TextPlace((), body.decode("utf-8", "replace"), "assistant", "0.text")]

    @override
    def change_reply(self, body: bytes, changes: Sequence[tuple[Path, str]]) -> bytes:
        whole = next((text for path, text in changes if not path), None)
        return super().change_reply(body, changes) if whole is None else whole.encode()

    @override
    def replace_reply_texts(self, body: Json, changes: Iterable[tuple[Path, str]]) -> Json:
        listed = list(changes)
        changed = replace_paths(body, listed)
        is_text = any(path[0] in {"text", "delta"} for path, _ in listed)
        for name in _RETOLD if is_text else ("words", "logprobs"):
            changed.pop(name, None)
        return changed

    @override
    def event_texts(self, data: Json) -> Sequence[TextPlace]:
        kind = data.get("type")
        flow = "done.text" if kind == _DONE else "segment.text" if kind == "transcript.text.segment" else "0.text"
        return [
            TextPlace((name,), data[name], "assistant", flow)
            for name in ("delta", "text")
            if isinstance(data.get(name), str)
        ]

    @override
    def view_event(self, data: bytes) -> EventView:
        decoded = decode_object(data)
        finished = ("0", "segment", "done") if decoded.get("type") == _DONE else ()
        return EventView(self.event_texts(decoded), finished)

    @override
    def ending(self, tail: Sequence[bytes], *, is_broken: bool = False) -> Ending:
        ending = ending_of(tail, is_broken=is_broken)
        if ending == "cut" and any((_object_in(data_of(event)) or {}).get("type") == _DONE for event in tail):
            return "complete"
        return ending

    @override
    def reply_usage(self, body: bytes) -> Usage | None:
        held = _object_in(body)
        return _usage_of(held.get("usage")) if held is not None else None


def last_usage(tail: bytes) -> Usage | None:
    """The usage that stands last in the end of a body, whose beginning may be missing; None when none is there.

    Where the name stands within a text, its quotes are escaped.
    """
    at = tail.rfind(b'"usage"')
    if at < 0:
        return None
    try:
        return _usage_of(_json.raw_decode(tail[at + 7 :].decode("utf-8", "replace").lstrip(": \t\r\n"))[0])
    except (ValueError, RecursionError):
        return None


def _usage_of(found: object) -> Usage | None:
    """A usage object in tokens. One in seconds counts as no tokens, and is kept."""
    if not isinstance(found, dict) or not found:
        return None
    raw = cast("Json", found)
    if "prompt_tokens" in raw:
        try:
            return prompt_usage(raw)
        except ValueError:
            return None
    usage = input_usage(raw)
    details: Any = raw.get("input_token_details")
    sound: Any = cast("Json", details).get("audio_tokens") if isinstance(details, dict) else None
    return replace(usage, audio_in=sound) if isinstance(sound, int) else usage


def _objects(value: object) -> list[Json]:
    held = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Json", item) if isinstance(item, dict) else {} for item in held]


def _object_in(body: bytes) -> Json | None:
    try:
        return decode_object(body)
    except InvalidRequest:
        return None
