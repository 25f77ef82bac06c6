"""Sound of DashScope's own API for clients of OpenAI's: speech stands at an address that comes back, a transcript in a message.

Sources: https://www.alibabacloud.com/help/en/model-studio/qwen-tts-api (WAV alone; what else its examples name, such as
`instructions`, its SDK `dashscope` 2.0 sends as parameters),
https://www.alibabacloud.com/help/en/model-studio/cosyvoice-tts-http-api (all stands beside the text, `rate` too; CosyVoice, and
Qwen-Audio-TTS as that SDK has it) and https://www.alibabacloud.com/help/en/model-studio/qwen-asr-api-reference (a message of the
system is context). Translations are a chat that always streams:
https://www.alibabacloud.com/help/en/model-studio/qwen3-livetranslate-flash-api
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import as_object, objects
from headgate.dialects.sse import data_of, events_of
from headgate.errors import ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate.forms import Part
from headgate_compatible.vendors import pictures, transcripts
from headgate_compatible.vendors.as_json import Told
from headgate_compatible.vendors.speech import refuse_idle, voice_of

Json = dict[str, Any]

_KIND = "wav"
_INPUT = "language_type"
"""What stands beside the text, where other members are parameters."""
_MP3 = ("data:audio/mp3;", "data:audio/mpeg;")
"""A label of MP3, and the media type that is asked for."""
_COSY = ("cosyvoice-", "qwen-audio-")
_COSY_KINDS = ("mp3", "opus", "pcm", "wav")
_PCM_HZ = 24_000
"""The rate of OpenAI's `pcm`: https://platform.openai.com/docs/guides/text-to-speech"""
_WORDS: Mapping[str, str] = {"instructions": "instruction", "speed": "rate"}
"""CosyVoice's names of members."""


_TARGET = {"target_lang": "en"}
"""What OpenAI's translations are into: https://platform.openai.com/docs/api-reference/audio/createTranslation"""
_LANGUAGES = {"source_lang": "source_lang", "target_lang": "target_lang"}


def is_cosy(model: str) -> bool:
    """Whether a model speaks at the address of CosyVoice."""
    return model.startswith(_COSY)


def encode_cosy(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for speech as CosyVoice takes it. `gaps` is told of what it has not."""
    members = decode_object(body)
    model, text, voice = members.pop("model", None), members.pop("input", None), voice_of(members)
    refuse_idle(members, gaps, {"stream": False, "stream_format": "audio"})
    kind = members.pop("response_format", None) or _COSY_KINDS[0]
    if kind not in _COSY_KINDS:
        gaps.refuse("response_format", f"sound comes as one of {', '.join(_COSY_KINDS)} there")
        kind = _COSY_KINDS[0]
    asked = {_WORDS.get(name, name): value for name, value in members.items() if value is not None}
    spoken: Json = {"text": text, **({} if voice is None else {"voice": voice}), "format": kind}
    rate = {"sample_rate": _PCM_HZ} if kind == "pcm" else {}
    return msgspec.json.encode({"model": model, "input": {**spoken, **rate, **asked}})


def encode_speech(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for speech as Qwen-TTS takes it, for WAV where no format is named. `gaps` is told of what it has not."""
    members = decode_object(body)
    model, text, voice = members.pop("model", None), members.pop("input", None), voice_of(members)
    refuse_idle(members, gaps, {"speed": 1, "stream": False, "stream_format": "audio"})
    if members.pop("response_format", None) not in (None, _KIND):
        gaps.refuse("response_format", f"sound comes as `{_KIND}` there")
    spoken: Json = {"text": text, **({} if voice is None else {"voice": voice})}
    if _INPUT in members:
        spoken[_INPUT] = members.pop(_INPUT)
    said: Json = {"model": model, "input": spoken}
    return msgspec.json.encode({**said, **({"parameters": members} if members else {})})


def address_in(body: bytes) -> object:
    """What a good answer has in the place of the address of its sound."""
    output = as_object(pictures.object_in(body).get("output")) or {}
    return (as_object(output.get("audio")) or {}).get("url")


def encode_transcript(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes:
    """OpenAI's form of sound as Qwen-ASR takes it, with what `values` overrides. `gaps` is told of what it has not."""
    members, file = transcripts.fields_of(parts, {"language": "language", "prompt": "prompt"}, gaps)
    prompt = members.pop("prompt", None)
    context = [] if prompt is None else [{"role": "system", "content": [{"text": prompt}]}]
    heard = {"role": "user", "content": [{"audio": transcripts.uri_of(file).replace(*_MP3, 1)}]}
    said: Json = {"input": {"messages": [*context, heard]}}
    return msgspec.json.encode({**said, **({"parameters": {"asr_options": members}} if members else {}), **values})


def decode_transcript(headers: RawHeaders, body: bytes) -> Reply:
    """A good answer with its text where OpenAI's clients look for it. Raises ProviderFailed for one without."""
    output = as_object(pictures.object_in(body).get("output")) or {}
    said = [as_object(choice.get("message")) or {} for choice in objects(output.get("choices"))]
    if not said:
        raise ProviderFailed("the provider answered with no transcript", code="upstream_bad_reply")
    texts = [each.get("text") for message in said for each in objects(message.get("content"))]
    return Reply(200, headers, msgspec.json.encode({"text": "".join(text for text in texts if isinstance(text, str))}))


def encode_translation(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> Told:
    """OpenAI's form of sound as a chat with Qwen-LiveTranslate, into English. `gaps` is told of what it has not.

    `source_lang` and `target_lang`, the vendor's own, pass.
    """
    members, file = transcripts.fields_of(parts, {"temperature": "temperature", **_LANGUAGES}, gaps)
    languages = {name: members.pop(name) for name in _LANGUAGES if name in members}
    label, _, data = transcripts.uri_of(file).partition(";")
    sound = {"data": f"data:;{data}", "format": label.removeprefix("data:audio/")}
    said: Json = {
        "messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": sound}]}],
        "modalities": ["text"],
        "stream": True,
        "stream_options": {"include_usage": True},
        "translation_options": {**_TARGET, **languages},
    }
    return Told(msgspec.json.encode({**said, **members, **values}), decode=decode_translation)


def decode_translation(headers: RawHeaders, body: bytes) -> Reply:
    """The text of a whole stream of chat. Raises ProviderFailed for one that breaks off, or tells of an error."""
    texts: list[str] = []
    usage: Json = {}
    is_whole = False
    for event in events_of(body):
        data = data_of(event)
        if not data.startswith(b"{"):
            continue
        held = pictures.object_in(data)
        if "error" in held:
            message = (as_object(held["error"]) or {}).get("message")
            raise ProviderFailed(str(message or "the provider broke off"), code="upstream_error")
        for choice in objects(held.get("choices")):
            texts.append(str((as_object(choice.get("delta")) or {}).get("content") or ""))
            is_whole = is_whole or choice.get("finish_reason") is not None
        usage = as_object(held.get("usage")) or usage
    if not is_whole:
        raise ProviderFailed("the provider closed the stream before it was complete", code="upstream_cut")
    labelled = (*(pair for pair in headers if pair[0] != b"content-type"), (b"content-type", b"application/json"))
    return Reply(200, labelled, msgspec.json.encode({"text": "".join(texts), **_used(usage)}))


def _used(usage: Json) -> Json:
    """The usage of a chat as OpenAI tells that of sound; nothing where the vendor tells none."""
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(read, int) or not isinstance(written, int):
        return {}
    counted = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
    return {"usage": {"type": "tokens", **counted}}
