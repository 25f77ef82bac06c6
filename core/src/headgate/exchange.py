"""One request and all that happens to it. `Exchange` is the only argument of every request hook."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import force_setattr

from headgate.body import Path, decode_object, encode_with, encode_with_model, replace_paths
from headgate.chat import ChatRequest, Usage
from headgate.dialects import ChatDialect, Dialect, Form, TextPlace
from headgate.errors import InvalidRequest, RequestError
from headgate.operations import Operation
from headgate.policies import BreakerRule, Call, Health
from headgate.secret import Secret
from headgate.sockets import Socket
from headgate.upload import Upload

if TYPE_CHECKING:
    from headgate.fleet import Fleet
    from headgate.provider import Provider

RawHeaders = tuple[tuple[bytes, bytes], ...]
_OPTIONS = (b"x-headgate-", b"x-portkey-")
_NO_METADATA: Mapping[str, str] = MappingProxyType({})
CacheStatus = Literal["", "HIT", "MISS", "REFRESH", "DISABLED"]


class Principal(Struct, frozen=True):
    """Who calls. `models` limits what may be called (exact names, or a prefix ending in `*`); empty means everything.

    `credential` is the caller's own provider key in `passthrough` mode. `tenant` partitions caches and limits.
    `deadline_s` is how long a request may take from its start, 0 for as long as it likes; `config` the name of the routing
    config that its requests take when they bring none. Of a higher `priority` they go before others when it is full.
    """

    key: str
    user: str = ""
    workspace: str = ""
    organisation: str = ""
    scopes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    metadata: Mapping[str, str] = _NO_METADATA
    credential: Secret | None = None
    allow_config: bool = True
    deadline_s: float = 0.0
    config: str = ""
    priority: int = 0

    def __post_init__(self) -> None:
        given = self.metadata
        if given is not _NO_METADATA:
            force_setattr(self, "metadata", MappingProxyType(dict(given)) if given else _NO_METADATA)

    @property
    def tenant(self) -> str:
        """What must not share anything with others: organisation, workspace, or failing both the key itself."""
        if self.organisation or self.workspace:
            return f"org:{len(self.organisation)}:{self.organisation}/{self.workspace}"
        return f"key:{self.key}"

    def allows(self, model: str) -> bool:
        """Whether a model name, as the caller wrote it, is on the list."""
        return not self.models or any(
            model == allowed or (allowed.endswith("*") and model.startswith(allowed[:-1])) for allowed in self.models
        )


class Retry(Struct, frozen=True):
    """How often one leaf is tried again, and after which statuses. `attempts` does not count the first try."""

    attempts: int = 0
    on_status_codes: tuple[int, ...] = (429, 500, 502, 503, 504, 529)
    use_retry_after_header: bool = False


class Caching(Struct, frozen=True):
    """What a routing config says of the cache: `simple` or `semantic`, and for how many seconds a reply is good."""

    mode: Literal["simple", "semantic"] = "simple"
    max_age_s: float | None = None


class Patience(Struct, frozen=True):
    """How long a target may keep a call waiting, in seconds; 0 leaves it to the deployment.

    `first_token_s` ends with the first piece of the answer that says something, which a provider's first byte need not.
    """

    connect_s: float = 0.0
    first_byte_s: float = 0.0
    first_token_s: float = 0.0
    gap_s: float = 0.0


PATIENT = Patience()


class Target(Struct, frozen=True):
    """A node of a routing tree. A leaf names a `deployment`; any other node names a `strategy` over its `targets`.

    `path` is where it stands in the routing config, such as `config.targets[1]`. `settings` keeps what only the
    strategy understands, `compiled` what it made of that. `deadline_s` of a root bounds the whole request. `release_after` is
    how many pieces of a stream are held before the first is let go. `guards` are the guardrails of the config itself, `breaker`
    what opens its circuit, `base_url` and `credential` take the place of the deployment's; `is_callers` says that a caller
    wrote all this, and not the operator.
    """

    path: str = "config"
    deployment: str = ""
    model: str = ""
    strategy: str = ""
    targets: tuple[Target, ...] = ()
    on_status_codes: tuple[int, ...] = ()
    weight: float = 1.0
    retry: Retry = Retry()
    request_timeout_s: float = 0.0
    override_params: Mapping[str, Any] = {}
    settings: Mapping[str, Any] = {}
    name: str = ""
    compiled: Any = None
    default_params: Mapping[str, Any] = {}
    drop_params: tuple[Path, ...] = ()
    cache: Caching | None = None
    guards: Any = None
    base_url: str = ""
    is_callers: bool = False
    credential: Secret | None = None
    forward_headers: tuple[bytes, ...] = ()
    patience: Patience = PATIENT
    release_after: int = 0
    breaker: BreakerRule | None = None
    deadline_s: float = 0.0

    def __post_init__(self) -> None:
        force_setattr(self, "override_params", MappingProxyType(dict(self.override_params)))
        force_setattr(self, "default_params", MappingProxyType(dict(self.default_params)))
        force_setattr(self, "settings", MappingProxyType(dict(self.settings)))


def caching_of(target: Target) -> Caching | None:
    """What a tree says of the cache: its root, else the first target that says anything."""
    if target.cache is not None:
        return target.cache
    return next((found for child in target.targets if (found := caching_of(child)) is not None), None)


class Try(Struct, frozen=True):
    """A call of an attempt that another followed: its status (0 without a reply), its error, and how long it took."""

    status: int
    error: str
    elapsed_s: float


class Attempt(Struct):
    """One call to one leaf. Times are monotonic seconds; `status` is 0 until a reply or an error came.

    `operation` is what the provider is asked. A call that is translated has the provider's `dialect`, and its `body` as
    soon as it is encoded; any other has None. `source` is the client's body after the target's `default_params` and
    `drop_params`, where it has any. `health` is what the `fleet` knows of the deployment, `call` what it was told to have begun.
    `tries` are the calls before the last one; `cost_microusd` is what the attempt cost, None where nobody knows.
    `allowed_s` is how long the caller lets a call take, infinite where only the operator has set limits.
    """

    target: Target
    provider: Provider
    model: str
    started: float
    status: int = 0
    retries: int = 0
    error: str = ""
    ended: float = 0.0
    operation: str = ""
    dialect: Dialect | None = None
    body: bytes | None = None
    source: bytes | None = None
    fleet: Fleet | None = None
    health: Health | None = None
    call: Call | None = None
    tries: tuple[Try, ...] = ()
    cost_microusd: int | None = None
    allowed_s: float = math.inf


class Closing(Struct, frozen=True):
    """How a WebSocket session ended: who ended it, and the close code, 1006 for a lost connection (RFC 6455 section 7.4)."""

    by: Literal["client", "provider", "gateway"]
    code: int
    reason: str = ""


class Reply(Struct):
    """What goes back to the client: a whole `body`, `chunks` of a stream that is still running, or an open `socket`.

    `headers` are the provider's that may pass on. `usage` is filled in when the provider stated it, `has_error_event`
    when its stream ended with an error of the provider's own. `form` says what the chunks are. What of the answer was
    translated says which `model` and `service_tier` it had at the provider; of a stream that was relayed `events` are the
    first and the last ones, once it has ended. `closing` says how the session over the socket ended, `usage_by_model` what
    of `usage` each of its models used, "" being the one that was called.
    """

    status: int
    headers: RawHeaders = ()
    body: bytes = b""
    chunks: AsyncIterator[bytes] | None = None
    usage: Usage | None = None
    has_error_event: bool = False
    form: Form = "events"
    model: str = ""
    service_tier: str = ""
    events: Sequence[bytes] = ()
    socket: Socket | None = None
    closing: Closing | None = None
    usage_by_model: Mapping[str, Usage] = {}

    @property
    def is_ok(self) -> bool:
        """A status of 2xx."""
        return 200 <= self.status < 300


class Exchange:
    """One request and all that happens to it.

    Hooks read it and add to it: `data` is theirs, by plugin name. What the request was (`id`, `operation`, `headers`,
    `body`, `principal`) is set by the core and must not be changed; text is changed with `replace_texts`, the whole body
    with `replace_body`. `pinned` says of a provider whether it can answer, where not every one can: the first leaf that can is
    called then, and no other. `tail_bytes` asks for the end of a stream that is too long to be collected, as `reply_tail`.
    `caching` is what a routing config says of the cache. Nothing may be started for it after `deadline`, in monotonic
    seconds. A shadow has the id of the exchange that it repeats in `shadow_of`. `base_url` is what the current attempt goes
    to in place of the deployment's own: its target's, else the caller's `custom_host`.

    `cost_microusd` is what it cost in millionths of a USD, None where nobody knows (which is not 0), and `cost_source` says
    who said so, `unknown` where a model has no price, `partial` where one of several has none; a plugin that knows prices
    sets both in `settle`, for those that come after it and for `record`.
    """

    __slots__ = (
        "_json",
        "_options",
        "attempt",
        "attempts",
        "base_url",
        "body",
        "cache_status",
        "caching",
        "collect",
        "cost_microusd",
        "cost_source",
        "custom_host",
        "data",
        "deadline",
        "dialect",
        "dropped",
        "error",
        "error_dialect",
        "generation",
        "headers",
        "held_bytes",
        "id",
        "is_changed",
        "max_tokens",
        "metadata",
        "model",
        "operation",
        "outcome",
        "path",
        "pinned",
        "principal",
        "query",
        "reply",
        "reply_body",
        "reply_bytes",
        "reply_tail",
        "request_bytes",
        "scope_method",
        "shadow_of",
        "started",
        "started_at",
        "stream",
        "tail_bytes",
        "target",
        "timings",
        "trace_id",
        "ttft_s",
        "upload",
        "user",
    )

    def __init__(
        self,
        operation: Operation,
        headers: Mapping[bytes, bytes],
        *,
        request_id: str,
        trace_id: str,
        method: str = "POST",
        path: str = "",
        query: bytes = b"",
        dialect: Dialect | None = None,
    ) -> None:
        self.operation = operation
        self.headers = headers
        self.id = request_id
        self.trace_id = trace_id
        self.scope_method = method
        self.shadow_of = ""
        self.path = path or operation.path
        self.query = query
        self.dialect = dialect
        self.error_dialect = dialect
        self.generation = 0
        self.started = time.perf_counter()
        self.started_at = time.time()
        self.body = b""
        self.upload: Upload | None = None
        self.request_bytes = 0
        self.held_bytes = 0
        self.model = ""
        self.stream = False
        self.user: str | None = None
        self.max_tokens: int | None = None
        self.deadline = math.inf
        self.metadata: Mapping[str, str] = {}
        self.principal: Principal | None = None
        self.base_url = self.custom_host = ""
        self.pinned: Callable[[Provider], bool] | None = None
        self.target: Target | None = None
        self.attempt: Attempt | None = None
        self.attempts: list[Attempt] = []
        self.reply: Reply | None = None
        self.reply_body: bytes | None = None
        self.reply_bytes = 0
        self.reply_tail: bytes | None = None
        self.tail_bytes = 0
        self.error: RequestError | None = None
        self.outcome: Literal["", "complete", "error", "cut", "client_gone"] = ""
        self.cache_status: CacheStatus = ""
        self.caching: Caching | None = None
        self.collect = False
        self.is_changed = False
        self.dropped: list[str] = []
        self.ttft_s: float | None = None
        self.cost_microusd: int | None = None
        self.cost_source = ""
        self.timings: dict[str, float] | None = None
        self.data: dict[str, Any] = {}
        self._json: dict[str, Any] | None = None
        self._options: dict[str, str] | None = None

    def fork(self) -> Exchange:
        """The same request for a call beside the first. What becomes of it stays its own, but its attempts are known here."""
        other: Exchange = object.__new__(Exchange)
        for name in Exchange.__slots__:
            setattr(other, name, getattr(self, name))
        other.attempt = other.reply = None
        other.dropped, other.data = list(self.dropped), dict(self.data)
        return other

    def adopt(self, fork: Exchange) -> None:
        """Go on with what a fork came to."""
        for name in ("_json", "attempt", "body", "data", "dropped", "is_changed", "stream", "timings"):
            setattr(self, name, getattr(fork, name))

    def mark(self, stage: str) -> None:
        """Note the time since the last mark under this stage; only for those who asked for times."""
        if self.timings is not None:
            passed_s = time.perf_counter() - self.started - sum(self.timings.values())
            self.timings[stage] = self.timings.get(stage, 0.0) + passed_s

    def header(self, name: str) -> str | None:
        """A request header by lower-case name."""
        value = self.headers.get(name.encode())
        return None if value is None else value.decode("latin-1")

    def tell_dropped(self, names: Iterable[str]) -> None:
        """Name what was left out of what is sent, each once, in `x-headgate-dropped`."""
        self.dropped = list(dict.fromkeys((*self.dropped, *names)))

    def option(self, name: str) -> str | None:
        """A gateway option: the header `x-headgate-NAME`, or its alias `x-portkey-NAME`."""
        options = self._options
        if options is None:
            options = self._options = _options_of(self.headers)
        return options.get(name) if options else None

    def options(self) -> Mapping[str, str]:
        """All of them by name, for those who want more than one."""
        options = self._options
        if options is None:
            options = self._options = _options_of(self.headers)
        return options

    @property
    def source(self) -> bytes:
        """The body that the current attempt starts from: the client's, or what its target's parameters made of it."""
        attempt = self.attempt
        return self.body if attempt is None or attempt.source is None else attempt.source

    @property
    def can_repeat(self) -> bool:
        """Whether the request can go out another time: what was sent on as it came is not here any more."""
        return self.upload is None or not self.upload.is_spent

    @property
    def is_unreadable(self) -> bool:
        """Whether the request's body holds what `texts` does not show: it is opaque, or it is sent on as it comes."""
        return self.upload is not None or (self.dialect is None and bool(self.body))

    @property
    def event_dialect(self) -> Dialect | None:
        """The dialect in which a running reply can be told of an error; None where its bytes have no room for one."""
        return self.dialect if self.reply is None or self.reply.form == "events" else None

    def keep_json(self, decoded: dict[str, Any]) -> None:
        """Keep the request body as it was decoded for other reasons, so that `json` need not do it again."""
        self._json = decoded

    @property
    def json(self) -> dict[str, Any]:
        """The request body as decoded JSON, decoded once. Read it; change text with `replace_texts`."""
        if self._json is None:
            self._json = decode_object(self.body)
        return self._json

    def texts(self) -> Sequence[TextPlace]:
        """Every piece of text in the request. Empty for a body that `is_unreadable`."""
        return self.dialect.request_texts(self.json) if self.dialect and self.upload is None else ()

    def replace_texts(self, changes: Iterable[tuple[TextPlace, str]]) -> None:
        """Put new text in place of what `texts()` found; key order is kept and the provider gets the new body."""
        listed = [(place.path, text) for place, text in changes]
        if not listed:
            return
        self._json = replace_paths(self.json, listed)
        self.body = msgspec.json.encode(self._json)
        self.is_changed = True

    def replace_body(self, body: bytes) -> None:
        """Put another request in place of the client's before it is routed: JSON of the same dialect, for the same model."""
        self.body, self._json, self.is_changed = body, None, True

    def chat(self, overrides: Mapping[str, Any] | None = None) -> ChatRequest:
        """The request in the canonical chat model; InvalidRequest when the operation is not chat.

        `overrides` replace whole top-level members of the client's body, as `override_params` of a routing config do.
        """
        if not isinstance(self.dialect, ChatDialect):
            raise InvalidRequest(f"`{self.operation.name}` is not a chat operation")
        body = self.body_for(self.model, overrides) if overrides else self.source
        request = self.dialect.decode_request(body)
        return msgspec.structs.replace(request, model=self.model or request.model, stream=self.stream)

    def body_for(self, model: str, overrides: Mapping[str, Any]) -> bytes:
        """The request body for a provider that speaks the client's dialect: the client's bytes, `model` put in its place.

        `overrides` replace whole top-level members, as `override_params` of a routing config do. A body whose model stands
        in the path, or that nobody has named one for, gets none.
        """
        attempt = self.attempt
        body = self.body if attempt is None or attempt.source is None else attempt.source
        if self.operation.is_model_in_path or not model:
            return encode_with(body, overrides) if overrides else body
        return encode_with_model(body, model, overrides)

    def reply_texts(self) -> Sequence[TextPlace]:
        """Every piece of text in a whole reply; empty for streams and opaque operations."""
        if self.dialect is None or self.reply is None or self.reply.chunks is not None:
            return ()
        return self.dialect.view_reply(self.reply.body)

    def replace_reply_texts(self, changes: Iterable[tuple[TextPlace, str]]) -> None:
        """Put new text in place of what `reply_texts()` found."""
        listed = [(place.path, text) for place, text in changes]
        if self.reply is not None and self.dialect is not None and listed:
            self.reply.body = self.dialect.change_reply(self.reply.body, listed)


def _options_of(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """The gateway's own headers by the name of the option, Headgate's before their aliases; empty ones say nothing."""
    own = [(name, value) for name, value in headers.items() if value and name.startswith(_OPTIONS)]
    own.sort(reverse=True)  # so that of two of one name `x-headgate-` comes last and stays
    return {name.split(b"-", 2)[2].decode("latin-1"): value.decode("latin-1") for name, value in own}
