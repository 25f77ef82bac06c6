"""Guardrails that stand in a routing config, in Portkey's two ways to write them, as checks of this plugin.

Whole hooks have `checks` (https://portkey.ai/docs/product/guardrails/raw-guardrails-json); the shorthands `input_guardrails`
and `output_guardrails` are lists of mappings whose keys are ids of checks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast

from headgate.hooks import Fault
from headgate_guard_basic.settings import CheckConfig

_PLACES: dict[str, Literal["request", "reply"]] = {
    "before_request_hooks": "request",
    "input_guardrails": "request",
    "after_request_hooks": "reply",
    "output_guardrails": "reply",
}
_OPTIONS = {
    "type",
    "id",
    "name",
    "deny",
    "async",
    "sequential",
    "on_success",
    "on_fail",
    "is_enabled",
    "guardrail_version_id",
}


def checks_of(written: Mapping[str, Any], fault: Fault) -> list[CheckConfig]:
    """The checks in the order in which they are written. As at Portkey one that does not say `deny: true` only notes."""
    found: list[CheckConfig] = []
    for name, hooks in written.items():
        if not isinstance(hooks, list):
            fault(name, "must be a list")
            continue
        for at, hook in enumerate(cast("list[Any]", hooks)):
            found += _hook(hook, _PLACES[name], f"{name}[{at}]", fault)
    return found


def _hook(hook: Any, on: Literal["request", "reply"], at: str, fault: Fault) -> Iterator[CheckConfig]:
    if isinstance(hook, str):
        fault(at, "names a saved guardrail, and there are none here: write its checks")
        return
    if not isinstance(hook, dict):
        fault(at, "must be a mapping of checks")
        return
    fields = cast("dict[str, Any]", hook)
    if fields.get("type") == "mutator":
        fault(at, "is a mutator, which is not supported: use a check that changes texts")
        return
    deny = fields.get("deny", False)
    if not isinstance(deny, bool):
        fault(f"{at}.deny", "must be `true` or `false`")
    is_denying = deny is True and fields.get("async") is not True
    for check, parameters, place in _written(fields, at, fault):
        if not isinstance(parameters, dict):
            fault(place, "must be a mapping of parameters")
            continue
        yield CheckConfig(check, [on], cast("dict[str, Any]", parameters), deny=is_denying)


def _written(fields: Mapping[str, Any], at: str, fault: Fault) -> Iterator[tuple[str, Any, str]]:
    """Id, parameters and place of every check of one hook that is switched on."""
    if "checks" not in fields:
        for name, parameters in fields.items():
            if name not in _OPTIONS:
                rest: Any = dict(cast("dict[str, Any]", parameters)) if isinstance(parameters, dict) else parameters
                own = rest.pop("id", None) if isinstance(parameters, dict) else None
                yield (own if isinstance(own, str) else name), rest, f"{at}.{name}"
        return
    listed: Any = fields["checks"]
    if not isinstance(listed, list):
        fault(f"{at}.checks", "must be a list")
        return
    for number, check in enumerate(cast("list[Any]", listed)):
        place = f"{at}.checks[{number}]"
        if not isinstance(check, dict) or not isinstance(cast("dict[str, Any]", check).get("id"), str):
            fault(place, "must be a mapping with the `id` of a check")
            continue
        held = cast("dict[str, Any]", check)
        if held.get("is_enabled") is not False:
            yield held["id"], held.get("parameters", {}), place
