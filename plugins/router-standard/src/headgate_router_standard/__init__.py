"""The standard router: the strategies of Portkey's configs, routing configs sent with a request, and retries."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping

from typing_extensions import override

from headgate.body import decode_object, probe_body
from headgate.context import Context
from headgate.errors import Forbidden, InvalidRequest, StartupError
from headgate.exchange import Exchange, Principal, Target
from headgate.hooks import Call, Hooks, Strategy, hookimpl
from headgate_router_standard.retrying import Retrying, Sleep, delay, retry_after_s
from headgate_router_standard.strategies import Conditional, Fallback, LoadBalance, Single

__all__ = ["Conditional", "Fallback", "LoadBalance", "Retrying", "RouterStandard", "Single", "delay", "retry_after_s"]

MAX_CONFIG_BYTES = 64 * 1024
MAX_CACHED = 256
_HEADER = "`x-headgate-config`"


class RouterStandard(Hooks):
    """Registers the strategies, reads the option `config`, and retries leaves as their `retry` says.

    `sleep`, `clock` (Unix seconds, for HTTP dates) and `rng` are the retries' own, so that tests never wait.
    """

    def __init__(
        self,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self._sleep = sleep
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, protects nothing
        self._ctx: Context
        self._known: tuple[object, object] = (None, None)
        self._trees: OrderedDict[bytes, Target] = OrderedDict()

    @override
    @hookimpl
    def strategies(self) -> Mapping[str, Strategy]:
        return {"single": Single(), "fallback": Fallback(), "loadbalance": LoadBalance(), "conditional": Conditional()}

    @override
    @hookimpl
    def configure(self, ctx: Context) -> None:
        self._ctx = ctx

    @override
    @hookimpl
    async def route(self, ex: Exchange) -> Target | None:
        written = ex.option("config")
        if written is None:
            return None
        principal = ex.principal
        if principal is not None and not principal.allow_config:
            raise Forbidden(
                f"this key may not send a routing config (header {_HEADER}); name a model instead",
                code="config_not_allowed",
            )
        target = self._tree(written.encode("latin-1"))
        if principal is not None and principal.models:
            _check_models(principal, target, ex.model)
        return target

    @override
    @hookimpl
    def wrap_call(self, call: Call) -> Call:
        return Retrying(call, self._sleep, self._clock, self._rng).call

    def _tree(self, written: bytes) -> Target:
        """The decoded tree, from the cache when the same bytes came before under the same configuration."""
        known = (self._ctx.deployments, self._ctx.strategies)
        if known[0] is not self._known[0] or known[1] is not self._known[1]:
            self._trees.clear()
            self._known = known
        digest = hashlib.sha256(written).digest()
        target = self._trees.get(digest)
        if target is None:
            target = self._trees[digest] = _decode(written, self._ctx)
            if len(self._trees) > MAX_CACHED:
                self._trees.popitem(last=False)
        else:
            self._trees.move_to_end(digest)
        return target


def _decode(written: bytes, ctx: Context) -> Target:
    if len(written) > MAX_CONFIG_BYTES:
        raise _wrong(f"it is larger than {MAX_CONFIG_BYTES} bytes")
    if not written.lstrip().startswith(b"{"):
        what = "saved configs are not known here" if written.startswith(b"pc-") else "it is no JSON object"
        raise _wrong(
            f'{what}; send the routing config itself, such as {{"strategy":{{"mode":"fallback"}},"targets":["a/m","b/m"]}}'
        )
    try:
        probe_body(written)
        value = decode_object(written)
    except InvalidRequest as error:
        raise _wrong(error.message.replace("the body", "it")) from None
    try:
        return ctx.decode_target(value)
    except StartupError as error:
        raise _wrong("; ".join(str(problem) for problem in error.problems[:5])[:1000]) from None


def _wrong(reason: str) -> InvalidRequest:
    return InvalidRequest(f"{_HEADER} is no routing config: {reason}", param="x-headgate-config", code="invalid_config")


def _check_models(principal: Principal, target: Target, model: str) -> None:
    """A config reaches nothing that the key may not name itself."""
    for leaf in _leaves(target):
        name = f"{leaf.deployment}/{leaf.model or model}"
        if not principal.allows(name):
            raise Forbidden(f"this key may not use `{name}` (`{leaf.path}` of {_HEADER})", code="model_not_allowed")


def _leaves(target: Target) -> Iterator[Target]:
    if not target.targets:
        yield target
    for child in target.targets:
        yield from _leaves(child)
