"""DeepSeek: thinking that is on unless switched off, and must come back where there are tools; files and sound in its words.

Sources: https://api-docs.deepseek.com/guides/thinking_mode, https://api-docs.deepseek.com/guides/json_mode,
https://api-docs.deepseek.com/guides/files_api (Anthropic's clients have files of their shape below `/anthropic`, by a beta),
https://api-docs.deepseek.com/guides/tool_calls and https://api-docs.deepseek.com/guides/chat_prefix_completion (schemas that are
kept to, and answers that go on from a beginning, at the base URL `/beta`) and, for files in a chat and sound, `deepseek_media`
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Raw
from msgspec.structs import replace
from typing_extensions import override

from headgate.body import decode_object
from headgate.caller import passed_path
from headgate.chat import ChatRequest, Thinking
from headgate.dialects import Gaps
from headgate.dialects.openai.members import as_object, objects
from headgate.exchange import Exchange
from headgate.operations import CHAT, COUNT_TOKENS, FILES, MESSAGES, SPEECH, TRANSCRIPTIONS
from headgate.provider import operation_of
from headgate.upstream import UpstreamRequest
from headgate_compatible.functions import with_parameters
from headgate_compatible.policy import effort_of
from headgate_compatible.turns import ASSISTANT, changed
from headgate_compatible.vendors import deepseek_media as media
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.reshaped import Reshaped, Shape

Json = dict[str, Any]

_VERSION = b"anthropic-version"
_BETAS = b"anthropic-beta"
_FILES_BETA = b"files-api-2025-04-14"
_HOST = "api.deepseek.com"
_CHAT = "/chat/completions"
_ANTHROPIC = frozenset({MESSAGES.name, COUNT_TOKENS.name})
_CUSTOM = Raw(b'"custom"')
_members = msgspec.json.Decoder(dict[str, Raw])
_tools = msgspec.json.Decoder(list[dict[str, Raw]])


class DeepSeek(JsonForms, Reshaped):
    """DeepSeek. The model is not made to call a tool while it thinks, which it refuses: not asked to think, it is told not to."""

    forms: ClassVar[Mapping[str, Encode]] = {TRANSCRIPTIONS.name: media.encode_transcript}
    bare: ClassVar[frozenset[str]] = frozenset({TRANSCRIPTIONS.name})
    shapes: ClassVar[Mapping[str, Shape]] = {SPEECH.name: Shape(media.encode_speech)}

    @override
    def prepare(self, ex: Exchange) -> UpstreamRequest:
        request = super().prepare(ex)
        if operation_of(ex) != CHAT.name or not is_beta(request.body):
            return request
        return replace(request, url=_beside_beta(request.url))

    @override
    def url_for(self, ex: Exchange) -> str:
        url = super().url_for(ex)
        if not _asks_as_anthropic(ex):
            return url
        path = passed_path(ex)
        return f"{url.removesuffix(path)}/anthropic/v1{path}"

    @override
    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        headers = super().vendor_headers(ex)
        if not _asks_as_anthropic(ex):
            return headers
        named = ex.headers.get(_BETAS, b"")
        betas = named if _FILES_BETA in named else b",".join(beta for beta in (named, _FILES_BETA) if beta)
        return {**headers, _VERSION: ex.headers[_VERSION], _BETAS: betas}

    @override
    def body_for(self, ex: Exchange) -> bytes:
        body, operation = super().body_for(ex), operation_of(ex)
        if operation in _ANTHROPIC and bytes(_CUSTOM) in body:
            return without_kinds(body)
        if operation != CHAT.name:
            return body
        return with_parameters(with_thoughts(media.flatten_files(body) if media.FILE in body else body))

    @override
    def think(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        if request.thinking is not None and effort_of(request.thinking) == "xhigh":  # `high` by the vendor's own table
            gaps.skip("reasoning_effort")
            request = replace(request, thinking=replace(request.thinking, effort="high"))
        request = super().think(request, gaps)
        choice, thinking = request.tool_choice, request.thinking
        if choice is None or choice.mode not in {"required", "named"}:
            return request
        if thinking is not None and thinking.mode == "enabled":
            gaps.refuse("tool_choice", "no call can be forced while the model thinks")
            return replace(request, tool_choice=None)
        return replace(request, thinking=replace(thinking or Thinking(), effort=None, mode="disabled"))

    @override
    def finish(self, body: Json, request: ChatRequest, gaps: Gaps) -> None:
        if request.thinking is not None and request.thinking.mode == "disabled":
            return
        for message in body["messages"]:
            # with tools a turn without thinking is refused, one with empty thinking is not
            if message["role"] == "assistant" and (request.tools or message.get("tool_calls")):
                message.setdefault("reasoning_content", "")


def with_thoughts(body: bytes) -> bytes:
    """A chat request in which, where there are tools, no turn of the model is without thinking, unless that is switched off.

    Few clients of OpenAI's API send back what they got of it: https://github.com/deepseek-ai/awesome-deepseek-agent/issues/63
    """
    if ASSISTANT not in body:
        return body
    members = _members.decode(body)
    thinking = as_object(msgspec.json.decode(members.get("thinking", b"null"))) or {}
    if "messages" not in members or thinking.get("type") == "disabled":
        return body
    has_tools = bool(msgspec.json.decode(members.get("tools", b"null")))
    told = changed(members["messages"], ASSISTANT, partial(_thoughtful, has_tools))
    return body if told == members["messages"] else msgspec.json.encode({**members, "messages": told})


def _thoughtful(has_tools: bool, members: dict[str, Raw], _at: int) -> dict[str, Raw]:  # noqa: FBT001 - bound, not passed
    is_said = bytes(members.get("reasoning_content", b"null")) != b"null"
    if is_said or not (has_tools or msgspec.json.decode(members.get("tool_calls", b"null"))):
        return members
    return {**members, "reasoning_content": Raw(b'""')}


def is_beta(body: bytes) -> bool:
    """Whether a chat request has a tool with `strict`, or ends in the beginning of an answer, `prefix`."""
    if b'"strict"' not in body and b'"prefix"' not in body:
        return False
    members = decode_object(body)
    functions = (as_object(tool.get("function")) or {} for tool in objects(members.get("tools")))
    last = objects(members.get("messages"))[-1:]
    return any(each.get("strict") is True for each in functions) or any(each.get("prefix") is True for each in last)


def without_kinds(body: bytes) -> bytes:
    """A request of Anthropic's clients without the type of tools that have their usual one, `custom`, which is refused there.

    https://github.com/maximhq/bifrost/issues/3456 has the refusal.
    """
    members = _members.decode(body)
    try:
        tools = _tools.decode(members.get("tools", b"[]"))
    except msgspec.ValidationError:  # told by the vendor
        return body
    if not any(tool.get("type") == _CUSTOM for tool in tools):
        return body
    kept = [{name: value for name, value in tool.items() if (name, value) != ("type", _CUSTOM)} for tool in tools]
    return msgspec.json.encode({**members, "tools": kept})


def _beside_beta(url: str) -> str:
    """The address of a chat below `/beta`; as it is at hosts that are not the vendor's."""
    base = url.removesuffix(_CHAT)
    if urlsplit(url).hostname != _HOST or base.endswith("/beta"):
        return url
    return f"{base.removesuffix('/v1')}/beta{_CHAT}"


def _asks_as_anthropic(ex: Exchange) -> bool:
    """Whether a client of Anthropic's asks for a file."""
    return ex.operation is FILES and _VERSION in ex.headers
