"""Reads requests of Anthropic's Messages API. https://platform.claude.com/docs/en/api/messages/create"""

from __future__ import annotations

from typing import Any

from tests.replay.asked import Asked
from tests.replay.neutral import Function
from tests.replay.reading import Json, each, members, objects

_RENAMED = {"stop_sequences": "stop"}
_PLAIN = ("max_tokens", "temperature", "top_p", "top_k", "stop_sequences", "service_tier", "container")


def read_messages(body: Json) -> Asked:
    """A request."""
    asked = Asked()
    system = body.get("system")
    asked.system += [system] if isinstance(system, str) else [str(block.get("text")) for block in objects(system)]
    for message in objects(body.get("messages")):
        role, content = str(message.get("role")), message.get("content")
        if isinstance(content, str):
            asked.say(role, content)
        for block in objects(content):
            _block(asked, role, block)
    _tools(asked, body)
    for name in _PLAIN:
        asked.put(_RENAMED.get(name, name), body.get(name))
    metadata = dict(members(body.get("metadata")))
    asked.put("user", metadata.pop("user_id", None))
    asked.put("metadata", metadata)
    config, thinking = members(body.get("output_config")), members(body.get("thinking"))
    form = members(config.get("format") or body.get("output_format"))
    if form:
        asked.put("json", True)
        asked.put("schema", form.get("schema"))
    asked.surface_output()
    asked.put("effort", config.get("effort"))
    asked.put("budget", thinking.get("budget_tokens"))
    asked.put("thinking", thinking.get("type"))
    return asked.tidy()


def _block(asked: Asked, role: str, block: Json) -> None:
    match block.get("type"):
        case "text":
            asked.say(role, str(block.get("text") or ""))
        case "image" | "document":
            _source(asked, role, members(block.get("source")))
        case "tool_use":
            asked.call(str(block["name"]), block.get("input") or {}, str(block["id"]))
        case "tool_result":
            content = block.get("content")
            texts = (
                [content] if isinstance(content, str) else [str(part.get("text") or "") for part in objects(content)]
            )
            asked.answer(str(block["tool_use_id"]), "".join(texts))
            for part in objects(content):
                if part.get("type") in {"image", "document"}:
                    _source(asked, "user", members(part.get("source")))
        case "thinking":
            if block.get("signature"):
                asked.segment(role).opaque.append(str(block["signature"]))
        case "redacted_thinking":
            asked.segment(role).opaque.append(str(block.get("data")))
        case other:
            asked.others.append(f"block {other}")


def _source(asked: Asked, role: str, source: Json) -> None:
    match source.get("type"):
        case "base64":
            asked.show(role, str(source.get("data")), str(source.get("media_type")))
        case "text":
            asked.say(role, str(source.get("data")))
        case "content":
            held: Any = source.get("content")
            for part in each(held):
                _block(asked, role, members(part))
        case _:
            asked.segment(role).media.append(str(source.get("url") or source.get("file_id")))


def _tools(asked: Asked, body: Json) -> None:
    for tool in objects(body.get("tools")):
        if tool.get("type", "custom") in {"custom", None}:
            described = str(tool.get("description") or "")
            asked.functions.append(Function(str(tool["name"]), described, members(tool.get("input_schema"))))
            if tool.get("strict"):
                asked.strict.append(str(tool["name"]))
        else:
            asked.others.append(str(tool["type"]))
    choice = members(body.get("tool_choice"))
    kind = choice.get("type")
    if kind:
        asked.choice = f"named:{choice['name']}" if kind == "tool" else {"any": "required"}.get(str(kind), str(kind))
    if choice.get("disable_parallel_tool_use"):
        asked.put("parallel", False)
