"""What a provider is: code that reaches a vendor. One instance is one configured deployment."""

from __future__ import annotations

import os
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from msgspec import Struct

from headgate.errors import InvalidRequest, Problem, ProviderFailed, StartupError
from headgate.exchange import Exchange, Reply
from headgate.relay import Origin, relay
from headgate.secret import Secret
from headgate.upstream import Credential, Timeouts, Tls, Upstream, UpstreamRequest, origin_of
from headgate.upstream.rules import ssl_context


class DeploymentConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry of `providers:` in headgate.yaml. A provider adds fields of its own by subclassing it.

    `headers` are sent with every call; their values may be secret references. `models` lists what callers may see.
    `allow_private` lets `base_url` resolve to a private address, as a name inside a cluster does. `tls` names files
    for servers with a certificate authority of their own, or that want a client certificate.
    """

    provider: str
    base_url: str = ""
    api_key: Secret | None = None
    headers: dict[str, Secret] = {}
    models: list[str] = []
    allow_private: bool = False
    timeouts: Timeouts = Timeouts()
    tls: Tls = Tls()


class Provider:
    """Base of every provider. Added in 0.1.

    A subclass sets `name`, `base_url`, `key_env` and `dialects`, and overrides `prepare` (what to send) or `call` (all
    of it). It holds no state of a request. Construction reaches nobody and raises StartupError when the configuration
    cannot work.
    """

    name: ClassVar[str] = ""
    """The provider's name in configuration, in reply headers and in records."""
    base_url: ClassVar[str] = ""
    """Where the vendor lives, without a trailing slash; a deployment may set another."""
    key_env: ClassVar[str] = ""
    """The environment variable that usually holds the vendor's key; it switches the provider on without a file."""
    is_keyless: ClassVar[bool] = False
    """Whether calls without a key can work (servers of one's own)."""
    docs: ClassVar[str] = ""
    """The vendor page the facts come from."""
    dialects: ClassVar[Mapping[str, str]] = {}
    """Operation to the dialect this provider speaks for it. What is missing is refused with a clear error."""
    models: ClassVar[tuple[str, ...]] = ()
    """Models to list when the deployment names none; empty where the vendor's list changes by itself."""
    Config: ClassVar[type[DeploymentConfig]] = DeploymentConfig

    def __init__(self, deployment: str, config: DeploymentConfig, upstream: Upstream) -> None:
        self.deployment = deployment
        self.config = config
        self.upstream = upstream
        self.url = (config.base_url or self.base_url).rstrip("/")
        self.origins = frozenset({origin_of(self.url)}) if self.url else frozenset[str]()
        self.private_hosts = _private_hosts(self.url, allow_private=config.allow_private)
        self._credential = (
            Credential("authorization", config.api_key, self.origins, "Bearer ") if config.api_key else None
        )
        self._origin = Origin(self.name, deployment, tuple(_secret_values(config.headers)))
        _check_tls(config.tls)
        if config.api_key is None and not self.is_keyless and self.requires_key():
            raise StartupError(
                [Problem(f"`api_key` is missing: set it, for example to `env:{self.key_env or 'NAME'}`")]
            )

    def requires_key(self) -> bool:
        """Whether a deployment without a key is a mistake; providers that take other credentials say no."""
        return bool(self.key_env)

    @classmethod
    def from_environment(cls) -> Mapping[str, Any] | None:
        """The configuration the environment switches on, as it would stand in YAML; None when it switches on nothing."""
        if cls.key_env and os.environ.get(cls.key_env):
            return {"provider": cls.name, "api_key": f"env:{cls.key_env}"}
        return None

    def credential(self, ex: Exchange) -> Credential | None:
        """What to authenticate with: the caller's own key in `passthrough` mode, else the deployment's."""
        own = ex.principal.credential if ex.principal else None
        if own is None:
            return self._credential
        origins = frozenset({origin_of(ex.base_url)}) if ex.base_url else self.origins
        return Credential("authorization", own, origins, "Bearer ")

    def prepare(self, ex: Exchange) -> UpstreamRequest:
        """What to send for the current attempt. Raises a RequestError when this provider cannot do what is asked."""
        raise InvalidRequest(
            f"provider `{self.name}` has no operation `{ex.operation.name}`", code="unsupported_operation"
        )

    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        """Carry out the current attempt. A reply with an error status is returned; ProviderError is raised.

        The default sends what `prepare` says and relays what comes back.
        """
        return relay(ex, self.upstream, self.prepare(ex), self._origin)


def _check_tls(tls: Tls) -> None:
    """Read the TLS files once, so that a wrong one is said at the start and not by the first call."""
    if tls == Tls():
        return
    try:
        ssl_context(tls)
    except ProviderFailed as error:
        raise StartupError([Problem(f"`tls`: {error.message}")]) from None


def _secret_values(headers: Mapping[str, Secret]) -> Iterator[bytes]:
    """The values of headers that prove something; others, such as a title, may well stand in a reply."""
    for name, value in headers.items():
        if any(word in name.lower() for word in ("auth", "cookie", "key", "secret", "token")):
            yield value.reveal().encode()


def _private_hosts(url: str, *, allow_private: bool) -> frozenset[str]:
    """The host of `url` when it names a private address itself, is `localhost`, or the operator said so."""
    host = urlsplit(url).hostname or ""
    is_literal = host == "localhost" or host.replace(".", "").isdigit() or ":" in host
    return frozenset({host}) if host and (allow_private or is_literal) else frozenset[str]()
