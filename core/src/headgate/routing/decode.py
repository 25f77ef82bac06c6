"""From a routing config to a Target tree, with every problem named at its place.

The shape is Portkey's (https://portkey.ai/docs/product/ai-gateway/configs): `strategy {mode, on_status_codes}`,
`targets`, and on a leaf `provider` or `virtual_key` with `override_params`. A leaf may also be the plain string
`deployment/model`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from heapq import nsmallest
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct
from msgspec.structs import replace

from headgate.errors import Problem, StartupError
from headgate.exchange import Retry, Target
from headgate.suggest import MAX_NAME, did_you_mean, shown

if TYPE_CHECKING:
    from headgate.hooks import Strategy

MAX_NODES = 1000
MAX_DEPTH = 32
MAX_HINTS = 5
"""How many problems say what was meant: callers send routing configs, and looking for it among many names takes long."""
_KEYS = {
    "name",
    "strategy",
    "targets",
    "provider",
    "virtual_key",
    "model",
    "override_params",
    "weight",
    "retry",
    "request_timeout",
}
_RETRY_KEYS = {"attempts", "on_status_codes", "use_retry_after_header", "use_retry_after_headers"}
_MAX_RETRIES = 5
_MAX_NUMBER = 10**12


def decode_target(
    value: Any, deployments: Collection[str], strategies: Mapping[str, Strategy], path: str = "config"
) -> Target:
    """The tree of a routing config. StartupError lists every problem: unknown keys, deployments, strategies, wrong types."""
    decoder = _Decoder(deployments, strategies)
    target = decoder.decode(value, path, _Inherited())
    if decoder.problems:
        raise StartupError(decoder.problems)
    return target


def leaf_of(text: str, path: str = "config") -> Target:
    """The leaf that `deployment/model` names; a name without a slash takes the model from the request."""
    deployment, _, model = text.removeprefix("@").partition("/")
    return Target(path=path, deployment=deployment, model=model)


class _Inherited(Struct, frozen=True):
    """What a node hands down to its targets."""

    retry: Retry = Retry()
    timeout_s: float = 0.0
    params: Mapping[str, Any] = {}


class _Decoder:
    def __init__(self, deployments: Collection[str], strategies: Mapping[str, Strategy]) -> None:
        self._deployments = deployments
        self._strategies = strategies
        self._nodes = 0
        self._hints = 0
        self.problems: list[Problem] = []

    def decode(self, value: Any, path: str, above: _Inherited, depth: int = 1) -> Target:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise StartupError([*self.problems, Problem(f"a routing config has at most {MAX_NODES} targets")])
        if depth > MAX_DEPTH:
            raise StartupError([*self.problems, Problem(f"a routing config has at most {MAX_DEPTH} levels")])
        if isinstance(value, str):
            return self._leaf(value, {}, path, path, above)
        if not isinstance(value, dict):
            return self._wrong(path, "must be a mapping, or a string such as `deployment/model`")
        fields = cast("dict[str, Any]", value)
        self._check_names(fields, _KEYS, path)
        held = self._inherited(fields, path, above)
        if "targets" in fields or "strategy" in fields:
            return self._node(fields, path, held, depth)
        named = fields.get("provider") or fields.get("virtual_key")
        if not isinstance(named, str) or not named:
            return self._wrong(path, "names no deployment: set `provider`")
        return self._leaf(named, fields, path, f"{path}.provider", held)

    def _inherited(self, fields: Mapping[str, Any], path: str, above: _Inherited) -> _Inherited:
        params = self._mapping(fields, "override_params", path)
        self._text(params, "model", f"{path}.override_params")
        if "stream" in params:
            self._wrong(f"{path}.override_params.stream", "cannot be set: the caller decides whether a reply streams")
        return _Inherited(
            self._retry(fields.get("retry"), f"{path}.retry", above.retry),
            self._number(fields, "request_timeout", path) / 1000 or above.timeout_s,
            {**above.params, **params},
        )

    def _node(self, fields: dict[str, Any], path: str, held: _Inherited, depth: int) -> Target:
        strategy = self._mapping(fields, "strategy", path)
        mode = self._text(strategy, "mode", f"{path}.strategy") or "single"
        if mode not in self._strategies:
            hint = self._hint(mode, self._strategies)
            self._wrong(f"{path}.strategy.mode", f"`{_cut(mode)}` is not known{hint}; enable the router that brings it")
        children = fields.get("targets")
        if not isinstance(children, list) or not children:
            return self._wrong(f"{path}.targets", "must be a list with at least one target")
        node = Target(
            path=path,
            name=self._text(fields, "name", path),
            strategy=mode,
            targets=tuple(
                self.decode(child, f"{path}.targets[{at}]", held, depth + 1)
                for at, child in enumerate(cast("list[Any]", children))
            ),
            on_status_codes=self._codes(strategy, f"{path}.strategy"),
            weight=self._number(fields, "weight", path, 1.0),
            retry=held.retry,
            settings={name: held for name, held in strategy.items() if name not in {"mode", "on_status_codes"}},
        )
        return self._compiled(node) if mode in self._strategies else node

    def _compiled(self, node: Target) -> Target:
        try:
            made = self._strategies[node.strategy].compile(
                node, lambda at, what: self._fault(f"{node.path}.{at}", what)
            )
        except Exception as error:  # plugins are not trusted
            return self._wrong(node.path, f"made the strategy `{node.strategy}` fail: {type(error).__name__}: {error}")
        return node if made is None else replace(node, compiled=made)

    def _leaf(self, named: str, fields: Mapping[str, Any], path: str, place: str, held: _Inherited) -> Target:
        """The leaf of a deployment; `place` is where its name stands."""
        leaf = leaf_of(named, path)
        if leaf.deployment not in self._deployments:
            hint = self._hint(leaf.deployment, self._deployments)
            words = f"deployment `{_cut(leaf.deployment)}` is not known{hint}; `providers:` has {self._known}"
            self._wrong(place, words)
        return Target(
            path=path,
            name=self._text(fields, "name", path),
            deployment=leaf.deployment,
            model=self._text(fields, "model", path) or str(held.params.get("model") or leaf.model),
            weight=self._number(fields, "weight", path, 1.0),
            retry=held.retry,
            request_timeout_s=held.timeout_s,
            override_params={name: value for name, value in held.params.items() if name != "model"},
        )

    def _retry(self, value: Any, path: str, inherited: Retry) -> Retry:
        if value is None:
            return inherited
        if not isinstance(value, dict):
            self._wrong(path, "must be a mapping with `attempts`")
            return inherited
        fields = cast("dict[str, Any]", value)
        self._check_names(fields, _RETRY_KEYS, path)
        attempts = self._number(fields, "attempts", path)
        if attempts > _MAX_RETRIES or not attempts.is_integer():
            self._wrong(f"{path}.attempts", f"must be 0 to {_MAX_RETRIES}")
        waits = [self._flag(fields, name, path) for name in ("use_retry_after_header", "use_retry_after_headers")]
        return Retry(int(attempts), self._codes(fields, path) or Retry().on_status_codes, any(waits))

    def _codes(self, fields: Mapping[str, Any], path: str) -> tuple[int, ...]:
        codes: Any = fields.get("on_status_codes")
        if codes is None:
            return ()
        if isinstance(codes, list) and all(_is_status(code) for code in cast("list[Any]", codes)):
            return tuple(cast("list[int]", codes))
        self._wrong(f"{path}.on_status_codes", "must be a list of HTTP status codes")
        return ()

    def _number(self, fields: Mapping[str, Any], name: str, path: str, default: float = 0.0) -> float:
        value = fields.get(name)
        if value is None:
            return default
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MAX_NUMBER:
            return float(value)
        self._wrong(f"{path}.{name}", f"must be a number of 0 to {_MAX_NUMBER}")
        return default

    def _text(self, fields: Mapping[str, Any], name: str, path: str) -> str:
        value = fields.get(name)
        if value is None or isinstance(value, str):
            return value or ""
        self._wrong(f"{path}.{name}", "must be a string")
        return ""

    def _flag(self, fields: Mapping[str, Any], name: str, path: str) -> bool:
        value = fields.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        self._wrong(f"{path}.{name}", "must be `true` or `false`")
        return False

    def _mapping(self, fields: Mapping[str, Any], name: str, path: str) -> dict[str, Any]:
        value: Any = fields.get(name)
        if isinstance(value, dict):
            return cast("dict[str, Any]", value)
        if value is not None:
            self._wrong(f"{path}.{name}", "must be a mapping")
        return {}

    def _check_names(self, fields: Mapping[Any, Any], known: Collection[str], path: str) -> None:
        for name in map(str, fields):
            if name not in known:
                self._wrong(f"{path}.{_cut(name)}", f"is not known{self._hint(name, known)}")

    @cached_property
    def _known(self) -> str:
        return ", ".join(f"`{name}`" for name in nsmallest(20, self._deployments)) or "none"

    def _hint(self, name: str, known: Collection[str]) -> str:
        self._hints += 1
        return did_you_mean(name, known) if self._hints <= MAX_HINTS else ""

    def _fault(self, path: str, message: str) -> None:
        self._wrong(path, message)

    def _wrong(self, path: str, message: str) -> Target:
        self.problems.append(Problem(f"`{path}` {message}"))
        return Target(path=path)


def _is_status(code: object) -> bool:
    return isinstance(code, int) and 100 <= code <= 599


def _cut(name: str) -> str:
    return shown(name, MAX_NAME)
