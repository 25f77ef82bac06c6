"""Transcripts of Gemini's models for that, for the forms of OpenAI's clients: sound is content, its text part of the answer.

Sources: https://ai.google.dev/gemini-api/docs/generate-content/transcribe,
https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/gemini/3-5-transcribe (no times of utterances, which words
have) and `AudioTranscriptionConfig` and `Transcription` of google-genai 3.4. Other models of Gemini's take that configuration for
nothing and answer the sound, so they are refused. Nothing says how long a sound is: it is told to its last word, and its usage is
in tokens, whatever the form.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from headgate.dialects import Gaps
from headgate.dialects.openai.members import as_object, given, objects
from headgate.errors import InvalidRequest
from headgate.exchange import RawHeaders, Reply
from headgate.forms import Part
from headgate.relay import Decode
from headgate_compatible.vendors.as_json import text_of
from headgate_compatible.vendors.transcripts import uri_of
from headgate_google.answers import object_in, parts_in, usage_in, without

Json = dict[str, Any]

_MARK = "transcribe"
"""What stands in the names of the models that are made for it."""
_KINDS = ("json", "text", "verbose_json", "diarized_json")
_GRAINS = frozenset({"timestamp_granularities", "timestamp_granularities[]"})
_WORDS = frozenset({"customVocabulary", "customVocabulary[]"})
_IDLE = frozenset({("stream", "false"), ("chunking_strategy", "auto"), ("temperature", "0")})
"""What asks for nothing."""


def encode_form(parts: Iterable[Part], values: Mapping[str, Any], model: str, gaps: Gaps) -> tuple[bytes, Decode]:
    """OpenAI's form as `generateContent` takes it, with `values` beside it, and how the answer is told.

    `customVocabulary`, of one phrase or several, is the vendor's own. `gaps` is told of what is lost. Raises InvalidRequest
    for a form without sound, and for a model that answers sound instead of writing it down.
    """
    if _MARK not in model:
        raise InvalidRequest(
            f"`{model}` writes no transcripts: use a model such as `gemini-3.5-transcribe`",
            param="model",
            code="unsupported_model",
        )
    heard: Json | None = None
    said: dict[str, str] = {}
    phrases: list[str] = []
    grains: set[str] = set()
    for part in parts:
        if part.name == "file":
            kind = uri_of(part).partition(";")[0].removeprefix("data:")
            heard = {"inlineData": {"mimeType": kind, "data": b64encode(part.content).decode()}}
        elif part.name in _GRAINS:
            grains.add(text_of(part))
        elif part.name in _WORDS:
            phrases.append(text_of(part))
        elif part.name in {"language", "response_format"} and part.content:
            said[part.name] = text_of(part)
        elif part.name != "model" and part.content and (part.name, text_of(part)) not in _IDLE:
            gaps.refuse(part.name, _WHY.get(part.name, ""))
    if heard is None:
        raise InvalidRequest("`file` is missing: send the sound in it", param="file", code="missing_file")
    kind = _kind_of(said.get("response_format", _KINDS[0]), grains, gaps)
    language = said.get("language")
    config = given(
        languageCodes=[language] if language else None,
        customVocabulary=phrases or None,
        wordTimestamp=True if kind in {"verbose_json", "diarized_json"} else None,
        diarization=True if kind == "diarized_json" else None,
    )
    body: Json = {"contents": [{"role": "user", "parts": [heard]}]}
    if config:
        body["generationConfig"] = {"audioTranscriptionConfig": config}
    told = {name: value for name, value in values.items() if name != "model"}
    return msgspec.json.encode({**body, **told}), partial(_decode, kind=kind, language=language or "")


_WHY: Mapping[str, str] = {
    "prompt": "words to be known there are told as `customVocabulary`, one field for each phrase"
}


def _kind_of(kind: str, grains: set[str], gaps: Gaps) -> str:
    """The form of the answer, with the times that can be had: those of words."""
    if kind not in _KINDS:
        gaps.refuse("response_format", f"transcripts come as one of {', '.join(_KINDS)} there")
        kind = _KINDS[0]
    if kind == "verbose_json" and grains != {"word"}:
        gaps.refuse("timestamp_granularities", "only words have times there: ask for `word` alone")
    elif kind != "verbose_json" and grains:
        gaps.refuse("timestamp_granularities", "times come with `verbose_json`")
    return kind


def _decode(headers: RawHeaders, body: bytes, kind: str, language: str) -> Reply:
    """A good answer in the form `kind`, a refusal as an error. Raises ProviderFailed for one without text."""
    held = object_in(body)
    turns = [turn for part in parts_in(held) if (turn := as_object(part.get("audioTranscription")))]
    texts = [str(part["text"]) for part in parts_in(held) if isinstance(part.get("text"), str)]
    ends = [candidate.get("finishReason") for candidate in objects(held.get("candidates"))]
    if not turns and not texts and "STOP" not in ends:  # an end as usual without a word is silence
        return without("transcript", headers, held)
    spoken = " ".join(str(turn.get("text") or "").strip() for turn in turns if turn.get("text"))
    text = spoken or "".join(texts)
    if kind == "text":
        plain = (b"content-type", b"text/plain; charset=utf-8")
        return Reply(200, (*(pair for pair in headers if pair[0] != plain[0]), plain), text.encode())
    told = {"text": text, **_details(turns, kind, language), **_usage(held)}
    return Reply(200, headers, msgspec.json.encode(told))


def _usage(held: Json) -> Json:
    """Tokens as OpenAI tells them of transcripts."""
    used = usage_in(held)
    if not used:
        return {}
    counts: Json = dict(used["usage"])
    kinds = counts.pop("input_tokens_details", None)
    return {"usage": {"type": "tokens", **counts, **given(input_token_details=kinds)}}


def _details(turns: Sequence[Json], kind: str, language: str) -> Json:
    """What `verbose_json` and `diarized_json` tell beside the text."""
    if kind == "json":
        return {}
    by_turn = [[_word(each) for each in objects(turn.get("words"))] for turn in turns]
    words = [word for each in by_turn for word in each]
    duration = max((word["end"] for word in words), default=0.0)
    if kind == "verbose_json":
        spoken = next((str(turn["languageCode"]) for turn in turns if turn.get("languageCode")), language)
        return {"task": "transcribe", "language": spoken, "duration": duration, "words": words}
    segments = [
        {
            "type": "transcript.text.segment",
            "id": f"seg_{at}",
            "speaker": str(turn.get("speakerLabel") or ""),
            "start": held[0]["start"] if held else 0.0,
            "end": held[-1]["end"] if held else 0.0,
            "text": str(turn.get("text") or ""),
        }
        for at, (turn, held) in enumerate(zip(turns, by_turn, strict=True))
    ]
    return {"task": "transcribe", "duration": duration, "segments": segments}


def _word(said: Json) -> Json:
    return {
        "word": str(said.get("word") or ""),
        "start": _seconds(said.get("startOffset")),
        "end": _seconds(said.get("endOffset")),
    }


def _seconds(offset: object) -> float:
    """A time such as `1.240s`; 0 where none is told, as protobuf leaves out what is nothing."""
    try:
        return float(str(offset).removesuffix("s")) if offset else 0.0
    except ValueError:
        return 0.0
