"""Exact answers from memory: the same request of the same tenant gets the reply it got before, byte for byte."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from functools import lru_cache
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from typing_extensions import override

from headgate import Context, Exchange, Hooks, Reply, hookimpl
from headgate.exchange import RawHeaders

NAME = "cache-memory"
OPERATIONS = frozenset({"chat", "completions", "embeddings"})
OVERHEAD_BYTES = 1024
"""What an entry takes beside its body and headers."""

_KEPT = frozenset({b"content-type", b"content-language", b"cache-control", b"x-accel-buffering"})
_OPTIONS = (b"x-headgate-", b"x-portkey-")
_IRRELEVANT_OPTIONS = frozenset(
    {
        b"api-key",
        b"cache",
        b"cache-force-refresh",
        b"cache-namespace",
        b"cache-ttl",
        b"parent-span-id",
        b"request-timeout",
        b"span-id",
        b"span-name",
        b"trace-id",
    }
)
_IRRELEVANT = frozenset(
    {
        # who calls: the tenant is part of the key
        b"api-key",
        b"authorization",
        b"cookie",
        b"x-api-key",
        b"x-goog-api-key",
        # the connection and the client's software
        b"accept-encoding",
        b"cache-control",
        b"connection",
        b"content-length",
        b"date",
        b"expect",
        b"forwarded",
        b"host",
        b"keep-alive",
        b"origin",
        b"pragma",
        b"referer",
        b"te",
        b"transfer-encoding",
        b"user-agent",
        b"via",
        # one request among others
        b"baggage",
        b"cdn-loop",
        b"idempotency-key",
        b"traceparent",
        b"tracestate",
        b"x-client-request-id",
        b"x-cloud-trace-context",
        b"x-correlation-id",
        b"x-real-ip",
        b"x-request-id",
    }
)
_IRRELEVANT_PREFIXES = (b"cf-", b"sec-", b"x-amzn-", b"x-b3-", b"x-envoy-", b"x-forwarded-", b"x-stainless-")
_EXACT = frozenset({"exact", "semantic", "simple"})
"""What asks for a cache. What is `semantic` has the exact request answered alike, which is all that this cache can tell."""
_encode = msgspec.msgpack.Encoder().encode

Size = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]


class CacheMemoryConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of the cache, and when it is used.

    `mode` `on_request` waits for the option `cache`, `always` needs none. `ttl_s` is how long a reply is given again;
    the option `cache-ttl` may ask for another time up to `max_ttl_s`. `ignore_headers` are more request headers that do
    not change the reply. `policy` is any word for the version of guardrails kept elsewhere: a new one empties the cache.
    """

    mode: Literal["on_request", "always"] = "on_request"
    ttl_s: Seconds = 300.0
    max_ttl_s: Seconds = 86_400.0
    max_entries: Size = 10_000
    max_bytes: Size = 256 * 1024 * 1024
    policy: str = ""
    ignore_headers: list[str] = []


class Entry(Struct, frozen=True, gc=False):
    """A stored reply. `expires` is in monotonic seconds; `size` counts everything it holds, in bytes."""

    status: int
    headers: RawHeaders
    body: bytes
    is_stream: bool
    expires: float
    size: int


class _Pending(Struct, frozen=True, gc=False):
    """What `store` needs to know of an exchange that `lookup` found nothing for."""

    key: bytes
    ttl_s: float


class CacheMemory(Hooks):
    """Bounded by entries and by bytes; past either bound the least recently used entry goes."""

    Config = CacheMemoryConfig

    def __init__(self, config: CacheMemoryConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._ignored = _IRRELEVANT | {name.lower().encode() for name in config.ignore_headers}
        self._ttl_unasked_s = min(config.ttl_s, config.max_ttl_s)
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self.bytes_held = 0

    def __len__(self) -> int:
        """Entries held, expired ones included."""
        return len(self._entries)

    @override
    @hookimpl
    def configure(self, ctx: Context) -> None:
        """A new configuration may route or guard differently: the key holds its generation, so what is here is of no use."""
        self._entries.clear()
        self.bytes_held = 0

    @override
    @hookimpl
    async def lookup(self, ex: Exchange) -> Reply | None:
        wanted = self._wanted(ex)
        if wanted == "DISABLED":
            ex.cache_status = ex.cache_status or "DISABLED"
            return None
        key = cache_key(ex, self._config.policy, self._ignored)
        if wanted == "MISS":
            entry = self._get(key)
            if entry is not None:
                return _reply(entry)
        ex.cache_status = wanted
        ex.collect = True
        ex.data[NAME] = _Pending(key, self._ttl_s(ex))
        return None

    @override
    @hookimpl
    async def store(self, ex: Exchange) -> None:
        pending: _Pending | None = ex.data.get(NAME)
        reply = ex.reply
        if pending is None or reply is None or ex.reply_body is None:
            return
        if ex.caching is not None and (ex.attempt is None or ex.attempt.target.cache is None):
            return  # of several targets this one is not to be kept
        headers = tuple([header for header in reply.headers if header[0] in _KEPT])
        size = OVERHEAD_BYTES + len(ex.reply_body)
        for name, value in headers:
            size += len(name) + len(value)
        expires = self._clock() + pending.ttl_s
        self._put(pending.key, Entry(reply.status, headers, ex.reply_body, reply.chunks is not None, expires, size))

    def _wanted(self, ex: Exchange) -> Literal["MISS", "REFRESH", "DISABLED"]:
        """What the request asks of the cache: `MISS` is to look, and to store what is not found."""
        written = ex.option("cache")
        asked = written.strip().lower() if written is not None else ("" if ex.caching is None else ex.caching.mode)
        is_on = asked in _EXACT or (self._config.mode == "always" and asked != "off")
        if not is_on or ex.operation.name not in OPERATIONS or ex.principal is None:
            return "DISABLED"
        told = ex.headers.get(b"cache-control")
        directives = {word.strip().lower() for word in told.split(b",")} if told else ()
        if b"no-store" in directives:
            return "DISABLED"
        forced = ex.option("cache-force-refresh")
        is_forced = forced is not None and forced.strip().lower() == "true"
        return "REFRESH" if is_forced or b"no-cache" in directives else "MISS"

    def _ttl_s(self, ex: Exchange) -> float:
        """The time the request asks for, at most `max_ttl_s`; what is no number of seconds above 0 asks for none."""
        written = ex.option("cache-ttl")
        if written is None:
            stated_s = ex.caching.max_age_s if ex.caching is not None else None
            return self._ttl_unasked_s if stated_s is None else min(stated_s, self._config.max_ttl_s)
        asked = written.strip()
        is_number = asked.isascii() and asked.isdigit() and len(asked) < 16 and int(asked) > 0
        return min(float(asked) if is_number else self._config.ttl_s, self._config.max_ttl_s)

    def _get(self, key: bytes) -> Entry | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires <= self._clock():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def _put(self, key: bytes, entry: Entry) -> None:
        config = self._config
        self._drop(key)
        if entry.size > config.max_bytes:
            return
        entries = self._entries
        while entries and (len(entries) >= config.max_entries or self.bytes_held + entry.size > config.max_bytes):
            _, oldest = entries.popitem(last=False)
            self.bytes_held -= oldest.size
        entries[key] = entry
        self.bytes_held += entry.size

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes_held -= entry.size


def cache_key(ex: Exchange, policy: str = "", ignored: frozenset[bytes] = _IRRELEVANT) -> bytes:
    """32 bytes that two requests share only if they come from one tenant and must get the same reply.

    What is hashed before the body is one MessagePack value, which says where each of its parts and itself ends, so that
    none can pass for another. All request headers count but those known not to change a reply.
    """
    principal, dialect, headers = ex.principal, ex.dialect, ex.headers
    relevant = _relevant_names(tuple(headers), ex.option("forward-headers"), ignored)
    request = (
        principal.tenant if principal is not None else "",
        ex.generation,
        policy,
        ex.option("cache-namespace") or "",
        ex.operation.name,
        ex.scope_method,
        ex.path,
        ex.query,
        dialect.name if dialect is not None else "",
        ex.stream,
        relevant,
        [headers[name] for name in relevant],
    )
    digest = hashlib.sha256(_encode(request))  # in hardware nearly everywhere, which blake2 is not
    digest.update(ex.body)
    return digest.digest()


@lru_cache(maxsize=256)
def _relevant_names(names: tuple[bytes, ...], forwarded: str | None, ignored: frozenset[bytes]) -> tuple[bytes, ...]:
    """The request headers that may change the reply, in order. Those the request has forwarded to the provider may.

    Clients send the same few sets of headers again and again, so what was found is kept.
    """
    named = {name.strip().lower().encode("latin-1") for name in forwarded.split(",")} if forwarded else ()
    return tuple(sorted(name for name in names if name in named or _is_relevant(name, ignored)))


def _is_relevant(name: bytes, ignored: frozenset[bytes]) -> bool:
    if name.startswith(_OPTIONS):
        return name.split(b"-", 2)[2] not in _IRRELEVANT_OPTIONS
    return name not in ignored and not name.startswith(_IRRELEVANT_PREFIXES)


def _reply(entry: Entry) -> Reply:
    if entry.is_stream:
        return Reply(entry.status, entry.headers, chunks=_replay(entry.body))
    return Reply(entry.status, entry.headers, entry.body)


async def _replay(body: bytes) -> AsyncGenerator[bytes, None]:
    """A stored stream, at once."""
    yield body
