"""Sound of DashScope's own API for clients of OpenAI's: speech stands at an address that comes back, a transcript in a message.

Sources: https://www.alibabacloud.com/help/en/model-studio/qwen-tts-api (WAV alone; what else its examples name, such as
`instructions`, its SDK `dashscope` 2.0 sends as parameters) and
https://www.alibabacloud.com/help/en/model-studio/qwen-asr-api-reference (a message of the system is context).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import as_object, objects
from headgate.errors import ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate.forms import Part
from headgate_compatible.vendors import pictures, transcripts
from headgate_compatible.vendors.speech import refuse_idle, voice_of

Json = dict[str, Any]

_KIND = "wav"
_INPUT = "language_type"
"""What stands beside the text, where other members are parameters."""
_MP3 = ("data:audio/mp3;", "data:audio/mpeg;")
"""A label of MP3, and the media type that is asked for."""


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


def address_in(body: bytes) -> str:
    """Where the sound of a good answer is. Raises ProviderFailed for one without."""
    output = as_object(pictures.object_in(body).get("output")) or {}
    url = (as_object(output.get("audio")) or {}).get("url")
    if not isinstance(url, str) or not url:
        raise ProviderFailed("the provider answered with no sound", code="upstream_bad_reply")
    return url


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
