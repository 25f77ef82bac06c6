"""Amazon Bedrock as a provider: where a model is called, and what goes with every call.

Fine-tuning in OpenAI's shape, and the files it reads, are at an endpoint of their own, whose page shows an API key:
https://docs.aws.amazon.com/bedrock/latest/userguide/fine-tuning-openai-apis.html; batches in that shape are at the runtime,
jobs for other models at the control plane, which takes such a key too:
https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-reference.html. OpenAI's and Anthropic's own APIs are the
runtime's (`/openai/v1`) and `bedrock-mantle`'s: https://docs.aws.amazon.com/bedrock/latest/userguide/endpoints.html
"""

from __future__ import annotations

import os
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any, ClassVar, Literal, cast
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace
from typing_extensions import override

from headgate.caller import checked_base_url, passed_path
from headgate.chat import ChatRequest, File, Image
from headgate.dialects import Dialect, Gaps
from headgate.dialects.anthropic.betas import without_fallbacks
from headgate.dialects.anthropic.roots import with_plain_roots
from headgate.errors import InvalidRequest, Problem, StartupError
from headgate.exchange import Exchange, Reply
from headgate.forms import parts_of
from headgate.operations import (
    BATCHES,
    CHAT,
    COMPLETIONS,
    IMAGES_EDIT,
    IMAGES_GENERATE,
    MESSAGES,
    MODERATIONS,
    RESPONSES,
)
from headgate.provider import DeploymentConfig, operation_of
from headgate.relay import relay, retell
from headgate.upstream import Credential, Upstream, UpstreamRequest, UpstreamResponse, origin_of
from headgate.upstream.fanout import bodies_in, send_each
from headgate_bedrock import completions, moderations, pictures
from headgate_bedrock.aws import Aws, AwsConfig, environment_region
from headgate_bedrock.batches import Batches, BedrockBatches, with_own, without_model
from headgate_bedrock.converse import BedrockConverse
from headgate_bedrock.counting import BedrockCount
from headgate_bedrock.invoked import Invoked
from headgate_bedrock.models import bare_id, find_model
from headgate_bedrock.policy import (
    StructuredOutput,
    settle_format,
    settle_sampling,
    settle_system,
    settle_thinking,
    settle_tools,
)
from headgate_bedrock.vectors import BedrockEmbeddings, BedrockRerank, counted

BEARER_ENV = "AWS_BEARER_TOKEN_BEDROCK"
_TUNING = frozenset({"files", "fine_tuning.jobs"})
"""Operations at the endpoint for fine-tuning."""
_MANTLE = "bedrock-mantle"
"""What signatures for that endpoint count for: `AnthropicBedrockMantle` of Anthropic's SDK."""
_LAYER = "/openai/v1"
_ANTHROPIC_VERSION = b"2023-06-01"
_GUARDED = tuple(f"x-amzn-bedrock-{each}".encode() for each in ("guardrailidentifier", "guardrailversion", "trace"))
Way = Literal["converse", "native"]


class Guardrail(Struct, frozen=True, forbid_unknown_fields=True):
    """A guardrail of Bedrock's own that every translated chat and every completion goes through.

    `trace` is disabled, enabled or enabled_full.
    """

    identifier: str
    version: str = "DRAFT"
    trace: str = "disabled"


class BedrockConfig(AwsConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A deployment of Bedrock.

    `api_key` is a Bedrock API key. Without it calls are signed with `access_key_id` and its secret, or with what AWS's
    usual chain finds, of `profile` if that is set; `role_arn` is assumed with those keys. `region` may come from the
    environment. `base_models` says which model stands behind an id that hides it, such as the ARN of an application
    inference profile. `structured_output` tells how a JSON schema is honoured, `anthropic_beta` what Claude is told,
    `batches` which API for them is called. `chat`, `responses` and `messages` that are `native` are answered for clients of
    these very APIs by Bedrock's own, for models that have them there. A moderation is flagged from the severity `flag_at` on.
    """

    base_models: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    structured_output: StructuredOutput = "auto"
    anthropic_beta: list[str] = msgspec.field(default_factory=list[str])
    guardrail: Guardrail | None = None
    batches: Batches = msgspec.field(default_factory=Batches)
    chat: Way = "converse"
    responses: Way = "converse"
    messages: Way = "converse"
    flag_at: float = 0.5


class Bedrock(Aws):
    """Models on Amazon Bedrock's runtime, through Converse; completions, embeddings, reranking and pictures through InvokeModel;
    moderations; batches; fine-tuning with a key.

    An id of a model, of an inference profile or an ARN passes as `model`.
    """

    name = "bedrock"
    base_url = "https://bedrock-runtime.us-east-1.amazonaws.com"
    key_env = BEARER_ENV
    host = "bedrock-runtime"
    service = "bedrock"
    bearer_env = BEARER_ENV
    docs = "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html"
    evidence = "recorded"
    dialects: ClassVar[Mapping[str, str]] = {
        "converse": "bedrock.converse",
        CHAT.name: "openai.chat",
        RESPONSES.name: "openai.responses",
        MESSAGES.name: "anthropic.messages",
        COMPLETIONS.name: COMPLETIONS.dialect,
        "embeddings": "bedrock.embeddings",
        "rerank": "bedrock.rerank",
        "images.generate": "openai.images",
        "images.edit": "openai.images",
        MODERATIONS.name: "openai.moderations",
        "count_tokens": BedrockCount.name,
        "files": "",
        "batches": "",
        "fine_tuning.jobs": "",
        "passthrough": "",
    }
    codecs: ClassVar[Mapping[str, Dialect]] = {
        "bedrock.converse": BedrockConverse(),
        "bedrock.embeddings": BedrockEmbeddings(),
        "bedrock.rerank": BedrockRerank(),
        BedrockBatches.name: BedrockBatches(),
        BedrockCount.name: BedrockCount(),
    }
    paths: ClassVar[Mapping[str, str]] = {
        "converse": "/model/{model}/converse",
        COMPLETIONS.name: "/model/{model}/invoke",
        "embeddings": "/model/{model}/invoke",
        "rerank": "/model/{model}/invoke",
        "images.generate": "/model/{model}/invoke",
        "images.edit": "/model/{model}/invoke",
        CHAT.name: f"{_LAYER}/chat/completions",
        RESPONSES.name: f"{_LAYER}/responses",
        MESSAGES.name: "/anthropic/v1/messages",
        MODERATIONS.name: "/guardrail-checks/invoke",
        "count_tokens": "/model/{model}/count-tokens",
    }
    origins_of_thought: ClassVar[frozenset[str]] = frozenset({"anthropic", "bedrock"})
    Config = BedrockConfig

    def __init__(self, deployment: str, config: DeploymentConfig, upstream: Upstream) -> None:
        super().__init__(deployment, config, upstream)
        self.settings = config if isinstance(config, BedrockConfig) else BedrockConfig(provider=self.name)
        base_models = self.settings.base_models
        self.codecs = {  # pyright: ignore[reportAttributeAccessIssue] - this deployment's own
            **type(self).codecs,
            BedrockEmbeddings.name: BedrockEmbeddings(base_models),
            BedrockRerank.name: BedrockRerank(base_models),
            BedrockBatches.name: BedrockBatches(self.settings.batches),
        }
        self._control = self.settings.base_url.rstrip("/") or self.regional("bedrock")
        self._mantle = self.settings.base_url.rstrip("/") or f"https://{_MANTLE}.{self.region}.api.aws"
        chosen = {CHAT.name: self.settings.chat, RESPONSES.name: self.settings.responses}
        chosen[MESSAGES.name] = self.settings.messages
        self._native = frozenset(name for name, way in chosen.items() if way == "native")
        if self._native and self.settings.guardrail is not None:
            named = ", ".join(f"`{each}: native`" for each in sorted(self._native))
            raise StartupError([Problem(f"`guardrail` and {named} exclude each other: what passes as it is has none")])
        if MESSAGES.name in self._native:
            self.signed |= {origin_of(self._mantle)}
        if self.settings.batches.api == "jobs":
            spoken = {**type(self).dialects, BATCHES.name: BedrockBatches.name}
            self.dialects = spoken  # pyright: ignore[reportAttributeAccessIssue] - this deployment's own
            self.signed |= {origin_of(self._control)}

    @override
    @classmethod
    def from_environment(cls) -> Mapping[str, Any] | None:
        region = environment_region()
        if region and os.environ.get(BEARER_ENV):
            return {"provider": cls.name, "api_key": f"env:{BEARER_ENV}", "region": region}
        if region and os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY"):
            return {"provider": cls.name, "region": region}
        return None

    @override
    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:
        """Chat is Converse, whoever asks, but for clients of an API that the deployment wants to be answered by its own."""
        if not ex.operation.is_chat:
            return super().spoken(ex, model)
        name = ex.operation.name if ex.operation.name in self._native else "converse"
        return name, self.dialects[name]

    @override
    def service_of(self, origin: str) -> str:
        return _MANTLE if f"{_MANTLE}." in origin else super().service_of(origin)

    @override
    def adapt(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        request = replace(request, model=self.settings.base_models.get(request.model, request.model))
        model = find_model(request.model)
        request = settle_tools(settle_system(without_fallbacks(request, gaps), model, gaps), model, gaps)
        request = settle_sampling(settle_thinking(request, model, gaps), model, gaps)
        request = settle_format(request, model, gaps, self.settings.structured_output)
        return with_plain_roots(request, gaps) if model.is_claude else request

    @override
    def finish_body(self, body: bytes, request: ChatRequest, gaps: Gaps) -> bytes:
        """The body with the deployment's guardrail and betas, every other value byte for byte."""
        guardrail, betas = self.settings.guardrail, self.settings.anthropic_beta
        betas = betas if find_model(request.model).is_claude else []
        if guardrail is None and not betas:
            return body
        members: dict[str, Any] = dict(msgspec.json.decode(body, type=dict[str, Raw]))
        if betas:
            held = members.get("additionalModelRequestFields", Raw(b"{}"))
            fields: dict[str, Any] = dict(msgspec.json.decode(cast("Raw", held), type=dict[str, Raw]))
            members["additionalModelRequestFields"] = {"anthropic_beta": betas, **fields}
        if guardrail is not None:
            members["guardrailConfig"] = {
                "guardrailIdentifier": guardrail.identifier,
                "guardrailVersion": guardrail.version,
                "trace": guardrail.trace,
            }
        return msgspec.json.encode(members)

    @override
    def fetches(self, part: Image | File) -> bool:
        return False

    @override
    def url_for(self, ex: Exchange) -> str:
        """The model is part of the path: one segment, whatever characters are in it. Fine-tuning has another endpoint."""
        if operation_of(ex) in _TUNING:
            return self._tuning(ex) + passed_path(ex)
        base = checked_base_url(ex.base_url) if ex.base_url else self.url
        operation = operation_of(ex)
        if operation == BATCHES.name:
            return f"{base}{_LAYER}{passed_path(ex)}"
        if operation == MESSAGES.name and not ex.base_url:
            base = self._mantle
        path = self.paths.get(operation)
        if path is None or ex.attempt is None:
            return base + passed_path(ex)
        stream = "-stream" if operation == "converse" and self._streams(ex) else ""
        if operation == COMPLETIONS.name and self._streams(ex):
            stream = "-with-response-stream"
        model = ex.attempt.model
        if operation == "count_tokens":
            model = bare_id(self.settings.base_models.get(model, model))
        return base + path.replace("{model}", quote(model, safe="")) + stream

    @override
    def url_at(self, ex: Exchange, target: str) -> str:
        """A call for a job, at the control plane; at a base URL of the deployment's or the caller's own, below it."""
        return (checked_base_url(ex.base_url) if ex.base_url else self._control) + target

    def _tuning(self, ex: Exchange) -> str:
        """Where fine-tuning is; at a base URL of the deployment's or the caller's own, below it."""
        return f"{checked_base_url(ex.base_url) if ex.base_url else self._mantle}/v1"

    @override
    def credential(self, ex: Exchange) -> Credential | None:
        held, operation = super().credential(ex), operation_of(ex)
        if operation == BATCHES.name and held is not None and not ex.base_url and self.dialects[operation]:
            return replace(held, origins=frozenset({origin_of(self._control)}))
        if operation == MESSAGES.name and held is not None and not ex.base_url:
            return replace(held, origins=frozenset({origin_of(self._mantle)}))
        if operation not in _TUNING or ex.base_url:
            return held
        if held is None:
            raise InvalidRequest(
                f"`{operation}` at Bedrock needs an API key: set `api_key`, or `{BEARER_ENV}`",
                code="unsupported_operation",
            )
        return replace(held, origins=frozenset({origin_of(self._tuning(ex))}))

    @override
    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        operation = operation_of(ex)
        if operation == MESSAGES.name:
            asked = {name: ex.headers[name] for name in (b"anthropic-version", b"anthropic-beta") if name in ex.headers}
            return {b"anthropic-version": _ANTHROPIC_VERSION, **asked}
        if self.is_passed(ex) or operation in self._native:
            return {}
        streams = operation in {"converse", COMPLETIONS.name} and self._streams(ex)
        accept = b"application/vnd.amazon.eventstream" if streams else b"application/json"
        told = {b"accept": accept, b"content-type": b"application/json"}
        return {**told, **self._guarded()} if operation == COMPLETIONS.name else told

    def _guarded(self) -> Mapping[bytes, bytes]:
        """The deployment's guardrail, as InvokeModel is told of it."""
        guardrail = self.settings.guardrail
        if guardrail is None:
            return {}
        told = (guardrail.identifier, guardrail.version, guardrail.trace.upper())
        return {name: value.encode() for name, value in zip(_GUARDED, told, strict=True)}

    @override
    def prepare(self, ex: Exchange) -> UpstreamRequest:
        request = super().prepare(ex)
        if ex.operation is IMAGES_GENERATE:
            return replace(request, body=self._told(ex, request.body))
        return self._with_role(ex, request) if ex.operation is BATCHES and _is_new(ex) else request

    def _told(self, ex: Exchange, body: bytes) -> bytes:
        """A request for pictures as its model takes it."""
        gaps = Gaps(self.name, self.policy(ex))
        body = pictures.encode(body, self._base_model(ex), gaps)
        ex.tell_dropped(gaps.dropped)
        return body

    def _base_model(self, ex: Exchange) -> str:
        model = ex.attempt.model if ex.attempt is not None else ""
        return bare_id(self.settings.base_models.get(model, model))

    def _with_role(self, ex: Exchange, request: UpstreamRequest) -> UpstreamRequest:
        """A request for a new batch with what the runtime wants to know in headers."""
        body, model = without_model(request.body, self.deployment)
        headers = with_own(dict(request.headers), ex.headers, model, self.settings.batches.role_arn)
        return replace(request, body=body, headers=tuple(headers.items()))

    @override
    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        if ex.operation is IMAGES_EDIT:
            return self._edit(ex)
        if ex.operation is MODERATIONS:
            return self._judge(ex)
        if ex.operation is COMPLETIONS:
            return self._complete(ex)
        return self._draw(ex) if ex.operation is IMAGES_GENERATE else super().call(ex)

    async def _edit(self, ex: Exchange) -> Reply:
        """Read a form for an edit whole, which these models take as JSON."""
        attempt, upload = ex.attempt, ex.upload
        if attempt is None or upload is None:
            raise InvalidRequest("send the picture in a form, as `image`", param="image", code="missing_image")
        gaps = Gaps(self.name, self.policy(ex))
        parts = parts_of(await upload.read(pictures.MOST_BYTES), upload.boundary or b"")
        attempt.body = pictures.encode_form(parts, attempt.target.override_params, self._base_model(ex), gaps)
        ex.tell_dropped(gaps.dropped)
        return await self._draw(ex)

    async def _judge(self, ex: Exchange) -> Reply:
        """Have each text judged, which is a call of its own."""
        attempt = ex.attempt
        if attempt is None:
            raise InvalidRequest("there is nothing to be judged", param="input")
        gaps = Gaps(self.name, self.policy(ex))
        attempt.body = moderations.encode(ex.body_for(attempt.model, attempt.target.override_params), gaps)
        ex.tell_dropped(gaps.dropped)
        _, origin = await self.ready(ex)
        decode = partial(moderations.decode, model=attempt.model, flag_at=self.settings.flag_at, sent=attempt.body)
        return await retell(ex, Invoked(self._sent, self.upstream.close), self.prepare(ex), origin, decode)

    async def _complete(self, ex: Exchange) -> Reply:
        """Have a prompt continued, or each of several, which is a call of its own."""
        attempt = ex.attempt
        if attempt is None:
            raise InvalidRequest("there is nothing to be completed", param="prompt")
        gaps = Gaps(self.name, self.policy(ex))
        asked = ex.body_for(attempt.model, attempt.target.override_params)
        attempt.body = completions.encode(asked, self._base_model(ex), gaps)
        ex.tell_dropped(gaps.dropped)
        head = {"id": f"cmpl-{ex.id}", "object": "text_completion", "created": int(ex.started_at)}
        head["model"] = attempt.model
        request, origin = await self.ready(ex)
        if ex.stream:
            engine = completions.Streamed(self.upstream, head, is_usage_asked=completions.asks_usage(asked))
            return await relay(ex, engine, request, origin)
        calls = Invoked(self._sent, self.upstream.close, completions.counted)
        return await retell(ex, calls, self.prepare(ex), origin, partial(completions.decode, head, attempt.body))

    async def _draw(self, ex: Exchange) -> Reply:
        request, origin = await self.ready(ex)
        return await retell(ex, Invoked(self.upstream.send, self.upstream.close), request, origin, pictures.decode)

    def _streams(self, ex: Exchange) -> bool:
        """Whether the answer is asked for as a stream. Models that refuse one beside tools answer whole, and that is streamed.

        https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference-supported-models-features.html
        """
        attempt = ex.attempt
        if operation_of(ex) == COMPLETIONS.name:
            return ex.stream and completions.can_stream(self._base_model(ex))
        if not ex.stream or attempt is None or attempt.body is None or b'"toolConfig"' not in attempt.body:
            return ex.stream
        return find_model(self.settings.base_models.get(attempt.model, attempt.model)).streams_tools

    @override
    async def send(self, ex: Exchange) -> UpstreamResponse:
        """Send what `prepare` says; embeddings of a model that takes few texts a call are several calls and one reply."""
        attempt = ex.attempt
        if attempt is None or attempt.body is None or operation_of(ex) != "embeddings":
            return await super().send(ex)
        request = self.prepare(ex)
        return await send_each(self._sent, [replace(request, body=body) for body in bodies_in(attempt.body)], counted)

    async def _sent(self, request: UpstreamRequest) -> UpstreamResponse:
        return await self.upstream.send(await self.authorize(request))


def _is_new(ex: Exchange) -> bool:
    """Whether a batch is made by the runtime's API, whose requests pass."""
    is_passed = ex.attempt is not None and ex.attempt.dialect is None
    return is_passed and ex.scope_method == "POST" and ex.path.rstrip("/") == BATCHES.path
