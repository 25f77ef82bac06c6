"""The parts of Google's contents, of requests and of replies, and how its JSON may be written.

Google reads every name in camelCase and in snake_case, and a list of one without its brackets; so does this.
Source: https://ai.google.dev/api/caching#Content and https://protobuf.dev/programming-guides/json
"""

from __future__ import annotations

import re
from typing import Any, cast

import msgspec
from msgspec import Raw, Struct, field
from typing_extensions import override

from headgate.chat import Audio, File, Image, Item, Opaque, Part, Reasoning, Text
from headgate.dialects.google.facts import NAME, audio_format, is_google_file, sealed, type_of_url, unsealed
from headgate.dialects.openai.members import Json, Members, typed

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_HUMP = re.compile(r"(?<=[a-z0-9])_([a-z0-9])")
PROVIDER_ITEM = "provider_item"
"""The member of `partMetadata` that carries a block of another provider to a client of Google's API and back."""


class _RawCall(Struct):
    args: Raw = Raw(b"")
    response: Raw = Raw(b"")


class _RawPart(Struct):
    call: _RawCall | None = field(default=None, name="functionCall")
    snake_call: _RawCall | None = field(default=None, name="function_call")
    result: _RawCall | None = field(default=None, name="functionResponse")
    snake_result: _RawCall | None = field(default=None, name="function_response")


class _RawContent(Struct):
    parts: list[_RawPart] | _RawPart | None = None


class _RawCandidate(Struct):
    content: _RawContent | None = None


class _RawBody(Struct):
    contents: list[_RawContent] | _RawContent | None = None
    candidates: list[_RawCandidate] | None = None


_raw_body = msgspec.json.Decoder(_RawBody)


class Fields(Members):
    """Members by their camelCase names, however they were written."""

    __slots__ = ()

    def __init__(self, value: object, place: str = "") -> None:
        super().__init__(value, place)
        if any("_" in name for name in self._held):
            self._held = {camel(name): held for name, held in self._held.items()}

    @override
    def inner(self, name: str, short: str = "") -> Fields:
        value = self._held.pop(name, None)
        if short and isinstance(value, str):
            value = {short: value}
        found = self._inner[name] = Fields(value, self.at(name))
        return found

    @override
    def inner_if_given(self, name: str) -> Fields | None:
        if self._held.get(name) is None:
            self._held.pop(name, None)
            return None
        return self.inner(name)

    @override
    def listed(self, name: str) -> list[Members]:
        return list(self.each(name))

    def each(self, name: str) -> list[Fields]:
        """The objects of a list; an object stands for a list of itself, and null for none."""
        value: Any = self._held.pop(name, None)
        if isinstance(value, dict):
            return [Fields(cast("Json", value), self.at(name))]
        values = [] if value is None else typed(value, list[Any], self.at(name))
        return [Fields(one, f"{self.at(name)}[{at}]") for at, one in enumerate(values)]

    def count(self, name: str) -> int | None:
        """A whole number, which JSON may write as 40.0 and protobuf's JSON as a string."""
        value = self._held.pop(name, None)
        if (isinstance(value, float) and value.is_integer()) or (isinstance(value, str) and _WHOLE.fullmatch(value)):
            return int(value)
        return None if value is None else typed(value, int, self.at(name))


_STANDARD = str.maketrans("-_", "+/")


def camel(name: str) -> str:
    """`response_mime_type` as `responseMimeType`."""
    return _HUMP.sub(lambda found: found[1].upper(), name)


def with_exact_calls(data: Json, body: bytes) -> Json:
    """`data`, decoded from `body`, with the arguments and the results of its calls as the JSON text they came as."""
    if b"unction" not in body:
        return data
    try:
        raw = _raw_body.decode(body)
    except msgspec.ValidationError:
        return data  # the decoder proper says which place has the wrong shape
    for content, exact in zip(_items(data.get("contents")), _items(raw.contents), strict=False):
        _exact_parts(content, exact)
    for candidate, found in zip(_items(data.get("candidates")), raw.candidates or (), strict=False):
        if found.content is not None:
            _exact_parts(candidate.get("content"), found.content)
    return data


def _exact_parts(content: Any, raw: _RawContent) -> None:
    for part, exact in zip(_items(content.get("parts")), _items(raw.parts), strict=False):
        for names, held in (
            (("functionCall", "function_call"), exact.call or exact.snake_call),
            (("functionResponse", "function_response"), exact.result or exact.snake_result),
        ):
            for name in names:
                if held is not None and isinstance(part.get(name), dict):
                    part[name] |= {key: text for key in ("args", "response") if (text := getattr(held, key))}


def _items(value: Any) -> list[Any]:
    if value is None:
        return []
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def arguments_of(call: Fields) -> str:
    """The arguments of a call as compact JSON text; "" when there are none."""
    held = call.take("args")
    if held is None:
        return ""
    text = msgspec.json.format(bytes(held) if isinstance(held, Raw) else msgspec.json.encode(held), indent=-1)
    return "" if text == b"null" else text.decode()


def decode_part(part: Fields) -> Part | None:
    """A part that is no call and no result; None for an empty one."""
    metadata = part.find("partMetadata", Json)
    carried = (metadata or {}).get(PROVIDER_ITEM)
    if isinstance(carried, dict) and isinstance(cast("Json", carried).get("dialect"), str):
        held = dict(cast("Json", carried))
        return Item(held.pop("dialect"), held)
    more: Json = {"partMetadata": metadata} if metadata else {}
    signature, is_thought = part.find("thoughtSignature", str), part.find("thought", bool)
    opaque, item_id = unsealed(signature)
    text = part.find("text", str)
    blob, file = part.inner_if_given("inlineData"), part.inner_if_given("fileData")
    if blob is not None or file is not None:
        if signature:
            more = {**more, "thoughtSignature": signature}
        return _decode_blob(part, blob, more) if blob is not None else _decode_file(part, cast("Fields", file), more)
    rest = part.rest() | more
    if is_thought:
        is_redacted = not text and opaque is not None
        return Reasoning(text or "", opaque, is_redacted, is_summary=not is_redacted, item_id=item_id, extra=rest)
    if text is not None or (opaque is not None and not rest):
        return Text(text or "", opaque=opaque, extra=rest)
    if not rest:
        return None
    return Item(NAME, rest | ({"thoughtSignature": signature} if signature else {}))


def _decode_blob(part: Fields, blob: Fields, more: Json) -> Part:
    data, title = _standard(blob.need("data", str)), blob.find("displayName", str)
    media_type = blob.find("mimeType", str) or "application/octet-stream"
    spoken = part.inner_if_object("audioTranscription") if media_type.startswith("audio/") else None
    transcript = None if spoken is None else spoken.find_if("text", str)
    rest = part.rest() | more
    if media_type.startswith("image/"):
        named = {"inlineData": {"displayName": title}} if title else {}
        return Image(data=data, media_type=media_type, extra=rest | named)
    if media_type.startswith("audio/"):
        format_ = audio_format(media_type)
        exact = {"inlineData": {"mimeType": media_type}} if ";" in media_type else {}
        return Audio(data, format_, transcript, extra=rest | exact)
    return File(data=data, media_type=media_type, filename=title, extra=rest)


def _standard(data: str) -> str:
    """Base64 in the standard alphabet and padded: Google takes the other one as well (RFC 4648 section 5)."""
    plain = data.translate(_STANDARD).rstrip("=")
    return plain + "=" * (-len(plain) % 4)


def _decode_file(part: Fields, file: Fields, more: Json) -> Part:
    uri, media_type = file.need("fileUri", str), file.find("mimeType", str)
    title, rest = file.find("displayName", str), part.rest() | more
    kind = media_type or type_of_url(uri) or ""
    own = is_google_file(uri)
    if kind.startswith("image/"):
        named = {"fileData": {"displayName": title}} if title else {}
        return Image(None if own else uri, None, media_type, uri if own else None, extra=rest | named)
    return File(None if own else uri, None, media_type, uri if own else None, title, extra=rest)


def encode_media(part: Image | File) -> Json:
    """A picture or a file, by its bytes or by its address."""
    media = {"mimeType": part.media_type} if part.media_type else {}
    if part.data is not None:
        return {"inlineData": {**media, "data": part.data}}
    return {"fileData": {**media, "fileUri": part.url or part.file_id or ""}}


def transcribed(sound: Audio) -> Json:
    """What is said in a sound: `audioTranscription` of its part, which https://ai.google.dev/api/caching#Part calls output."""
    return {"audioTranscription": {"text": sound.transcript}} if sound.transcript else {}


def signed(opaque: Opaque | None, item_id: str | None = None) -> Json:
    """The signature of a part, if it has one."""
    return {} if opaque is None else {"thoughtSignature": sealed(opaque, item_id)}


def arguments_of_call(arguments: str) -> Raw:
    """The arguments of a call as the JSON object Google wants. What is none becomes the member `input` of one."""
    try:
        msgspec.json.decode(arguments or "{}", type=dict[str, Raw])
        return Raw(msgspec.json.format((arguments or "{}").encode(), indent=-1))
    except (msgspec.DecodeError, RecursionError):
        return Raw(msgspec.json.encode({"input": arguments}))
