"""Z.ai: efforts by the model's generation, files by their address, its own way to count tokens, and Responses beside the rest
that must be told to keep what they make.

Sources: https://docs.z.ai/guides/capabilities/thinking (GLM-5.3 thinks whatever is asked, and answers any effort but its three
with an error), https://docs.z.ai/api-reference/llm/chat-completion (`reasoning_effort` since GLM-5.2, `file_url`, formats) and
https://docs.z.ai/api-reference/tools/tokenizer. Of Responses https://docs.z.ai/devpack/quick-start has the address, with which
others record streams, and the reference is Zhipu's: https://docs.bigmodel.cn/api-reference/response/创建-response (a message of
the input has a `type`; what is kept is asked for with `store`) and ../response/查询-response.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from headgate.body import decode_object
from headgate.caller import passed_path
from headgate.chat import ChatRequest
from headgate.dialects import Dialect, Gaps
from headgate.dialects.openai.members import objects
from headgate.exchange import Exchange
from headgate.operations import RESPONSES
from headgate.provider import operation_of
from headgate_compatible import policy
from headgate_compatible.vendors.always import always
from headgate_compatible.vendors.counting import Counting, ZaiCount

Json = dict[str, Any]

ALWAYS = ("low", "high", "max")
"""Efforts of GLM-5.3 and what came after it, which cannot be told not to think."""
_MAPPED = ("low", "medium", "high", "xhigh", "max")
"""Efforts that GLM-5.2 takes; its others switch thinking off."""
_GENERATION = re.compile(r"glm-(\d)(?:[.-](\d)(?!\d))?")
_KEPT = "/v1/responses/"
_BASE = "/api/paas/v4"
"""How the base URL ends, beside which Responses are."""


class Zai(Counting):
    """Z.ai."""

    own_dialects: ClassVar[Mapping[str, str]] = {"count_tokens": ZaiCount.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {ZaiCount.name: ZaiCount()}

    @override
    def url_for(self, ex: Exchange) -> str:
        url = super().url_for(ex)
        if operation_of(ex) != "passthrough" or not ex.path.startswith(_KEPT):
            return url
        path = passed_path(ex)
        root = url.removesuffix(f"{_BASE}{path}")
        return url if root == url else f"{root}/api/v1{path}"

    @override
    def body_for(self, ex: Exchange) -> bytes:
        body = super().body_for(ex)
        return as_kept(body) if operation_of(ex) == RESPONSES.name else body

    @override
    def think(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        generation = generation_of(request.model)
        if generation >= (5, 3):
            return replace(request, thinking=always(request.thinking, ALWAYS, gaps))
        known = _MAPPED if generation >= (5, 2) else ()
        return replace(request, thinking=policy.think(request.thinking, known, gaps, self.quirks.switch))

    @override
    def finish(self, body: Json, request: ChatRequest, gaps: Gaps) -> None:
        for message in body["messages"]:
            for part in objects(message.get("content")):
                if part.get("type") == "file":
                    part["file"] = _addressed(part["file"])


def generation_of(model: str) -> tuple[int, int]:
    """The generation of a GLM by its name; (0, 0) for other models."""
    found = _GENERATION.search(model.lower())
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def as_kept(body: bytes) -> bytes:
    """A request of Responses that says what OpenAI's clients leave unsaid: that what is made is kept, and what a message is.

    The very same bytes where all is said.
    """
    members = decode_object(body)
    told = dict(members)
    if told.get("store") is None:
        told["store"] = True
    items: Any = told.get("input")
    if isinstance(items, list):
        told["input"] = [_typed(item) for item in cast("list[Any]", items)]
    return body if told == members else msgspec.json.encode(told)


def _typed(item: Any) -> Any:
    """An item of the input; one that has a role and no type is a message."""
    if not isinstance(item, dict) or "type" in item or "role" not in item:
        return cast("Any", item)
    return {"type": "message", **cast("Json", item)}


def _addressed(file: Json) -> Json:
    """A file whose address, unlike its bytes, has a member of its own."""
    data = file.get("file_data", "")
    return file if not data or data.startswith("data:") else {**_without(file, "file_data"), "file_url": data}


def _without(file: Json, name: str) -> Json:
    return {each: value for each, value in file.items() if each != name}
