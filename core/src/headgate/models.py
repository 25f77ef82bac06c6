"""Which models a caller may name: aliases, and the models of every deployment. `headgate.listing` has the shapes of lists."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from headgate.errors import ModelNotFound
from headgate.exchange import Principal, Target
from headgate.hooks import FindFacts, ModelFacts
from headgate.operations import CHAT_OPERATIONS
from headgate.plan import Plan
from headgate.provider import Provider
from headgate.suggest import MAX_NAME, did_you_mean, shown

log = structlog.get_logger("headgate")

HOLD_S = 0.01
"""How long a list may hold the loop before others get a turn."""
ANY = "*"
"""How a deployment that names no models is listed: any model name of that vendor can be used."""


class Model(Struct, frozen=True):
    """A model that can be named. `owner` is the provider, `headgate` for an alias.

    `facts` are what is known of it beside that, under the names that OpenAI's shape lists them by; `context_window` and
    `max_output_tokens` are limits in tokens.
    """

    id: str
    owner: str
    can_chat: bool
    can_embed: bool
    facts: Mapping[str, Any] = {}


async def usable_models(plan: Plan, principal: Principal | None) -> list[Model]:
    """Every model that `principal` may use, aliases first. None may use everything.

    Plugins may have to look each of thousands up, so the loop turns every `HOLD_S`.
    """
    models: list[Model] = []
    until = time.monotonic() + HOLD_S
    for name, owner in _usable(plan, principal).items():
        models.append(_alias(plan, name, owner) if isinstance(owner, Target) else _model(plan, name, owner))
        if time.monotonic() > until:
            await asyncio.sleep(0)
            until = time.monotonic() + HOLD_S
    return models


def find_model(plan: Plan, principal: Principal | None, name: str) -> Model:
    """The model of that name, also one of a deployment that names none. Raises ModelNotFound for what may not be used."""
    if principal is None or principal.allows(name):
        deployment, _, model = name.partition("/")
        provider = plan.deployments.get(deployment)
        if provider is not None and model and not {model, ANY}.isdisjoint(_named(provider)):
            return _model(plan, name, provider)
        target = plan.models.get(name)
        if target is not None and name != ANY:
            return _alias(plan, name, target)
    hint = did_you_mean(name, _usable(plan, principal))
    raise ModelNotFound(f"model `{shown(name, MAX_NAME)}` is not known{hint}", param="model")


def _usable(plan: Plan, principal: Principal | None) -> dict[str, Target | Provider]:
    """What a caller may name, and what is behind each name: an alias's target, or the provider of a model."""
    found: dict[str, Target | Provider] = {alias: target for alias, target in plan.models.items() if alias != ANY}
    for name, provider in plan.deployments.items():
        found |= dict.fromkeys([f"{name}/{model}" for model in _named(provider)], provider)
    if principal is None or not principal.models:
        return found
    return {name: owner for name, owner in found.items() if principal.allows(name)}


def _named(provider: Provider) -> Sequence[str]:
    return provider.config.models or provider.models or (ANY,)


def facts_of(finders: Sequence[FindFacts], provider: Provider, model: str) -> ModelFacts | None:
    """What the plugins know of a model; None when none of them knows anything."""
    for find in finders:
        try:
            facts = find(provider, model)
        except Exception as error:
            log.error("a plugin failed to tell about a model", model=model, error=f"{type(error).__name__}: {error}")
            continue
        if facts is not None:
            return facts
    return None


def _model(plan: Plan, name: str, provider: Provider) -> Model:
    can_embed = "embeddings" in provider.dialects
    return Model(name, provider.name, _can_chat(provider), can_embed, _told(plan, provider, name.partition("/")[2]))


def _alias(plan: Plan, alias: str, target: Target) -> Model:
    """An alias can do what one of its leaves can; facts are those of a single one."""
    providers = [provider for provider in map(plan.deployments.get, _leaves(target)) if provider is not None]
    can_embed = any("embeddings" in provider.dialects for provider in providers)
    facts: Mapping[str, Any] = _told(plan, providers[0], target.model) if providers and not target.targets else {}
    return Model(alias, "headgate", any(map(_can_chat, providers)), can_embed, facts)


def _told(plan: Plan, provider: Provider, model: str) -> Mapping[str, Any]:
    facts = facts_of(plan.registry.facts, provider, model) if plan.registry.facts and model not in {"", ANY} else None
    return {} if facts is None else msgspec.to_builtins(facts)


def _leaves(target: Target) -> Iterator[str]:
    if target.targets:
        for inner in target.targets:
            yield from _leaves(inner)
    else:
        yield target.deployment


def _can_chat(provider: Provider) -> bool:
    return not CHAT_OPERATIONS.isdisjoint(provider.dialects)
