"""Shadow traffic: what is mirrored, how often, and how the answers are paired."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from core.tests.asking import Noting
from typing_extensions import override

from headgate import Exchange, Provider, Reply, StartupError, Target
from headgate.dialects.openai.chat import OpenAIChat
from headgate.fleet import Fleet
from headgate.hooks import Outcome, Scene
from headgate.operations import CHAT, FILES, MESSAGES, Operation
from headgate.routing import Known, decode_target
from headgate.testing import chat_request, eventually, gateway
from headgate.testing.samples import chat_reply
from headgate_router_trial import RouterTrial, Shadow

SHADOW = Shadow()


def decode(*targets: Any, **strategy: Any) -> Target:
    config = {"strategy": {"mode": "shadow", **strategy}, "targets": list(targets or ("a/m", "b/m", "c/m"))}
    return decode_target(config, Known(("a", "b", "c"), {"shadow": SHADOW}))


def exchange(body: Mapping[str, Any] | None = None, operation: Operation = CHAT) -> Exchange:
    ex = Exchange(operation, {}, request_id="r", trace_id="t", dialect=OpenAIChat())
    ex.body, ex.model = json.dumps({"model": "m", "messages": [], **(body or {})}).encode(), "m"
    return ex


def scene(seed: int = 1) -> Scene:
    return Scene(0.0, random.Random(seed), Fleet(), "m")


def test_the_first_answers_alone() -> None:
    """Its outcome stands, whatever it is."""
    assert SHADOW.choose(decode(share=1), exchange(), (), scene()) == 0
    assert SHADOW.choose(decode(share=1), exchange(), [Outcome(0, 503)], scene()) is None


def test_a_share_is_mirrored() -> None:
    """Of a thousand requests a tenth, to each of the others by itself."""
    target, at = decode(share=0.1), scene()
    drawn = [index for _ in range(1000) for index in SHADOW.mirrors(target, exchange(), at)]
    assert 70 < drawn.count(1) < 130
    assert 70 < drawn.count(2) < 130
    assert not SHADOW.mirrors(decode(share=0), exchange(), at)


GOOGLE: dict[str, Any] = {"functionDeclarations": [{"name": "f"}]}
GOOGLE_SEARCH: dict[str, Any] = {**GOOGLE, "googleSearch": {}}
ANTHROPIC: dict[str, Any] = {"name": "pay", "input_schema": {}}


@pytest.mark.parametrize(
    ("body", "operation", "is_mirrored"),
    [
        ({"tools": [{"type": "function", "function": {"name": "pay"}}]}, CHAT, True),
        ({"tools": [ANTHROPIC]}, MESSAGES, True),
        ({"tools": [GOOGLE]}, CHAT, True),
        ({"tools": [GOOGLE_SEARCH]}, CHAT, False),
        ({"tools": [{"type": "web_search"}]}, CHAT, False),
        ({"tools": "all"}, CHAT, False),
        ({"store": True}, CHAT, False),
        ({}, FILES, False),
    ],
)
def test_what_a_provider_would_act_upon_is_not_mirrored(
    body: dict[str, Any], operation: Operation, is_mirrored: bool
) -> None:
    """Functions are the caller's to run, who never sees the shadow; tools of a provider run there."""
    assert bool(SHADOW.mirrors(decode(share=1), exchange(body, operation), scene())) == is_mirrored


def test_a_shadow_has_none_itself_and_goes_to_nobody_who_is_paused() -> None:
    """Mirrors of mirrors would never end."""
    shadow = exchange()
    shadow.shadow_of = "other"
    assert not SHADOW.mirrors(decode(share=1), shadow, scene())
    at, target = scene(), decode(share=1)
    at.health(target.targets[1]).paused(0.0, 60.0)
    assert SHADOW.mirrors(target, exchange(), at) == [2]


def test_settings_are_checked() -> None:
    """Everything that is wrong, at its place."""
    with pytest.raises(StartupError) as caught:
        decode("a/m", percent=5)
    assert [str(problem).split("`")[1] for problem in caught.value.problems] == [
        "config.strategy.percent",
        "config.targets",
        "config.strategy.share",
    ]
    with pytest.raises(StartupError, match=r"config\.strategy\.share` must be a number from 0 to 1"):
        decode(share=5)


class Named(Provider):
    """Says which deployment it is; `broken` answers 500."""

    name = "named"
    is_keyless = True
    dialects: ClassVar[Mapping[str, str]] = {"chat": "openai.chat"}

    @override
    async def call(self, ex: Exchange) -> Reply:
        headers = ((b"content-type", b"application/json"),)
        body = json.dumps(chat_reply({"content": self.deployment})).encode()
        return Reply(500 if self.deployment == "broken" else 200, headers, body)


@pytest.mark.parametrize("other", ["candidate", "broken"])
async def test_through_a_gateway(other: str) -> None:
    """The caller has the first target's answer; the other's is settled and recorded, paired by `shadow_of`."""
    noting = Noting()
    deployments = {name: {"provider": "named"} for name in ("main", other)}
    models = {"x": {"strategy": {"mode": "shadow", "share": 1}, "targets": ["main/m", f"{other}/m"]}}
    timed = {"server": {"timing": True}}
    async with gateway(noting, RouterTrial(), Named, providers=deployments, models=models, config=timed) as client:
        reply = await client.post("/v1/chat/completions", json=chat_request("hi", model="x"))
        await eventually(lambda: len(noting.recorded) == 2, "both records", 10)
    assert reply.json()["choices"][0]["message"]["content"] == "main"
    shadow = next(ex for ex in noting.recorded if ex.shadow_of)
    first = next(ex for ex in noting.recorded if not ex.shadow_of)
    assert (shadow.shadow_of, shadow.id != first.id) == (first.id, True)
    assert [attempt.target.deployment for attempt in shadow.attempts] == [other]
    assert [attempt.target.deployment for attempt in first.attempts] == ["main"]
    assert first.timings is not None
    assert shadow.timings is None  # so that its stages do not count among the caller's
    assert {ex.id for ex in noting.settled} == {shadow.id, first.id}
