"""Microsoft Foundry: many vendors' models by OpenAI's API, Claude by Anthropic's, Cohere's rankings by Cohere's, and pictures by
MAI-Image and FLUX.2 in words of their own (see `pictures`).

Facts: https://learn.microsoft.com/en-us/azure/foundry/foundry-models/how-to/use-foundry-models-claude,
https://platform.claude.com/docs/en/build-with-claude/claude-in-microsoft-foundry,
https://devblogs.microsoft.com/azure-sql/semantic-reranking-with-azure-sql-sql-server-2025-and-cohere-rerank-models
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, ClassVar, Literal, cast

from msgspec.structs import replace
from typing_extensions import override

from headgate.caller import passed_path
from headgate.chat import ChatRequest, File, Image
from headgate.dialects import Gaps
from headgate.dialects.anthropic import policy as anthropic_policy
from headgate.dialects.anthropic.betas import without_fallbacks
from headgate.dialects.anthropic.models import Claude, claude_of
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import Exchange, Reply
from headgate.forms import content_type_of
from headgate.operations import COUNTS, IMAGES_EDIT, IMAGES_GENERATE
from headgate.provider import operation_of
from headgate.relay import retell
from headgate.tallying import ESTIMATE
from headgate.upstream import Credential
from headgate_azure.config import FoundryConfig
from headgate_azure.openai import AzureOpenAI
from headgate_azure.pictures import MAX_BYTES, Words, decode, words_of
from headgate_openai import OpenAI

_VERSION = b"2023-06-01"
"""The version of the Messages API for callers that name none: https://platform.claude.com/docs/en/api/versioning"""
_MESSAGES = frozenset({"messages", "count_tokens"})
_PICTURES = frozenset({IMAGES_GENERATE.name, IMAGES_EDIT.name})
_JSON = (b"content-type", b"application/json")


class AzureFoundry(AzureOpenAI):
    """A resource of Microsoft Foundry. Claude is known by its name, or by the setting `claude`."""

    name = "azure-foundry"
    key_env = "AZURE_FOUNDRY_API_KEY"
    docs = "https://learn.microsoft.com/en-us/azure/foundry/foundry-models/how-to/use-foundry-models-claude"
    evidence: ClassVar[Literal["recorded", "types", "documents"]] = "documents"
    host = "services.ai.azure.com"
    scope = "https://ai.azure.com/.default"
    variables = (
        ("AZURE_FOUNDRY_API_KEY", "AZURE_FOUNDRY_ENDPOINT", "AZURE_FOUNDRY_RESOURCE"),
        ("ANTHROPIC_FOUNDRY_API_KEY", "ANTHROPIC_FOUNDRY_BASE_URL", "ANTHROPIC_FOUNDRY_RESOURCE"),
    )
    dialects: ClassVar[Mapping[str, str]] = {
        **AzureOpenAI.dialects,
        "rerank": "cohere.rerank",
        "messages": "anthropic.messages",
        "count_tokens": "",
    }
    paths: ClassVar[Mapping[str, str]] = {
        **OpenAI.paths,
        "rerank": "/v2/rerank",
        "messages": "/messages",
        "count_tokens": "/messages/count_tokens",
    }
    origins_of_thought = frozenset({"openai", "anthropic"})
    Config = FoundryConfig

    def is_claude(self, model: str) -> bool:
        """Whether a model, or the deployment that serves it, is Claude."""
        names = {model, self.deployment_of(model)}
        return any("claude" in name.lower() for name in names) or not names.isdisjoint(self._claude)

    @property
    def _claude(self) -> list[str]:
        return cast("FoundryConfig", self.config).claude

    @override
    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:
        """Claude speaks Messages alone; no other model does."""
        operation = ex.operation
        if operation.name == "passthrough":
            return super().spoken(ex, model)
        if self.is_claude(model):
            if operation.is_chat:
                return "messages", "anthropic.messages"
            return None if operation.dialect else super().spoken(ex, model)
        if operation.name == "messages":
            return "chat", "openai.chat"
        return (ESTIMATE, "") if operation in COUNTS else super().spoken(ex, model)

    @override
    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        words = self._words(ex)
        return super().call(ex) if words is None else self._draw(ex, words)

    async def _draw(self, ex: Exchange, words: Words) -> Reply:
        """Ask a model for pictures that has words of its own for them."""
        request, origin = await self.ready(ex)
        gaps = Gaps(self.name, self.policy(ex))
        attempt, headers = ex.attempt, request.headers
        if attempt is None:
            raise ProviderFailed("pictures are asked for in an attempt")
        model = self.deployment_of(attempt.model)
        if ex.upload is not None:
            boundary = ex.upload.boundary or b""
            form = await ex.upload.read(MAX_BYTES)
            body = words.encode_form(form, boundary, {**attempt.target.override_params, "model": model}, gaps)
            kind = _JSON if words.is_flux else (_JSON[0], content_type_of(boundary))
            headers = (*(pair for pair in headers if pair[0] != _JSON[0]), kind)
        elif operation_of(ex) == IMAGES_EDIT.name:
            raise InvalidRequest("send an edit for this model as a form, with its pictures in it", param="images")
        else:
            body = words.encode(request.body, model, gaps)
        ex.tell_dropped(gaps.dropped)
        request = replace(request, headers=headers, body=body, pieces=None)
        return await retell(ex, self.upstream, request, origin, decode)

    def _words(self, ex: Exchange) -> Words | None:
        """How pictures are asked for in this call; None where that is as OpenAI has it."""
        if operation_of(ex) not in _PICTURES or ex.attempt is None:
            return None
        config, model = cast("FoundryConfig", self.config), ex.attempt.model
        names = (model, self.deployment_of(model))
        found = (words_of(name, self.paths[operation_of(ex)], is_mai=name in config.mai) for name in names)
        return next((words for words in found if words is not None), None)

    @override
    def url_for(self, ex: Exchange) -> str:
        """What is not OpenAI's stands beside its API, without the API version."""
        is_ranking, words = operation_of(ex) == "rerank", self._words(ex)
        if not is_ranking and words is None and not self._is_anthropic(ex):
            return super().url_for(ex)
        root = self._base_of(ex).removesuffix("/v1").removesuffix("/openai").removesuffix("/anthropic")
        path = self.paths.get(operation_of(ex)) or passed_path(ex)
        if words is not None:
            return root + words.path
        if is_ranking:
            return f"{root}/providers/cohere{path}"
        is_beta = not self.is_passed(ex) and not _is_translated(ex) and b"beta=true" in ex.query.split(b"&")
        return f"{root}/anthropic/v1{path}{'?beta=true' if is_beta else ''}"

    @override
    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        if not self._is_anthropic(ex):
            return {}
        names = () if _is_translated(ex) else (b"anthropic-version", b"anthropic-beta")
        return {b"anthropic-version": _VERSION, **{name: ex.headers[name] for name in names if name in ex.headers}}

    @override
    def key_header_for(self, ex: Exchange) -> str:
        return "x-api-key" if self._is_anthropic(ex) else self.key_header

    @override
    def credential(self, ex: Exchange) -> Credential | None:
        held = super().credential(ex)
        if held is None or held.header != self.key_header:
            return held
        return replace(held, header=self.key_header_for(ex))

    def _is_anthropic(self, ex: Exchange) -> bool:
        """Whether a call goes to Anthropic's API, by its operation or by the path that is passed."""
        operation = operation_of(ex)
        return operation in _MESSAGES or (operation == "passthrough" and ex.path.startswith("/v1/messages"))

    # translated requests

    @override
    def adapt(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        if not self.is_claude(request.model):
            return super().adapt(request, gaps)
        claude = _as_hosted(claude_of(request.model))
        return anthropic_policy.adapt(without_fallbacks(request, gaps), gaps, claude)

    @override
    def finish_body(self, body: bytes, request: ChatRequest, gaps: Gaps) -> bytes:
        if self.is_claude(request.model):
            return anthropic_policy.finish_body(body, request)
        return super().finish_body(body, request, gaps)

    @override
    def fetches(self, part: Image | File) -> bool:
        return anthropic_policy.fetches(part)


def _as_hosted(claude: Claude) -> Claude:
    """A model as it is here, where no instructions may stand between turns.

    https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages: the Claude API, Bedrock, Google Cloud
    """
    return replace(claude, instructs=False)


def _is_translated(ex: Exchange) -> bool:
    return ex.attempt is not None and ex.attempt.dialect is not None
