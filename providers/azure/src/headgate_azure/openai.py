"""Azure OpenAI: OpenAI's API at a resource of one's own, where a deployment stands for a model.

Responses are kept for 30 days and gone on from by their ids: https://learn.microsoft.com/en-us/azure/foundry/openai/how-to/responses
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast
from urllib.parse import quote

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from headgate.body import encode_with_model
from headgate.caller import checked_base_url, passed_path
from headgate.errors import InvalidRequest, StartupError
from headgate.exchange import Exchange
from headgate.provider import DeploymentConfig, operation_of
from headgate.secret import Secret
from headgate.upstream import Credential, Upstream, UpstreamRequest, origin_of
from headgate_azure.config import AzureConfig, identity_in_environment, is_resource, is_version, problems_of
from headgate_azure.entra import source_of
from headgate_azure.tokens import Tokens
from headgate_openai import OpenAI

_V1 = frozenset({"", "v1", "latest", "preview"})
"""API versions of the v1 API, which has no dates."""
_BY_DEPLOYMENT = frozenset(
    {
        "/audio/speech",
        "/audio/transcriptions",
        "/audio/translations",
        "/chat/completions",
        "/completions",
        "/embeddings",
        "/images/edits",
        "/images/generations",
    }
)
"""Paths that stand below a deployment in the older API, as in the official SDK (3.52)."""


class _Probe(msgspec.Struct):
    model: Any = None


class AzureOpenAI(OpenAI):
    """A resource of Azure OpenAI.

    A caller with a key of its own may name its resource in `x-headgate-azure-resource-name`, and `azure-api-version` and
    `azure-deployment-id` likewise.
    """

    name = "azure-openai"
    base_url = ""
    key_env = "AZURE_OPENAI_API_KEY"
    docs = "https://learn.microsoft.com/en-us/azure/foundry/openai/api-version-lifecycle"
    tier: ClassVar[Literal["row", "dialect", "native"]] = "dialect"
    auth: ClassVar[tuple[str, ...]] = ("key", "Entra ID", "managed identity", "workload identity")
    evidence: ClassVar[Literal["recorded", "types", "documents"]] = "recorded"
    dialects: ClassVar[Mapping[str, str]] = {
        name: dialect for name, dialect in OpenAI.dialects.items() if name != "responses.input_tokens"
    }
    forwarded: ClassVar[tuple[str, ...]] = ("idempotency-key", "x-client-request-id", "x-ms-client-request-id")
    key_header = "api-key"
    key_prefix = ""
    host: ClassVar[str] = "openai.azure.com"
    """Where resources live."""
    scope: ClassVar[str] = "https://cognitiveservices.azure.com/.default"
    """What a token is for."""
    variables: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_RESOURCE"),
    )
    """The variables that hold a key, an endpoint and a resource, as they come together."""
    Config = AzureConfig

    def __init__(self, deployment: str, config: DeploymentConfig, upstream: Upstream) -> None:
        held = self._azure = cast("AzureConfig", config)
        problems = problems_of(held, needs_place=not self.is_keyless)
        base = held.base_url or (self._root(held.resource, held.api_version) if is_resource(held.resource) else "")
        try:
            super().__init__(deployment, replace(config, base_url=base), upstream)
        except StartupError as error:
            problems += error.problems
        if problems:
            raise StartupError(problems)
        source = source_of(held, held.scope or self.scope)
        self._tokens = Tokens(source, upstream) if source is not None else None
        if held.auth == "token" and held.api_key is not None:
            self._credential = Credential("authorization", held.api_key, self.origins, "Bearer ")
        if not self.account and self.url:
            self.account = hashlib.sha256(f"headgate.account\0{self.url}".encode()).hexdigest()[:12]

    @override
    def requires_key(self) -> bool:
        return cast("AzureConfig", self.config).auth in {"key", "token"}

    @override
    @classmethod
    def from_environment(cls) -> Mapping[str, Any] | None:
        for key, endpoint, resource in cls.variables:
            place = _place_of(os.environ.get(endpoint, ""), os.environ.get(resource, ""))
            if place and os.environ.get(key):
                return {"provider": cls.name, "api_key": f"env:{key}", **place}
            identity = identity_in_environment() if place else None
            if identity:
                return {"provider": cls.name, **identity, **place}
        return None

    # where a call goes

    @override
    def url_for(self, ex: Exchange) -> str:
        root, version = self._base_of(ex), self._version_of(ex)
        path, _, query = (self.paths.get(operation_of(ex)) or passed_path(ex)).partition("?")
        if version not in _V1 and path in _BY_DEPLOYMENT:
            path = f"/deployments/{quote(self._deployment_in(ex), safe='')}{path}"
        queries = [query] if query else []
        queries += [f"api-version={version}"] if version else []
        return f"{root}{path}?{'&'.join(queries)}" if queries else root + path

    @override
    def socket_query(self, ex: Exchange) -> Mapping[str, str]:
        """The v1 API names the deployment as `model`, the older one as `deployment`.

        https://learn.microsoft.com/en-us/azure/foundry/openai/how-to/realtime-audio-websockets
        """
        name = self.deployment_of(ex.attempt.model) if ex.attempt is not None else ""
        return {"model" if self._version_of(ex) in _V1 else "deployment": name} if name else {}

    def deployment_of(self, model: str) -> str:
        """The name of the deployment that serves a model: the model's own where the configuration says nothing else."""
        return self._azure.deployments.get(model, model)

    def _base_of(self, ex: Exchange) -> str:
        """The caller's own base URL, the deployment's, or that of the resource that a caller with its own key names."""
        if ex.base_url:
            return checked_base_url(ex.base_url)
        if self.url:
            return self.url
        resource = ex.option("azure-resource-name") or ""
        if not is_resource(resource):
            raise InvalidRequest("name your resource in `x-headgate-azure-resource-name`", code="missing_resource")
        return self._root(resource, self._version_of(ex))

    def _root(self, resource: str, version: str) -> str:
        return f"https://{resource.lower()}.{self.host}/openai{'/v1' if version in _V1 else ''}"

    def _version_of(self, ex: Exchange) -> str:
        asked = ex.option("azure-api-version") if _own_key(ex) is not None else None
        if asked and not is_version(asked):
            raise InvalidRequest("`azure-api-version` must be a date, or `preview`", param="azure-api-version")
        return asked or self._azure.api_version

    def _deployment_in(self, ex: Exchange) -> str:
        """The deployment that a call is for: by the caller's option, by the model of the attempt, or by that of the body."""
        asked = ex.option("azure-deployment-id") if _own_key(ex) is not None else None
        model: Any = ex.attempt.model if ex.attempt is not None and not self.is_passed(ex) else None
        if not asked and not model:
            try:
                model = msgspec.json.decode(ex.source, type=_Probe).model
            except (msgspec.DecodeError, UnicodeDecodeError):
                model = (ex.attempt.target.model if ex.attempt is not None else "") or ex.option("azure-deployment-id")
        name = asked or (self.deployment_of(model) if isinstance(model, str) else "")
        if not name or name in {".", ".."}:
            raise InvalidRequest("name the deployment in `x-headgate-azure-deployment-id`", code="missing_model")
        return name

    # what is sent

    @override
    def body_for(self, ex: Exchange) -> bytes:
        """In the v1 API the body names the deployment; in the older one the URL does, and the body stays as it is."""
        body, attempt = super().body_for(ex), ex.attempt
        if attempt is None or not body or self.is_passed(ex) or self._version_of(ex) not in _V1:
            return body
        name = self.deployment_of(attempt.model)
        return body if name == attempt.model else encode_with_model(body, name, {})

    @override
    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        return {}

    # who sends it

    @override
    def credential(self, ex: Exchange) -> Credential | None:
        """The deployment's key, or the caller's own, which goes as a bearer token when it is one of Entra's."""
        own = _own_key(ex)
        if own is None:
            return self._credential
        is_token = own.reveal().startswith("eyJ")
        header, prefix = ("authorization", "Bearer ") if is_token else (self.key_header_for(ex), self.key_prefix)
        return Credential(header, own, frozenset({origin_of(self._base_of(ex))}), prefix)

    def key_header_for(self, ex: Exchange) -> str:  # noqa: ARG002 - for those whose operations differ
        """The header that carries a key."""
        return self.key_header

    @override
    async def authorize(self, request: UpstreamRequest) -> UpstreamRequest:
        if self._tokens is None or request.credential is not None:
            return request
        token = await self._tokens.token()
        return replace(request, credential=Credential("authorization", token, self.origins, "Bearer "))

    @override
    def secrets_of(self, ex: Exchange) -> tuple[bytes, ...]:
        return (*super().secrets_of(ex), *(self._tokens.secrets() if self._tokens is not None else ()))


def _own_key(ex: Exchange) -> Secret | None:
    return ex.principal.credential if ex.principal else None


def _place_of(endpoint: str, resource: str) -> dict[str, str]:
    """Where a resource is, as a configuration says it; empty when the environment does not."""
    if resource:
        return {"resource": resource}
    base = endpoint.rstrip("/").removesuffix("/anthropic")
    return {"base_url": base if base.endswith("/openai/v1") else f"{base}/openai/v1"} if base else {}
