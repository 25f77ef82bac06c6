"""The strategy `affinity`: the same conversation goes to the same target, whose provider has its prompt in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec import Struct
from typing_extensions import override

from headgate.exchange import Exchange, Target
from headgate.hooks import Fault, Scene
from headgate.policies import bounded, ranking
from headgate_router_adaptive.balancing import Live, Node, calls_under_way, number
from headgate_router_adaptive.pricing import leaves

BOUND = 1.25
CHUNK = 1024
"""How many bytes of the first thing that the user says tell conversations apart."""
_PLACES = ("metadata.", "params.", "headers.")
_INSTRUCTIONS = ("system", "systemInstruction", "system_instruction", "instructions", "tools")
_TURNS = ("messages", "contents", "input", "prompt")
_GUIDES = {"system", "developer"}


class Home(Struct, frozen=True):
    """Where the key of a conversation stands, by how much the load of its home may be above its share, and what the children
    go by.
    """

    place: str
    bound: float
    names: Sequence[str]


class Affinity(Live):
    """Calls the home of a conversation while its load is within its share times `bound`, else the next in its ranking.

    A conversation is what stands at `key`, else the tenant with the beginning of the prompt. When a target goes only the
    conversations that it had move.
    """

    known = ("key", "bound")

    @override
    def settings(self, target: Target, fault: Fault) -> Home:
        place: Any = target.settings.get("key", "")
        is_place = isinstance(place, str) and place.startswith(_PLACES) and not place.endswith(".")
        if place not in ("", "user") and not is_place:
            fault("strategy.key", "must be `metadata.KEY`, `params.KEY`, `headers.NAME` or `user`")
            place = ""
        bound = number(target.settings.get("bound", BOUND), 1)
        if bound is None:
            fault("strategy.bound", "must be a number of at least 1, such as 1.25")
        return Home(place, BOUND if bound is None else bound, _names(target.targets))

    @override
    def pick(self, target: Target, ex: Exchange, among: Sequence[int], scene: Scene) -> int:
        node: Node = target.compiled
        home: Home = node.own
        weights = {index: target.targets[index].weight for index in among}
        ranked = ranking(conversation(ex, home.place), [home.names[index] for index in among], [*weights.values()])
        calls = {index: calls_under_way(target.targets[index], scene) for index in among}
        return bounded([among[at] for at in ranked], calls, home.bound, weights)


def conversation(ex: Exchange, place: str) -> bytes:
    """The key of a conversation. No two tenants share one. What shows no prompt is a conversation of its own."""
    tenant = ex.principal.tenant if ex.principal is not None else ""
    said = _at(ex, place) if place else None
    if said is None:
        said = ex.id if ex.is_unreadable or not ex.body else beginning(ex.json)
    return hashlib.blake2b(msgspec.json.encode((tenant, said)), digest_size=16).digest()


def beginning(body: Mapping[str, Any]) -> list[Any]:
    """What the requests of one conversation have in common: instructions, tools, and the start of the first user message."""
    held: list[Any] = [body[name] for name in _INSTRUCTIONS if name in body]
    turns: Any = next((body[name] for name in _TURNS if name in body), None)
    if not isinstance(turns, list):
        return [*held, _chunk(turns)]
    for turn in cast("list[Any]", turns):
        role: Any = cast("dict[str, Any]", turn).get("role") if isinstance(turn, dict) else None
        if role not in _GUIDES:
            return [*held, _chunk(turn)]
        held.append(turn)
    return held


def _chunk(turn: Any) -> str:
    """The first bytes of what a turn says; its other members can differ from one request to the next (cache marks)."""
    fields: Any = turn
    for name in ("content", "parts"):
        if isinstance(fields, dict) and name in fields:
            fields = cast("dict[str, Any]", fields)[name]
    if isinstance(fields, list) and fields:
        first: Any = cast("list[Any]", fields)[0]
        fields = cast("dict[str, Any]", first).get("text", first) if isinstance(first, dict) else first
    if isinstance(fields, str):
        return fields[:CHUNK]
    return msgspec.json.encode(fields)[:CHUNK].decode("utf-8", "replace")


def _at(ex: Exchange, place: str) -> Any:
    """What stands at a place, None where there is nothing."""
    root, _, rest = place.partition(".")
    if root == "user":
        return ex.user
    if root == "metadata":
        return ex.metadata.get(rest)
    if root == "headers":
        return ex.header(rest.lower())
    held: Any = {} if ex.is_unreadable or not ex.body else ex.json
    for name in rest.split("."):
        held = cast("Mapping[str, Any]", held).get(name) if isinstance(held, Mapping) else None
    return held


def _names(children: Sequence[Target]) -> list[str]:
    """What each child goes by, so that its place in the list does not matter; a number tells those apart that are the same."""
    said: dict[str, int] = {}
    names: list[str] = []
    for child in children:
        name = child.name or " ".join(f"{leaf.deployment}/{leaf.model}" for leaf in leaves(child))
        said[name] = said.get(name, 0) + 1
        names.append(f"{name}#{said[name]}")
    return names
