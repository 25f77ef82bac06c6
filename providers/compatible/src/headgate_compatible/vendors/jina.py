"""Jina: embeddings with a task, rankings in the shape that others have taken over, and a chat that searches on a host of its own.

Sources: https://api.jina.ai/redoc, https://jina.ai/deepsearch; for the schema of an answer https://docs.jina.ai, as machines get
it; for parts of a message what the vendor's server does with them (`image_url` becomes `image`, others are the AI SDK's:
https://github.com/jina-ai/node-DeepResearch/blob/main/src/app.ts) and what its own page sends
(https://github.com/jina-ai/deepsearch-ui/blob/main/app.js). For batches see `jina_batches`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from msgspec.structs import replace
from typing_extensions import override

from headgate.chat import ChatRequest
from headgate.dialects import Dialect, Gaps
from headgate.exchange import Exchange
from headgate.operations import BATCHES
from headgate.provider import operation_of
from headgate.upstream import Credential, origin_of
from headgate_compatible.provider import Compatible
from headgate_compatible.vendors.embeddings import JinaEmbeddings
from headgate_compatible.vendors.jina_batches import JinaBatches, results_asked
from headgate_compatible.vendors.ranking import JinaRerank

Json = dict[str, Any]

DEEPSEARCH = "https://deepsearch.jina.ai/v1"
"""Where chat is."""


class Jina(Compatible):
    """Jina AI. A deployment with a `base_url` of its own has everything there."""

    own_dialects: ClassVar[Mapping[str, str]] = {
        "embeddings": JinaEmbeddings.name,
        "rerank": JinaRerank.name,
        BATCHES.name: JinaBatches.name,
    }
    codecs: ClassVar[Mapping[str, Dialect]] = {
        each.name: each for each in (JinaEmbeddings(), JinaRerank(), JinaBatches())
    }

    @override
    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:
        """The results of a batch are relayed: they are OpenAI's lines."""
        return (BATCHES.name, "") if results_asked(ex) else super().spoken(ex, model)

    @override
    def url_for(self, ex: Exchange) -> str:
        results = results_asked(ex)
        if results:
            return self.url_at(ex, results)
        return DEEPSEARCH + self.paths["chat"] if self._is_search(ex) else super().url_for(ex)

    @override
    def credential(self, ex: Exchange) -> Credential | None:
        held = super().credential(ex)
        return replace(held, origins=frozenset({origin_of(DEEPSEARCH)})) if held and self._is_search(ex) else held

    @override
    def finish(self, body: Json, request: ChatRequest, gaps: Gaps) -> None:
        """The schema of the answer stands in `json_schema` itself, and a document is a part of the AI SDK's."""
        form: Json = body.get("response_format") or {}
        if form.get("type") == "json_schema":
            form["json_schema"] = form["json_schema"].get("schema") or {}
        for message in body["messages"]:
            content = message.get("content")
            if isinstance(content, list):
                message["content"] = [_document(part) for part in cast("list[Json]", content)]

    def _is_search(self, ex: Exchange) -> bool:
        """Whether the call goes to DeepSearch."""
        return operation_of(ex) == "chat" and self.url == self.base_url and not ex.base_url


def _document(part: Json) -> Json:
    """A part as it is; one that is a document with its data URL and the type that this names."""
    if part.get("type") != "file":
        return part
    url: str = part["file"]["file_data"]
    return {"type": "file", "data": url, "mimeType": url.removeprefix("data:").partition(";")[0]}


class JinaShaped(Compatible):
    """A server of which only the rankings are in Jina's shape, such as vLLM or Novita."""

    own_dialects: ClassVar[Mapping[str, str]] = {"rerank": JinaRerank.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {JinaRerank.name: JinaRerank()}
