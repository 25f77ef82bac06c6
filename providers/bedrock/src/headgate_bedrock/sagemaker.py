"""Endpoints of Amazon SageMaker whose containers speak OpenAI's API: one path for all of it, and the container decides.

Sources: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html and
.../API_runtime_InvokeEndpointWithResponseStream.html; of containers
https://docs.djl.ai/docs/serving/serving/docs/lmi/user_guides/chat_input_output_schema.html and, for rankings, which vLLM tells by
their bodies, https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/sagemaker/api_router.py. Pictures, speech and
transcripts are AWS's own images: https://aws.github.io/deep-learning-containers/vllm-omni/deployment/sagemaker/, whose
`CustomAttributes` name the path that is meant and whose forms pass
(https://github.com/aws/deep-learning-containers/blob/main/scripts/docker/vllm/omni_sagemaker_serve.py), and
https://aws.github.io/deep-learning-containers/whisperx/deployment/sagemaker/, which takes forms at once. By that path AWS's vLLM
images (from `server-sagemaker-cuda-v1.4` on: https://aws.github.io/deep-learning-containers/vllm/changelog/) also have what their
server has, Responses and Messages among it; one that reads no paths would take their bodies for chat, so a deployment says so.
"""

from __future__ import annotations

import re
from collections.abc import Coroutine, Mapping
from typing import Any, ClassVar

import msgspec
from msgspec import Raw, structs
from typing_extensions import override

from headgate.body import encode_with_model
from headgate.caller import checked_base_url
from headgate.chat import ChatRequest, File, Image
from headgate.dialects import Dialect, Gaps
from headgate.errors import InvalidRequest, Problem, StartupError
from headgate.exchange import Exchange, Reply
from headgate.forms import FormEdit, parts_of
from headgate.operations import (
    CHAT,
    COUNT_TOKENS,
    IMAGES_EDIT,
    IMAGES_GENERATE,
    MESSAGES,
    RERANK,
    RESPONSES,
    SPEECH,
    TRANSCRIPTIONS,
    TRANSLATIONS,
)
from headgate.provider import DeploymentConfig, operation_of
from headgate.tallying import ESTIMATE
from headgate.upstream import Upstream, UpstreamRequest
from headgate_bedrock.aws import Aws, AwsConfig
from headgate_bedrock.containers import ContainerCall, Containers
from headgate_compatible import policy
from headgate_compatible.responses import has_strange_tools
from headgate_compatible.row import Quirks
from headgate_compatible.vendors.ranking import JinaRerank

_NAME = r"[a-zA-Z0-9](?:-*[a-zA-Z0-9])*"
_MODEL = re.compile(rf"({_NAME})(?:/({_NAME}))?")
"""An endpoint, and perhaps an inference component of it; the names are as botocore's model has them."""
_LONGEST = 63
_COMPONENT = b"x-amzn-sagemaker-inference-component"
_ATTRIBUTES = b"x-amzn-sagemaker-custom-attributes"
_ROUTE = b"route="
_ROUTED = {
    each.name: _ROUTE + each.path.encode()
    for each in (
        *(IMAGES_GENERATE, IMAGES_EDIT, SPEECH, TRANSCRIPTIONS, TRANSLATIONS),
        *(RESPONSES, MESSAGES, COUNT_TOKENS),
    )
}
"""What AWS's images are told of operations whose bodies do not say what is meant."""
_BY_ROUTE = frozenset({RESPONSES.name, MESSAGES.name, COUNT_TOKENS.name})
"""Operations whose bodies would pass for chat where nobody reads a route."""
_NAMED = frozenset({MESSAGES.name, COUNT_TOKENS.name})
"""Those whose body must name the model: https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/anthropic/protocol.py"""
MOST_BYTES = 25 * 1024 * 1024
"""How large a body of InvokeEndpoint may be: https://docs.aws.amazon.com/general/latest/gr/sagemaker.html"""
_MODEL_FIELD = "model"
_TAKEN = Quirks(
    knows=["top_k", "user"],
    takes=("image", "audio", "video"),
    efforts=["none", "low", "medium", "high"],
)
"""What a translated request may hold: what vLLM takes, which most of these containers run."""


class SageMakerConfig(AwsConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A deployment of SageMaker, signed as AwsConfig says.

    `served_models` says by which name a container knows the model of an endpoint (or `endpoint/component`); without one the
    body names none, since no container knows the endpoint's name. With `has_routes` the containers send a request where its
    `CustomAttributes` say (`route=/v1/responses`): Responses are theirs then and, of models with a name in `served_models`,
    Messages and the counting of tokens; else these are told in chat, and tokens estimated.
    """

    served_models: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    has_routes: bool = False


class SageMaker(Aws):
    """What containers on SageMaker endpoints have of OpenAI's API, relayed as the container writes it, and rankings.

    `model` is the endpoint's name, `endpoint/component` an inference component of it.
    """

    name = "sagemaker"
    host = "runtime.sagemaker"
    service = "sagemaker"
    docs = "https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Operations_Amazon_SageMaker_Runtime.html"
    tier = "dialect"
    auth: ClassVar[tuple[str, ...]] = ("access key", "role", "AWS's chain")
    evidence = "documents"
    dialects: ClassVar[Mapping[str, str]] = {
        "chat": "openai.chat",
        RESPONSES.name: RESPONSES.dialect,
        MESSAGES.name: MESSAGES.dialect,
        COUNT_TOKENS.name: "",
        "completions": "openai.completions",
        "embeddings": "openai.embeddings",
        RERANK.name: JinaRerank.name,
        **{each.name: each.dialect for each in (IMAGES_GENERATE, IMAGES_EDIT, SPEECH, TRANSCRIPTIONS, TRANSLATIONS)},
        "passthrough": "",
    }
    codecs: ClassVar[Mapping[str, Dialect]] = {JinaRerank.name: JinaRerank()}
    paths: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("chat", "completions", "embeddings", RERANK.name, *_ROUTED), "/invocations"
    )
    forwarded: ClassVar[tuple[str, ...]] = ("x-amzn-sagemaker-custom-attributes", "x-amzn-sagemaker-inference-id")
    keeps_responses = False  # vLLM's store is off unless `VLLM_ENABLE_RESPONSES_API_STORE` is set
    Config = SageMakerConfig

    def __init__(self, deployment: str, config: DeploymentConfig, upstream: Upstream) -> None:
        super().__init__(deployment, config, Containers(upstream))
        if config.api_key is not None:
            problem = "`api_key` is not taken, since SageMaker has none: set `access_key_id` or leave it to AWS's chain"
            raise StartupError([Problem(problem)])
        settings = config if isinstance(config, SageMakerConfig) else SageMakerConfig(provider=self.name)
        self._served = settings.served_models
        self.left_out = {**self.left_out, RESPONSES.name: ("store",)}
        if not settings.has_routes:
            known = {name: dialect for name, dialect in type(self).dialects.items() if name not in _BY_ROUTE}
            self.dialects = known  # pyright: ignore[reportAttributeAccessIssue] - this deployment's own

    @override
    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:
        found = super().spoken(ex, model)
        name = found[0] if found else ""
        is_nameless = name in _NAMED and model not in self._served
        if is_nameless or (name == RESPONSES.name and has_strange_tools(ex.source, ())):
            return (CHAT.name, CHAT.dialect) if ex.operation.is_chat else (ESTIMATE, "")
        return found

    @override
    def adapt(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        request = policy.adapt(request, _TAKEN, gaps)
        return structs.replace(request, thinking=policy.think(request.thinking, _TAKEN.efforts, gaps))

    @override
    def finish_body(self, body: bytes, request: ChatRequest, gaps: Gaps) -> bytes:
        """The token limit by the name that every container has for it."""
        members = msgspec.json.decode(body, type=dict[str, Raw])
        if "max_completion_tokens" not in members:
            return body
        return msgspec.json.encode(
            {"max_tokens" if name == "max_completion_tokens" else name: value for name, value in members.items()}
        )

    @override
    def fetches(self, part: Image | File) -> bool:
        """Endpoints often stand in networks without a way out."""
        return False

    @override
    def prepare(self, ex: Exchange) -> UpstreamRequest:
        request, attempt = super().prepare(ex), ex.attempt
        if self.is_passed(ex):
            return request
        is_own = attempt is not None and attempt.dialect is None and operation_of(ex) in _BY_ROUTE
        return ContainerCall(**structs.asdict(request), dialect=ex.error_dialect if is_own else None)

    @override
    def url_for(self, ex: Exchange) -> str:
        attempt = ex.attempt
        path = self.paths.get(operation_of(ex))
        if path is None or attempt is None:
            return super().url_for(ex)
        base = checked_base_url(ex.base_url) if ex.base_url else self.url
        stream = "-response-stream" if ex.stream else ""
        return f"{base}/endpoints/{_endpoint_of(attempt.model)[0]}{path}{stream}"

    @override
    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        attempt = ex.attempt
        if attempt is None or self.is_passed(ex):
            return {}
        component = _endpoint_of(attempt.model)[1]
        framed = {b"accept": b"application/vnd.amazon.eventstream"} if ex.stream else {}
        usual = {} if operation_of(ex) in _ROUTED else {b"accept": b"application/json"}
        return {**usual, **framed, **({_COMPONENT: component.encode()} if component else {})}

    @override
    def headers_for(self, ex: Exchange) -> dict[bytes, bytes]:
        headers = super().headers_for(ex)
        route = _ROUTED.get(operation_of(ex), b"")
        said = headers.get(_ATTRIBUTES, b"")
        if route and _ROUTE not in said:
            headers[_ATTRIBUTES] = b",".join(each for each in (said, route) if each)
        return headers

    @override
    def body_for(self, ex: Exchange) -> bytes:
        body, attempt = super().body_for(ex), ex.attempt
        if attempt is None or self.is_passed(ex) or ex.upload is not None:
            return body
        served = self._served.get(attempt.model)
        if served:
            return encode_with_model(body, served, {})
        members: dict[str, Any] = dict(msgspec.json.decode(body, type=dict[str, Raw]))
        members.pop("model", None)
        return msgspec.json.encode(members)

    @override
    def fields_for(self, ex: Exchange) -> Mapping[str, str]:
        """A form names the model as the container knows it, as other bodies do."""
        fields = dict(super().fields_for(ex))
        served = self._served.get(fields.pop(_MODEL_FIELD, ""))
        return {_MODEL_FIELD: served, **fields} if served else fields

    @override
    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        return super().call(ex) if ex.upload is None else self._call_with_form(ex)

    async def _call_with_form(self, ex: Exchange) -> Reply:
        """Read a form whole, since a signature counts for all of a body, and send it."""
        attempt, upload = ex.attempt, ex.upload
        if attempt is None or upload is None or upload.boundary is None:
            return await super().call(ex)
        body, values = await upload.read(MOST_BYTES), self.fields_for(ex)
        parts = parts_of(body, upload.boundary)
        ex.stream = any(part.name == "stream" and part.content == b"true" for part in parts)
        if _MODEL_FIELD not in values:
            body = _without(_MODEL_FIELD, body, upload.boundary, [part.name for part in parts])
        edit = FormEdit(upload.boundary, values)
        attempt.body = edit.feed(body)
        edit.end()
        return await super().call(ex)


def _without(field: str, body: bytes, boundary: bytes, names: list[str]) -> bytes:
    """A form without one of its fields; `names` are those of its parts. All else is as it came."""
    dash = b"--" + boundary
    before, *parts, after = body.split(dash)
    kept = [part for name, part in zip(names, parts, strict=True) if name != field]
    return dash.join([before, *kept, after])


def _endpoint_of(model: str) -> tuple[str, str]:
    """The endpoint and the inference component that a model's name stands for. Raises InvalidRequest for any other name."""
    found = _MODEL.fullmatch(model)
    if found is None or any(len(name) > _LONGEST for name in model.split("/")):
        told = (
            "a model of SageMaker is `endpoint` or `endpoint/component`: letters, digits and hyphens, 63 at most each"
        )
        raise InvalidRequest(told, param="model", code="unsupported_model")
    return found[1], found[2] or ""
