"""The OpenAI provider: the client's words to OpenAI, its bytes back. Quirk providers override one small method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import urlsplit

from msgspec.structs import replace
from typing_extensions import override

from headgate.chat import ChatRequest, File, Image, Message, Part, Reasoning
from headgate.dialects import Gaps
from headgate.exchange import Exchange
from headgate.provider import DeploymentConfig, Provider
from headgate.upstream import Upstream

MAX_STOPS = 4
_HOSTS = (".openai.com", ".openai.azure.com", ".cognitiveservices.azure.com")
"""Where OpenAI's models are behind a closed schema; a server elsewhere may know more than OpenAI does."""
_NO_ACCOUNT: Mapping[bytes, bytes] = {}
_ACCOUNT = {"openai-organization": b"openai-organization", "openai-project": b"openai-project"}


class OpenAIConfig(DeploymentConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A deployment of OpenAI. `organization` and `project` say on whose account a call counts."""

    organization: str = ""
    project: str = ""


class OpenAI(Provider):
    """OpenAI, and whoever speaks its dialect.

    The body is never changed beyond `model` and the target's `override_params`: what OpenAI refuses, it says itself. Only
    `input_type` is left out of embeddings at OpenAI's own hosts: it is for vendors whose models know purposes, and only hints.
    Variations of pictures are retired there: https://developers.openai.com/api/docs/deprecations
    """

    name = "openai"
    base_url = "https://api.openai.com/v1"
    key_env = "OPENAI_API_KEY"
    docs = "https://platform.openai.com/docs/api-reference"
    evidence = "recorded"
    dialects: ClassVar[Mapping[str, str]] = {
        "chat": "openai.chat",
        "responses": "openai.responses",
        "responses.input_tokens": "",
        "completions": "openai.completions",
        "embeddings": "openai.embeddings",
        "images.generate": "openai.images",
        "images.edit": "openai.images",
        "audio.speech": "openai.speech",
        "audio.transcriptions": "openai.transcription",
        "audio.translations": "openai.transcription",
        "moderations": "openai.moderations",
        "files": "",
        "uploads": "",
        "batches": "",
        "fine_tuning.jobs": "",
        "realtime": "openai.realtime",
        "passthrough": "",
    }
    paths: ClassVar[Mapping[str, str]] = {
        "chat": "/chat/completions",
        "responses": "/responses",
        "responses.input_tokens": "/responses/input_tokens",
        "completions": "/completions",
        "embeddings": "/embeddings",
        "images.generate": "/images/generations",
        "images.edit": "/images/edits",
        "audio.speech": "/audio/speech",
        "audio.transcriptions": "/audio/transcriptions",
        "audio.translations": "/audio/translations",
        "moderations": "/moderations",
        "realtime": "/realtime",
    }
    forwarded: ClassVar[tuple[str, ...]] = (
        *("openai-beta", "openai-safety-identifier", "idempotency-key", "x-client-request-id"),
    )
    origins_of_thought = frozenset({"openai"})
    takes_custom_tools = True
    Config = OpenAIConfig

    def __init__(self, deployment: str, config: DeploymentConfig, upstream: Upstream) -> None:
        super().__init__(deployment, config, upstream)
        self._payer = _payer_of(config)
        if (urlsplit(self.url).hostname or "").endswith(_HOSTS):
            self.left_out = {"embeddings": ("input_type",)}

    @override
    def adapt(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        """OpenAI takes no thinking back in chat, no `top_k` and at most four stop sequences."""
        sampling = request.sampling
        if sampling.top_k is not None:
            gaps.refuse("top_k")
            sampling = replace(sampling, top_k=None)
        sampling = replace(sampling, stop=gaps.most("stop", sampling.stop, MAX_STOPS))
        thinking = request.thinking
        is_foreign = request.dialect != gaps.dialect
        if is_foreign and thinking is not None and thinking.effort and thinking.budget_tokens:
            gaps.skip("thinking.budget_tokens")
        is_chat = gaps.dialect != "openai.responses"
        messages = tuple(_as_taken(message, at, gaps, is_chat=is_chat) for at, message in enumerate(request.messages))
        return replace(request, sampling=sampling, messages=messages)

    @override
    def fetches(self, part: Image | File) -> bool:
        return isinstance(part, Image)

    @override
    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        """Headers this vendor defines: here the account that pays.

        The deployment's account goes with the deployment's key alone; where it names none the caller may.
        """
        is_own_key = ex.principal is not None and ex.principal.credential is not None
        account = _NO_ACCOUNT if is_own_key or ex.base_url else self._payer
        for option, name in _ACCOUNT.items():
            asked = ex.option(option)
            if asked and name not in account:
                account = {**account, name: asked.encode("latin-1")}
        return account


def _as_taken(message: Message, at: int, gaps: Gaps, *, is_chat: bool) -> Message:
    """A turn without what OpenAI does not take: thinking, which chat has no place for, and films."""
    parts: list[Part] = []
    for number, part in enumerate(message.parts):
        if isinstance(part, Reasoning) and (is_chat or part.opaque is None):
            gaps.skip(f"messages[{at}].reasoning")
        elif isinstance(part, File) and (part.media_type or "").startswith("video/"):
            gaps.refuse(f"messages[{at}].content[{number}]", "OpenAI takes no films")
        else:
            parts.append(part)
    return message if len(parts) == len(message.parts) else replace(message, parts=tuple(parts))


def _payer_of(config: DeploymentConfig) -> Mapping[bytes, bytes]:
    if not isinstance(config, OpenAIConfig):
        return {}
    account = {b"openai-organization": config.organization.encode(), b"openai-project": config.project.encode()}
    return {name: value for name, value in account.items() if value}
