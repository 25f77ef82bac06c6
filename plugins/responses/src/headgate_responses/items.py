"""Input items: as the model gets them in a conversation that goes on, and as `input_items` lists them."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import parse_qs

import msgspec
from msgspec import Raw, Struct

from headgate import InvalidRequest
from headgate_responses.shelf import MADE, Kept

Json = dict[str, Any]

NOTHING = Raw(b"null")
MAX_PAGE = 100
_PAGE = 20
_PREFIXES = {
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctc",
    "function_call": "fc",
    "function_call_output": "fc",
    "image_generation_call": "ig",
    "reasoning": "rs",
}
"""How the ids begin that items get for the list, by type; any other is a message's."""
_STATED = frozenset({"message", *_PREFIXES}) - {"reasoning"}
"""Types of items that have a `status` in a list, which callers leave out."""

_members = msgspec.json.Decoder(dict[str, Raw])
_raws = msgspec.json.Decoder(list[Raw])
_objects = msgspec.json.Decoder(list[Json])
_encode = msgspec.json.Encoder().encode


class _Response(Struct):
    output: list[Raw] = []


_response = msgspec.json.Decoder(_Response)


def items_of(given: Raw) -> list[Raw]:
    """The items of an `input`: a text is one message of the user. Raises InvalidRequest for what is neither."""
    written = bytes(given)
    if written == b"null":
        return []
    if written.startswith(b'"'):
        return [Raw(_encode({"type": "message", "role": "user", "content": given}))]
    try:
        return _raws.decode(written)
    except msgspec.DecodeError:
        raise InvalidRequest("`input` must be a string or a list of items", param="input") from None


def continued(body: bytes, kept: Kept) -> bytes:
    """A request that goes on from a kept response, with the whole conversation as its input; all other bytes are kept.

    `instructions` are not carried over, nor is anything else that is no item:
    https://platform.openai.com/docs/api-reference/responses/create#responses_create-previous_response_id
    """
    members: dict[str, Any] = dict(_members.decode(body))
    earlier = [*_raws.decode(kept.items), *_response.decode(kept.response).output]
    members["input"] = [*earlier, *items_of(members.get("input", NOTHING))]
    del members["previous_response_id"]
    return _encode(members)


def list_page(kept: Kept, response_id: str, query: bytes) -> bytes:
    """The page of input items that a query asks for. Raises InvalidRequest when it asks for none there can be.

    https://platform.openai.com/docs/api-reference/responses/input-items
    """
    asked = {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}
    limit, order, after = asked.get("limit", str(_PAGE)), asked.get("order", "desc"), asked.get("after")
    if not (limit.isascii() and limit.isdigit() and len(limit) < 9 and 1 <= int(limit) <= MAX_PAGE):
        raise InvalidRequest(f"`limit` must be a whole number from 1 to {MAX_PAGE}", param="limit")
    if order not in {"asc", "desc"}:
        raise InvalidRequest("`order` must be `asc` or `desc`", param="order")
    items = listed(_objects.decode(kept.items), response_id)
    if order == "desc":
        items.reverse()
    ids = [item["id"] for item in items]
    if after is not None and after not in ids:
        raise InvalidRequest("`after` names no input item of this response", param="after")
    start = 0 if after is None else ids.index(after) + 1
    page = items[start : start + int(limit)]
    return _encode(
        {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": start + len(page) < len(items),
        }
    )


def listed(items: list[Json], response_id: str) -> list[Json]:
    """Items as a list shows them: each with an id of its own, which stays the same, and messages with parts.

    Ids that are made here look like those the gateway makes for items of a reply, so no provider is sent them either.
    """
    tail = response_id.removeprefix(MADE).removeprefix("resp_")
    used: set[str] = set()
    shown: list[Json] = []
    for at, item in enumerate(items):
        kind = str(item.get("type") or "message")
        own = item.get("id")
        made = f"{_PREFIXES.get(kind, 'msg')}_hg_{tail}_in{at}"
        item_id = own if isinstance(own, str) and own and own not in used else made
        used.add(item_id)
        stated = {"status": "completed"} if kind in _STATED else {}
        content = {"content": _parts(item)} if kind == "message" else {}
        shown.append({**stated, **item, **content, "id": item_id, "type": kind})
    return shown


def _parts(message: Json) -> list[Any]:
    """The content of a message as a list of parts."""
    content = message.get("content")
    if isinstance(content, str):
        if message.get("role") == "assistant":
            return [{"type": "output_text", "text": content, "annotations": []}]
        return [{"type": "input_text", "text": content}]
    return cast("list[Any]", content) if isinstance(content, list) else []
