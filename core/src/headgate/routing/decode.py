"""From a routing config to a Target tree, with every problem named at its place.

The shape is Portkey's (https://portkey.ai/docs/product/ai-gateway/configs): `strategy {mode, on_status_codes}`,
`targets`, and on a leaf `provider` or `virtual_key` with `override_params`. A leaf may also be the plain string
`deployment/model`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

from headgate.errors import Problem, StartupError
from headgate.exchange import Retry, Target
from headgate.suggest import did_you_mean

MAX_NODES = 1000
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


def decode_target(
    value: Any, deployments: Collection[str], strategies: Collection[str], path: str = "config"
) -> Target:
    """The tree of a routing config. StartupError lists every problem: unknown keys, deployments, strategies, wrong types."""
    decoder = _Decoder(deployments, strategies)
    target = decoder.decode(value, path, Retry(), 0.0, {})
    if decoder.problems:
        raise StartupError(decoder.problems)
    return target


def leaf_of(text: str, path: str = "config") -> Target:
    """The leaf that `deployment/model` names; a name without a slash takes the model from the request."""
    deployment, _, model = text.removeprefix("@").partition("/")
    return Target(path=path, deployment=deployment, model=model)


class _Decoder:
    def __init__(self, deployments: Collection[str], strategies: Collection[str]) -> None:
        self._deployments = deployments
        self._strategies = strategies
        self._nodes = 0
        self.problems: list[Problem] = []

    def decode(self, value: Any, path: str, retry: Retry, timeout_s: float, params: Mapping[str, Any]) -> Target:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise StartupError([*self.problems, Problem(f"a routing config has at most {MAX_NODES} targets")])
        if isinstance(value, str):
            leaf = leaf_of(value, path)
            self._check_deployment(leaf.deployment, path)
            return leaf
        if not isinstance(value, dict):
            return self._wrong(path, "must be a mapping, or a string such as `deployment/model`")
        fields = cast("dict[str, Any]", value)
        for name in fields:
            if name not in _KEYS:
                self._wrong(f"{path}.{name}", f"is not known{did_you_mean(str(name), _KEYS)}")
        retry = self._retry(fields.get("retry"), path, retry)
        timeout_s = self._number(fields, "request_timeout", path) / 1000 or timeout_s
        params = {**params, **self._mapping(fields, "override_params", path)}
        if "stream" in params:
            self._wrong(f"{path}.override_params.stream", "cannot be set: the caller decides whether a reply streams")
        if "targets" in fields or "strategy" in fields:
            return self._node(fields, path, retry, timeout_s, params)
        return self._leaf(fields, path, retry, timeout_s, params)

    def _node(
        self, fields: dict[str, Any], path: str, retry: Retry, timeout_s: float, params: Mapping[str, Any]
    ) -> Target:
        strategy = self._mapping(fields, "strategy", path)
        mode = strategy.get("mode") or "single"
        if mode not in self._strategies:
            hint = did_you_mean(str(mode), self._strategies)
            self._wrong(f"{path}.strategy.mode", f"`{mode}` is not known{hint}; enable the router that brings it")
        children = fields.get("targets")
        if not isinstance(children, list) or not children:
            return self._wrong(f"{path}.targets", "must be a list with at least one target")
        return Target(
            path=path,
            strategy=str(mode),
            targets=tuple(
                self.decode(child, f"{path}.targets[{at}]", retry, timeout_s, params)
                for at, child in enumerate(cast("list[Any]", children))
            ),
            on_status_codes=self._codes(strategy, f"{path}.strategy"),
            weight=self._number(fields, "weight", path, 1.0),
            retry=retry,
            settings={name: held for name, held in strategy.items() if name not in {"mode", "on_status_codes"}},
        )

    def _leaf(
        self, fields: dict[str, Any], path: str, retry: Retry, timeout_s: float, params: Mapping[str, Any]
    ) -> Target:
        named = fields.get("provider") or fields.get("virtual_key")
        if not isinstance(named, str) or not named:
            return self._wrong(path, "names no deployment: set `provider`")
        leaf = leaf_of(named, path)
        self._check_deployment(leaf.deployment, f"{path}.provider")
        model = fields.get("model") or params.get("model") or leaf.model
        return Target(
            path=path,
            deployment=leaf.deployment,
            model=str(model),
            weight=self._number(fields, "weight", path, 1.0),
            retry=retry,
            request_timeout_s=timeout_s,
            override_params={name: value for name, value in params.items() if name != "model"},
        )

    def _check_deployment(self, name: str, path: str) -> None:
        if name not in self._deployments:
            hint = did_you_mean(name, self._deployments)
            self._wrong(path, f"deployment `{name}` is not known{hint}; `providers:` has {_listed(self._deployments)}")

    def _retry(self, value: Any, path: str, inherited: Retry) -> Retry:
        if value is None:
            return inherited
        if not isinstance(value, dict):
            self._wrong(f"{path}.retry", "must be a mapping with `attempts`")
            return inherited
        fields = cast("dict[str, Any]", value)
        for name in fields:
            if name not in _RETRY_KEYS:
                self._wrong(f"{path}.retry.{name}", f"is not known{did_you_mean(name, _RETRY_KEYS)}")
        attempts = int(self._number(fields, "attempts", f"{path}.retry"))
        if not 0 <= attempts <= _MAX_RETRIES:
            self._wrong(f"{path}.retry.attempts", f"must be 0 to {_MAX_RETRIES}")
        return Retry(
            attempts,
            self._codes(fields, f"{path}.retry") or Retry().on_status_codes,
            bool(fields.get("use_retry_after_header") or fields.get("use_retry_after_headers")),
        )

    def _codes(self, fields: Mapping[str, Any], path: str) -> tuple[int, ...]:
        codes = fields.get("on_status_codes")
        if codes is None:
            return ()
        if not isinstance(codes, list) or not all(isinstance(code, int) for code in cast("list[Any]", codes)):
            self._wrong(f"{path}.on_status_codes", "must be a list of HTTP status codes")
            return ()
        return tuple(cast("list[int]", codes))

    def _number(self, fields: Mapping[str, Any], name: str, path: str, default: float = 0.0) -> float:
        value = fields.get(name, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return float(value)
        self._wrong(f"{path}.{name}", "must be a number of 0 or more")
        return default

    def _mapping(self, fields: Mapping[str, Any], name: str, path: str) -> dict[str, Any]:
        value: Any = fields.get(name) or {}
        if isinstance(value, dict):
            return cast("dict[str, Any]", value)
        self._wrong(f"{path}.{name}", "must be a mapping")
        return {}

    def _wrong(self, path: str, message: str) -> Target:
        self.problems.append(Problem(f"`{path}` {message}"))
        return Target(path=path)


def _listed(names: Collection[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)[:20]) or "none"
