"""From a routing config to a Target tree, with every problem named at its place.

The shape is Portkey's (https://portkey.ai/docs/product/ai-gateway/configs); what differs is in `core/docs/routing.md`. A
leaf may also be the plain string `deployment/model`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from heapq import nsmallest
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct
from msgspec.structs import replace

from headgate.body import Path
from headgate.caller import checked_base_url, checked_header
from headgate.errors import InvalidRequest, Problem, StartupError
from headgate.exchange import PATIENT, Caching, Patience, Retry, Target
from headgate.policies import BreakerRule
from headgate.routing.fields import Faults, Fields, cut
from headgate.secret import Secret

if TYPE_CHECKING:
    from headgate.hooks import CheckFactory, Hooks, MakeGuards, Strategy

MAX_NODES = 1000
MAX_DEPTH = 32
MAX_RETRIES = 5
MAX_HELD = 1000
"""The most pieces of a stream that `release_after` may hold."""
INLINE = "inline:"
"""Before the name of a provider that is called with the key of a routing config and has no deployment."""

_HOOKS = ("before_request_hooks", "after_request_hooks", "input_guardrails", "output_guardrails")
_PARAMS = ("override_params", "default_params", "drop_params")
_KEYS = {
    *("name", "strategy", "targets", "provider", "virtual_key", "api_key", "model", "weight", "passthrough"),
    *_PARAMS,
    *("retry", "request_timeout", "deadline", "timeouts", "release_after", "cache", "custom_host", "forward_headers"),
    *("strict_open_ai_compliance", "on_status_codes"),
    *_HOOKS,
}
_DEPLOYMENT = "belongs to the deployment: set it below `providers:`"
_ELSEWHERE = {
    "aws_": _DEPLOYMENT,
    "vertex_": _DEPLOYMENT,
    "azure_": _DEPLOYMENT,
    "openai_": f"{_DEPLOYMENT}, among its `headers`",
    "input_mutators": "is not supported: use a guardrail that changes texts",
    "output_mutators": "is not supported: use a guardrail that changes texts",
    "prompt_id": "is not supported: there are no stored prompts here",
}
_RETRY_KEYS = {"attempts", "on_status_codes", "use_retry_after_header", "use_retry_after_headers"}
_CACHE_KEYS = {"mode", "max_age"}
_TIMEOUT_KEYS = {"connect", "first_byte", "first_token", "gap"}
_BREAKER_KEYS = {
    *("failure_threshold", "failure_threshold_percentage", "minimum_requests", "cooldown_interval"),
    "failure_status_codes",
}
_COOLDOWN_MS = 30_000


class Known(Struct, frozen=True):
    """What a routing config may name: deployments, strategies, aliases as they are written (`models`), saved configs, what
    makes guardrails of which checks, and whether an installed provider can be called with a key of the config's own.
    """

    deployments: Collection[str]
    strategies: Mapping[str, Strategy]
    models: Mapping[str, Any] = {}
    configs: Mapping[str, Any] = {}
    guards: MakeGuards | None = None
    checks: Mapping[str, CheckFactory] = {}
    takes_keys: Callable[[str], bool] = lambda _: False


class Asked(Struct, frozen=True):
    """The request that a config is for: what it names itself, for targets that leave that to it. `is_callers` says that the
    caller wrote the config, `brings_key` that the caller's own key goes to the provider. `is_open` is for a config that is
    only looked at: no request is there yet to say what is left to it.
    """

    model: str = ""
    deployment: str = ""
    is_callers: bool = False
    brings_key: bool = False
    is_open: bool = False


def decode_target(value: Any, known: Known, path: str = "config", asked: Asked | None = None) -> Target:
    """The tree of a routing config; `asked` for one that a request brings or names.

    StartupError lists every problem: unknown keys, deployments, strategies, wrong types.
    """
    decoder = _Decoder(known, asked, path)
    target = decoder.decode(value, path, _Inherited())
    if decoder.problems:
        raise StartupError(decoder.problems)
    return replace(target, deadline_s=decoder.deadline_s) if decoder.deadline_s else target


def leaf_of(text: str, path: str = "config") -> Target:
    """The leaf that `deployment/model` names; a name without a slash takes the model from the request."""
    deployment, _, model = text.removeprefix("@").partition("/")
    return Target(path=path, deployment=deployment, model=model)


class _Inherited(Struct, frozen=True):
    """What a node hands down to its targets."""

    retry: Retry = Retry()
    timeout_s: float = 0.0
    override: Mapping[str, Any] = {}
    default: Mapping[str, Any] = {}
    drop: tuple[Path, ...] = ()
    cache: Caching | None = None
    base_url: str = ""
    forward: tuple[bytes, ...] = ()
    patience: Patience = PATIENT
    release_after: int = 0
    breaker: BreakerRule | None = None
    hooks: Mapping[str, Any] = {}


class _Decoder:
    def __init__(self, known: Known, asked: Asked | None, root: str) -> None:
        self._known = known
        self._asked = asked
        self._root = root
        self.deadline_s = 0.0
        self._nodes = 0
        self._guards: dict[int, Hooks | None] = {}
        self._faults = Faults(lambda words: self.problems.append(Problem(words)))
        self.problems: list[Problem] = []

    def decode(self, value: Any, path: str, above: _Inherited, depth: int = 1, resolved: str = "") -> Target:
        """`resolved` is the alias that this is the meaning of."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise StartupError([*self.problems, Problem(f"a routing config has at most {MAX_NODES} targets")])
        if depth > MAX_DEPTH:
            raise StartupError([*self.problems, Problem(f"a routing config has at most {MAX_DEPTH} levels")])
        if isinstance(value, str):
            return self._leaf(value, Fields({}, path, self._faults), path, above)
        if not isinstance(value, dict):
            return self._wrong(path, "must be a mapping, or a string such as `deployment/model`")
        fields = Fields(cast("dict[Any, Any]", value), path, self._faults)
        fields.only(_KEYS, _ELSEWHERE)
        fields.flag("strict_open_ai_compliance")
        self._take_deadline(fields)
        held = self._inherited(fields, above)
        if "targets" in fields or "strategy" in fields:
            return self._node(fields, held, depth)
        return self._placed(fields, held, depth, resolved)

    def _take_deadline(self, fields: Fields) -> None:
        """How long all of it may take. Of an alias at the root and what names it, the shorter counts."""
        seconds = fields.number("deadline") / 1000
        if seconds and fields.path != self._root:
            fields.wrong("deadline", "belongs to the root, for it bounds the whole request: use `request_timeout` here")
        elif seconds:
            self.deadline_s = min(seconds, self.deadline_s or seconds)

    def _placed(self, fields: Fields, held: _Inherited, depth: int, resolved: str) -> Target:
        """A target without targets: the deployment it names, the one its model names, or what the request asks for."""
        slug = str(held.override.get("model") or "")
        if slug.startswith("@") and self._has(slug):
            rest = {name: value for name, value in held.override.items() if name != "model"}
            place = f"{fields.path}.override_params.model"
            return self._leaf(slug, fields, place, replace(held, override=rest), is_whole=True)
        named = fields.held.get("provider") or fields.held.get("virtual_key")
        if isinstance(named, str) and named:
            return self._leaf(named, fields, f"{fields.path}.provider", held)
        if not named:
            found = self._asked_for(fields, held, depth, resolved)
            if found is not None:
                return found
        return self._wrong(fields.path, "names no deployment: set `provider`, or a model such as `@deployment/model`")

    def _asked_for(self, fields: Fields, held: _Inherited, depth: int, resolved: str) -> Target | None:
        """Where the model leads that the target or the request names; None when it leads nowhere."""
        asked = self._asked
        own = fields.text("model") or str(held.override.get("model") or "")
        model = own or (asked.model if asked is not None else "")
        rest = replace(held, override={name: value for name, value in held.override.items() if name != "model"})
        place = f"{fields.path}.model"
        if self._has(model):
            return self._leaf(model, fields, place, rest, is_whole=True)
        if asked is not None and asked.deployment:
            return self._leaf(f"{asked.deployment}/{model}".rstrip("/"), fields, place, rest, is_whole=True)
        written = self._known.models.get(model, self._known.models.get("*") if asked is not None else None)
        if asked is not None and asked.is_open and not own:
            return Target(path=fields.path, name=fields.text("name"), weight=fields.number("weight", 1.0))
        if written is None or resolved:
            return None
        return self.decode(written, fields.path, rest, depth + 1, model)

    def _has(self, name: str) -> bool:
        """Whether a model is `deployment/model`, with `@` before it or without."""
        deployment, slash, _ = name.removeprefix("@").partition("/")
        return bool(slash) and deployment in self._known.deployments

    def _inherited(self, fields: Fields, above: _Inherited) -> _Inherited:
        override = fields.part("override_params")
        override.text("model")
        for name in ("override_params", "default_params"):
            if "stream" in fields.part(name):
                fields.wrong(f"{name}.stream", "cannot be set: the caller decides whether a reply streams")
        drop = fields.paths("drop_params")
        dropped = {path[0] for path in drop if len(path) == 1}
        hooks = {name: fields.items(name) for name in _HOOKS if name in fields}
        kept = {name: value for name, value in override.held.items() if name not in dropped}
        return _Inherited(
            self._retry(fields, above.retry),
            fields.number("request_timeout") / 1000 or above.timeout_s,
            {**above.override, **kept},
            {**above.default, **fields.part("default_params").held},
            (*above.drop, *drop),
            self._cache(fields, above.cache),
            self._base_url(fields, above.base_url),
            self._forwarded(fields, above.forward),
            self._patience(fields, above.patience),
            fields.whole("release_after", MAX_HELD) if "release_after" in fields else above.release_after,
            self._breaker(fields, above.breaker),
            hooks or above.hooks,
        )

    def _node(self, fields: Fields, held: _Inherited, depth: int) -> Target:
        path, strategies = fields.path, self._known.strategies
        strategy = fields.part("strategy")
        mode = strategy.text("mode") or "single"
        if mode not in strategies:
            hint = self._faults.hint(mode, strategies)
            strategy.wrong("mode", f"`{cut(mode)}` is not known{hint}; enable the router that brings it")
        children = fields.held.get("targets")
        if not isinstance(children, list) or not children:
            return self._wrong(f"{path}.targets", "must be a list with at least one target")
        below = replace(held, breaker=None) if mode == "conditional" and "cb_config" not in strategy else held
        node = Target(
            path=path,
            name=fields.text("name"),
            strategy=mode,
            targets=tuple(
                self.decode(child, f"{path}.targets[{at}]", below, depth + 1)
                for at, child in enumerate(cast("list[Any]", children))
            ),
            on_status_codes=strategy.codes() or fields.codes(),
            weight=fields.number("weight", 1.0),
            retry=held.retry,
            cache=held.cache,
            settings={
                name: value
                for name, value in strategy.held.items()
                if name not in {"mode", "on_status_codes", "cb_config"}
            },
        )
        return self._compiled(node) if mode in strategies else node

    def _compiled(self, node: Target) -> Target:
        try:
            made = self._known.strategies[node.strategy].compile(
                node, lambda at, what: self._faults.add(f"{node.path}.{at}", what)
            )
        except Exception as error:  # plugins are not trusted
            return self._wrong(node.path, f"made the strategy `{node.strategy}` fail: {type(error).__name__}: {error}")
        return node if made is None else replace(node, compiled=made)

    def _leaf(self, named: str, fields: Fields, place: str, held: _Inherited, *, is_whole: bool = False) -> Target:
        """The leaf of a deployment; `place` is where its name stands. `is_whole`: it says which model, too."""
        leaf = leaf_of(named, fields.path)
        model = "" if is_whole else fields.text("model").removeprefix(f"@{leaf.deployment}/")
        key = fields.text("api_key")
        deployment = leaf.deployment
        brings_key = self._asked is not None and self._asked.brings_key
        if deployment not in self._known.deployments:
            if key and self._known.takes_keys(deployment):
                deployment = f"{INLINE}{deployment}"
            else:
                hint = self._faults.hint(deployment, self._known.deployments)
                words = f"deployment `{cut(deployment)}` is not known{hint}; `providers:` has {self._named}"
                self._faults.add(place, words)
        if held.base_url and self._is_callers and not key and not brings_key:
            fields.wrong("custom_host", "needs an `api_key` beside it: the gateway's own keys go nowhere else")
        if fields.held.get("on_status_codes") is not None:
            fields.wrong("on_status_codes", "belongs below `strategy` of a node with `targets`")
        return Target(
            path=fields.path,
            name=fields.text("name"),
            deployment=deployment,
            model=model or str(held.override.get("model") or leaf.model),
            weight=fields.number("weight", 1.0),
            retry=held.retry,
            request_timeout_s=held.timeout_s,
            override_params={name: value for name, value in held.override.items() if name != "model"},
            default_params=held.default,
            drop_params=held.drop,
            cache=held.cache,
            guards=self._made_guards(held.hooks, fields.path),
            base_url=held.base_url,
            is_callers=self._is_callers,
            credential=Secret(key) if key else None,
            forward_headers=held.forward,
            patience=held.patience,
            release_after=held.release_after,
            breaker=held.breaker,
        )

    def _retry(self, fields: Fields, inherited: Retry) -> Retry:
        if "retry" not in fields:
            return inherited
        retry = fields.part("retry")
        retry.only(_RETRY_KEYS)
        waits = [retry.flag(name) for name in ("use_retry_after_header", "use_retry_after_headers")]
        attempts = retry.whole("attempts", MAX_RETRIES)
        return Retry(attempts, retry.codes() or Retry().on_status_codes, any(waits))

    def _cache(self, fields: Fields, inherited: Caching | None) -> Caching | None:
        if "cache" not in fields:
            return inherited
        if isinstance(fields.held["cache"], str):  # Portkey's older configs
            fields.held["cache"] = {"mode": fields.held["cache"]}
        cache = fields.part("cache")
        cache.only(_CACHE_KEYS)
        mode = cache.text("mode") or "simple"
        if mode not in {"simple", "semantic"}:
            cache.wrong("mode", f"`{cut(mode)}` is not known: use `simple` or `semantic`")
            return inherited
        return Caching("semantic" if mode == "semantic" else "simple", cache.number("max_age") or None)

    def _base_url(self, fields: Fields, inherited: str) -> str:
        given = fields.text("custom_host")
        try:
            return checked_base_url(given) if given else inherited
        except InvalidRequest as error:
            fields.wrong("custom_host", error.message.partition("` ")[2])
            return inherited

    def _forwarded(self, fields: Fields, inherited: tuple[bytes, ...]) -> tuple[bytes, ...]:
        if "forward_headers" not in fields:
            return inherited
        names: list[bytes] = []
        for name in fields.texts("forward_headers"):
            try:
                names.append(checked_header(name).encode("latin-1"))
            except (InvalidRequest, UnicodeEncodeError):
                fields.wrong("forward_headers", f"may not name `{cut(name)}`")
        return tuple(names)

    def _patience(self, fields: Fields, inherited: Patience) -> Patience:
        if "timeouts" not in fields:
            return inherited
        part = fields.part("timeouts")
        part.only(_TIMEOUT_KEYS)
        asked = {f"{name}_s": part.number(name) / 1000 for name in sorted(_TIMEOUT_KEYS) if name in part}
        return replace(inherited, **asked)

    def _breaker(self, fields: Fields, inherited: BreakerRule | None) -> BreakerRule | None:
        strategy = fields.part("strategy")
        if "cb_config" not in strategy:
            return inherited
        given = strategy.part("cb_config")
        given.only(_BREAKER_KEYS)
        cooldown_ms = given.number("cooldown_interval", _COOLDOWN_MS)
        if cooldown_ms < _COOLDOWN_MS:
            given.wrong("cooldown_interval", f"must be at least {_COOLDOWN_MS} milliseconds")
        percentage = given.number("failure_threshold_percentage")
        if percentage > 100:
            given.wrong("failure_threshold_percentage", "must be a number of 0 to 100")
        failures = given.whole("failure_threshold", 1_000_000)
        if not failures and not percentage:
            given.wrong("failure_threshold", "is missing: say after how many failures, or at which percentage")
        return BreakerRule(
            consecutive=0,
            share=percentage / 100,
            minimum=given.whole("minimum_requests", 1_000_000) or 5,
            window_s=max(60.0, cooldown_ms / 1000),
            penalty_s=cooldown_ms / 1000,
            failures=failures,
            statuses=frozenset(given.codes("failure_status_codes")),
        )

    def _made_guards(self, hooks: Mapping[str, Any], path: str) -> Hooks | None:
        """The guardrails of the config, made once for all targets that have the same ones."""
        if not any(hooks.values()):
            return None
        if self._known.guards is None:
            self._faults.add(f"{path}.{next(iter(hooks))}", "needs a guardrail plugin, and none is enabled")
            return None
        if id(hooks) not in self._guards:
            self._guards[id(hooks)] = self._known.guards(
                hooks, self._known.checks, lambda at, what: self._faults.add(f"{path}.{at}" if at else path, what)
            )
        return self._guards[id(hooks)]

    @property
    def _is_callers(self) -> bool:
        return self._asked is not None and self._asked.is_callers

    @cached_property
    def _named(self) -> str:
        return ", ".join(f"`{name}`" for name in nsmallest(20, self._known.deployments)) or "none"

    def _wrong(self, path: str, message: str) -> Target:
        self._faults.add(path, message)
        return Target(path=path)
