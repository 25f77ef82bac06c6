"""OpenRouter: one object for all wishes about thinking, thinking that goes back with its signatures, hardly any forms, and files
and batches of its own kind.

Sources: https://openrouter.ai/docs/use-cases/reasoning-tokens, https://openrouter.ai/docs/features/multimodal and the types of
`openrouter` 1.3; see `files` and `results` for theirs. An error of the vendor behind it stands in `error.metadata.raw`, which the
dialect reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from msgspec.structs import replace
from typing_extensions import override

from headgate.chat import ChatRequest, Thinking
from headgate.dialects import Dialect, Gaps
from headgate.exchange import Exchange
from headgate.operations import BATCHES, FILES, IMAGES_EDIT, TRANSCRIPTIONS
from headgate_compatible import policy
from headgate_compatible.vendors import edits, transcripts
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.files import OpenRouterFiles
from headgate_compatible.vendors.reshaped import Reshaped, Shape
from headgate_compatible.vendors.results import OpenRouterBatches, asks_for_results

Json = dict[str, Any]


class OpenRouter(JsonForms, Reshaped):
    """OpenRouter."""

    own_dialects: ClassVar[Mapping[str, str]] = {FILES.name: OpenRouterFiles.name, BATCHES.name: OpenRouterBatches.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {each.name: each for each in (OpenRouterFiles(), OpenRouterBatches())}
    forms: ClassVar[Mapping[str, Encode]] = {
        IMAGES_EDIT.name: partial(edits.from_form, words=edits.OPENROUTER),
        TRANSCRIPTIONS.name: transcripts.from_form,
    }
    shapes: ClassVar[Mapping[str, Shape]] = {IMAGES_EDIT.name: edits.in_json(edits.OPENROUTER)}

    origins_of_thought: ClassVar[frozenset[str]] = frozenset(
        {
            "anthropic-claude-v1",
            "azure-openai-responses-v1",
            "bedrock-openai-responses-v1",
            "bedrock-xai-responses-v1",
            "google-gemini-v1",
            "meta-responses-v1",
            "openai-responses-v1",
            "unknown",
            "xai-responses-v1",
        }
    )
    """The formats of `reasoning_details`, which say who signed them."""

    @override
    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:
        """Files are told in OpenAI's shape; their content is relayed, but for the results of batches."""
        if ex.operation is FILES and ex.path.endswith("/content"):
            return (BATCHES.name, OpenRouterBatches.name) if asks_for_results(ex) else (FILES.name, "")
        return super().spoken(ex, model)

    @override
    def think(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        wanted = request.thinking
        if wanted is None:
            return request
        if wanted.effort and wanted.budget_tokens:
            gaps.skip("reasoning_effort")
        effort = policy.effort_of(replace(wanted, budget_tokens=wanted.budget_tokens if not wanted.effort else None))
        return replace(request, thinking=replace(wanted, effort=effort))

    @override
    def finish(self, body: Json, request: ChatRequest, gaps: Gaps) -> None:
        if request.thinking is not None:
            body.pop("reasoning_effort", None)
            reasoning = _reasoning_of(request.thinking)
            if reasoning:
                body["reasoning"] = reasoning
        for message in body["messages"]:
            for detail in message.get("reasoning_details", ()):
                detail.pop("account", None)  # ours


def _reasoning_of(thinking: Thinking) -> Json:
    """The object `reasoning`; a budget goes before an effort, since one alone may be given."""
    wish: Json = {}
    if thinking.budget_tokens:
        wish = {"max_tokens": thinking.budget_tokens}
    elif thinking.effort is not None:
        wish = {"effort": thinking.effort}
    elif thinking.mode is not None:
        wish = {"enabled": True}
    return {
        **wish,
        **({"summary": thinking.summary} if thinking.summary else {}),
        **({"exclude": True} if thinking.is_shown is False else {}),
    }
