"""The made requests of a chat client as clients of the other APIs write them, so that every target gets some in translation.

Written from the vendors' references, which the readers of requests name, and without the product.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.replay.corpus import Recording
from tests.replay.made import made_requests
from tests.replay.reading import Json, arguments_of, members, objects

_INSTRUCTING = ("system", "developer")


def shaped_requests() -> list[Recording]:
    """Every made request in every shape that a client speaks."""
    return [
        Recording(
            f"{made.id}-{shape}" if shape != "chat" else made.id, "made", shape, "", body, 200, {}, b"", stream=False
        )
        for made in made_requests()
        for shape, write in _WRITERS.items()
        if (body := write(made.request or {})) is not None
    ]


def _messages(body: Json) -> Json:
    """Anthropic's: instructions at the top, results in a turn of the user, arguments as an object."""
    system: list[Json] = []
    turns: list[Json] = []
    for message in objects(body["messages"]):
        role, content = message["role"], [_block(part) for part in _parts(message)]
        if role in _INSTRUCTING and not turns:
            system += content
        elif role == "tool":
            result: Json = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": content}
            if turns[-1]["role"] == "assistant":
                turns.append({"role": "user", "content": []})
            turns[-1]["content"].append(result)
        else:
            calls = [
                {"type": "tool_use", "id": call_id, "name": name, "input": arguments_of(arguments)}
                for call_id, name, arguments in _calls(message)
            ]
            turns.append({"role": "system" if role in _INSTRUCTING else role, "content": [*content, *calls]})
    tools = [
        {"name": tool["name"], "description": tool["description"], "input_schema": tool["parameters"]}
        for tool in _functions(body)
    ]
    return {**({"system": system} if system else {}), "messages": turns, "tools": tools, "max_tokens": 64}


def _block(part: Json) -> Json:
    if part["type"] == "text":
        return {"type": "text", "text": part["text"]}
    head, is_data, data = str(part["image_url"]["url"]).partition(";base64,")
    if not is_data:
        return {"type": "image", "source": {"type": "url", "url": head}}
    kind = head.removeprefix("data:").partition(";")[0]
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


def _responses(body: Json) -> Json:
    """The Responses API's: an item for each turn, call and result."""
    items: list[Json] = []
    for message in objects(body["messages"]):
        role, parts = message["role"], _parts(message)
        if role == "tool":
            text = "".join(str(part["text"]) for part in parts)
            items.append({"type": "function_call_output", "call_id": message["tool_call_id"], "output": text})
            continue
        said = "output_text" if role == "assistant" else "input_text"
        content = [
            {"type": said, "text": part["text"]}
            if part["type"] == "text"
            else {"type": "input_image", "image_url": part["image_url"]["url"], "detail": "auto"}
            for part in parts
        ]
        items += [{"role": role, "content": content}] if content else []
        items += [
            {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
            for call_id, name, arguments in _calls(message)
        ]
    tools = [{"type": "function", "strict": False, **tool} for tool in _functions(body)]
    return {"input": items, "tools": tools, "max_output_tokens": 64, "store": False}


def _generate(body: Json) -> Json | None:
    """Google's: results name their function, and nobody instructs between the turns."""
    system: list[Json] = []
    contents: list[Json] = []
    names = {call_id: name for message in objects(body["messages"]) for call_id, name, _ in _calls(message)}
    for message in objects(body["messages"]):
        role, parts = message["role"], [_google_part(part) for part in _parts(message)]
        if role in _INSTRUCTING:
            if contents:
                return None
            system += parts
        elif role == "tool":
            call_id = str(message["tool_call_id"])
            output = "".join(str(part["text"]) for part in parts)
            answer = {"id": call_id, "name": names[call_id], "response": {"output": output}}
            if contents[-1]["role"] == "model":
                contents.append({"role": "user", "parts": []})
            contents[-1]["parts"].append({"functionResponse": answer})
        else:
            calls = [
                {"functionCall": {"id": call_id, "name": name, "args": arguments_of(arguments)}}
                for call_id, name, arguments in _calls(message)
            ]
            contents.append({"role": "model" if role == "assistant" else "user", "parts": [*parts, *calls]})
    declared = [
        {"name": tool["name"], "description": tool["description"], "parametersJsonSchema": tool["parameters"]}
        for tool in _functions(body)
    ]
    return {
        **({"systemInstruction": {"parts": system}} if system else {}),
        "contents": contents,
        "tools": [{"functionDeclarations": declared}],
        "generationConfig": {"maxOutputTokens": 64},
    }


def _google_part(part: Json) -> Json:
    if part["type"] == "text":
        return {"text": part["text"]}
    head, is_data, data = str(part["image_url"]["url"]).partition(";base64,")
    if not is_data:
        return {"fileData": {"mimeType": "image/png", "fileUri": head}}
    return {"inlineData": {"mimeType": head.removeprefix("data:").partition(";")[0], "data": data}}


def _parts(message: Json) -> list[Json]:
    content: Any = message.get("content")
    return [{"type": "text", "text": content}] if isinstance(content, str) else objects(content)


def _calls(message: Json) -> list[tuple[str, str, str]]:
    calls = objects(message.get("tool_calls"))
    return [(str(call["id"]), str(call["function"]["name"]), str(call["function"]["arguments"])) for call in calls]


def _functions(body: Json) -> list[Json]:
    return [members(tool["function"]) for tool in objects(body["tools"])]


_WRITERS: dict[str, Callable[[Json], Json | None]] = {
    "chat": lambda body: body,
    "messages": _messages,
    "responses": _responses,
    "generateContent": _generate,
}
