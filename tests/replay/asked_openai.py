"""Reads requests of OpenAI's chat completions, and of those whose messages look the same: Mistral, Cohere, Ollama.

https://platform.openai.com/docs/api-reference/chat/create, https://docs.mistral.ai/api/,
https://docs.cohere.com/reference/chat and https://docs.ollama.com/api/chat
"""

from __future__ import annotations

from typing import Any

from tests.replay.asked import Asked, as_json
from tests.replay.neutral import Function
from tests.replay.reading import Json, arguments_of, each, members, objects

_RENAMED = {
    "max_completion_tokens": "max_tokens",
    "random_seed": "seed",
    "p": "top_p",
    "k": "top_k",
    "stop_sequences": "stop",
    "num_predict": "max_tokens",
    "reasoning_effort": "effort",
}
_PLAIN = (
    "max_tokens",
    "max_completion_tokens",
    "num_predict",
    "temperature",
    "top_p",
    "p",
    "top_k",
    "k",
    "seed",
    "random_seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "top_logprobs",
    "reasoning_effort",
    "user",
    "metadata",
    "service_tier",
    "store",
    "verbosity",
    "prediction",
    "modalities",
    "audio",
    "web_search_options",
    "prompt_cache_key",
    "safety_identifier",
)


def read_chat(body: Json) -> Asked:
    """A request of chat completions."""
    asked = Asked()
    for message in objects(body.get("messages")):
        _message(asked, message)
    _tools(asked, body)
    _params(asked, body)
    return asked.tidy()


def read_ollama(body: Json) -> Asked:
    """A request of Ollama's: parameters stand in `options`, results name their function, pictures stand beside the text."""
    asked = Asked()
    for message in objects(body.get("messages")):
        role = str(message.get("role"))
        if role == "tool":
            name = str(message.get("tool_name") or "")
            waiting = [
                at for at, (called, _) in enumerate(_calls_of(asked)) if called == name and at not in _answered(asked)
            ]
            asked.answer(asked.ids[waiting[0]] if waiting else "", str(message.get("content") or ""), name)
            continue
        if message.get("content"):
            asked.say(role, str(message["content"]))
        for image in each(message.get("images")):
            asked.show(role, str(image))
        for call in objects(message.get("tool_calls")):
            function = members(call.get("function"))
            asked.call(str(function.get("name")), function.get("arguments") or {}, f"call {len(asked.ids)}")
    _tools(asked, body)
    _params(asked, members(body.get("options")))
    if isinstance(body.get("format"), dict):
        asked.put("schema", body["format"])
    asked.put("json", True if body.get("format") else None)
    think = body.get("think")
    asked.put("effort", ("on" if think else "none") if isinstance(think, bool) else think)
    return asked.tidy()


def _calls_of(asked: Asked) -> list[tuple[str, Any]]:
    return [call for segment in asked.segments for call in segment.calls]


def _answered(asked: Asked) -> set[int]:
    return {result.call for segment in asked.segments for result in segment.results}


def _message(asked: Asked, message: Json) -> None:
    role = {"developer": "system", "function": "tool"}.get(str(message.get("role")), str(message.get("role")))
    if role == "tool":
        texts = [str(message["content"])] if isinstance(message.get("content"), str) else []
        parts = objects(message.get("content"))
        texts += [_document(part) if part.get("type") == "document" else str(part.get("text") or "") for part in parts]
        asked.answer(str(message.get("tool_call_id") or ""), "".join(texts), str(message.get("name") or ""))
        for part in parts:
            if part.get("type") not in {"text", "document"}:
                _part(asked, "user", part)
        return
    if message.get("tool_plan"):
        asked.say(role, str(message["tool_plan"]))
    content = message.get("content")
    if isinstance(content, str):
        asked.say(role, content)
    for part in each(content):
        _part(asked, role, {"type": "text", "text": part} if isinstance(part, str) else members(part))
    if message.get("refusal"):
        asked.say(role, str(message["refusal"]))
    for detail in objects(message.get("reasoning_details")):
        signature = detail.get("signature") or detail.get("data")
        asked.segment(role).opaque += [str(signature)] if signature else []
    for call in objects(message.get("tool_calls")):
        function, custom = members(call.get("function")), members(call.get("custom"))
        if custom:
            asked.call(str(custom.get("name")), str(custom.get("input") or ""), str(call.get("id")))
        else:
            given = function.get("arguments")
            parsed: Any = arguments_of(given) if isinstance(given, str) else members(given)
            asked.call(str(function.get("name")), parsed, str(call.get("id")))


def _part(asked: Asked, role: str, part: Json) -> None:
    match part.get("type"):
        case "image_url" | "document_url" | "video_url" | "audio_url":
            held: Any = part[str(part["type"])]
            asked.show_url(role, str(members(held).get("url") if isinstance(held, dict) else held))
        case "input_audio":
            sound: Any = part["input_audio"]
            asked.show(role, str(members(sound).get("data") if isinstance(sound, dict) else sound))
        case "file":
            file = members(part.get("file"))
            asked.show_url(role, str(file.get("file_data") or file.get("file_id") or part.get("file_id")))
        case "document":
            asked.say(role, _document(part))
        case "refusal":
            asked.say(role, str(part.get("refusal")))
        case "thinking":
            pass
        case _:
            asked.say(role, str(part.get("text") or ""))


def _document(part: Json) -> str:
    """The text of one of Cohere's documents."""
    data: Any = members(part.get("document")).get("data")
    if isinstance(data, str):
        return data
    held = members(data)
    return str(held.get("text") or held.get("content") or as_json(held))


def _tools(asked: Asked, body: Json) -> None:
    for tool in objects(body.get("tools")):
        function = members(tool.get("function"))
        if function:
            name = str(function.get("name"))
            described = str(function.get("description") or "")
            asked.functions.append(Function(name, described, members(function.get("parameters"))))
            if function.get("strict") or body.get("strict_tools"):
                asked.strict.append(name)
        else:
            asked.others.append(str(tool.get("type")))
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        asked.choice = f"named:{members(members(choice).get('function')).get('name')}"
    elif isinstance(choice, str):
        asked.choice = {"any": "required", "REQUIRED": "required", "NONE": "none"}.get(choice, choice)
    if body.get("parallel_tool_calls") is False:
        asked.put("parallel", False)


def _params(asked: Asked, body: Json) -> None:
    for name in _PLAIN:
        value = body.get(name)
        if name in {"presence_penalty", "frequency_penalty"} and not value:
            continue
        asked.put(_RENAMED.get(name, name), value)
    stop: Any = body.get("stop") if body.get("stop") is not None else body.get("stop_sequences")
    asked.put("stop", [stop] if isinstance(stop, str) else stop)
    if body.get("n") not in {None, 1}:
        asked.put("n", body["n"])
    if body.get("logprobs"):
        asked.put("logprobs", True)
    form = members(body.get("response_format"))
    if form.get("type") in {"json_object", "json_schema"}:
        asked.put("json", True)
        wanted = form.get("json_schema") or form.get("schema")
        asked.put("schema", members(wanted).get("schema", wanted) if form["type"] == "json_schema" else wanted)
    thinking = members(body.get("thinking"))
    asked.put("budget", thinking.get("token_budget") or thinking.get("budget_tokens"))
    asked.put("thinking", thinking.get("type"))
    asked.put("thinking", "enabled" if members(body.get("reasoning")) else None)
