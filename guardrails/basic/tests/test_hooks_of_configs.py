"""Guardrails that stand in a routing config: Portkey's two ways to write them, and what their verdicts do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest

from headgate import Exchange, Hooks, Outcome, Scene, StartupError, Strategy, Target, hookimpl, override
from headgate.testing import Client, chat_request, gateway
from headgate_guard_basic import GuardBasic, GuardBasicConfig
from headgate_guard_basic.hooks_of_configs import checks_of
from headgate_guard_basic.settings import CheckConfig

CHAT = "/v1/chat/completions"
WORDS = {"words": ["apple"], "operator": "none"}
MODELS: dict[str, Any] = {
    "free": "demo/echo",
    "denied": {"provider": "demo/echo", "input_guardrails": [{"default.contains": WORDS, "deny": True}]},
    "noted": {"provider": "demo/echo", "input_guardrails": [{"default.contains": WORDS}]},
    "after": {"provider": "demo/echo", "output_guardrails": [{"default.contains": WORDS, "deny": True}]},
    "behind": {
        "strategy": {"mode": "next", "on_status_codes": [446]},
        "targets": [
            {"provider": "demo/echo", "output_guardrails": [{"default.contains": WORDS, "deny": True}]},
            "demo/echo",
        ],
    },
}


def told(written: Any) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    checks_of(written, lambda at, what: found.append((at, what)))
    return found


def test_shorthands_and_hooks_are_checks() -> None:
    """A shorthand's keys are checks, its other members options; a hook lists its checks. Only `deny: true` denies."""
    written = {
        "input_guardrails": [{"default.contains": WORDS, "deny": True}, {"a": {"id": "default.contains", **WORDS}}],
        "after_request_hooks": [
            {
                "type": "guardrail",
                "id": "mine",
                "deny": True,
                "checks": [
                    {"id": "default.regexMatch", "parameters": {"rule": "x"}},
                    {"id": "default.contains", "is_enabled": False},
                ],
            }
        ],
    }
    assert checks_of(written, lambda at, what: pytest.fail(f"{at} {what}")) == [
        CheckConfig("default.contains", ["request"], WORDS, deny=True),
        CheckConfig("default.contains", ["request"], WORDS, deny=False),
        CheckConfig("default.regexMatch", ["reply"], {"rule": "x"}, deny=True),
    ]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"input_guardrails": ["pg-1"]}, "input_guardrails[0]"),
    ({"input_guardrails": {"a": 1}}, "input_guardrails"),
    ({"input_guardrails": [5]}, "input_guardrails[0]"),
    ({"input_guardrails": [{"default.contains": 5}]}, "input_guardrails[0].default.contains"),
    ({"input_guardrails": [{"default.contains": {}, "deny": "yes"}]}, "input_guardrails[0].deny"),
    ({"before_request_hooks": [{"type": "mutator"}]}, "before_request_hooks[0]"),
    ({"before_request_hooks": [{"checks": 5}]}, "before_request_hooks[0].checks"),
    ({"before_request_hooks": [{"checks": [{}]}]}, "before_request_hooks[0].checks[0]"),
]


@pytest.mark.parametrize(("written", "place"), WRONG)
def test_problems_are_told_at_their_place(written: Any, place: str) -> None:
    """What cannot be read is named, and nothing is left out in silence."""
    assert [at for at, _ in told(written)] == [place]


class Next(Hooks, Strategy):
    """A router that goes on after the statuses that are listed."""

    @override
    @hookimpl
    def strategies(self) -> Mapping[str, Strategy]:
        return {"next": self}

    @override
    def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
        is_over = bool(outcomes) and outcomes[-1].status not in target.on_status_codes
        return None if is_over or len(outcomes) == len(target.targets) else len(outcomes)


DEMO: dict[str, Any] = {"providers": {"demo": {"provider": "demo"}}}


async def ask(client: Client, model: str, text: str, *, stream: bool = False) -> Any:
    return await client.post(CHAT, json=chat_request(text, model=model, stream=stream))


@pytest.mark.parametrize(
    ("model", "text", "status"),
    [
        ("free", "an apple", 200),
        ("denied", "a pear", 200),
        ("denied", "an apple", 446),
        ("noted", "an apple", 246),
        ("noted", "a pear", 200),
        ("after", "an apple", 446),
        ("after", "a pear", 200),
        ("behind", "an apple", 200),
    ],
)
async def test_verdicts_of_a_config(model: str, text: str, status: int) -> None:
    """Denied requests and replies have status 446, which a fallback may leave; what is only noted passes with 246."""
    guard = GuardBasic(GuardBasicConfig())
    async with gateway(guard, Next(), **DEMO, models=MODELS) as client:
        reply = await ask(client, model, text)
    assert reply.status_code == status
    if status == 446:
        assert msgspec.json.decode(reply.content)["hook_results"]


async def test_a_stream_is_judged_by_its_config() -> None:
    """A reply that streams is held and cut as one of the gateway's own guardrails would do it, for this model alone."""
    async with gateway(GuardBasic(GuardBasicConfig()), Next(), **DEMO, models=MODELS) as client:
        judged = await ask(client, "after", "an apple", stream=True)
        free = await ask(client, "free", "an apple", stream=True)
    assert "guardrail_blocked" in judged.text
    assert "[DONE]" not in judged.text
    assert "[DONE]" in free.text


async def test_an_unknown_check_refuses_the_config() -> None:
    """A misspelt check lets nothing through: the config is refused, with what is meant."""
    wrong: dict[str, Any] = {"provider": "demo", "input_guardrails": [{"default.contain": {}, "deny": True}]}
    with pytest.raises(StartupError, match=r"did you mean `default\.contains`"):
        async with gateway(GuardBasic(GuardBasicConfig()), **DEMO, models={"m": wrong}):
            pass
