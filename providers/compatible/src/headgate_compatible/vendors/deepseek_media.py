"""Files and sound of DeepSeek for clients of OpenAI's: a chat names files in a way of its own, and sound is a tool there.

Sources: https://api-docs.deepseek.com/guides/vision and https://api-docs.deepseek.com/guides/files_api (a part `file` has
`file_id`, or `file_data` and `filename`, beside its `type`; an id and a name together are refused),
https://api-docs.deepseek.com/guides/tts and https://api-docs.deepseek.com/guides/asr (no models, no language that could be said,
sound as WAV or PCM). What else is known there (`filter_markdown`) passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Raw, structs

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.forms import Part
from headgate_compatible.turns import Members, changed
from headgate_compatible.vendors import transcripts
from headgate_compatible.vendors.speech import refuse_idle, voice_of

FILE = b'"file"'
_USER = b'"user"'
_KINDS = ("wav", "pcm")
_members = msgspec.json.Decoder(dict[str, Raw])
_parts = msgspec.json.Decoder(list[Raw])


def flatten_files(body: bytes) -> bytes:
    """A chat request whose files are named as DeepSeek has it; the very same bytes where none is named as OpenAI has it."""
    members = _members.decode(body)
    told = changed(members.get("messages", Raw(b"null")), _USER, _with_flat_files)
    if told == members.get("messages", told):
        return body
    return msgspec.json.encode({**members, "messages": told})


def encode_speech(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for speech as DeepSeek takes it, for WAV where no format is named. `gaps` is told of what it has not."""
    members = decode_object(body)
    members.pop("model", None)
    refuse_idle(members, gaps, {"instructions": "", "speed": 1, "stream": False, "stream_format": "audio"})
    voice, kind = voice_of(members), members.pop("response_format", None) or _KINDS[0]
    if kind not in _KINDS:
        gaps.refuse("response_format", f"sound comes as one of {', '.join(_KINDS)} there")
        kind = _KINDS[0]
    spoken = {} if voice is None else {"voice_id": voice}
    return msgspec.json.encode({"text": members.pop("input", None), **spoken, "format": kind, **members})


def encode_transcript(parts: Iterable[Part], _values: Mapping[str, Any], gaps: Gaps) -> list[Part]:
    """OpenAI's form of sound as DeepSeek's, which is the file alone. `gaps` is told of what it has not."""
    _, file = transcripts.fields_of(parts, {}, gaps)
    return [structs.replace(file, content_type=file.content_type or "application/octet-stream")]


def _with_flat_files(message: Members, _at: int) -> Members:
    try:
        parts = _parts.decode(message.get("content", b""))
    except msgspec.DecodeError:
        return message  # a text, or what the vendor refuses
    found = [_flat(part) for part in parts]
    return message if found == parts else {**message, "content": Raw(msgspec.json.encode(found))}


def _flat(part: Raw) -> Raw:
    """A part, and if it is a file the members of that beside its type."""
    try:
        members = _members.decode(part)
        if bytes(members.get("type", b"")) != FILE or "file" not in members:
            return part
        held = _members.decode(members.pop("file"))
    except msgspec.DecodeError:
        return part
    if "file_id" in held:
        held.pop("filename", None)
    return Raw(msgspec.json.encode({**members, **held}))
