"""When a reply is given again and when not: options, tenants, bounds, time, and every part of the key."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec import Struct
from typing_extensions import override

from headgate import Exchange, Hooks, Principal, Reply, hookimpl
from headgate.dialects import OpenAIChat
from headgate.operations import CHAT, COMPLETIONS, EMBEDDINGS, MODELS, PASSTHROUGH, Operation
from headgate.testing import Canned, Client, chat_request
from headgate_cache_memory import OVERHEAD_BYTES, CacheMemory, CacheMemoryConfig, cache_key

JSON = (b"content-type", b"application/json")
ON = {"cache": "exact"}
ANN = Principal("ann")


class Clock:
    """Time that a test moves by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def exchange(
    body: bytes = b"{}",
    options: Mapping[str, str] = ON,
    principal: Principal | None = ANN,
    operation: Operation = CHAT,
    headers: Mapping[bytes, bytes] | None = None,
) -> Exchange:
    raw = {f"x-headgate-{name}".encode(): value.encode() for name, value in options.items()}
    ex = Exchange(operation, {**raw, **(headers or {})}, request_id="r", trace_id="t", dialect=OpenAIChat())
    ex.body, ex.principal = body, principal
    return ex


async def ask(cache: CacheMemory, ex: Exchange, answer: bytes = b"fresh") -> bytes:
    """One exchange as the pipeline runs it: the body that the client gets."""
    found = await cache.lookup(ex)
    if found is not None:
        return found.body if found.chunks is None else b"".join([chunk async for chunk in found.chunks])
    ex.reply = Reply(200, (JSON,), answer)
    if ex.collect:
        ex.reply_body = answer
        await cache.store(ex)
    return answer


async def test_hook_lookup() -> None:
    """The same request gets the same reply; its status is MISS first, and the core then says HIT."""
    cache = CacheMemory(CacheMemoryConfig())
    first = exchange()
    assert await ask(cache, first, b"one") == b"one"
    assert (first.cache_status, first.collect) == ("MISS", True)
    again = exchange()
    assert await ask(cache, again, b"two") == b"one"
    assert (again.cache_status, again.collect) == ("", False)


async def test_hook_store() -> None:
    """Status and body are kept, of the headers only those that describe the body; a stream comes back as a stream."""
    cache = CacheMemory(CacheMemoryConfig())
    ex = exchange()
    assert await cache.lookup(ex) is None
    headers = (
        (b"content-type", b"text/event-stream"),
        (b"x-request-id", b"req_vendor"),
        (b"x-ratelimit-remaining-requests", b"3"),
        (b"date", b"today"),
        (b"set-cookie", b"a=b"),
        (b"retry-after", b"1"),
        (b"openai-processing-ms", b"17"),
    )

    async def spent() -> AsyncGenerator[bytes]:
        yield b""

    ex.reply, ex.reply_body = Reply(201, headers, chunks=spent()), b"data: 1\n\ndata: 2\n\n"
    await cache.store(ex)
    found = await cache.lookup(exchange())
    assert found is not None
    assert (found.status, found.headers, found.body) == (201, headers[:1], b"")
    assert found.chunks is not None
    assert [chunk async for chunk in found.chunks] == [b"data: 1\n\ndata: 2\n\n"]


async def test_store_without_lookup_does_nothing() -> None:
    """A reply that another plugin wanted to have collected is not stored."""
    cache = CacheMemory(CacheMemoryConfig())
    ex = exchange()
    ex.reply, ex.reply_body = Reply(200), b"x"
    await cache.store(ex)
    assert len(cache) == 0


@pytest.mark.parametrize(
    ("mode", "options", "headers", "status"),
    [
        ("on_request", {}, {}, "DISABLED"),
        ("on_request", {"cache": "exact"}, {}, "MISS"),
        ("on_request", {"cache": " Simple "}, {}, "MISS"),
        ("on_request", {}, {b"x-portkey-cache": b"simple"}, "MISS"),
        ("on_request", {"cache": "off"}, {}, "DISABLED"),
        ("on_request", {"cache": "semantic"}, {}, "MISS"),
        ("on_request", {"cache-force-refresh": "true"}, {}, "DISABLED"),
        ("on_request", {"cache": "exact", "cache-force-refresh": "true"}, {}, "REFRESH"),
        ("on_request", {"cache": "exact", "cache-force-refresh": "false"}, {}, "MISS"),
        ("on_request", {"cache": "exact"}, {b"cache-control": b"max-age=0, No-Cache"}, "REFRESH"),
        ("on_request", {"cache": "exact"}, {b"cache-control": b"no-store"}, "DISABLED"),
        ("always", {}, {}, "MISS"),
        ("always", {"cache": "off"}, {}, "DISABLED"),
        ("always", {"cache-force-refresh": "true"}, {}, "REFRESH"),
        ("always", {}, {b"cache-control": b"no-store"}, "DISABLED"),
    ],
)
async def test_what_a_request_can_ask(
    mode: Any, options: dict[str, str], headers: dict[bytes, bytes], status: str
) -> None:
    """The options and `cache-control` decide whether there is a lookup and whether the reply is stored."""
    cache = CacheMemory(CacheMemoryConfig(mode=mode))
    ex = exchange(options=options, headers=headers)
    await ask(cache, ex)
    assert ex.cache_status == status
    assert len(cache) == (0 if status == "DISABLED" else 1)


async def test_a_refresh_replaces_the_entry() -> None:
    """A forced refresh is answered anew, and later requests get the new reply."""
    cache = CacheMemory(CacheMemoryConfig())
    await ask(cache, exchange(), b"old")
    assert await ask(cache, exchange(options={**ON, "cache-force-refresh": "true"}), b"new") == b"new"
    assert await ask(cache, exchange(), b"newer") == b"new"
    assert len(cache) == 1


@pytest.mark.parametrize("operation", [MODELS, PASSTHROUGH])
async def test_other_operations_pass(operation: Operation) -> None:
    """Only operations whose request decides the reply are cached."""
    cache = CacheMemory(CacheMemoryConfig(mode="always"))
    await ask(cache, exchange(operation=operation))
    assert len(cache) == 0


async def test_without_a_principal_nothing_is_cached() -> None:
    """A reply that belongs to nobody is given to nobody."""
    cache = CacheMemory(CacheMemoryConfig(mode="always"))
    await ask(cache, exchange(principal=None))
    assert len(cache) == 0


@pytest.mark.parametrize(
    ("asked", "lives_s"),
    [(None, 300), ("20", 20), ("1000", 600), ("0", 300), ("-5", 300), ("²", 300), ("9" * 5000, 300), ("1e3", 300)],
)
async def test_time_to_live(asked: str | None, lives_s: float) -> None:
    """An entry lives `ttl_s`, or as long as asked up to `max_ttl_s`; nonsense asks for nothing."""
    clock = Clock()
    cache = CacheMemory(CacheMemoryConfig(max_ttl_s=600), clock)
    raw = {} if asked is None else {b"x-headgate-cache-ttl": asked.encode("latin-1")}
    await ask(cache, exchange(headers=raw), b"one")
    clock.now += lives_s - 0.001
    assert await ask(cache, exchange(), b"two") == b"one"
    clock.now += 0.001
    assert await ask(cache, exchange(), b"two") == b"two"


async def test_hook_configure() -> None:
    """After a reload nothing stored before is given again, nor what the generation before still stores."""
    cache = CacheMemory(CacheMemoryConfig())
    await ask(cache, exchange(b"1"))
    late = exchange(b"2")
    assert await cache.lookup(late) is None
    context: Any = None
    cache.configure(context)
    assert (len(cache), cache.bytes_held) == (0, 0)
    late.reply, late.reply_body = Reply(200), b"x"
    await cache.store(late)
    again = exchange(b"2")
    again.generation = late.generation + 1
    assert await cache.lookup(again) is None


async def test_what_is_too_large_is_not_kept() -> None:
    """A reply larger than the whole cache leaves the others alone."""
    cache = CacheMemory(CacheMemoryConfig(max_bytes=3 * OVERHEAD_BYTES))
    await ask(cache, exchange(b"1"), b"small")
    await ask(cache, exchange(b"2"), b"x" * 3 * OVERHEAD_BYTES)
    assert await ask(cache, exchange(b"1"), b"other") == b"small"


class Asked(Struct, frozen=True):
    """Everything about a request that must keep its reply apart."""

    organisation: str
    workspace: str
    key: str
    namespace: str
    operation: Operation
    path: str
    query: bytes
    headers: dict[bytes, bytes]
    stream: bool
    body: bytes

    @property
    def tenant(self) -> tuple[str, str, str]:
        """Who shares replies."""
        return self.organisation, self.workspace, "" if self.organisation or self.workspace else self.key

    @property
    def identity(self) -> tuple[Any, ...]:
        """What two requests must have in common to share a reply."""
        rest = (self.namespace, self.operation, self.path, self.query, sorted(self.headers.items()), self.stream)
        return (*self.tenant, *rest, self.body)

    def exchange(self) -> Exchange:
        principal = Principal(self.key, organisation=self.organisation, workspace=self.workspace)
        headers = {**self.headers, b"x-headgate-cache": b"exact"}
        if self.namespace:
            headers[b"x-headgate-cache-namespace"] = self.namespace.encode()
        ex = exchange(self.body, {}, principal, self.operation, headers)
        ex.path, ex.query, ex.stream = self.path, self.query, self.stream
        return ex


WORD = st.sampled_from(["", "a", "b", "a/", "/b", "ab", "1:a", "key:a"])
RAW = WORD.map(str.encode)
RELEVANT = st.sampled_from(
    [
        b"x-headgate-provider",
        b"x-portkey-config",
        b"x-headgate-custom-host",
        b"x-portkey-metadata",
        b"openai-beta",
        b"accept",
        b"content-type",
        b"x-a-vendors-own",
    ]
)
ASKED = st.builds(
    Asked,
    organisation=WORD,
    workspace=WORD,
    key=WORD,
    namespace=WORD,
    operation=st.sampled_from([CHAT, COMPLETIONS, EMBEDDINGS]),
    path=WORD.map(lambda word: f"/v1/{word}"),
    query=RAW,
    headers=st.dictionaries(RELEVANT, RAW, max_size=3),
    stream=st.booleans(),
    body=RAW,
)


@given(one=ASKED, data=st.data())
def test_requests_that_differ_never_share(one: Asked, data: st.DataObject) -> None:
    """A request that differs from another in any one field, or in several, has another key."""
    field = data.draw(st.sampled_from(Asked.__struct_fields__))
    other = data.draw(ASKED)
    near = msgspec.structs.replace(one, **{field: getattr(other, field)})
    for two in (near, other):
        assert (cache_key(one.exchange()) == cache_key(two.exchange())) == (one.identity == two.identity)


@given(one=ASKED, name=st.sampled_from(["x-request-id", "user-agent", "x-stainless-retry-count", "traceparent"]))
def test_what_does_not_change_a_reply_does_not_count(one: Asked, name: str) -> None:
    """Ids and the client's software do not keep requests apart, unless the request has them forwarded."""
    plain, marked = one.exchange(), one.exchange()
    marked.headers = {**marked.headers, name.encode(): b"something", b"authorization": b"Bearer x"}
    assert cache_key(plain) == cache_key(marked)
    headers, plain, marked = marked.headers, one.exchange(), one.exchange()
    plain.headers = {**plain.headers, b"x-headgate-forward-headers": f"a, {name.title()}".encode()}
    marked.headers = {**headers, b"x-headgate-forward-headers": f"a, {name.title()}".encode()}
    assert cache_key(plain) != cache_key(marked)


@given(one=ASKED, other=ASKED)
async def test_no_reply_crosses_tenants(one: Asked, other: Asked) -> None:
    """Whatever two tenants ask, neither gets what was stored for the other."""
    assume(one.tenant != other.tenant)
    cache = CacheMemory(CacheMemoryConfig())
    same = msgspec.structs.replace(one, organisation=other.organisation, workspace=other.workspace, key=other.key)
    await ask(cache, one.exchange(), b"secret")
    assert await ask(cache, same.exchange(), b"own") == b"own"
    assert await ask(cache, other.exchange(), b"own") == b"own"


@given(one=ASKED, data=st.data())
def test_the_order_of_headers_does_not_count(one: Asked, data: st.DataObject) -> None:
    """The same headers in another order are the same request, whichever order came first."""
    shuffled = one.exchange()
    shuffled.headers = dict(data.draw(st.permutations(list(shuffled.headers.items()))))
    assert cache_key(one.exchange()) == cache_key(shuffled)


@given(one=ASKED)
def test_a_body_cannot_pass_for_headers(one: Asked) -> None:
    """A header whose value is a body, before no body, is not the request with that body."""
    moved = msgspec.structs.replace(one, headers={**one.headers, b"x-moved": one.body}, body=b"")
    assert cache_key(one.exchange()) != cache_key(moved.exchange())


@pytest.mark.parametrize(("field", "value"), [("scope_method", "PUT"), ("dialect", None), ("generation", 7)])
def test_what_the_core_decides_counts(field: str, value: Any) -> None:
    """Another method, another dialect or another configuration is another request."""
    one, other = exchange(), exchange()
    setattr(other, field, value)
    assert cache_key(one) != cache_key(other)


def test_the_policy_counts() -> None:
    """Another version of the guardrail policy is another key."""
    ex = exchange()
    assert cache_key(ex, "1") != cache_key(ex, "2")


async def test_ignored_headers() -> None:
    """The operator can name headers that do not change a reply."""
    cache = CacheMemory(CacheMemoryConfig(ignore_headers=["X-Edge-Id"]))
    await ask(cache, exchange(headers={b"x-edge-id": b"1"}), b"one")
    assert await ask(cache, exchange(headers={b"x-edge-id": b"2"}), b"two") == b"one"


MAX_ENTRIES = 4
MAX_BYTES = 6 * OVERHEAD_BYTES


class Bounds(RuleBasedStateMachine):
    """Any order of requests and time: bounds hold, and a hit is always the request's own last reply."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.cache = CacheMemory(CacheMemoryConfig(max_entries=MAX_ENTRIES, max_bytes=MAX_BYTES, ttl_s=10), self.clock)
        self.stored: dict[int, tuple[bytes, float]] = {}
        self.serial = 0

    @rule(which=st.integers(0, 7), size=st.integers(0, 4 * OVERHEAD_BYTES), refresh=st.booleans())
    def request(self, which: int, size: int, *, refresh: bool) -> None:
        """One request; a hit must be what was stored last for it, and not too old."""
        self.serial += 1
        answer = f"{which}:{self.serial}:".encode() + b"x" * size
        options = {**ON, "cache-force-refresh": "true"} if refresh else ON
        got = run(ask(self.cache, exchange(str(which).encode(), options), answer))
        if got == answer:
            self.stored[which] = answer, self.clock.now
            return
        assert not refresh
        assert got == self.stored[which][0]
        assert self.clock.now - self.stored[which][1] < 10

    @rule(seconds=st.floats(0.1, 8))
    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.clock.now += seconds

    @invariant()
    def holds(self) -> None:
        """Neither bound is exceeded, and an empty cache holds no bytes."""
        assert len(self.cache) <= MAX_ENTRIES
        assert len(self.cache) * OVERHEAD_BYTES <= self.cache.bytes_held <= MAX_BYTES
        assert len(self.cache) > 0 or self.cache.bytes_held == 0


def run(coroutine: Any) -> Any:
    """Drive a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited")


TestBounds = Bounds.TestCase


async def test_the_least_recently_used_goes_first() -> None:
    """An entry that is asked for stays, one that is not goes."""
    cache = CacheMemory(CacheMemoryConfig(max_entries=2))
    await ask(cache, exchange(b"1"), b"one")
    await ask(cache, exchange(b"2"), b"two")
    await ask(cache, exchange(b"1"))
    await ask(cache, exchange(b"3"), b"three")
    assert await ask(cache, exchange(b"1")) == b"one"
    assert await ask(cache, exchange(b"2")) == b"fresh"


class Who(Hooks):
    """The header `who` is the key."""

    @override
    @hookimpl
    async def authenticate(self, ex: Exchange) -> Principal | None:
        return Principal(ex.header("who") or "nobody")


class Counting(Canned):
    """Says how often it was called."""

    name = "counting"

    @override
    async def call(self, ex: Exchange) -> Reply:
        calls[0] += 1
        ex.replace_texts([(place, f"call {calls[0]}") for place in ex.texts()])
        reply = await super().call(ex)
        reply.headers = (*reply.headers, (b"x-request-id", b"req_vendor"), (b"x-ratelimit-remaining", b"1"))
        return reply


calls = [0]

Open = Callable[..., Awaitable[Client]]


@pytest.mark.parametrize("stream", [False, True])
async def test_through_a_gateway(gateway_client: Open, stream: bool) -> None:
    """A hit has the bytes of the first reply, ids of its own, and belongs to its tenant alone."""
    cache = CacheMemory(CacheMemoryConfig())
    client = await gateway_client(Who(), cache, Counting, providers={"c": {"provider": "counting"}})

    async def post(who: str, text: str = "hi", **headers: str) -> tuple[str, bytes, Mapping[str, str]]:
        reply = await client.post(
            "/v1/chat/completions",
            json=chat_request(text, "c/echo", stream=stream),
            headers={"who": who, **{f"x-portkey-{name.replace('_', '-')}": value for name, value in headers.items()}},
        )
        assert reply.status_code == 200, reply.text
        return reply.headers["x-headgate-cache-status"], reply.content, reply.headers

    first = await post("ann", cache="simple")
    again = await post("ann", cache="simple")
    assert (first[0], again[0]) == ("MISS", "HIT")
    assert again[1] == first[1]
    assert again[2]["content-type"] == first[2]["content-type"]
    assert first[2]["x-request-id"] == "req_vendor"
    assert again[2]["x-request-id"] == again[2]["x-headgate-request-id"]
    assert "x-ratelimit-remaining" not in again[2]
    others = [
        await post("bob", cache="simple"),
        await post("ann", "ho", cache="simple"),
        await post("ann", cache="simple", cache_namespace="x"),
        await post("ann", cache="simple", cache_force_refresh="true"),
        await post("ann"),
    ]
    assert [status for status, _, _ in others] == ["MISS", "MISS", "MISS", "REFRESH", "DISABLED"]
    assert len({body for _, body, _ in (first, *others)}) == 6
    assert (await post("ann", cache="simple"))[1] == others[3][1]


async def test_errors_are_not_stored(gateway_client: Open) -> None:
    """A refused request is asked again."""
    cache = CacheMemory(CacheMemoryConfig(mode="always"))
    client = await gateway_client(cache)
    body = {**chat_request(), "demo": {"status": 500}}
    for _ in range(2):
        reply = await client.post("/v1/chat/completions", json=body)
        assert (reply.status_code, reply.headers["x-headgate-cache-status"]) == (500, "MISS")
    assert len(cache) == 0


async def test_a_cut_stream_is_not_stored(gateway_client: Open) -> None:
    """Half a stream is given to nobody else."""
    cache = CacheMemory(CacheMemoryConfig(mode="always"))
    client = await gateway_client(cache)
    body = {**chat_request("one two three"), "stream": True, "demo": {"fail_after_chunks": 2}}
    reply = await client.post("/v1/chat/completions", json=body)
    assert b"upstream_cut" in reply.content
    assert len(cache) == 0
