"""Plugins that misbehave, one way and one hook at a time, to see what a gateway does about them."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any, Literal, cast, get_args

from headgate.exchange import Exchange, Principal
from headgate.hooks import STAGES, Hooks, hookimpl

Kind = Literal["raises", "hangs", "wrong-type", "mutates", "slow"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MESSAGE = "this plugin fails on purpose"
SLOW_S = 0.08
"""Seconds of the processor that `slow` takes without letting anybody else run."""


class Hostile(Hooks):
    """Base of the plugins that `hostile` makes. `calls` counts how often the hook ran.

    `changed` names what `mutates` could change, as `principal.key`; what refused is absent. `OWN` is what belongs to one
    exchange alone: anything else that was changed is seen by others.
    """

    OWN = frozenset({"principal", "headers", "id"})

    def __init__(self) -> None:
        self.calls = 0
        self.changed: list[str] = []


def hostile(kind: Kind, hook: str, budget_s: float | None = None) -> Hostile:
    """A plugin that implements `hook` alone and misbehaves in it, with a time budget of `budget_s`. Added in 0.1.

    `raises` raises RuntimeError; `hangs` waits without end, and cannot be made for a plain `def` hook; `wrong-type`
    answers with a wrong value; `mutates` writes to whatever it can reach; `slow` computes for `SLOW_S`. The last two
    answer as the hook's default does. ValueError names a hook that is not known or cannot hang.
    """
    if hook not in STAGES:
        raise ValueError(f"`{hook}` is no hook; the hooks are {', '.join(STAGES)}")
    default = getattr(Hooks, hook)
    is_async = inspect.iscoroutinefunction(default)
    if kind == "hangs" and not is_async and hook != "wrap_call":
        raise ValueError(f"`{hook}` is a plain `def` and cannot hang without stopping the whole process")
    if hook == "wrap_call":
        method = _wrapping(kind)
    elif is_async:
        method = _asynchronous(kind, default)
    else:
        method = _plain(kind, default)
    method.__name__ = hook
    cast("Any", method).__signature__ = inspect.signature(default)  # what pluggy reads
    name = "".join(word.title() for word in kind.split("-"))
    budgets = {} if budget_s is None else {hook: budget_s}
    return cast("Hostile", type(name, (Hostile,), {hook: hookimpl(method), "budgets": budgets})())


def request_hooks() -> list[str]:
    """The hooks that run for a request, in the order it meets them; `wrap_call` is among them. Added in 0.1."""
    return [name for name, stage in STAGES.items() if stage.fold in {"first", "every", "wrap", "notify"}]


def _asynchronous(kind: Kind, default: Callable[..., Any]) -> Callable[..., Any]:
    async def method(self: Hostile, *arguments: Any) -> Any:
        self.calls += 1
        if kind == "hangs":
            await asyncio.Event().wait()
        if kind == "wrong-type":
            return object()
        _misbehave(kind, self, arguments)
        return await default(self, *arguments)

    return method


def _plain(kind: Kind, default: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Hostile, *arguments: Any) -> Any:
        self.calls += 1
        if kind == "wrong-type":
            return object()
        _misbehave(kind, self, arguments)
        return default(self, *arguments)

    return method


def _wrapping(kind: Kind) -> Callable[..., Any]:
    """`wrap_call` runs at start-up; what misbehaves is the call it returns."""

    def method(self: Hostile, call: Any) -> Any:
        async def wrapped(ex: Exchange) -> Any:
            self.calls += 1
            if kind == "hangs":
                await asyncio.Event().wait()
            if kind == "wrong-type":
                return object()
            _misbehave(kind, self, (ex,))
            return await call(ex)

        return wrapped

    return method


def _misbehave(kind: Kind, plugin: Hostile, arguments: tuple[Any, ...]) -> None:
    match kind:
        case "raises":
            raise RuntimeError(MESSAGE)
        case "slow":
            end = time.perf_counter() + SLOW_S
            while time.perf_counter() < end:
                pass
        case "mutates":
            for argument in arguments:
                _mutate(plugin, argument)
        case _:
            pass


def _mutate(plugin: Hostile, argument: Any) -> None:
    """Write to every part of an exchange, a context or a window, and note what let it happen."""
    for path, value in _TARGETS:
        *way, last = path.split(".")
        held: Any = argument
        for name in way:
            held = getattr(held, name, None)
        if held is None or not hasattr(held, last):
            continue
        found = getattr(held, last)
        try:
            _write(held, last, found, value)
        except Exception:  # noqa: S112 - a refusal is what is hoped for
            continue
        plugin.changed.append(path)


def _write(held: Any, name: str, found: Any, value: Any) -> None:
    if value is _ENTRY:
        found["hostile"] = b"hostile"
    else:
        setattr(held, name, value)


_ENTRY = object()
_TARGETS: tuple[tuple[str, Any], ...] = (
    # what all exchanges share
    ("principal.key", "root"),
    ("principal.scopes", ("admin",)),
    ("principal.models", ()),
    ("principal.metadata", _ENTRY),
    ("operation.body_bytes", 1),
    ("operation.name", "hostile"),
    ("target.deployment", "hostile"),
    ("target.override_params", _ENTRY),
    ("attempt.target.model", "hostile"),
    ("attempt.target.override_params", _ENTRY),
    ("attempt.target.settings", _ENTRY),
    ("attempt.provider.config.base_url", "http://hostile.example"),
    ("attempt.provider.config.api_key", None),
    # what belongs to one exchange
    ("principal", Principal("root", scopes=("admin",))),
    ("headers", _ENTRY),
    ("id", "hostile"),
    ("text", "hostile"),
    ("is_last", True),
)
