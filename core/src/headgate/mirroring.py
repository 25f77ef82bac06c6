"""Shadow traffic: the same request to another target, off the caller's path. Its answer is in a record of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from headgate.errors import RequestError
from headgate.exchange import Exchange, Reply
from headgate.fleet import let_go
from headgate.ids import IdSource
from headgate.relay import discard

MAX_RUNNING = 64
"""How many shadows may run at once; more are left out, which the log says."""
MAX_KEPT = 8 * 1024 * 1024

log = structlog.get_logger("headgate")

_running: set[asyncio.Task[None]] = set()
_ids = IdSource()


def mirror(
    ex: Exchange, call: Callable[[Exchange], Awaitable[Reply]], finish: Callable[[Exchange], Awaitable[None]]
) -> bool:
    """Start the same request again beside `ex`, under an id of its own; `finish` gets it when it has ended.

    Whatever becomes of it, `ex` does not hear. False when there are too many.
    """
    if len(_running) >= MAX_RUNNING:
        log.warning("too many shadows run already, so one is left out", running=len(_running), request_id=ex.id)
        return False
    shadow = ex.fork()
    shadow.id, shadow.shadow_of = _ids.request_id(), ex.id
    shadow.attempts, shadow.started, shadow.started_at = [], time.perf_counter(), time.time()
    shadow.timings = None
    task = asyncio.create_task(_carry_out(shadow, call, finish))
    _running.add(task)
    task.add_done_callback(_running.discard)
    return True


async def end_mirrors(patience_s: float) -> None:
    """Give running shadows so long to end, then cut them."""
    if _running:
        await asyncio.wait(_running, timeout=patience_s)
    for task in _running:
        task.cancel()
    await asyncio.gather(*_running, return_exceptions=True)


async def _carry_out(
    shadow: Exchange, call: Callable[[Exchange], Awaitable[Reply]], finish: Callable[[Exchange], Awaitable[None]]
) -> None:
    try:
        reply = shadow.reply = await call(shadow)
        await _read(shadow, reply)
        shadow.outcome = "complete"
    except RequestError as error:
        shadow.error, shadow.outcome = error, "error" if shadow.reply is None else "cut"
    except Exception:
        log.exception("a shadow failed", request_id=shadow.id, shadow_of=shadow.shadow_of)
        shadow.outcome = "error"
    finally:
        if shadow.reply is not None:
            await discard(shadow.reply)
        if shadow.attempt is not None:
            let_go(shadow.attempt)
    await finish(shadow)


async def _read(shadow: Exchange, reply: Reply) -> None:
    """Read a reply to its end, as a caller would, and keep what the record may show."""
    if reply.chunks is None:
        shadow.reply_bytes, shadow.reply_body = len(reply.body), reply.body
        return
    kept: list[bytes] = []
    async for chunk in reply.chunks:
        if shadow.ttft_s is None:
            shadow.ttft_s = time.perf_counter() - shadow.started
        shadow.reply_bytes += len(chunk)
        if shadow.reply_bytes <= MAX_KEPT:
            kept.append(chunk)
    if shadow.reply_bytes <= MAX_KEPT:
        shadow.reply_body = b"".join(kept)
