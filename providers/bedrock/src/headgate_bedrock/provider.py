"""Amazon Bedrock as a provider: where a model is called, and how a call proves who sends it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, cast
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace
from typing_extensions import override

from headgate.caller import checked_base_url, passed_path
from headgate.chat import ChatRequest, File, Image, Opaque
from headgate.dialects import Dialect, Gaps
from headgate.errors import Problem, ProviderFailed, StartupError
from headgate.exchange import Exchange
from headgate.provider import DeploymentConfig, Provider, operation_of
from headgate.relay import Origin, Secrets
from headgate.secret import Secret
from headgate.upstream import Upstream, UpstreamRequest, UpstreamResponse, origin_of
from headgate_bedrock.converse import BedrockConverse
from headgate_bedrock.credentials import KeyChain, Settings
from headgate_bedrock.fanout import bodies_in, send_each
from headgate_bedrock.models import find_model
from headgate_bedrock.policy import StructuredOutput, settle_format, settle_thinking
from headgate_bedrock.sigv4 import Keys, Scope, sign
from headgate_bedrock.vectors import BedrockEmbeddings, BedrockRerank

BEARER_ENV = "AWS_BEARER_TOKEN_BEDROCK"
_REGION_ENVS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d+")
_IN_HOST = re.compile(r"bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.")
_SUFFIXES = (
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("us-isof-", "csp.hci.ic.gov"),
)
"""Where the services of a partition live, by how its regions begin; from botocore's partitions.json."""
_LARGE = 1024 * 1024
"""A body from this size on is hashed in a thread."""


class Guardrail(Struct, frozen=True, forbid_unknown_fields=True):
    """A guardrail of Bedrock's own that every translated chat goes through. `trace` is disabled, enabled or enabled_full."""

    identifier: str
    version: str = "DRAFT"
    trace: str = "disabled"


class BedrockConfig(DeploymentConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A deployment of Bedrock.

    `api_key` is a Bedrock API key. Without it calls are signed with `access_key_id` and its secret, or with what AWS's
    usual chain finds, of `profile` if that is set; `role_arn` is assumed with those keys. `region` may come from the
    environment. `base_models` says which model stands behind an id that hides it, such as the ARN of an application
    inference profile. `structured_output` tells how a JSON schema is honoured, `anthropic_beta` what Claude is told.
    """

    region: str = ""
    access_key_id: str = ""
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    profile: str = ""
    role_arn: str = ""
    external_id: str = ""
    role_session_name: str = ""
    base_models: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    structured_output: StructuredOutput = "auto"
    anthropic_beta: list[str] = msgspec.field(default_factory=list[str])
    guardrail: Guardrail | None = None


class Bedrock(Provider):
    """Models on Amazon Bedrock's runtime, through Converse; embeddings and reranking through InvokeModel.

    An id of a model, of an inference profile or an ARN passes as `model`.
    """

    name = "bedrock"
    base_url = "https://bedrock-runtime.us-east-1.amazonaws.com"
    key_env = BEARER_ENV
    docs = "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html"
    evidence = "recorded"
    dialects: ClassVar[Mapping[str, str]] = {
        "converse": "bedrock.converse",
        "embeddings": "bedrock.embeddings",
        "rerank": "bedrock.rerank",
        "passthrough": "",
    }
    codecs: ClassVar[Mapping[str, Dialect]] = {
        "bedrock.converse": BedrockConverse(),
        "bedrock.embeddings": BedrockEmbeddings(),
        "bedrock.rerank": BedrockRerank(),
    }
    paths: ClassVar[Mapping[str, str]] = {
        "converse": "/model/{model}/converse",
        "embeddings": "/model/{model}/invoke",
        "rerank": "/model/{model}/invoke",
    }
    origins_of_thought: ClassVar[frozenset[str]] = frozenset({"anthropic", "bedrock"})
    Config = BedrockConfig

    def __init__(self, deployment: str, config: DeploymentConfig, upstream: Upstream) -> None:
        self.settings = config if isinstance(config, BedrockConfig) else BedrockConfig(provider=self.name)
        _check(self.settings)
        self.region = _region_of(self.settings)
        url = self.settings.base_url or f"https://bedrock-runtime.{self.region}.{_suffix_of(self.region)}"
        key = self.settings.api_key or self._environment_key()
        super().__init__(deployment, replace(self.settings, base_url=url, api_key=key), upstream)
        self.config = config  # as it was written, which is how a reload tells whether it has changed
        self.account = ""  # what Claude signs counts on every platform, and keys that rotate name no account
        static = _static_keys(self.settings)
        known = (static.secret_access_key, static.session_token) if static else ()
        self._origin = Origin(
            self.name, deployment, (*self._origin.secrets, *(secret.reveal_bytes() for secret in known if secret))
        )
        base_models = self.settings.base_models
        self.codecs = {  # pyright: ignore[reportAttributeAccessIssue] - this deployment's own
            **type(self).codecs,
            BedrockEmbeddings.name: BedrockEmbeddings(base_models),
            BedrockRerank.name: BedrockRerank(base_models),
        }
        self._chain = KeyChain(
            Settings(
                self.region,
                static,
                self.settings.profile,
                self.settings.role_arn,
                self.settings.external_id,
                self.settings.role_session_name,
            )
        )

    @override
    def requires_key(self) -> bool:
        return False

    @override
    @classmethod
    def from_environment(cls) -> Mapping[str, Any] | None:
        region = _environment_region()
        if region and os.environ.get(BEARER_ENV):
            return {"provider": cls.name, "api_key": f"env:{BEARER_ENV}", "region": region}
        if region and os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY"):
            return {"provider": cls.name, "region": region}
        return None

    @override
    def adapt(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        request = replace(request, model=self.settings.base_models.get(request.model, request.model))
        model = find_model(request.model)
        request = settle_thinking(request, model, gaps)
        return settle_format(request, model, gaps, self.settings.structured_output)

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
    def understands(self, opaque: Opaque) -> bool:
        """Claude's signatures count on every platform, whatever account they came from; others where they were made."""
        return opaque.origin == "anthropic" or super().understands(opaque)

    @override
    def url_for(self, ex: Exchange) -> str:
        """The model is part of the path: one segment, whatever characters are in it."""
        base = checked_base_url(ex.base_url) if ex.base_url else self.url
        operation = operation_of(ex)
        path = self.paths.get(operation)
        if path is None or ex.attempt is None:
            return base + passed_path(ex)
        stream = "-stream" if operation == "converse" and ex.stream else ""
        return base + path.replace("{model}", quote(ex.attempt.model, safe="")) + stream

    @override
    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        if self.is_passed(ex):
            return {}
        streams = ex.stream and operation_of(ex) == "converse"
        return {b"accept": b"application/vnd.amazon.eventstream" if streams else b"application/json"}

    @override
    def secrets_of(self, ex: Exchange) -> Secrets:
        return (*super().secrets_of(ex), *self._chain.secrets())

    @override
    async def authorize(self, request: UpstreamRequest) -> UpstreamRequest:
        """`request` signed, unless a key goes along with it. A signature is for the deployment's own origin alone."""
        if request.credential is not None or self.is_keyless:
            return request
        if origin_of(request.url) not in self.origins:
            raise ProviderFailed("the deployment's keys are not bound to this origin", code="upstream_denied")
        keys = await self._chain.keys()
        body = request.body
        digest = await asyncio.to_thread(_digest, body) if len(body) >= _LARGE else _digest(body)
        now, scope = datetime.now(UTC), Scope(self.region)
        return replace(request, headers=sign(request.method, request.url, request.headers, digest, keys, scope, now))

    @override
    async def send(self, ex: Exchange) -> UpstreamResponse:
        """Send what `prepare` says; embeddings of a model that takes few texts a call are several calls and one reply."""
        attempt = ex.attempt
        if attempt is None or attempt.body is None or operation_of(ex) != "embeddings":
            return await super().send(ex)
        request = self.prepare(ex)
        return await send_each(self._sent, [replace(request, body=body) for body in bodies_in(attempt.body)])

    async def _sent(self, request: UpstreamRequest) -> UpstreamResponse:
        return await self.upstream.send(await self.authorize(request))

    def _environment_key(self) -> Secret | None:
        """AWS's variable for a Bedrock API key, where the deployment names no keys of its own."""
        settings = self.settings
        has_own = settings.access_key_id or settings.profile or settings.role_arn
        value = "" if has_own or self.is_keyless else os.environ.get(BEARER_ENV, "")
        return Secret(value) if value else None


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _check(config: BedrockConfig) -> None:
    """Refuse settings that contradict each other, all at once."""
    problems: list[str] = []
    if bool(config.access_key_id) != (config.secret_access_key is not None):
        problems.append("`access_key_id` and `secret_access_key` must be set together")
    if config.session_token is not None and not config.access_key_id:
        problems.append("`session_token` needs `access_key_id` and `secret_access_key`")
    if config.access_key_id and config.profile:
        problems.append("`access_key_id` and `profile` exclude each other: remove one")
    if config.api_key is not None and (config.access_key_id or config.profile or config.role_arn):
        problems.append("`api_key` takes the place of keys and roles: remove it or them")
    if not config.role_arn and (config.external_id or config.role_session_name):
        problems.append("`external_id` and `role_session_name` belong to `role_arn`, which is missing")
    if problems:
        raise StartupError([Problem(problem) for problem in problems])


def _region_of(config: BedrockConfig) -> str:
    host = urlsplit(config.base_url).hostname or ""
    found = _IN_HOST.search(host)
    region = config.region or (found[1] if found else "") or _environment_region()
    if not region:
        raise StartupError([Problem("`region` is missing: set it, for example to `us-east-1`, or set `AWS_REGION`")])
    if not _REGION.fullmatch(region):
        raise StartupError([Problem(f"`region` `{region}` is no AWS region such as `us-east-1`")])
    return region


def _environment_region() -> str:
    return next((os.environ[name] for name in _REGION_ENVS if os.environ.get(name)), "")


def _suffix_of(region: str) -> str:
    return next((suffix for prefix, suffix in _SUFFIXES if region.startswith(prefix)), "amazonaws.com")


def _static_keys(config: BedrockConfig) -> Keys | None:
    if config.secret_access_key is None:
        return None
    return Keys(config.access_key_id, config.secret_access_key, config.session_token)
