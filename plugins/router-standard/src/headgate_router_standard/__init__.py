"""The standard router: the strategies of Portkey's configs, routing configs sent with a request, and retries."""

from __future__ import annotations

import asyncio
import base64
import random
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from typing_extensions import override

from headgate.body import decode_object, probe_body
from headgate.context import Context
from headgate.errors import Forbidden, InvalidRequest, StartupError
from headgate.exchange import Exchange, Principal, Target, caching_of
from headgate.hooks import Call, Hooks, Strategy, hookimpl
from headgate.routing import Asked
from headgate.suggest import MAX_NAME, did_you_mean, shown
from headgate_router_standard.releasing import Releasing
from headgate_router_standard.retrying import Retrying, Sleep, delay
from headgate_router_standard.strategies import Conditional, Fallback, LoadBalance, Single

__all__ = ["Conditional", "Fallback", "LoadBalance", "Retrying", "RouterStandard", "Single", "delay"]

MAX_CONFIG_BYTES = 64 * 1024
MAX_CACHED = 256
MAX_TOLD = 8000
"""How much is said of what is wrong with a config."""
_HEADER = "`x-headgate-config`"


class RouterStandard(Hooks):
    """Registers the strategies, reads the option `config`, and retries leaves as their `retry` says.

    `sleep` and `rng` are the retries' own, so that tests never wait.
    """

    def __init__(self, sleep: Sleep = asyncio.sleep, rng: random.Random | None = None) -> None:
        self._sleep = sleep
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, protects nothing
        self._ctx: Context
        self._known: object = None
        self._trees: OrderedDict[tuple[str, Asked], Target] = OrderedDict()

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
    async def admit(self, ex: Exchange) -> None:
        """What the config says of the cache must be known before the cache is asked, so the config is read here."""
        written = ex.option("config") or (ex.principal.config if ex.principal is not None else "")
        if written:
            ex.caching = caching_of(self._tree(ex, written))

    @override
    @hookimpl
    async def route(self, ex: Exchange) -> Target | None:
        principal = ex.principal
        written = ex.option("config") or (principal.config if principal is not None else "")
        if not written:
            return None
        target = self._tree(ex, written)
        if principal is not None and principal.models:
            _check_models(principal, target, ex.model)
        return target

    @override
    @hookimpl
    def wrap_call(self, call: Call) -> Call:
        return Retrying(call, Releasing(call).call, self._sleep, self._rng).call

    def _tree(self, ex: Exchange, written: str) -> Target:
        """The tree of the config that the request brings or its key has, from the cache when it was there before.

        Raises Forbidden and InvalidRequest.
        """
        principal = ex.principal
        known = self._ctx.known
        if known is not self._known:
            self._trees.clear()
            self._known = known
        key = (written, asked_by(ex, is_callers=written not in known.configs))
        if key[1].is_callers and principal is not None and not principal.allow_config:
            raise Forbidden(
                f"this key may not send a routing config (header {_HEADER}); name a saved one, or a model",
                code="config_not_allowed",
            )
        target = self._trees.get(key)
        if target is None:
            target = self._trees[key] = self._decode(*key)
            if len(self._trees) > MAX_CACHED:
                self._trees.popitem(last=False)
        else:
            self._trees.move_to_end(key)
        return target

    def _decode(self, written: str, asked: Asked) -> Target:
        known = self._ctx.known
        value = _value_of(written.encode("latin-1"), known.configs) if asked.is_callers else known.configs[written]
        try:
            return self._ctx.decode_target(value, asked)
        except StartupError as error:
            raise _wrong("; ".join(str(problem) for problem in error.problems)[:MAX_TOLD]) from None


def asked_by(ex: Exchange, *, is_callers: bool) -> Asked:
    """What the request itself names, for the targets of a config that leave that to it."""
    named = (ex.option("provider") or ex.option("virtual-key") or "").removeprefix("@")
    principal = ex.principal
    return Asked(ex.model, named, is_callers, principal is not None and principal.credential is not None)


def _value_of(written: bytes, saved: Collection[str]) -> dict[str, Any]:
    """What the header holds, decoded. InvalidRequest for anything but a JSON object."""
    if len(written) > MAX_CONFIG_BYTES:
        raise _wrong(f"it is larger than {MAX_CONFIG_BYTES} bytes")
    plain = _plain(written.strip())
    if not plain.startswith(b"{"):
        name = shown(written.decode("latin-1"), MAX_NAME)
        raise _wrong(
            f"it is no JSON object, and `configs:` has no `{name}`{did_you_mean(name, saved)}; send the config itself, such as "
            '{"strategy":{"mode":"fallback"},"targets":["a/m","b/m"]}'
        )
    try:
        probe_body(plain)
        return decode_object(plain)
    except InvalidRequest as error:
        raise _wrong(error.message.replace("the body", "it")) from None


def _plain(written: bytes) -> bytes:
    """A config that some of Portkey's clients send in Base64, as the JSON it is."""
    if written.startswith(b"{"):
        return written
    try:
        decoded = base64.b64decode(written, validate=True).strip()
    except ValueError:
        return written
    return decoded if decoded.startswith(b"{") else written


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
