"""MiniMax's transcripts for the forms of OpenAI's clients: the language is a header, and speakers come with the segments.

Source: https://platform.minimax.io/docs/api-reference/speech-to-text (a stream has `delta`s and ends in `finish`) and
https://github.com/MiniMax-AI/cli (`mmx-cli` 1.0.27: a field `language` means nothing; moments are of sentences or words; the
events of a stream hold `index` and `delta`, the last `finish` and `duration`).
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from functools import partial
from typing import Any

import msgspec
from msgspec import structs

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import objects
from headgate.dialects.sse import data_event, data_of, events_of
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate.forms import Part
from headgate_compatible.vendors.as_json import Told, text_of
from headgate_compatible.vendors.minimax_media import failed_in
from headgate_compatible.vendors.transcripts import said_as_text

Json = dict[str, Any]

_FORMATS: Mapping[str, str] = {
    "json": "json",
    "text": "json",
    "verbose_json": "verbose_json",
    "diarized_json": "verbose_json",
    "srt": "srt",
    "vtt": "vtt",
}
"""What OpenAI's clients ask for, in MiniMax's words."""
_STREAMED = frozenset({"json", "text"})
_GRAINS: Mapping[str, str] = {"segment": "sentence", "word": "word"}
_GRAIN = "timestamp_granularities"
_OWN = "timestamp_level"
_IDLE = frozenset({("chunking_strategy", b"auto"), ("temperature", b"0"), ("stream", b"false")})
"""What asks for nothing."""
_LANGUAGE = re.compile(r"[A-Za-z0-9-]{1,35}", re.ASCII)
"""BCP 47: https://www.rfc-editor.org/rfc/rfc5646"""
_TEXT: RawHeaders = ((b"content-type", b"text/plain; charset=utf-8"),)


def encode(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> Told:
    """A form as MiniMax takes it, with what `values` overrides. `gaps` is told of what it has not.

    Raises InvalidRequest for a form without a file, and for a language that is none.
    """
    fields = {name: said_as_text(value) for name, value in values.items()}
    files: list[Part] = []
    grains: list[str] = []
    for part in parts:
        if part.name == "file":
            files.append(structs.replace(part, content_type=part.content_type or "application/octet-stream"))
        elif part.name in {_GRAIN, f"{_GRAIN}[]"}:
            grains.append(text_of(part))
        elif part.name in {"language", "model", "response_format", "stream", _OWN}:
            fields.setdefault(part.name, part.content)
        elif part.content and (part.name, part.content) not in _IDLE:
            gaps.refuse(part.name)
    if not files:
        raise InvalidRequest("`file` is missing: send the sound in it", param="file")
    language = fields.pop("language", b"").decode()
    if language and not _LANGUAGE.fullmatch(language):
        raise InvalidRequest("`language` must be a tag such as `en`", param="language")
    form, is_streamed = _format_of(fields, gaps)
    _tell_moments(fields, grains, gaps)
    return Told(
        [*(Part(name, "", value) for name, value in fields.items()), *files[-1:]],
        ((b"language", language.encode()),) if language else (),
        _no_stream if is_streamed else partial(_decode, form, language, fields.get(_OWN) == b"word"),
        _telling if is_streamed else None,
    )


def _format_of(fields: dict[str, bytes], gaps: Gaps) -> tuple[str, bool]:
    """The format that a client asks for, and whether as a stream; the vendor's word for it is put into the fields."""
    form = fields.pop("response_format", b"").decode() or "json"
    if form not in _FORMATS:
        gaps.refuse("response_format", f"transcripts come as one of {', '.join(_FORMATS)} there")
        form = "json"
    is_streamed = fields.pop("stream", b"").lower() in {b"true", b"1"}
    if is_streamed and form not in _STREAMED:
        gaps.refuse("stream", f"what is streamed there is one of {', '.join(sorted(_STREAMED))}")
        is_streamed = False
    fields["response_format"] = _FORMATS[form].encode()
    if is_streamed:
        fields["stream"] = b"true"
    return form, is_streamed


def _tell_moments(fields: dict[str, bytes], grains: list[str], gaps: Gaps) -> None:
    """Put into the fields whether the moments of sentences or of words are wanted."""
    asked = sorted(set(grains))
    if len(asked) > 1 or any(each not in _GRAINS for each in asked):
        gaps.refuse(_GRAIN, f"moments are those of one of {', '.join(_GRAINS)} there")
    elif asked:
        fields.setdefault(_OWN, _GRAINS[asked[0]].encode())


def _decode(form: str, language: str, has_words: bool, headers: RawHeaders, body: bytes) -> Reply:  # noqa: FBT001 - bound above
    """A good answer in the client's format, an error as one. Raises ProviderFailed for one without a text."""
    failed = failed_in(headers, body)
    if failed is not None or form in {"srt", "vtt"}:
        return failed or Reply(200, headers, body)
    try:
        held = decode_object(body)
    except InvalidRequest:
        held = {}
    text, segments = held.get("text"), objects(held.get("segments"))
    if not isinstance(text, str):
        raise ProviderFailed("the provider answered with no transcript", code="upstream_bad_reply")
    if form == "text":
        return Reply(200, (*(pair for pair in headers if pair[0] != b"content-type"), *_TEXT), text.encode())
    told: Json = {"text": text, **_usage_of(held)}
    if form != "json":
        told = {"task": "transcribe", "language": language, "duration": held.get("duration"), **told}
        told |= {"n_speakers": held["n_speakers"]} if "n_speakers" in held else {}
        if has_words:
            told["words"] = [{**_without_text(each), "word": each.get("text")} for each in segments]
        elif form == "diarized_json":
            kind = {"type": "transcript.text.segment"}
            told["segments"] = [{**each, **kind, "id": str(each.get("id", at))} for at, each in enumerate(segments)]
        else:
            told["segments"] = [{"id": at, **each} for at, each in enumerate(segments)]
    return Reply(200, headers, msgspec.json.encode(told))


def _no_stream(headers: RawHeaders, body: bytes) -> Reply:
    """An answer that is no stream where one was asked for: an error. Raises ProviderFailed for any other."""
    failed = failed_in(headers, body)
    if failed is None:
        raise ProviderFailed("a stream was asked for and something else came", code="upstream_bad_reply")
    return failed


async def _telling(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The events of a stream as OpenAI's. One that ends before the vendor says so breaks off. Raises ProviderFailed."""
    texts: list[str] = []
    async for chunk in chunks:
        for event in events_of(chunk):
            said = _said_in(data_of(event))
            delta = said.get("delta")
            if isinstance(delta, str) and delta:
                texts.append(delta)
                yield data_event(msgspec.json.encode({"type": "transcript.text.delta", "delta": delta}))
            if said.get("finish") is True:
                done: Json = {"type": "transcript.text.done", "text": "".join(texts), **_usage_of(said)}
                yield data_event(msgspec.json.encode(done))
                return


def _said_in(data: bytes) -> Json:
    """What an event says. Raises ProviderFailed for one that is an error."""
    failed = failed_in((), data)
    if failed is not None:
        words: Json = msgspec.json.decode(failed.body)
        raise ProviderFailed(words["error"]["message"], code="upstream_error")
    try:
        return decode_object(data)
    except InvalidRequest:
        return {}


def _usage_of(said: Json) -> Json:
    """The length of the sound as OpenAI's usage of models that are paid by it."""
    seconds = said.get("duration")
    return {"usage": {"type": "duration", "seconds": seconds}} if isinstance(seconds, int | float) else {}


def _without_text(segment: Json) -> Json:
    return {name: value for name, value in segment.items() if name not in {"id", "text"}}
