"""Pictures of DashScope's own API for clients of OpenAI's: messages go in, and pictures stand in a message that comes back.

Source: https://www.alibabacloud.com/help/en/model-studio/qwen-image-generation-and-editing-api-reference. The OpenAI-compatible
address that it has beside this one takes fewer models.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import as_object, objects, typed
from headgate.exchange import RawHeaders, Reply
from headgate.forms import Part
from headgate_compatible.vendors import edits, pictures

Json = dict[str, Any]

_IMAGES = "images"
"""Where pictures stand until they are in a message."""
_EDIT = edits.Words(
    frozenset({"model", "n", "negative_prompt", "prompt", "prompt_extend", "seed", "size", "watermark"}),
    lambda urls: {_IMAGES: urls},
    frozenset({("response_format", b"url"), ("stream", b"false"), ("partial_images", b"0")}),
)


def encode(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for pictures as a message with parameters. `gaps` is told of what cannot be honoured."""
    members = decode_object(body)
    pictures.refuse_unknown(members, gaps)
    pictures.refuse_form(members, gaps, "url")
    model, prompt = members.pop("model", None), members.pop("prompt", None)
    shown = typed(members.pop(_IMAGES, None) or [], list[Any], _IMAGES)
    size = pictures.size_of(members, gaps)
    content = [*({"image": url} for url in shown), {"text": prompt}]
    said: Json = {"model": model, "input": {"messages": [{"role": "user", "content": content}]}}
    parameters = {**members, **({"size": f"{size[0]}*{size[1]}"} if size else {})}
    return msgspec.json.encode({**said, **({"parameters": parameters} if parameters else {})})


def encode_form(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes:
    """OpenAI's form of an edit as a message with pictures, `values` in the place of its own."""
    return encode(edits.from_form(parts, values, gaps, _EDIT), gaps)


def encode_edit(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's JSON of an edit as a message with pictures."""
    return encode(edits.from_json(body, gaps, _EDIT), gaps)


def decode(headers: RawHeaders, body: bytes, _sent: bytes = b"") -> Reply:
    """A good answer, the addresses of pictures, in OpenAI's shape. Raises ProviderFailed for one without."""
    output = as_object(pictures.object_in(body).get("output")) or {}
    said = [as_object(choice.get("message")) or {} for choice in objects(output.get("choices"))]
    shown = [each.get("image") for message in said for each in objects(message.get("content"))]
    return pictures.made(headers, [{"url": url} for url in shown if url])
