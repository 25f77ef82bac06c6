"""302.AI: rankings at two addresses, by whose model it is, and Gemini by Google's own API, where the key stands as Google has it.

Sources: https://doc-en.302.ai/411495982e0 (Qwen's rankings, at `/v1/reranks`), and a survey of all pages that
https://doc.302.ai/llms.txt lists, by which those of Jina, Voyage, BAAI, Youdao and SiliconFlow are at `/v1/rerank`:
https://github.com/Nebutra/Nebutra-Sailor (.trellis/tasks/09-08-router-302-parity/research/302-docs.md, of September 2026).
No page of the vendor's that was found tells of the header for Gemini; projects that call `https://api.302.ai/v1beta` send it, or
`?key=`.
"""

from __future__ import annotations

from msgspec.structs import replace
from typing_extensions import override

from headgate.exchange import Exchange
from headgate.operations import GENERATE, RERANK
from headgate.provider import operation_of
from headgate.upstream import Credential
from headgate_compatible.vendors.jina import JinaShaped

_QWEN, _PLURAL = "qwen", "/reranks"


class AI302(JinaShaped):
    """302.AI. Clients of rankings ask for models by their makers' names, in which Qwen's have that of Qwen."""

    @override
    def url_for(self, ex: Exchange) -> str:
        url, attempt = super().url_for(ex), ex.attempt
        if operation_of(ex) != RERANK.name or attempt is None or _QWEN not in attempt.model.lower():
            return url
        return url.removesuffix(self.paths[RERANK.name]) + _PLURAL

    @override
    def credential(self, ex: Exchange) -> Credential | None:
        held = super().credential(ex)
        if held is None or operation_of(ex) != GENERATE.name:
            return held
        return replace(held, header="x-goog-api-key", prefix="")
