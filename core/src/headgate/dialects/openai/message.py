"""One message of OpenAI chat, of a request or of a reply, as the canonical model has it.

Sources: https://platform.openai.com/docs/api-reference/chat/create, https://docs.mistral.ai/api/ (thinking, document_url),
https://openrouter.ai/docs/features/multimodal (images out, video_url, files by URL).
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec.structs import replace

from headgate.chat import (
    Audio,
    Citation,
    File,
    Image,
    Item,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from headgate.dialects.data_urls import split_data_url
from headgate.dialects.openai.members import Json, Members, objects, typed
from headgate.dialects.openai.reasoning import is_behind_calls, take_reasoning, take_signature
from headgate.errors import InvalidRequest

DIALECT = "openai.chat"
_ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
_PARTS = {"text", "image_url", "input_audio", "file", "document_url", "video_url", "refusal", "thinking"}
_NOTHING = Text("")
_VIDEO = "video/mp4"
"""What a film is taken for whose URL does not say it."""


def decode_message(value: object, place: str, role: str | None = None) -> Message:
    """One message; `place` names it in an error, and `role` is whose it is when it does not say so."""
    fields = Members(value, place)
    said = fields.take("role") or role
    if not isinstance(said, str) or said not in _ROLES:
        raise InvalidRequest(f"`{place}.role` must be one of {', '.join(sorted(_ROLES))}", param=f"{place}.role")
    name = fields.find("name", str)
    content = decode_content(fields.take("content"), fields.at("content"))
    if said in {"tool", "function"}:
        return Message("tool", (_decode_result(fields, content, name),), extra=fields.rest())
    parts = [*take_reasoning(fields), *take_items(fields), *content, *take_images(fields)]
    parts += take_audio(fields)
    refusal = fields.find("refusal", str)
    parts += [Refusal(refusal)] if refusal else []
    fields.take("parsed")  # with `parsed_arguments` of a call, what the official SDK makes of the text beside it
    parts = _with_citations(parts, take_citations(fields))
    is_last = is_behind_calls(fields)
    opaque = take_signature(fields)
    parts = parts if opaque is None or is_last else _with_signature(parts, opaque)
    parts += _decode_calls(fields)
    parts += [Text("", opaque=opaque)] if is_last and opaque is not None else []
    parts = _with_mark(parts, fields)
    return Message(cast("Role", said), tuple(parts), name, fields.rest())


def decode_content(value: object, place: str) -> list[Part]:
    """The content of a message or a delta: a string, or a list of parts. An empty text says nothing."""
    if isinstance(value, str):
        return [Text(value)] if value else []
    parts = [] if value is None else typed(value, list[Any], place)
    held = [_decode_part(Members(part, f"{place}[{at}]")) for at, part in enumerate(parts)]
    return [part for part in held if part != _NOTHING]


def decode_arguments(value: object) -> str:
    """The arguments of a call: their text, or the text of what some vendors send as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def take_items(fields: Members) -> list[Item]:
    """Blocks that only another dialect understands, as `encode_items` wrote them."""
    items: list[Item] = []
    for raw in fields.listed_if("provider_items"):
        dialect = raw.get("dialect")
        inner = {name: value for name, value in raw.items() if name not in {"dialect", "index"}}
        items.append(Item(dialect if isinstance(dialect, str) else DIALECT, inner))
    return items


def take_images(fields: Members) -> list[Part]:
    """Pictures that a model made: https://openrouter.ai/docs/features/multimodal/image-generation"""
    images: list[Part] = []
    for at, raw in enumerate(fields.listed_if("images")):
        part = Members({"type": "image_url", **raw}, f"{fields.at('images')}[{at}]")
        part.take("index")
        images.append(_decode_part(part))
    return images


def take_audio(fields: Members) -> list[Part]:
    """A model's sound, or in a request the id of one."""
    audio = fields.inner_if_object("audio")
    if audio is None:
        return []
    data, transcript = audio.find("data", str) or "", audio.find("transcript", str)
    sound_id = audio.find("id", str)
    if not (data or transcript or sound_id):
        return []
    return [Audio(data, audio.find("format", str) or "", transcript, sound_id, extra=_drained(audio))]


def take_citations(fields: Members) -> list[Citation]:
    """The sources named in `annotations`; annotations of other kinds stay.

    https://platform.openai.com/docs/guides/tools-web-search - `quote` and `raw` are this gateway's own members.
    """
    annotations = fields.listed_if("annotations")
    others = [item for item in annotations if not isinstance(item.get("url_citation"), dict)]
    if others:
        fields.put("annotations", others)
    return [_citation(item) for item in annotations if isinstance(item.get("url_citation"), dict)]


def _citation(annotation: Json) -> Citation:
    cited = cast("Json", annotation["url_citation"])
    raw = annotation.get("raw")
    plain = {name: value for name, value in annotation.items() if name != "index"}
    return Citation(
        _word(cited.get("url")),
        _word(cited.get("title")),
        _word(cited.get("quote")),
        _place(cited.get("start_index")),
        _place(cited.get("end_index")),
        cast("Json", raw) if isinstance(raw, dict) else plain,
    )


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _place(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _drained(members: Members) -> Json:
    """What is left of an inner object, which then is empty."""
    rest = members.rest()
    for name in rest:
        members.take(name)
    return rest


def _decode_part(part: Members) -> Part:
    kind = part.need("type", str)
    if kind not in _PARTS:
        return Item(DIALECT, {"type": kind, **part.rest()})
    mark = _mark_of(part)
    match kind:
        case "text":
            return Text(part.need("text", str), mark, extra=part.rest())
        case "image_url":
            image = part.inner("image_url", short="url")
            url, detail = image.need("url", str), image.find("detail", str)
            data = split_data_url(url)
            held = Image(url) if data is None else Image(data=data[1], media_type=data[0])
            return replace(held, detail=detail, cache=mark, extra=part.rest())
        case "input_audio":
            audio = part.inner("input_audio", short="data")
            return _decode_audio(audio.need("data", str), audio.find("format", str), part)
        case "file" | "document_url" | "video_url":
            return replace(_decode_file(kind, part), cache=mark, extra=part.rest())
        case "refusal":
            return Refusal(part.need("refusal", str), part.rest())
        case _:
            return _decode_thinking(part)


def _mark_of(part: Members) -> Json | None:
    """A cache mark in Anthropic's form. OpenAI's breakpoint becomes one: it lives half an hour at least.

    https://platform.openai.com/docs/guides/prompt-caching
    """
    mark = part.find("cache_control", Json)
    own = part.inner_if_object("prompt_cache_breakpoint")
    if own is None:
        return mark
    own.take("mode")
    return mark or {"type": "ephemeral", **({"ttl": "1h"} if own.take("ttl") else {})}


def _decode_audio(data: str, format_: str | None, part: Members) -> Audio:
    held = split_data_url(data)
    if held is not None:
        return Audio(held[1], format_ or held[0].removeprefix("audio/").removeprefix("x-"), extra=part.rest())
    if not format_:
        place = part.at("input_audio.format")
        raise InvalidRequest(f"`{place}` is missing: say whether it is wav or mp3", param=place)
    return Audio(data, format_, extra=part.rest())


def _decode_file(kind: str, part: Members) -> File:
    if kind == "document_url":
        return _file_at(part.inner("document_url", short="url").need("url", str), part.find("document_name", str))
    if kind == "video_url":
        film = _file_at(part.inner("video_url", short="url").need("url", str))
        return replace(film, media_type=film.media_type or _VIDEO)
    file = part.inner("file")
    file_id, name, data = (file.find(name, str) for name in ("file_id", "filename", "file_data"))
    held = File() if data is None else _file_at(data)
    return replace(held, file_id=file_id, filename=name)


def _file_at(url: str, name: str | None = None) -> File:
    """A file by its URL, or by its data: as a data URL, or as bare base64, which is a PDF where nothing says otherwise."""
    data = split_data_url(url)
    if data is not None:
        return File(data=data[1], media_type=data[0], filename=name)
    is_url = "://" in url[:16]
    return File(url=url, filename=name) if is_url else File(data=url, media_type="application/pdf", filename=name)


def _decode_thinking(part: Members) -> Part:
    """Mistral's thinking part: a text or a list of texts, and the signature that goes back with it.

    https://docs.mistral.ai/capabilities/reasoning/ and, for the signature, `ThinkChunk` of `mistralai` 3.7.
    """
    value = part.peek("thinking")
    if isinstance(value, str):
        value = [{"type": "text", "text": value}]
    pieces = objects(value)
    texts = [piece["text"] for piece in pieces if isinstance(piece.get("text"), str)]
    if len(texts) == len(pieces):
        part.take("thinking")
    signature = part.find_if("signature", str)
    opaque = Opaque("mistral", signature) if signature else None
    return Reasoning("".join(texts), opaque, extra=part.rest())


def _decode_result(fields: Members, content: list[Part], name: str | None) -> ToolResult:
    """What a tool answered. A legacy function has no call id: its name joins it to its call."""
    call_id = fields.find("tool_call_id", str) or name
    if not call_id:
        place = fields.at("tool_call_id")
        raise InvalidRequest(f"`{place}` is missing: name the call that this message answers", param=place)
    held = tuple(part for part in content if isinstance(part, Text | Image | File))
    if len(held) < len(content):
        place = fields.at("content")
        raise InvalidRequest(f"`{place}`: a tool answers with text, images and files only", param=place)
    return ToolResult(call_id, held, name=name, cache=_mark_of(fields))


def _decode_calls(fields: Members) -> list[Part]:
    calls: list[Part] = [_decode_call(call, at) for at, call in enumerate(fields.listed("tool_calls"))]
    legacy = fields.inner_if_given("function_call")
    if legacy is not None:
        name, arguments = legacy.need("name", str), decode_arguments(legacy.take("arguments"))
        calls.append(ToolCall(name, name, arguments, len(calls), extra=_drained(legacy)))
    return calls


def _decode_call(call: Members, at: int) -> Part:
    """A call of a function or of a custom tool. Other types of a call that names a function keep their type in `extra`."""
    kind, call_id = call.find("type", str), call.find("id", str) or ""
    call.take("index")
    is_custom = call.peek("custom") is not None and call.peek("function") is None
    name_of = "custom" if is_custom else "function"
    if kind not in {None, "function", "custom"}:
        if call.peek("function") is None:
            return Item(DIALECT, {"type": kind, **({"id": call_id} if call_id else {}), **call.rest()})
        call.put("type", kind)
    held = call.inner(name_of)
    name = held.need("name", str)
    text = decode_arguments(held.take("input" if is_custom else "arguments"))
    held.take("parsed_arguments")
    mark, opaque = _mark_of(call), take_signature(call)
    return ToolCall(call_id or name, name, text, at, custom=is_custom, opaque=opaque, cache=mark, extra=call.rest())


def _with_citations(parts: list[Part], citations: list[Citation]) -> list[Part]:
    """The sources on the text that they stand in; their places count from the begin of the whole content."""
    if not citations:
        return parts
    texts = [at for at, part in enumerate(parts) if isinstance(part, Text)]
    if not texts:
        return [*parts, Text("", citations=tuple(citations))]
    cited = list(parts)
    starts = _starts([cast("Text", parts[at]).text for at in texts])
    for citation in citations:
        number = max((n for n, start in enumerate(starts) if start <= (citation.start or 0)), default=0)
        at, start = texts[number], starts[number]
        text = cast("Text", cited[at])
        cited[at] = replace(text, citations=(*text.citations, _moved(citation, -start)))
    return cited


def _starts(texts: list[str]) -> list[int]:
    starts, at = [0], 0
    for text in texts[:-1]:
        at += len(text)
        starts.append(at)
    return starts


def _moved(citation: Citation, by: int) -> Citation:
    if not by:
        return citation
    start, end = citation.start, citation.end
    return replace(citation, start=None if start is None else start + by, end=None if end is None else end + by)


def _with_signature(parts: list[Part], opaque: Opaque) -> list[Part]:
    """A signature of the message belongs to its last text; without one, to an empty text behind all else."""
    for at in range(len(parts) - 1, -1, -1):
        part = parts[at]
        if isinstance(part, Text):
            return [*parts[:at], replace(part, opaque=opaque), *parts[at + 1 :]]
    return [*parts, Text("", opaque=opaque)]


def _with_mark(parts: list[Part], fields: Members) -> list[Part]:
    """A cache mark on the message is one on its last part that can have one."""
    mark = _mark_of(fields)
    for at in range(len(parts) - 1, -1, -1) if mark else ():
        part = parts[at]
        if isinstance(part, Text | Image | File | ToolCall):
            return [*parts[:at], replace(part, cache=part.cache or mark), *parts[at + 1 :]]
    if mark:
        fields.put("cache_control", mark)
    return parts
