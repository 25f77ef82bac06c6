"""A line of JSON for every exchange: who asked for what, who answered, how it ended, what it took."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from typing_extensions import override

from headgate import Attempt, Context, Exchange, Hooks, Principal, Problem, StartupError, hookimpl
from headgate.chat import Usage
from headgate_logs_jsonl.writer import LineFile, LineWriter

MAX_TEXT_CHARS = 512
MAX_METADATA = 64

_UNSAFE = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")
"""What JSON leaves as it is and what ends a line or moves a cursor for some readers: DEL, C1 controls, U+2028, U+2029."""

_DEL = 0x7F
_encode = msgspec.json.Encoder().encode

Size = Annotated[int, Meta(ge=1)]


class LogsJsonlConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where lines go, and how many may wait.

    `path` is relative to the state folder. `content` adds the bodies of request and reply, each cut to
    `max_content_bytes`. Lines wait at most `flush_s` seconds; past `max_queue` lines or `max_queue_bytes` they are dropped.
    """

    path: str = "requests.jsonl"
    content: bool = False
    max_content_bytes: Size = 16 * 1024
    max_queue: Size = 10_000
    max_queue_bytes: Size = 64 * 1024 * 1024
    flush_s: Annotated[float, Meta(ge=0)] = 0.2


class Caller(Struct, frozen=True, gc=False):
    """Who called: the key's name, never the key; in `passthrough` mode a digest of it."""

    key: str
    user: str
    workspace: str
    organisation: str


class Call(Struct, frozen=True, gc=False):
    """One attempt. `status` 0: it never ended; `ms` null likewise. `path` is the target's place in the routing config.

    `tries` are the calls before the last one, each with its status, its error and its milliseconds.
    """

    deployment: str
    model: str
    status: int
    error: str
    ms: float | None
    retries: int
    path: str
    cost_usd: float | None
    tries: tuple[tuple[int, str, float], ...]


class Tokens(Struct, frozen=True, gc=False):
    """What the provider says it used. `prompt` includes `cached` and `cache_write`, `completion` includes `reasoning`."""

    prompt: int
    completion: int
    cached: int
    cache_write: int
    reasoning: int
    total: int


class Record(Struct, frozen=True, gc=False):
    """One line.

    `time` is when the exchange began. `status` is that of the reply, 0 when none was begun. `outcome` is `complete`,
    `error` (the gateway's own error reply), `cut` (broken off while it ran) or `client_gone`; `error` is the error's
    code. `model` is what the caller named, `provider`, `deployment` and `called` are who answered and with what, empty
    when nobody was asked. `cache` is HIT, MISS, REFRESH, DISABLED or empty. Times are milliseconds, sizes bytes.
    `cost_usd` is null where it is not known, which is not 0; `cost_source` says where it is from, in the words of the
    plugin that knows prices, and is empty without one. `request` and `reply` are bodies, null unless content is logged.
    Long texts are cut. `closed_by` (`client`, `provider`, `gateway`) and `close_code` say how a WebSocket session ended; what was
    said in one is not logged. A shadow has the request id of the exchange that it repeats in `shadow_of`.
    """

    time: datetime
    request_id: str
    trace_id: str
    operation: str
    method: str
    path: str
    principal: Caller | None
    model: str
    provider: str
    deployment: str
    called: str
    status: int
    outcome: str
    error: str
    stream: bool
    attempts: list[Call]
    cache: str
    usage: Tokens | None
    cost_usd: float | None
    cost_source: str
    ttft_ms: float | None
    total_ms: float
    request_bytes: int
    reply_bytes: int
    metadata: dict[str, str]
    request: str | None = None
    reply: str | None = None
    closed_by: str = ""
    close_code: int | None = None
    shadow_of: str = ""


class LogsJsonl(Hooks):
    """Builds a record in the request and hands it to the writer; never waits for the disk."""

    Config = LogsJsonlConfig

    def __init__(self, config: LogsJsonlConfig) -> None:
        self._config = config
        self.writer: LineWriter | None = None
        self.inactive = frozenset() if config.content else frozenset({"admit"})

    @override
    @hookimpl
    async def start(self, ctx: Context) -> None:
        config = self._config
        path = ctx.state_dir / config.path
        writer = LineWriter(LineFile(path), config.max_queue, config.max_queue_bytes, config.flush_s)
        try:
            await writer.start()
        except OSError as error:
            raise StartupError([Problem(f"cannot be written to: {error.strerror}", str(path))]) from None
        self.writer = writer

    @override
    @hookimpl
    async def stop(self) -> None:
        if self.writer is not None:
            await self.writer.stop()

    @override
    @hookimpl
    async def admit(self, ex: Exchange) -> None:
        if self._content_bytes(ex):
            ex.collect = True  # a stream's bytes are kept only for those who ask

    @override
    @hookimpl
    async def record(self, ex: Exchange) -> None:
        if self.writer is not None:
            self.writer.put(encode(record_of(ex, self._content_bytes(ex))))

    def _content_bytes(self, ex: Exchange) -> int:
        """How much of the bodies is kept: nothing when the caller says `x-headgate-debug: false`, as Portkey's clients do."""
        if not self._config.content or (ex.option("debug") or "").strip().lower() == "false":
            return 0
        return self._config.max_content_bytes


def encode(record: Record) -> bytes:
    """A record as one line, whatever its texts hold: every character that could end a line or steer a terminal is escaped."""
    try:
        line = _encode(record)
    except UnicodeEncodeError:  # lone surrogates, which only plugins could bring
        line = json.dumps(msgspec.to_builtins(record), ensure_ascii=False).encode("utf-8", "replace")
    if not line.isascii() or _DEL in line:
        line = _UNSAFE.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), line)
    return line + b"\n"


def record_of(ex: Exchange, content_bytes: int = 0) -> Record:
    """What is kept of an exchange that has ended; bodies only when `content_bytes` is not 0."""
    attempt, reply, error = ex.attempt, ex.reply, ex.error
    return Record(  # by place, because so many names cost more than all the rest
        datetime.fromtimestamp(ex.started_at, UTC),
        ex.id,
        ex.trace_id,
        ex.operation.name,
        ex.scope_method,
        _cut(ex.path),
        _caller(ex.principal),
        _cut(ex.model),
        attempt.provider.name if attempt else "",
        attempt.provider.deployment if attempt else "",
        _cut(attempt.model) if attempt else "",
        _status(ex),
        ex.outcome,
        error.error_code if error else "",
        ex.stream,
        [_call(attempt) for attempt in ex.attempts],
        ex.cache_status,
        _tokens(reply.usage) if reply else None,
        None if ex.cost_microusd is None else ex.cost_microusd / 1_000_000,
        ex.cost_source,
        None if ex.ttft_s is None else _ms(ex.ttft_s),
        _ms(time.perf_counter() - ex.started),
        ex.request_bytes,
        ex.reply_bytes,
        _metadata(ex.metadata) if ex.metadata else {},
        request=_text(ex.body, content_bytes) if content_bytes else None,
        reply=_text(_reply_body(ex), content_bytes) if content_bytes else None,
        closed_by=reply.closing.by if reply and reply.closing else "",
        close_code=reply.closing.code if reply and reply.closing else None,
        shadow_of=ex.shadow_of,
    )


def _status(ex: Exchange) -> int:
    """The status that was sent: a reply that an error took the place of was not."""
    if ex.error is not None and (ex.outcome == "error" or ex.reply is None):
        return ex.error.status
    return ex.reply.status if ex.reply else 0


def _reply_body(ex: Exchange) -> bytes:
    if ex.outcome == "error" and ex.error is not None:
        return ex.error.envelope()
    if ex.reply is not None and ex.reply.chunks is None:
        return ex.reply.body
    return ex.reply_body or b""


def _caller(principal: Principal | None) -> Caller | None:
    if principal is None:
        return None
    return Caller(principal.key, principal.user, principal.workspace, principal.organisation)


def _call(attempt: Attempt) -> Call:
    target = attempt.target
    ms = _ms(attempt.ended - attempt.started) if attempt.ended else None
    cost = None if attempt.cost_microusd is None else attempt.cost_microusd / 1_000_000
    tries = tuple([(one.status, one.error, _ms(one.elapsed_s)) for one in attempt.tries]) if attempt.tries else ()
    return Call(
        target.deployment,
        _cut(attempt.model),
        attempt.status,
        attempt.error,
        ms,
        attempt.retries,
        target.path,
        cost,
        tries,
    )


def _tokens(usage: Usage | None) -> Tokens | None:
    if usage is None:
        return None
    return Tokens(usage.prompt, usage.completion, usage.cached, usage.cache_write, usage.reasoning, usage.total)


def _metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    return {_cut(name): _cut(value) for name, value in islice(metadata.items(), MAX_METADATA)}


def _ms(seconds: float) -> float:
    """Milliseconds, to the nearest microsecond; `round` takes four times as long."""
    return int(seconds * 1_000_000 + 0.5) / 1000


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARS else text[: MAX_TEXT_CHARS - 1] + "…"


def _text(body: bytes, limit: int) -> str:
    return body[:limit].decode("utf-8", "replace")
