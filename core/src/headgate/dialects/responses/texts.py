"""Where text stands in the Responses dialect: all that a model reads or writes, for guardrails.

Events that repeat a text as a whole (`.done`, `response.completed`) are flows of their own, since a client may read any of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

from headgate.dialects.interface import TextPlace
from headgate.dialects.openai.members import objects

Json = dict[str, Any]
Path = tuple[str | int, ...]

_SILENT = frozenset(
    {
        "approval_request_id",
        "call_id",
        "caller",
        "container_id",
        "created_by",
        "detail",
        "encrypted_content",
        "environment",
        "execution",
        "file_data",
        "file_id",
        "file_url",
        "filename",
        "fingerprint",
        "format",
        "id",
        "image_url",
        "index",
        "input_audio",
        "logprobs",
        "name",
        "namespace",
        "object",
        "output_format",
        "partial_image_b64",
        "phase",
        "quality",
        "role",
        "server_label",
        "size",
        "status",
        "type",
    }
)
"""Members that are no text: ids, names, kinds, bytes."""
_DEFINING = frozenset({"input_schema", "output_schema", "parameters", "tools"})
_DESCRIBING = frozenset({"title", "description", "definition"})
_SEALED = re.compile(r"gAAAA[\w=-]*")
"""What only OpenAI can read again: a Fernet token."""
_ROLES = {"agent_message": "user", "function_call_output": "tool", "custom_tool_call_output": "tool"}
_FLOWS = {
    "response.output_text": "text",
    "response.refusal": "refusal",
    "response.reasoning_summary_text": "summary",
    "response.reasoning_text": "thinking",
    "response.function_call_arguments": "arguments",
    "response.custom_tool_call_input": "input",
    "response.code_interpreter_call_code": "code",
    "response.mcp_call_arguments": "arguments",
    "response.apply_patch_call_operation_diff": "diff",
    "response.shell_call_command": "command",
    "response.audio.transcript": "transcript",
}
_SAID = ("delta", "text", "refusal", "arguments", "input", "code", "diff", "command")


def request_texts(body: Json) -> list[TextPlace]:
    """Every piece of text a caller sends."""
    places = (
        [TextPlace(("instructions",), body["instructions"], "system")]
        if isinstance(body.get("instructions"), str)
        else []
    )
    value = body.get("input")
    if isinstance(value, str):
        places.append(TextPlace(("input",), value, "user"))
    for at, item in enumerate(objects(value)):
        places += _item_texts(item, ("input", at), "")
    prompt: Any = body.get("prompt")
    if isinstance(prompt, dict):
        places += _leaves(cast("Json", prompt).get("variables"), ("prompt", "variables"), "user", "")
    for name in ("tools", "text"):
        places += _definition_texts(body.get(name), (name,))
    return places


def reply_texts(body: Json, path: Path = (), flow: str = "") -> list[TextPlace]:
    """Every piece of text in a whole reply; `path` leads to it."""
    places: list[TextPlace] = []
    if isinstance(body.get("output_text"), str):
        places.append(TextPlace((*path, "output_text"), body["output_text"], "assistant", f"{flow}output_text"))
    for at, item in enumerate(objects(body.get("output"))):
        places += _item_texts(item, (*path, "output", at), f"{flow}{at}")
    return places


def event_texts(event: Json) -> list[TextPlace]:
    """Every piece of text in one event of a stream."""
    kind = str(event.get("type") or "")
    name, _, verb = kind.rpartition(".")
    response, at = event.get("response"), event.get("output_index", 0)
    if isinstance(response, dict):
        return reply_texts(cast("Json", response), ("response",), "response.")
    if name in _FLOWS and verb in {"delta", "done", "added"}:
        index = next((event[each] for each in ("content_index", "summary_index", "command_index") if each in event), 0)
        flow = f"{at}.{_FLOWS[name]}.{index}" if verb == "delta" else f"{at}.{_FLOWS[name]}.{index}.{verb}"
        return [
            TextPlace((said,), event[said], "assistant", flow) for said in _SAID if isinstance(event.get(said), str)
        ]
    item, part = event.get("item"), event.get("part")
    if isinstance(item, dict):
        return _item_texts(cast("Json", item), ("item",), f"{at}.item.{verb}")
    if isinstance(part, dict):
        index = event.get("content_index", event.get("summary_index", 0))
        return list(_leaves(cast("Json", part), ("part",), "assistant", f"{at}.part.{verb}.{index}"))
    held = {said: value for said, value in event.items() if said in {"delta", "output"}}
    return list(_leaves(held, (), "assistant", f"{at}.{name}.{verb}"))


def _item_texts(item: Json, path: Path, flow: str) -> list[TextPlace]:
    """The texts of one item: those of a message's parts by their names, of any other all that is not an id or bytes."""
    kind = str(item.get("type") or "")
    role = str(item.get("role") or _ROLES.get(kind) or ("tool" if kind.endswith("_output") else "assistant"))
    if isinstance(item.get("content"), str):
        return [TextPlace((*path, "content"), item["content"], role, flow)]
    skipped = {"result"} if kind == "image_generation_call" else {"annotations"}
    held = {name: value for name, value in item.items() if name not in skipped}
    places = list(_leaves(held, path, role, flow))
    parts: Any = item.get("content") if kind == "agent_message" else None
    for at, part in enumerate(cast("list[object]", parts) if isinstance(parts, list) else ()):
        said = unsealed(part)
        if said:
            where = ("content", at, "encrypted_content")
            places.append(TextPlace((*path, *where), said, role, ".".join([flow, *map(str, where)])))
    return places


def unsealed(part: object) -> str:
    """What stands as encrypted in a part of an agent's message and is plain words; nothing where there is none.

    Where another vendor's model gave it, what Codex calls encrypted is plain: https://github.com/MetaFARS/codex-relay/issues/60
    """
    said = cast("Json", part).get("encrypted_content") if isinstance(part, dict) else None
    return said if isinstance(said, str) and not _SEALED.fullmatch(said) else ""


def _leaves(value: object, path: Path, role: str, flow: str) -> Iterator[TextPlace]:
    """Every string at any depth, each a flow of its own."""
    if isinstance(value, str):
        yield TextPlace(path, value, role, flow)
    elif isinstance(value, list):
        for at, held in enumerate(cast("list[object]", value)):
            yield from _leaves(held, (*path, at), role, f"{flow}.{at}")
    elif isinstance(value, dict):
        for name, held in cast("Json", value).items():
            if name in _DEFINING:
                yield from _definition_texts(held, (*path, name), f"{flow}.{name}")
            elif name not in _SILENT and name != "annotations":
                yield from _leaves(held, (*path, name), role, f"{flow}.{name}")


def _definition_texts(value: object, path: Path, flow: str = "") -> Iterator[TextPlace]:
    """What tools, schemas and grammars say about themselves, at any depth: a model reads all of it."""
    if isinstance(value, list):
        for at, item in enumerate(cast("list[object]", value)):
            yield from _definition_texts(item, (*path, at), f"{flow}.{at}")
    elif isinstance(value, dict):
        for name, item in cast("Json", value).items():
            if name in _DESCRIBING and isinstance(item, str):
                yield TextPlace((*path, name), item, "tool_definition", f"{flow}.{name}" if flow else "")
            yield from _definition_texts(item, (*path, name), f"{flow}.{name}")


def without_logprobs(body: Json, paths: Sequence[Path]) -> None:
    """Empty the log probabilities beside the texts at `paths`, which would tell what they were."""
    for path in paths:
        holder: Any = body
        for key in path[:-1]:
            holder = holder[key]
        if isinstance(holder, dict) and "logprobs" in holder:
            holder["logprobs"] = []
