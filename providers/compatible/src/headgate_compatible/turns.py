"""Turns of the assistant for vendors that answer a member they do not know with an error.

An application sends back what it got, and may have got it from another vendor: a refusal of null, thinking, signatures, sources.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, cast

import msgspec
from msgspec import Raw

from headgate.dialects import Gaps

Members = dict[str, Raw]

ASSISTANT = b'"assistant"'
_CALL = frozenset({"id", "type", "function", "custom", "index"})
_list = msgspec.json.Decoder(list[Raw])
_members = msgspec.json.Decoder(dict[str, Raw])
_value = msgspec.json.Decoder(Any)


def changed(messages: Raw, role: bytes, change: Callable[[Members, int], Members]) -> Raw:
    """The messages, those of `role` (in quotes) as `change` makes them of their members and place; others keep their bytes."""
    try:
        listed = _list.decode(messages)
    except msgspec.ValidationError:
        return messages  # no list: the vendor says so
    found = [
        _changed(message, role, change, at) if role in bytes(message) else message for at, message in enumerate(listed)
    ]
    return Raw(msgspec.json.encode(found)) if found != listed else messages


def _changed(message: Raw, role: bytes, change: Callable[[Members, int], Members], at: int) -> Raw:
    try:
        members = _members.decode(message)
    except msgspec.ValidationError:
        return message
    if bytes(members.get("role", b"")) != role:
        return message
    found = change(members, at)
    return Raw(msgspec.json.encode(found)) if found != members else message


def with_known(messages: Raw, known: Collection[str], gaps: Gaps) -> Raw:
    """The messages, of the assistant's with `known` members alone.

    What says something and is left out is named. A refusal is the content where there is no other, and `reasoning_content` is
    `reasoning` where that is known.
    """
    return changed(messages, ASSISTANT, lambda members, at: _with_known(members, known, f"messages[{at}]", gaps))


def _with_known(members: Members, known: Collection[str], place: str, gaps: Gaps) -> Members:
    values = {name: _value.decode(value) for name, value in members.items() if name != "content"}
    kept = {
        name: value
        for name, value in members.items()
        if name in {"role", "content"} or (name in known and values[name] is not None)
    }
    for name, value in values.items():
        if name in kept or value in (None, "", [], {}):
            continue
        if name == "refusal" and bytes(members.get("content", b"null")) == b"null":
            kept["content"] = members[name]
        elif name == "reasoning_content" and "reasoning" in known and "reasoning" not in kept:
            kept["reasoning"] = members[name]
        else:
            gaps.skip(f"{place}.{name}")
    if "tool_calls" in kept:
        kept["tool_calls"] = _calls(kept["tool_calls"], values["tool_calls"], f"{place}.tool_calls", gaps)
    return kept


def _calls(raw: Raw, calls: object, place: str, gaps: Gaps) -> Raw:
    """The calls with the members that every vendor has."""
    listed = cast("list[object]", calls) if isinstance(calls, list) else []
    held = [cast("dict[str, Any]", call) for call in listed if isinstance(call, dict)]
    if len(held) < len(listed) or all(call.keys() <= _CALL and call.get("type", "") is not None for call in held):
        return raw
    for at, call in enumerate(held):
        for name in call:
            if name not in _CALL:
                gaps.skip(f"{place}[{at}].{name}")
    kept = [{name: _named(name, value) for name, value in call.items() if name in _CALL} for call in held]
    return Raw(msgspec.json.encode(kept))


def _named(name: str, value: object) -> object:
    """A member of a call; the type that a client's SDK makes of none, as Mistral says none, is the usual one."""
    return "function" if name == "type" and value is None else value
