"""Functions without parameters, for vendors that answer with an error where OpenAI's clients leave these out.

DeepSeek: https://github.com/QwenLM/qwen-code/issues/11956. Mistral: the types of `mistralai` 3.7.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from headgate.dialects.openai.members import as_object

_TOOLS = b'"tools"'
_EMPTY: dict[str, Any] = {"type": "object", "properties": {}}
_members = msgspec.json.Decoder(dict[str, Raw])
_list = msgspec.json.Decoder(list[Raw])
_object = msgspec.json.Decoder(dict[str, Any])


def with_parameters(body: bytes) -> bytes:
    """A chat request in which every function has parameters; the very same bytes where they have."""
    if _TOOLS not in body:
        return body
    members = _members.decode(body)
    try:
        tools = _list.decode(members["tools"])
        told = list(map(_told, tools))
    except (KeyError, msgspec.ValidationError):
        return body  # no list of tools: the vendor says so
    return body if told == tools else msgspec.json.encode({**members, "tools": told})


def _told(tool: Raw) -> Raw:
    members = _object.decode(tool)
    function = as_object(members.get("function"))
    if function is None or function.get("parameters") is not None:
        return tool
    return Raw(msgspec.json.encode({**members, "function": {**function, "parameters": _EMPTY}}))
