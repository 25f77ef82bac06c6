"""What a provider is: code that reaches a vendor. One instance is one configured deployment."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, cast
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from headgate.body import leave_out
from headgate.caller import checked_base_url, lowered, named_headers, passed_path
from headgate.chat import ChatRequest, File, Image, Opaque
from headgate.dialects import Dialect, Gaps, Policy
from headgate.dialects.jobs import Asked
from headgate.errors import InvalidRequest, Problem, ProviderError, ProviderFailed, StartupError, UnsupportedField
from headgate.exchange import Exchange, Reply
from headgate.opening import open_session, socket_request
from headgate.operations import CHAT_OPERATIONS, COUNTS, EMBEDDINGS, EMBEDS, Operation
from headgate.relay import Origin, Secrets, relay
from headgate.secret import Secret
from headgate.tallying import COUNTERS, ESTIMATE, estimate, tally
from headgate.translation import translate
from headgate.upstream import Credential, Timeouts, Tls, Upstream, UpstreamRequest, UpstreamResponse, origin_of
from headgate.upstream.rules import ssl_context
from headgate.version import VERSION

_JSON = b"application/json"
_USER_AGENT = f"headgate/{VERSION}".encode()
_EVERYWHERE = frozenset({"anthropic"})
"""Origins whose signatures count on every platform and so in every account: Claude's
(https://platform.claude.com/docs/en/build-with-claude/extended-thinking)."""


class DeploymentConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry of `providers:` in headgate.yaml. A provider adds fields of its own by subclassing it.

    `headers` are sent with every call; their values may be secret references. `models` lists what callers may see.
    `allow_private` lets `base_url` resolve to a private address, as a name inside a cluster does. `tls` names files
    for servers with a certificate authority of their own, or that want a client certificate. `unsupported` says what
    happens to fields that cannot be said in the provider's dialect: `refuse` the request, or `drop` and name them.
    """

    provider: str
    base_url: str = ""
    api_key: Secret | None = None
    headers: dict[str, Secret] = {}
    models: list[str] = []
    allow_private: bool = False
    timeouts: Timeouts = Timeouts()
    tls: Tls = Tls()
    unsupported: Policy = "refuse"


class Provider:
    """Base of every provider. Added in 0.1.

    A subclass sets `name`, `base_url`, `key_env`, `dialects` and `paths`, and overrides small methods: `url_for`,
    `vendor_headers`, `adapt`, `finish_body`, `authorize`. It holds no state of a request. Construction reaches nobody and
    raises StartupError when the configuration cannot work.
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
    tier: ClassVar[Literal["row", "dialect", "native"]] = "native"
    """How much code it takes: a row of data, small changes to another provider, or all of it."""
    auth: ClassVar[tuple[str, ...]] = ("key",)
    """The ways to prove who calls, for the documentation; empty for servers that ask for nothing."""
    evidence: ClassVar[Literal["recorded", "types", "documents"]] = "documents"
    """What its tests rest on: recorded traffic, the types of an official SDK, or the vendor's documents alone."""
    dialects: ClassVar[Mapping[str, str]] = {}
    """Operation to the dialect this provider speaks for it, "" where bodies are opaque. What is missing is refused with a
    clear error; chat in another dialect is translated into the first chat operation that stands here."""
    codecs: ClassVar[Mapping[str, Dialect]] = {}
    """Dialects of this provider's own that the core does not have, by name."""
    paths: ClassVar[Mapping[str, str]] = {}
    """Operation to path below the base URL; what has none keeps the client's own path."""
    forwarded: ClassVar[tuple[str, ...]] = ()
    """Client headers that the vendor documents and that always pass."""
    key_header: ClassVar[str] = "authorization"
    key_prefix: ClassVar[str] = "Bearer "
    """How the key is sent."""
    origins_of_thought: ClassVar[frozenset[str]] = frozenset()
    """The origins of opaque items (signatures, encrypted thinking) that this vendor can read."""
    keeps_responses: ClassVar[bool] = True
    """Whether what it makes in the dialect `openai.responses` can be asked for and gone on from by its id later."""
    takes_custom_tools: ClassVar[bool] = False
    """Whether it takes tools of free text in OpenAI's dialects; elsewhere they are offered as functions of one text."""
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
            Credential(self.key_header, config.api_key, self.origins, self.key_prefix) if config.api_key else None
        )
        self.account = _account_of(config, self.url)
        self.left_out: Mapping[str, tuple[str, ...]] = {}
        """Operation to hints of the gateway's callers that this vendor would refuse; they are taken out and named."""
        self._is_authorized = type(self).authorize is not Provider.authorize
        self._forwarded = tuple(name.encode() for name in self.forwarded)
        self._own_headers = {name.lower().encode(): value.reveal().encode() for name, value in config.headers.items()}
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
        """What to authenticate with: the routing config's key, the caller's own in `passthrough` mode, the deployment's.

        Each goes to the base URL of this call alone, the deployment's only where the operator has named that.
        """
        target = ex.attempt.target if ex.attempt is not None else None
        own = ex.principal.credential if ex.principal else None
        if target is not None and target.credential is not None:
            own = target.credential
        base = ex.base_url
        if own is None and (not base or self.config.api_key is None or self._is_strange(ex)):
            return self._credential
        origins = frozenset({origin_of(base)}) if base else self.origins
        return Credential(self.key_header, own or self.config.api_key or Secret(""), origins, self.key_prefix)

    def _is_strange(self, ex: Exchange) -> bool:
        """Whether the call goes to a base URL of the caller's choice, which gets nothing of the deployment's own."""
        attempt = ex.attempt
        if not ex.base_url or attempt is None:
            return bool(ex.base_url)
        return bool(ex.custom_host) or attempt.target.is_callers or not attempt.target.base_url

    # which dialect a call is made in

    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:  # noqa: ARG002 - for those that ask the model
        """The operation and the dialect that a call of this exchange is made in; None when it cannot be made.

        It is the operation's own where the provider has it; another chat operation is translated into the first one of
        `dialects` that is chat, Google's embeddings into `embeddings`. Tokens that the vendor cannot count are estimated.
        Override it where that depends on the model.
        """
        wanted = ex.operation
        dialect = self.dialects.get(wanted.name)
        if dialect is not None and (bool(dialect) == bool(wanted.dialect) or wanted.is_tree):
            return wanted.name, dialect
        if wanted.is_chat:
            for name, spoken in self.dialects.items():
                if name in CHAT_OPERATIONS and spoken:
                    return name, spoken
        if wanted in COUNTS:
            return self.counted_in()
        if wanted in EMBEDS and EMBEDDINGS.name in self.dialects:
            return EMBEDDINGS.name, self.dialects[EMBEDDINGS.name]
        return None

    def counted_in(self) -> tuple[str, str]:
        """The operation and the dialect in which the vendor counts tokens for clients of other APIs; else an estimate."""
        found = ((name, self.dialects[name] or usual) for name, usual in COUNTERS.items() if name in self.dialects)
        return next(found, (ESTIMATE, ""))

    def adapt(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:  # noqa: ARG002 - for those that lose something
        """The request as this vendor and this model take it, before it is encoded: limits, defaults, names of efforts.

        Called for requests that are encoded anew: translated ones, and those in the vendor's own dialect that held another
        provider's items. `gaps.dialect` is the dialect they will be encoded in; what cannot be honoured goes to `gaps`.
        """
        return request

    def finish_body(self, body: bytes, request: ChatRequest, gaps: Gaps) -> bytes:  # noqa: ARG002 - see adapt
        """An encoded request with what only this vendor has; the default changes nothing. Called as `adapt` is."""
        return body

    async def complete_asked(self, ex: Exchange, asked: Asked, gaps: Gaps) -> Asked:  # noqa: ARG002 - see below
        """What a client asks of batches, jobs or files, before their dialect says it: for a vendor whose batches hold requests
        that are told in another dialect. The default changes nothing. Added in 0.1.
        """
        return asked

    def fetches(self, part: Image | File) -> bool:  # noqa: ARG002 - see adapt
        """Whether the vendor fetches the URL of this part itself; where not, the gateway does and sends the bytes."""
        return True

    def understands(self, opaque: Opaque) -> bool:
        """Whether an opaque item may go to this vendor: its own origin, and no other account unless it counts in all."""
        is_bound = opaque.origin not in _EVERYWHERE and opaque.account not in {"", self.account}
        return opaque.origin in self.origins_of_thought and not is_bound

    def policy(self, ex: Exchange) -> Policy:
        """What happens to what cannot be said: the caller's option `unsupported`, else the deployment's setting."""
        asked = (ex.option("unsupported") or "").strip().lower()
        if asked and asked not in {"drop", "refuse"}:
            raise InvalidRequest("`x-headgate-unsupported` must be `refuse` or `drop`", param="unsupported")
        return cast("Policy", asked) if asked else self.config.unsupported

    # what is sent

    def prepare(self, ex: Exchange) -> UpstreamRequest:
        """What to send for the current attempt. Raises a RequestError when this provider cannot do what is asked."""
        attempt = ex.attempt
        if ((attempt.operation if attempt is not None else "") or ex.operation.name) not in self.dialects:
            raise InvalidRequest(
                f"provider `{self.name}` has no operation `{ex.operation.name}`", code="unsupported_operation"
            )
        upload = ex.upload if attempt is None or attempt.body is None else None  # else the body is a vendor's own
        return UpstreamRequest(
            method=ex.scope_method,
            url=self.url_for(ex),
            headers=tuple(self.headers_for(ex).items()),
            body=self.body_for(ex) if upload is None else b"",
            pieces=None if upload is None else upload.outgoing(self.fields_for(ex)),
            credential=self.credential(ex),
            timeouts=self.timeouts_for(ex),
            private_hosts=self._reachable(ex) if ex.base_url else self.private_hosts,
            tls=Tls() if ex.base_url and self._is_strange(ex) else self.config.tls,
        )

    def _reachable(self, ex: Exchange) -> frozenset[str]:
        """The hosts of this call that may be private: those of the operator's choice."""
        if self._is_strange(ex):
            return frozenset()
        return _private_hosts(ex.base_url, allow_private=self.config.allow_private)

    def prepare_socket(self, ex: Exchange) -> UpstreamRequest:
        """The handshake to send for the current attempt of an operation that is a WebSocket: `prepare` with its query."""
        return socket_request(ex, self.prepare(ex), self.socket_query(ex))

    def socket_query(self, ex: Exchange) -> Mapping[str, str]:
        """What the address of a WebSocket says beside the client's own parameters: the model. Added in 0.1."""
        attempt = ex.attempt
        return {"model": attempt.model} if attempt is not None and attempt.model else {}

    def url_for(self, ex: Exchange) -> str:
        """Where the call goes: the caller's own base URL if there is one, else the deployment's, and the path."""
        base = checked_base_url(ex.base_url) if ex.base_url else self.url
        attempt = ex.attempt
        operation = (attempt.operation if attempt is not None else "") or ex.operation.name
        return base + (self.paths.get(operation) or passed_path(ex))

    def url_at(self, ex: Exchange, target: str) -> str:
        """Where a call for a job goes that the vendor has its own path for: `target` below the base URL. Added in 0.1."""
        return (checked_base_url(ex.base_url) if ex.base_url else self.url) + target

    def body_for(self, ex: Exchange) -> bytes:
        """The body to send: the translated one, or the client's, for a modelled operation with model and overrides put in."""
        attempt = ex.attempt
        if attempt is not None and attempt.body is not None:
            return attempt.body
        if attempt is None or not ex.body or (self.is_passed(ex) and not _names_model(ex.operation)):
            return ex.source
        body = ex.body_for(attempt.model, attempt.target.override_params)
        if ex.operation.name in self.left_out and not (ex.base_url and self._is_strange(ex)):
            body, said = leave_out(body, self.left_out[ex.operation.name])
            ex.tell_dropped(said)
        return body

    def fields_for(self, ex: Exchange) -> Mapping[str, str]:
        """What a form says instead of what the client wrote: the model, and what the target overrides.

        Raises UnsupportedField for an override that is no single value.
        """
        attempt = ex.attempt
        if attempt is None or not ex.operation.is_form:
            return {}
        named = {"model": attempt.model} if attempt.model else {}
        return {**named, **{name: _field(name, value) for name, value in attempt.target.override_params.items()}}

    def headers_for(self, ex: Exchange) -> dict[bytes, bytes]:
        """Every header but the credential, by lower-case name; the deployment's win over the client's.

        The deployment's own headers may hold secrets, so a base URL of the caller's choice never gets them.
        """
        given = ex.headers
        headers = {b"accept": given.get(b"accept", b"*/*"), b"user-agent": _USER_AGENT}
        kind = given.get(b"content-type")
        if ex.upload is not None:
            kind = ex.upload.content_type
        elif not (kind or b"").lower().startswith(_JSON) and not self.is_passed(ex):
            kind = _JSON  # a modelled body has been read as JSON, so JSON is what it is sent as
        if kind:
            headers[b"content-type"] = kind
        forwarded = ex.attempt.target.forward_headers if ex.attempt is not None else ()
        for name in (*self._forwarded, *forwarded, *named_headers(ex)):
            if name in given:
                headers[name] = given[name]
        headers.update(self.vendor_headers(ex))
        if not ex.base_url or not self._is_strange(ex):
            headers.update(self._own_headers)
        return headers

    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:  # noqa: ARG002 - for those that define some
        """Headers this vendor defines, such as an API version."""
        return {}

    def timeouts_for(self, ex: Exchange) -> Timeouts:
        """The deployment's timeouts, lowered by what the caller or the target asks for."""
        return lowered(self.config.timeouts, ex)

    def is_passed(self, ex: Exchange) -> bool:
        """Whether the operation keeps the client's own path and body."""
        attempt = ex.attempt
        return ((attempt.operation if attempt is not None else "") or ex.operation.name) not in self.paths

    async def authorize(self, request: UpstreamRequest) -> UpstreamRequest:
        """`request` with what proves who sends it, where that takes a token to be fetched or a signature.

        Raises ProviderFailed (code `upstream_credentials`) when none is to be had. The default changes nothing.
        """
        return request

    def session_reader(self, ex: Exchange) -> Callable[[bytes], bytes] | None:  # noqa: ARG002 - for those that differ
        """What makes a message of the vendor's, in a session over a WebSocket, one of the operation's dialect; None where
        it is one already. It never raises. Added in 0.1.
        """
        return None

    def session_writer(self, ex: Exchange) -> Callable[[bytes], Sequence[bytes]] | None:  # noqa: ARG002 - as above
        """What makes a message of the client's, in a session over a WebSocket, those that the vendor is told, in this order;
        None where it is told the very same. Asked for once a session, it may remember what was said. It never raises. Added in
        0.1.
        """
        return None

    # the call

    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        """Carry out the current attempt. A reply with an error status is returned; ProviderError is raised.

        A call in the client's own dialect sends what `prepare` says and relays what comes back.
        """
        attempt = ex.attempt
        if attempt is not None and attempt.dialect is not None:
            return translate(ex, self) if ex.dialect is not None or ex.operation not in COUNTS else tally(ex, self)
        if attempt is not None and attempt.operation == ESTIMATE:
            return estimate(ex)
        if ex.operation.is_socket:
            return open_session(ex, self.upstream, self.prepare_socket(ex), self._origin, self.authorize)
        if self._is_authorized:
            return self._call_authorized(ex)
        return relay(ex, self.upstream, self.prepare(ex), self._origin)

    async def send(self, ex: Exchange) -> UpstreamResponse:
        """Send what `prepare` says, authorized."""
        return await self.upstream.send(await self.authorize(self.prepare(ex)))

    def secrets_of(self, ex: Exchange) -> Secrets:
        """What must not come back in a reply: the credential of this call, and the deployment's secret headers.

        Read once the call is authorized. Where keys rotate, those before the current ones belong to it: calls are under way.
        """
        credential = self.credential(ex)
        own = (credential.secret.reveal_bytes(),) if credential else ()
        return (*own, *self._origin.secrets)

    async def ready(self, ex: Exchange) -> tuple[UpstreamRequest, Origin]:
        """What `prepare` says, authorized, and whose reply comes to it. Raises ProviderError. Added in 0.1."""
        try:
            request = await self.authorize(self.prepare(ex))
        except ProviderError as error:
            error.blame(self.name, self.deployment)
            raise
        return request, replace(self._origin, secrets=self.secrets_of(ex))

    async def _call_authorized(self, ex: Exchange) -> Reply:
        return await relay(ex, self.upstream, *await self.ready(ex))


def _check_tls(tls: Tls) -> None:
    """Read the TLS files once, so that a wrong one is said at the start and not by the first call."""
    if tls == Tls():
        return
    try:
        ssl_context(tls)
    except ProviderFailed as error:
        raise StartupError([Problem(f"`tls`: {error.message}")]) from None


def operation_of(ex: Exchange) -> str:
    """The operation the current attempt is made as, which a translation changes."""
    attempt = ex.attempt
    return (attempt.operation if attempt is not None else "") or ex.operation.name


def _names_model(operation: Operation) -> bool:
    """Whether the model stands in the JSON bodies of an operation that keeps the client's paths."""
    return operation.is_tree and operation.has_model


def _field(name: str, value: object) -> str:
    """A value as a form says it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return msgspec.json.encode(value).decode()
    raise UnsupportedField(f"`override_params.{name}` is no single value, which a form would need", param=name)


def _account_of(config: DeploymentConfig, url: str) -> str:
    """A digest that tells accounts apart and nothing else about them."""
    if config.api_key is None:
        return ""
    return hashlib.sha256(b"headgate.account\0" + url.encode() + b"\0" + config.api_key.reveal_bytes()).hexdigest()[:12]


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
