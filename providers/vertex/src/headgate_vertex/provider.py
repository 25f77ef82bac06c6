"""Vertex AI: four interfaces behind one host, by the model; the place and the project stand in the path."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ClassVar
from urllib.parse import quote

import msgspec
from msgspec import Raw
from msgspec.structs import replace
from typing_extensions import override

from headgate.caller import above, checked_base_url, passed_path
from headgate.chat import ChatRequest, File, Image
from headgate.dialects import AnthropicCount, Dialect, Gaps
from headgate.dialects.anthropic import policy as anthropic_policy
from headgate.dialects.anthropic.betas import without_fallbacks
from headgate.dialects.anthropic.models import Claude, claude_of
from headgate.dialects.google import live
from headgate.dialects.google import policy as google_policy
from headgate.errors import InvalidRequest, Problem, ProviderFailed, StartupError
from headgate.exchange import Exchange, Reply
from headgate.operations import (
    BATCHES,
    CHAT,
    COMPLETIONS,
    COUNTS,
    EMBEDS,
    FINE_TUNING,
    GENERATE_CACHES,
    GENERATE_LIVE,
    IMAGES_EDIT,
    IMAGES_GENERATE,
    PASSTHROUGH,
    RERANK,
    RESPONSES,
    SPEECH,
    TRANSCRIPTIONS,
    VERTEX_LIVE,
)
from headgate.provider import DeploymentConfig, operation_of
from headgate.relay import Origin, Secrets, relay, retell
from headgate.tallying import ESTIMATE
from headgate.upstream import Credential, Upstream, UpstreamRequest, origin_of
from headgate_compatible.vendors import fim
from headgate_google.answers import in_words_of_client
from headgate_google.media import JSON, GeminiMedia
from headgate_vertex import caches, mistral
from headgate_vertex.batches import VertexBatches
from headgate_vertex.config import (
    BASE_URL,
    VertexConfig,
    account_of,
    base_url,
    info_of,
    location_of,
    project_of,
    secrets_in,
)
from headgate_vertex.counting import VertexCount
from headgate_vertex.credentials import Tokens
from headgate_vertex.embeddings import VertexEmbed, method_of
from headgate_vertex.errors import HostedChat, HostedCount, HostedMessages, Unlisted
from headgate_vertex.models import Interface, Model, find_model
from headgate_vertex.ranking import CONFIG, HOST, VertexRerank
from headgate_vertex.tuning import VertexTuning
from headgate_vertex.turns import only_from, without_ids

API_VERSION = "vertex-2023-10-16"
"""What the body of a call of Claude must name: https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai"""
TIER_HEADER = b"x-vertex-ai-llm-shared-request-type"
"""Where Vertex AI wants what the Gemini API calls `serviceTier`: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/priority-paygo"""
_SPOKEN: Mapping[Interface, tuple[str, str]] = {
    "gemini": ("generate", "google.generate"),
    "claude": ("messages", "anthropic.messages"),
    "mistral": ("chat", "openai.chat"),
    "openai": ("chat", "openai.chat"),
}
_ANSWERING = "xai/"
"""Whose models the OpenAI layer has Responses of, for clients of these:
https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/partner-models/grok/responses"""
_COUNTED: Mapping[Interface, tuple[str, str]] = {
    "gemini": ("generate.count_tokens", VertexCount.name),
    "claude": ("count_tokens", AnthropicCount.name),
}
"""How tokens are counted, and in which dialect for clients of another's."""
_CLAUDES = ("messages", "count_tokens", "passthrough")
"""Operations that may be Claude's."""
_OTHERS = frozenset({RERANK.name, BATCHES.name, FINE_TUNING.name, PASSTHROUGH.name})
"""Operations for which the model's name decides nothing."""
_ORIGINS: Mapping[Interface, str] = {"gemini": "google", "claude": "anthropic", "mistral": "", "openai": ""}
_USUAL = BASE_URL.rpartition("/")[2]
"""The version where a base URL names none."""
_EARLY = "/v1beta1"
"""What has a version of its own and is asked there, where google-genai asks all: https://docs.cloud.google.com/vertex-ai/docs/reference/rest/v1beta1"""
_GEMINIS = frozenset({GENERATE_LIVE, GENERATE_CACHES})
"""Operations that are Gemini's alone, beside what its models are asked in OpenAI's words."""
_MISTRALS = frozenset({CHAT.name, COMPLETIONS.name})
"""Operations that may be Mistral's."""
_MAKERS = frozenset({*_MISTRALS, RESPONSES.name, *_CLAUDES[:2]})
"""Operations in the words of the models' makers. What goes wrong before a model is asked is told in Google's."""


class Vertex(GeminiMedia):
    """Gemini, Claude, Mistral's models and those of the OpenAI layer on Vertex AI."""

    name = "vertex"
    base_url = BASE_URL
    docs = "https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest"
    auth: ClassVar[tuple[str, ...]] = ("key", "service account", "workload identity", "metadata server")
    evidence = "recorded"
    dialects: ClassVar[Mapping[str, str]] = {
        "generate": "google.generate",
        "generate.count_tokens": "",
        "messages": "anthropic.messages",
        "count_tokens": "",
        "chat": "openai.chat",
        RESPONSES.name: "openai.responses",
        COMPLETIONS.name: "openai.completions",
        "embeddings": VertexEmbed.name,
        "rerank": VertexRerank.name,
        "images.generate": "openai.images",
        IMAGES_EDIT.name: "openai.images",
        SPEECH.name: "openai.speech",
        TRANSCRIPTIONS.name: "openai.transcription",
        "batches": VertexBatches.name,
        "fine_tuning.jobs": VertexTuning.name,
        GENERATE_CACHES.name: "",
        GENERATE_LIVE.name: "google.live",
        "passthrough": "",
    }
    codecs: ClassVar[Mapping[str, Dialect]] = {
        each.name: each
        for each in (
            *(HostedMessages(), HostedCount(), HostedChat()),
            *(VertexEmbed(), VertexRerank(), VertexCount(), VertexBatches(), VertexTuning()),
        )
    }
    paths: ClassVar[Mapping[str, str]] = {
        "generate": ":generateContent",
        "generate.count_tokens": ":countTokens",
        "messages": ":rawPredict",
        "count_tokens": ":rawPredict",
        "chat": "/chat/completions",
        RESPONSES.name: "/responses",
        COMPLETIONS.name: mistral.METHOD,
        "embeddings": ":predict",
        "rerank": CONFIG,
        "images.generate": ":generateContent",
        IMAGES_EDIT.name: ":generateContent",
        SPEECH.name: ":generateContent",
        TRANSCRIPTIONS.name: ":generateContent",
    }
    has_formats: ClassVar[bool] = True
    retold: ClassVar[frozenset[str]] = GeminiMedia.retold | {IMAGES_GENERATE.name}
    key_header = "x-goog-api-key"
    key_prefix = ""
    keeps_responses: ClassVar[bool] = False
    """Nothing is documented of asking for a response of the layer's by its id."""
    origins_of_thought: ClassVar[frozenset[str]] = frozenset({"google", "anthropic"})
    Config = VertexConfig

    def __init__(self, deployment: str, config: DeploymentConfig, upstream: Upstream) -> None:
        self.settings = config if isinstance(config, VertexConfig) else VertexConfig(provider=self.name)
        info = info_of(self.settings)
        self.project, self.location = project_of(self.settings, info), location_of(self.settings)
        if not self.project and self.settings.api_key is None:
            raise StartupError([Problem("`project` is missing: set it, or `api_key` for express mode")])
        url = self.settings.base_url or base_url(self.location if self.project else "global")
        super().__init__(deployment, replace(self.settings, base_url=url), upstream)
        self.config = config  # as it was written, which is how a reload tells whether it has changed
        if self.project:
            self.account = account_of(self.project)
        self._tokens = Tokens(info, upstream)
        self._origin = Origin(self.name, deployment, (*self._origin.secrets, *secrets_in(info)))
        place = f"/projects/{quote(self.project, safe=':')}/locations/{self.location}" if self.project else ""
        self._place = place
        self._ranking = frozenset[str]() if self.settings.base_url else frozenset({origin_of(HOST)})
        self._bound = self.origins | self._ranking
        jobs = (VertexBatches(self.project, self.location), VertexTuning(self.project, self.location))
        self._counter = VertexCount()
        self.codecs = {**type(self).codecs, **{each.name: each for each in jobs}}  # pyright: ignore[reportAttributeAccessIssue] - this deployment's own

    @override
    def requires_key(self) -> bool:
        return False

    @override
    @classmethod
    def from_environment(cls) -> Mapping[str, Any] | None:
        project, location = os.environ.get("GOOGLE_CLOUD_PROJECT"), os.environ.get("GOOGLE_CLOUD_LOCATION")
        return {"provider": cls.name, "project": project, "location": location} if project and location else None

    @override
    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:
        name = ex.operation.name
        if ex.operation is RESPONSES and model.startswith(_ANSWERING):
            return name, self.dialects[name]
        if ex.operation.is_chat:
            return _SPOKEN[find_model(model).interface]
        if ex.operation in COUNTS:
            counted, dialect = _COUNTED.get(find_model(model).interface, (ESTIMATE, ""))
            return counted, "" if counted == name else dialect
        if name == "embeddings" or ex.operation in EMBEDS:
            return ("embeddings", VertexEmbed.name) if find_model(model).interface == "gemini" else None
        if name == COMPLETIONS.name:
            return (name, self.dialects[name]) if find_model(model).interface == "mistral" else None
        if ex.operation is GENERATE_CACHES and not model:
            return name, ""  # one that is there already is known by its id
        if name in self.retold or ex.operation in _GEMINIS:
            return (name, self.dialects[name]) if find_model(model).interface == "gemini" else None
        return (name, self.dialects[name]) if name in _OTHERS else None

    @override
    def adapt(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        model = find_model(request.model)
        request = only_from(_ORIGINS[model.interface], request, gaps)
        match model.interface:
            case "gemini":
                return google_policy.adapt(without_ids(request), gaps)
            case "claude":
                claude = self._as_hosted(claude_of(request.model))
                return anthropic_policy.adapt(without_fallbacks(request, gaps), gaps, claude)
            case "mistral":
                return mistral.adapt(request, gaps)
            case "openai":
                return request

    @override
    def finish_body(self, body: bytes, request: ChatRequest, gaps: Gaps) -> bytes:
        match find_model(request.model).interface:
            case "claude":
                return _as_claude(anthropic_policy.finish_body(body, request))
            case "mistral":
                return mistral.finish_body(body, request)
            case _:
                return body

    def _as_hosted(self, claude: Claude) -> Claude:
        """A model as it is here: structured outputs and strict tools are off unless the organisation has allowed them.

        https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/structured_outputs
        """
        match self.settings.structured_output:
            case "native":
                return claude
            case "tool":
                return replace(claude, structures=False)
            case "auto":
                return replace(claude, structures=claude.structures and not claude.forces)

    @override
    def fetches(self, part: Image | File) -> bool:
        """Only what lies in Cloud Storage: Claude on Vertex AI takes no addresses, and Gemini the same bytes."""
        return part.url is None or part.url.startswith("gs://")

    @override
    def credential(self, ex: Exchange) -> Credential | None:
        """The caller's own is an API key by its looks, else an access token."""
        own = ex.principal.credential if ex.principal else None
        if own is None or own.reveal().startswith(("AIza", "AQ.")):
            held = super().credential(ex)
            return replace(held, origins=self._ranking) if held and self._is_ranked(ex) else held
        origins = frozenset({origin_of(ex.base_url)}) if ex.base_url else self.origins
        return Credential("authorization", own, self._ranking if self._is_ranked(ex) else origins, "Bearer ")

    def _is_ranked(self, ex: Exchange) -> bool:
        """Whether the call goes to the ranking API: it has a host of its own, unless all is said to be elsewhere."""
        return operation_of(ex) == RERANK.name and not ex.base_url and not self.settings.base_url

    @override
    def prepare(self, ex: Exchange) -> UpstreamRequest:
        request = super().prepare(ex)
        return _tiered(request) if operation_of(ex) == "generate" else request

    @override
    def url_for(self, ex: Exchange) -> str:
        operation, attempt = operation_of(ex), ex.attempt
        method = self.paths.get(operation)
        if operation == GENERATE_LIVE.name:
            return self._live_url(ex)
        if operation == GENERATE_CACHES.name:
            return self.url_at(
                ex, self._placed(passed_path(ex, "/v1beta" if ex.path.startswith("/v1beta/") else "/v1"))
            )
        if method is None or attempt is None:
            return self._passed_url(ex)
        if operation == RERANK.name:
            return self._ranking_url(ex)
        model = find_model(attempt.model)
        if not self._place and model.interface != "gemini":
            raise InvalidRequest(f"`{attempt.model}` needs a deployment with a `project`", code="unsupported_model")
        if operation == "count_tokens":
            model = Model("claude", model.id, (*model.path[:-1], "count-tokens"))
        if ex.stream and operation in _STREAMED:
            method = _STREAMED[operation]
        if operation == "embeddings":
            method = method_of(attempt.body or b"")
        if model.interface == "mistral":
            method = mistral.STREAMED if ex.stream else mistral.METHOD
        base = checked_base_url(ex.base_url) if ex.base_url else self.url
        return base + self._place + "".join(f"/{quote(piece, safe='@')}" for piece in model.path) + method

    def _placed(self, below: str) -> str:
        """A path below the project and location. Raises InvalidRequest where there is no project."""
        if not self._place:
            raise InvalidRequest("this needs a deployment with a `project`", code="unsupported_operation")
        return self._place + below

    def _passed_url(self, ex: Exchange) -> str:
        """Where a path goes that is passed through: what is asked of the early version is asked there."""
        if not ex.path.startswith(f"{_EARLY}/"):
            return super().url_for(ex)
        return f"{self._without_version(ex)}{_EARLY}{passed_path(ex, _EARLY)}"

    def _ranking_url(self, ex: Exchange) -> str:
        """Where rankings are made, which is `global` alone: no text leaves the region of a deployment unasked."""
        if not self.project or self.location != "global":
            raise InvalidRequest(
                "rankings need a deployment with a `project` and the location `global`", code="unsupported_operation"
            )
        base = HOST if self._is_ranked(ex) else checked_base_url(ex.base_url) if ex.base_url else self.url
        return f"{base}/projects/{quote(self.project, safe=':')}{CONFIG}"

    def _live_url(self, ex: Exchange) -> str:
        """Sessions are opened below the host; the version is that of the base URL."""
        root = self._without_version(ex)
        version = self.url_at(ex, "").removeprefix(root).removeprefix("/") or _USUAL
        return root + VERTEX_LIVE.format(version=version)

    def _without_version(self, ex: Exchange) -> str:
        """The base URL without the version that it ends with, if any."""
        return above(self.url_at(ex, ""))

    @override
    def socket_query(self, ex: Exchange) -> Mapping[str, str]:
        return {}

    @override
    def session_reader(self, ex: Exchange) -> Callable[[bytes], bytes] | None:
        return live.reader_for(ex.path, is_vertex=True)

    @override
    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        if ex.operation is GENERATE_CACHES:
            return self._cache(ex)
        is_own = ex.attempt is not None and ex.attempt.dialect is None
        return self._relay(ex) if is_own and operation_of(ex) in _MAKERS else super().call(ex)

    async def _cache(self, ex: Exchange) -> Reply:
        return await retell(ex, self.upstream, *await self.ready(ex), caches.decode)

    async def _relay(self, ex: Exchange) -> Reply:
        reply = await relay(ex, Unlisted(self.upstream), *await self.ready(ex))
        reply = fim.tell(reply) if operation_of(ex) == COMPLETIONS.name else reply
        return in_words_of_client(ex, reply, self.secrets_of(ex))

    def _named(self, model: str) -> str:
        """The full name of a model."""
        return "/".join((self._place, *find_model(model).path)).removeprefix("/")

    def _as_mistral(self, ex: Exchange, model: Model) -> bytes:
        """A body of OpenAI's as Mistral takes it."""
        gaps = Gaps(self.name, self.policy(ex))
        body = mistral.told(super().body_for(ex), operation_of(ex), gaps)
        ex.tell_dropped(gaps.dropped)
        return _with_members(body, {"model": model.id})

    def _counted(self, ex: Exchange, model: str) -> bytes:
        """A body of Google's clients as Vertex AI counts it."""
        gaps = Gaps(self.name, self.policy(ex))
        body = self._counter.reshape(ex.source, model, gaps)
        ex.tell_dropped(gaps.dropped)
        return body

    @override
    def body_for(self, ex: Exchange) -> bytes:
        attempt, operation = ex.attempt, operation_of(ex)
        if attempt is not None and operation in _MISTRALS:
            model = find_model(attempt.model)
            if model.interface == "mistral":
                return self._as_mistral(ex, model)
        if attempt is not None and operation == GENERATE_LIVE.name:
            return live.with_model(ex.source, self._named(attempt.model))
        if attempt is not None and ex.operation is GENERATE_CACHES and ex.body:
            return caches.encode(ex.source, self._named(attempt.model))
        if attempt is not None and attempt.body is not None and operation == "count_tokens":
            return _with_members(attempt.body, {"model": find_model(attempt.model).id})
        if attempt is None or attempt.body is not None or operation not in self.paths:
            return super().body_for(ex)
        overrides = attempt.target.override_params
        match operation:
            case "generate":
                source = caches.with_place(ex.source, self._place.removeprefix("/"))
                return _with_members(source, overrides) if overrides else source
            case "generate.count_tokens":
                return self._counted(ex, attempt.model)
            case "messages":
                return _as_claude(_with_members(ex.source, overrides))
            case "count_tokens":
                return _with_members(ex.source, {"model": find_model(attempt.model).id})
            case _:
                return super().body_for(ex)

    @override
    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        """The quota project, and Claude's betas where the caller names some; no other model gets those."""
        quota, betas = self.settings.quota_project, ex.headers.get(b"anthropic-beta")
        headers = {b"x-goog-user-project": quota.encode()} if quota and not ex.base_url else {}
        headers |= dict([JSON]) if operation_of(ex) in self.retold else {}
        return {**headers, b"anthropic-beta": betas} if betas and operation_of(ex) in _CLAUDES else headers

    @override
    def secrets_of(self, ex: Exchange) -> Secrets:
        return (*super().secrets_of(ex), *self._tokens.secrets())

    @override
    async def authorize(self, request: UpstreamRequest) -> UpstreamRequest:
        """`request` with an access token, unless a key goes along with it. A token is for the deployment's own origins alone."""
        if request.credential is not None or self.is_keyless:
            return request
        origin = origin_of(request.url)
        if origin not in self._bound:
            raise ProviderFailed("the deployment's credentials are not bound to this origin", code="upstream_denied")
        token = await self._tokens.token()
        return replace(request, credential=Credential("authorization", token, frozenset({origin}), "Bearer "))


_STREAMED = {"generate": ":streamGenerateContent?alt=sse", "messages": ":streamRawPredict"}


def _with_members(body: bytes, members: Mapping[str, Any]) -> bytes:
    """A JSON body with members replaced; all others keep their bytes and their order."""
    held: dict[str, Any] = dict(msgspec.json.decode(body, type=dict[str, Raw]))
    return msgspec.json.encode({**held, **members})


def _as_claude(body: bytes) -> bytes:
    """A body of Anthropic's as Vertex AI wants it: the model stands in the path, the version in the body."""
    held: dict[str, Any] = dict(msgspec.json.decode(body, type=dict[str, Raw]))
    held.pop("model", None)
    return msgspec.json.encode({"anthropic_version": API_VERSION, **held})


def _tiered(request: UpstreamRequest) -> UpstreamRequest:
    """`serviceTier`, which Vertex AI refuses in a body, as the header it has for that."""
    if b"serviceTier" not in request.body and b"service_tier" not in request.body:
        return request
    held: dict[str, Any] = dict(msgspec.json.decode(request.body, type=dict[str, Raw]))
    found = [held.pop(name, None) for name in ("serviceTier", "service_tier")]
    raw = next((one for one in found if one is not None), None)
    if raw is None:
        return request
    tier = str(msgspec.json.decode(raw)).lower()
    headers = (*request.headers, (TIER_HEADER, tier.encode())) if tier in {"flex", "priority"} else request.headers
    return replace(request, body=msgspec.json.encode(held), headers=headers)
