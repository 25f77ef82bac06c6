"""Items of the Responses dialect, as parts of a turn: what requests and replies have in common.

Source: https://platform.openai.com/docs/api-reference/responses/object and the types of the official SDK (3.52).
"""

from __future__ import annotations

from typing import Any, cast

from msgspec.structs import replace

from headgate.chat import Audio, Citation, File, Image, Item, Part, Reasoning, Refusal, Text, ToolCall
from headgate.dialects.data_urls import split_data_url
from headgate.dialects.openai.members import Members, objects, typed
from headgate.dialects.openai.reasoning import take_signature
from headgate.dialects.responses.ids import is_made, is_redacted, unsealed
from headgate.errors import InvalidRequest

Json = dict[str, Any]

NAME = "openai.responses"
ALIEN = "provider_"
"""How the gateway's names of another vendor's members begin, where its own have another meaning here."""
TEXTS = frozenset({"input_text", "output_text", "text", "summary_text"})
_PICTURE = {"type", "id", "status", "result", "output_format"}
"""What the gateway writes of a picture that a model made; a picture that OpenAI's tool made says more."""
_ASKING = ("user", "system", "developer")
_STATED = ("id", "status", "object")
"""Members of an item that say nothing which the request, the reply or the order of items does not say."""


def decode_item(value: object, place: str, index: int) -> list[Part]:
    """An item of the assistant's turn as parts; `index` is the number of the next tool call.

    What only this dialect understands is an Item.
    """
    item = Members(value, place)
    raw = cast("Json", value)
    kind = kind_of(raw)
    item.take("type")
    match kind:
        case "message":
            return decode_content(item.take("content"), item.at("content"))
        case "reasoning":
            return list(_decode_reasoning(item))
        case "function_call" | "custom_tool_call":
            return [_decode_call(item, index, custom=kind == "custom_tool_call")]
        case "image_generation_call":
            return [_decode_picture(raw)]
        case _:
            return [Item(NAME, raw)]


def kind_of(item: Json) -> Any:
    """The type of an item. One that has a role and no type is a message, as Fireworks answers.

    https://docs.fireworks.ai/api-reference/post-responses
    """
    return item.get("type") or ("message" if "role" in item else None)


def is_asked(item: Json) -> bool:
    """Whether an item of a reply repeats what was asked, as Fireworks puts the user's message before the answer."""
    return kind_of(item) == "message" and item.get("role") in _ASKING


def decode_content(value: object, place: str) -> list[Part]:
    """The content of a message, or the output of a tool: a string, or a list of parts."""
    if isinstance(value, str):
        return [Text(value)]
    parts = [] if value is None else typed(value, list[Any], place)
    return [_decode_part(Members(part, f"{place}[{at}]")) for at, part in enumerate(parts)]


def take_mark(part: Members) -> Json | None:
    """A cache breakpoint as the mark that Anthropic has: it lives half an hour at least, or 12 hours.

    Source: https://platform.openai.com/docs/guides/prompt-caching
    """
    held: Any = part.take("prompt_cache_breakpoint")
    if not isinstance(held, dict):
        return None
    return {"type": "ephemeral", **({"ttl": "1h"} if cast("Json", held).get("ttl") == "12h" else {})}


def encode_mark(mark: Json | None) -> Json:
    """The member that holds a mark of this dialect; nothing without one."""
    if mark is None:
        return {}
    return {"prompt_cache_breakpoint": {"mode": "explicit", **({"ttl": "12h"} if mark.get("ttl") == "1h" else {})}}


def decode_citation(raw: Json) -> Citation:
    """An annotation of a text."""
    return Citation(
        url=_if_str(raw.get("url")),
        title=_if_str(raw.get("title")) or _if_str(raw.get("filename")),
        start=_if_int(raw.get("start_index")),
        end=_if_int(raw.get("end_index")),
        raw=raw,
    )


def _decode_part(part: Members) -> Part:
    kind = part.need("type", str)
    if kind in TEXTS:
        annotations = part.find("annotations", list[Json]) or []
        others = objects(part.take("citations"))  # as WrittenMessage writes sources that no annotation can name
        citations = (
            *map(decode_citation, annotations),
            *(replace(decode_citation(raw), raw={}) for raw in others),
        )
        part.take("logprobs")
        mark, opaque = take_mark(part), take_signature(part)
        return Text(part.need("text", str), mark, citations, opaque, given(part.rest()))
    match kind:
        case "refusal":
            return Refusal(part.need("refusal", str), given(part.rest()))
        case "input_image":
            return _decode_image(part)
        case "input_file":
            return _decode_file(part)
        case "input_audio":
            audio = part.inner("input_audio")
            return Audio(audio.need("data", str), audio.need("format", str), extra=given(part.rest()))
        case _:
            raise InvalidRequest(f"`{part.at('type')}`: `{kind}` is no known type of a part", param=part.at("type"))


def _decode_image(part: Members) -> Image:
    url, file_id, detail = part.find("image_url", str), part.find("file_id", str), part.find("detail", str)
    if url is None and file_id is None:
        place = part.at("image_url")
        raise InvalidRequest(f"`{place}` is missing: an image needs a URL or a `file_id`", param=place)
    held, mark = split_data_url(url) if url else None, take_mark(part)
    if held is not None:
        return Image(data=held[1], media_type=held[0], detail=detail, cache=mark, extra=given(part.rest()))
    return Image(url, file_id=file_id, detail=detail, cache=mark, extra=given(part.rest()))


def _decode_file(part: Members) -> File:
    url, data = part.find("file_url", str), part.find("file_data", str)
    file_id, filename = part.find("file_id", str), part.find("filename", str)
    if url is None and data is None and file_id is None:
        raise InvalidRequest(f"`{part.place}` needs `file_data`, `file_url` or `file_id`", param=part.place)
    held = split_data_url(data) if data else None
    media_type, content = held or (None, data)
    mark = take_mark(part)
    return File(url, content, media_type, file_id, filename, cache=mark, extra=given(part.rest()))


def _decode_reasoning(item: Members) -> list[Reasoning]:
    """Thinking, and what must travel with it. Of an item with a summary and the full text both are kept."""
    item_id = item.find("id", str)
    summary = _joined(item.take("summary"), item.at("summary"))
    content = _joined(item.take("content"), item.at("content"))
    encrypted = item.find("encrypted_content", str)
    opaque = unsealed(encrypted) if encrypted else None
    item.take("status")
    extra = given(item.rest())
    if content:
        first = [Reasoning(summary, is_summary=True, item_id=item_id)] if summary else []
        return [*first, Reasoning(content, opaque, item_id=item_id, extra=extra)]
    has_text = bool(summary) or (opaque is not None and opaque.origin != "openai" and not is_redacted(item_id or ""))
    is_summary = bool(summary) and not is_made(item_id or "") and (opaque is None or opaque.origin == "openai")
    return [Reasoning(summary, opaque, not has_text, is_summary, item_id, extra)]


def _joined(value: object, place: str) -> str:
    """The texts of a list of summary or reasoning parts, one paragraph each."""
    if isinstance(value, str):
        return value
    parts = [] if value is None else typed(value, list[Json], place)
    return "\n\n".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def _decode_call(item: Members, index: int, *, custom: bool) -> ToolCall:
    item_id, call_id = item.find("id", str), item.find("call_id", str)
    name = item.need("name", str)
    arguments = item.find("input" if custom else "arguments", str) or ""
    opaque = take_signature(item)
    extra = given(item.rest())
    if extra.get("caller") == {"type": "direct"}:
        del extra["caller"]
    return ToolCall(call_id or name, name, arguments, index, custom, item_id, opaque, extra=extra)


def _decode_picture(raw: Json) -> Image | Item:
    result, kind = raw.get("result"), raw.get("output_format")
    if not isinstance(result, str) or not result or not raw.keys() <= _PICTURE:
        return Item(NAME, raw)
    return Image(data=result, media_type=f"image/{kind}" if isinstance(kind, str) else "image/png")


def given(members: Json) -> Json:
    """Members that say something: neither null nor empty, and not how far an item has come."""
    return {
        name: value
        for name, value in members.items()
        if value is not None and value not in ([], {}) and name not in _STATED
    }


def _if_str(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _if_int(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
