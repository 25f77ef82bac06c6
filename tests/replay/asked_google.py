"""Reads requests of Gemini's generateContent. https://ai.google.dev/api/generate-content#request-body"""

from __future__ import annotations

from typing import Any

from tests.replay.asked import Asked, as_json
from tests.replay.neutral import Function, plain_schema
from tests.replay.reading import Json, each, members, objects

_CONFIG = {
    "maxOutputTokens": "max_tokens",
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "stopSequences": "stop",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "responseModalities": "modalities",
    "speechConfig": "speech",
    "mediaResolution": "media_resolution",
    "imageConfig": "image_config",
    "logprobs": "top_logprobs",
    "responseLogprobs": "logprobs",
}


def read_generate(body: Json) -> Asked:
    """A request, its names in either spelling."""
    held = members(_camel(body))
    asked = Asked()
    for part in objects(members(held.get("systemInstruction")).get("parts")):
        asked.system.append(str(part.get("text") or ""))
    for content in objects(held.get("contents")):
        role = "assistant" if content.get("role") == "model" else "user"
        for part in objects(content.get("parts")):
            _part(asked, role, part)
    _tools(asked, held)
    config = members(held.get("generationConfig"))
    for name, known in _CONFIG.items():
        asked.put(known, None if config.get(name) == ["TEXT"] else config.get(name))
    if config.get("candidateCount") not in {None, 1}:
        asked.put("n", config["candidateCount"])
    schema = config.get("responseJsonSchema") or plain_schema(config.get("responseSchema"))
    if schema or config.get("responseMimeType") == "application/json":
        asked.put("json", True)
        asked.put("schema", schema)
    asked.surface_output()
    thinking = members(config.get("thinkingConfig"))
    asked.put("budget", thinking.get("thinkingBudget"))
    level = thinking.get("thinkingLevel")
    asked.put("effort", str(level).lower() if level else None)
    for name in ("cachedContent", "labels", "serviceTier"):
        asked.put(name, held.get(name))
    return asked.tidy()


def _part(asked: Asked, role: str, part: Json) -> None:
    if part.get("thoughtSignature"):
        asked.segment(role).opaque.append(str(part["thoughtSignature"]))
    if "functionCall" in part:
        call = members(part["functionCall"])
        asked.call(str(call.get("name")), call.get("args") or {}, str(call.get("id") or f"call {len(asked.ids)}"))
    elif "functionResponse" in part:
        _response(asked, members(part["functionResponse"]))
    elif "inlineData" in part:
        held = members(part["inlineData"])
        asked.show(role, str(held.get("data")), str(held.get("mimeType")), is_url_safe=True)
    elif "fileData" in part:
        asked.segment(role).media.append(str(members(part["fileData"]).get("fileUri")))
    elif "executableCode" in part or "codeExecutionResult" in part:
        asked.others.append("block of code execution")
    elif not part.get("thought") and "text" in part:
        asked.say(role, str(part.get("text") or ""))


def _response(asked: Asked, response: Json) -> None:
    """A result belongs to the call of its id, else to the first call of its name that has none."""
    name, call_id = str(response.get("name") or ""), str(response.get("id") or "")
    calls = [called for segment in asked.segments for called, _ in segment.calls]
    answered = {result.call for segment in asked.segments for result in segment.results}
    if call_id not in asked.ids:
        waiting = [at for at, called in enumerate(calls) if called == name and at not in answered]
        call_id = asked.ids[waiting[0]] if waiting else call_id
    asked.answer(call_id, text_of(response.get("response")), name)
    for part in objects(response.get("parts")):
        asked.show("user", str(members(part.get("inlineData")).get("data")), is_url_safe=True)


def text_of(response: Any) -> str:
    """What a function answered as text: its one output, else all of it as JSON."""
    held = members(response)
    for name in ("output", "result", "error", "content", "return_value"):
        if set(held) == {name}:
            value = held[name]
            return value if isinstance(value, str) else as_json(value)
    return as_json(held)


def _tools(asked: Asked, body: Json) -> None:
    for tool in objects(body.get("tools")):
        for declared in objects(tool.get("functionDeclarations")):
            schema = declared.get("parametersJsonSchema") or plain_schema(declared.get("parameters"))
            described = str(declared.get("description") or "")
            asked.functions.append(Function(str(declared["name"]), described, members(schema)))
        asked.others += [name for name in tool if name != "functionDeclarations"]
    config = members(members(body.get("toolConfig")).get("functionCallingConfig"))
    allowed = each(config.get("allowedFunctionNames"))
    mode = str(config.get("mode") or "AUTO")
    if mode == "VALIDATED":  # schemas are kept to, as they are where a call is forced
        asked.strict += [function.name for function in asked.functions]
    asked.choice = {"ANY": "required", "NONE": "none"}.get(mode, "auto")
    if mode == "ANY" and len(allowed) == 1:
        asked.choice = f"named:{allowed[0]}"


def _camel(value: Any) -> Any:
    """Names as the API's reference writes them: the SDKs also send them with underscores. Schemas and arguments stay."""
    if isinstance(value, list):
        return [_camel(item) for item in each(value)]
    if not isinstance(value, dict):
        return value
    made: Json = {}
    for name, held in members(value).items():
        first, *rest = name.split("_")
        known = first + "".join(word.title() for word in rest)
        is_data = known in {
            "args",
            "response",
            "parameters",
            "parametersJsonSchema",
            "responseSchema",
            "responseJsonSchema",
        }
        made[known] = held if is_data else _camel(held)
    return made
