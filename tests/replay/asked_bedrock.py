"""Reads requests of Bedrock's Converse. https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html"""

from __future__ import annotations

import json

from tests.replay.asked import Asked, as_json
from tests.replay.neutral import Function
from tests.replay.reading import Json, members, objects

_CONFIG = {"maxTokens": "max_tokens", "temperature": "temperature", "topP": "top_p", "stopSequences": "stop"}
_MEDIA = ("image", "document", "video", "audio")


def read_converse(body: Json) -> Asked:
    """A request."""
    asked = Asked()
    asked.system += [str(block["text"]) for block in objects(body.get("system")) if "text" in block]
    for message in objects(body.get("messages")):
        for block in objects(message.get("content")):
            _block(asked, str(message.get("role")), block)
    _tools(asked, members(body.get("toolConfig")))
    asked.surface_output()
    config = members(body.get("inferenceConfig"))
    for name, known in _CONFIG.items():
        asked.put(known, config.get(name))
    more = members(body.get("additionalModelRequestFields"))
    for name in ("top_k", "topK", "k"):
        asked.put("top_k", more.get(name) or members(more.get("inferenceConfig")).get(name))
    if members(more.get("tool_choice")).get("disable_parallel_tool_use"):
        asked.put("parallel", False)
    thinking = members(more.get("thinking") or more.get("reasoning_config"))
    asked.put("budget", thinking.get("budget_tokens"))
    asked.put("thinking", thinking.get("type"))
    output = members(body.get("outputConfig"))
    form = members(output.get("textFormat"))
    effort = output.get("effort") or members(more.get("output_config")).get("effort") or more.get("reasoning_effort")
    asked.put("effort", effort)
    schema = members(members(form.get("structure")).get("jsonSchema")).get("schema")
    if form.get("type") == "json_schema" and schema:
        asked.put("json", True)
        asked.put("schema", json.loads(schema) if isinstance(schema, str) else schema)
    for name in ("requestMetadata", "serviceTier"):
        asked.put({"requestMetadata": "metadata"}.get(name, "service_tier"), body.get(name))
    return asked.tidy()


def _block(asked: Asked, role: str, block: Json) -> None:
    if "text" in block:
        asked.say(role, str(block["text"]))
    elif "toolUse" in block:
        use = members(block["toolUse"])
        asked.call(str(use["name"]), use.get("input") or {}, str(use["toolUseId"]))
    elif "toolResult" in block:
        result = members(block["toolResult"])
        texts: list[str] = []
        for part in objects(result.get("content")):
            if "text" in part:
                texts.append(str(part["text"]))
            elif "json" in part:
                texts.append(as_json(part["json"]))
            else:
                _media(asked, "user", part)
        asked.answer(str(result["toolUseId"]), "".join(texts))
    elif "reasoningContent" in block:
        held = members(block["reasoningContent"])
        signature = members(held.get("reasoningText")).get("signature") or held.get("redactedContent")
        asked.segment(role).opaque += [str(signature)] if signature else []
    elif not _media(asked, role, block) and "cachePoint" not in block:
        asked.others.append(f"block {','.join(block)}")


def _media(asked: Asked, role: str, block: Json) -> bool:
    for name in _MEDIA:
        if name in block:
            source = members(members(block[name]).get("source"))
            if "text" in source:
                asked.say(role, str(source["text"]))
            elif "bytes" in source:
                kind = "text/plain" if block[name].get("format") in {"txt", "md", "csv", "html"} else ""
                asked.show(role, str(source["bytes"]), kind)
            else:
                asked.segment(role).media.append(str(members(source.get("s3Location")).get("uri")))
            return True
    return False


def _tools(asked: Asked, config: Json) -> None:
    for tool in objects(config.get("tools")):
        spec = members(tool.get("toolSpec"))
        if spec:
            schema = members(members(spec.get("inputSchema")).get("json"))
            asked.functions.append(Function(str(spec["name"]), str(spec.get("description") or ""), schema))
            if spec.get("strict"):
                asked.strict.append(str(spec["name"]))
    choice = members(config.get("toolChoice"))
    if "tool" in choice:
        asked.choice = f"named:{members(choice['tool']).get('name')}"
    elif "any" in choice:
        asked.choice = "required"
