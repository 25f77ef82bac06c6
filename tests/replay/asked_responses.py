"""Reads requests of OpenAI's Responses API. https://platform.openai.com/docs/api-reference/responses/create"""

from __future__ import annotations

from tests.replay.asked import FREE_TEXT, Asked
from tests.replay.neutral import Function
from tests.replay.reading import Json, arguments_of, members, objects

_RENAMED = {"max_output_tokens": "max_tokens"}
_PLAIN = (
    "max_output_tokens",
    "temperature",
    "top_p",
    "top_logprobs",
    "user",
    "metadata",
    "service_tier",
    "prompt_cache_key",
    "safety_identifier",
    "previous_response_id",
    "conversation",
    "background",
    "prompt",
    "truncation",
    "max_tool_calls",
    "context_management",
)


def read_responses(body: Json) -> Asked:
    """A request."""
    asked = Asked()
    if body.get("instructions"):
        asked.system.append(str(body["instructions"]))
    given = body.get("input")
    if isinstance(given, str):
        asked.say("user", given)
    for item in objects(given):
        _item(asked, item)
    _tools(asked, body)
    for name in _PLAIN:
        asked.put(_RENAMED.get(name, name), body.get(name))
    reasoning, form = members(body.get("reasoning")), members(members(body.get("text")).get("format"))
    shaped = members(body.get("response_format"))  # Perplexity's Agent API has it as in chat
    form = form or {**members(shaped.get("json_schema")), **shaped}
    asked.put("effort", reasoning.get("effort"))
    asked.put("verbosity", members(body.get("text")).get("verbosity"))
    if form.get("type") in {"json_object", "json_schema"}:
        asked.put("json", True)
        asked.put("schema", form.get("schema"))
    if body.get("parallel_tool_calls") is False:
        asked.put("parallel", False)
    return asked.tidy()


def _item(asked: Asked, item: Json) -> None:
    match item.get("type") or "message":
        case "message":
            role = {"developer": "system"}.get(str(item.get("role")), str(item.get("role")))
            content = item.get("content")
            if isinstance(content, str):
                asked.say(role, content)
            for part in objects(content):
                _part(asked, role, part)
        case "function_call":
            asked.call(str(item["name"]), arguments_of(str(item.get("arguments") or "")), str(item["call_id"]))
        case "custom_tool_call":
            asked.call(str(item["name"]), str(item.get("input") or ""), str(item["call_id"]))
        case "function_call_output" | "custom_tool_call_output":
            output = item.get("output")
            parts = objects(output)
            texts = [output] if isinstance(output, str) else [str(part.get("text") or "") for part in parts]
            asked.answer(str(item["call_id"]), "".join(texts))
            for part in parts:
                if part.get("type") != "input_text":
                    _part(asked, "user", part)
        case "reasoning":
            if item.get("encrypted_content"):
                asked.segment("assistant").opaque.append(str(item["encrypted_content"]))
        case other:
            asked.others.append(f"item {other}")


def _part(asked: Asked, role: str, part: Json) -> None:
    match part.get("type"):
        case "input_image":
            asked.show_url(role, str(part.get("image_url") or part.get("file_id")))
        case "input_file":
            asked.show_url(role, str(part.get("file_data") or part.get("file_url") or part.get("file_id")))
        case "refusal":
            asked.say(role, str(part.get("refusal")))
        case _:
            asked.say(role, str(part.get("text") or ""))


def _tools(asked: Asked, body: Json) -> None:
    for tool in objects(body.get("tools")):
        if tool.get("type") == "function":
            described = str(tool.get("description") or "")
            asked.functions.append(Function(str(tool["name"]), described, members(tool.get("parameters"))))
            if tool.get("strict"):
                asked.strict.append(str(tool["name"]))
        else:
            asked.others.append(str(tool.get("type")))
            if tool.get("type") == "custom":
                asked.customs.append(Function(str(tool["name"]), str(tool.get("description") or ""), FREE_TEXT))
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        held = members(choice)
        asked.choice = f"named:{held['name']}" if held.get("name") else str(held.get("type"))
    elif isinstance(choice, str):
        asked.choice = choice
