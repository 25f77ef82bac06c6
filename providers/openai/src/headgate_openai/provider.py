"""The OpenAI provider: the client's words to OpenAI, its bytes back. Quirk providers override one small method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from typing_extensions import override

from headgate.errors import InvalidRequest
from headgate.exchange import Exchange
from headgate.provider import DeploymentConfig, Provider
from headgate.upstream import Timeouts, Tls, Upstream, UpstreamRequest, origin_of
from headgate.version import VERSION
from headgate_openai.caller import lowered, named_headers, passed_path

_JSON = b"application/json"
_USER_AGENT = f"headgate/{VERSION}".encode()
_NO_ACCOUNT: Mapping[bytes, bytes] = {}
_ACCOUNT = {"openai-organization": b"openai-organization", "openai-project": b"openai-project"}


class OpenAIConfig(DeploymentConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A deployment of OpenAI. `organization` and `project` say on whose account a call counts."""

    organization: str = ""
    project: str = ""


class OpenAI(Provider):
    """OpenAI, and whoever speaks its dialect. `url_for`, `headers_for`, `body_for`, `timeouts_for` are for subclasses.

    The body is never changed beyond `model` and the target's `override_params`: what OpenAI refuses, it says itself.
    """

    name = "openai"
    base_url = "https://api.openai.com/v1"
    key_env = "OPENAI_API_KEY"
    docs = "https://platform.openai.com/docs/api-reference"
    dialects: ClassVar[Mapping[str, str]] = {
        "chat": "openai.chat",
        "completions": "openai.completions",
        "embeddings": "openai.embeddings",
        "passthrough": "",
    }
    paths: ClassVar[Mapping[str, str]] = {
        "chat": "/chat/completions",
        "completions": "/completions",
        "embeddings": "/embeddings",
    }
    """Operation to path below the base URL; what has none keeps the client's own path."""
    forwarded: ClassVar[tuple[str, ...]] = ("openai-beta", "idempotency-key", "x-client-request-id")
    """Client headers that the vendor documents and that always pass."""
    Config = OpenAIConfig

    def __init__(self, deployment: str, config: DeploymentConfig, upstream: Upstream) -> None:
        super().__init__(deployment, config, upstream)
        self._forwarded = tuple(name.encode() for name in self.forwarded)
        self._own_headers = {name.lower().encode(): value.reveal().encode() for name, value in config.headers.items()}
        self._account = _account_of(config)

    @override
    def prepare(self, ex: Exchange) -> UpstreamRequest:
        operation = ex.operation
        if operation.name not in self.dialects:
            return super().prepare(ex)
        return UpstreamRequest(
            method=operation.method if operation.name in self.paths else ex.scope_method,
            url=self.url_for(ex),
            headers=tuple(self.headers_for(ex).items()),
            body=self.body_for(ex),
            credential=self.credential(ex),
            timeouts=self.timeouts_for(ex),
            private_hosts=frozenset() if ex.base_url else self.private_hosts,
            tls=Tls() if ex.base_url else self.config.tls,
        )

    def url_for(self, ex: Exchange) -> str:
        """Where the call goes: the caller's own base URL if there is one, else the deployment's, and the path."""
        base = _checked(ex.base_url) if ex.base_url else self.url
        return base + (self.paths.get(ex.operation.name) or passed_path(ex))

    def body_for(self, ex: Exchange) -> bytes:
        """The client's body, for a modelled operation with the attempt's model and overrides put in."""
        if self._is_passed(ex) or ex.attempt is None:
            return ex.body
        return ex.body_for(ex.attempt.model, ex.attempt.target.override_params)

    def headers_for(self, ex: Exchange) -> dict[bytes, bytes]:
        """Every header but the credential, by lower-case name; the deployment's win over the client's.

        The deployment's own headers may hold secrets, so a base URL of the caller's choice never gets them.
        """
        given = ex.headers
        headers = {b"accept": given.get(b"accept", b"*/*"), b"user-agent": _USER_AGENT}
        kind = given.get(b"content-type")
        if not self._is_passed(ex) and not (kind or b"").lower().startswith(_JSON):
            kind = _JSON  # a modelled body has been read as JSON, so JSON is what it is sent as
        if kind:
            headers[b"content-type"] = kind
        for name in (*self._forwarded, *named_headers(ex)):
            if name in given:
                headers[name] = given[name]
        headers.update(self.vendor_headers(ex))
        if not ex.base_url:
            headers.update(self._own_headers)
        return headers

    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        """Headers this vendor defines: here the account that pays.

        The deployment's account goes with the deployment's key alone; where it names none the caller may.
        """
        is_own_key = ex.principal is not None and ex.principal.credential is not None
        account = _NO_ACCOUNT if is_own_key or ex.base_url else self._account
        for option, name in _ACCOUNT.items():
            asked = ex.option(option)
            if asked and name not in account:
                account = {**account, name: asked.encode("latin-1")}
        return account

    def timeouts_for(self, ex: Exchange) -> Timeouts:
        """The deployment's timeouts, lowered by what the caller or the target asks for."""
        return lowered(self.config.timeouts, ex)

    def _is_passed(self, ex: Exchange) -> bool:
        return ex.operation.name not in self.paths


def _account_of(config: DeploymentConfig) -> Mapping[bytes, bytes]:
    if not isinstance(config, OpenAIConfig):
        return {}
    account = {b"openai-organization": config.organization.encode(), b"openai-project": config.project.encode()}
    return {name: value for name, value in account.items() if value}


def _checked(base_url: str) -> str:
    """A caller's base URL without its trailing slash; InvalidRequest when it is no plain http or https URL."""
    try:
        origin_of(base_url)
    except ValueError:
        base_url = "?"
    if "?" in base_url or "#" in base_url:
        raise InvalidRequest(
            "`custom-host` must be an http or https base URL without user, query or fragment", param="custom-host"
        )
    return base_url.rstrip("/")
