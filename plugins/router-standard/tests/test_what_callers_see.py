"""What a caller is told of a bad day: how often was tried, whether to try again, and that the time is over."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headgate.testing import Recorded, ReplayUpstream, chat_request, gateway
from headgate_openai import OpenAI
from headgate_router_standard import RouterStandard

PATH = "/v1/chat/completions"
BAD = Recorded(
    status=503,
    headers=(("content-type", "application/json"), ("x-should-retry", "true")),
    body=b'{"error":{"message":"no","type":"server_error"}}',
)
PROVIDERS: dict[str, Any] = {
    name: {"provider": "openai", "api_key": "sk-x", "base_url": f"https://vendors.example/{name}"} for name in "ab"
}
TWO = {"strategy": {"mode": "fallback"}, "targets": ["a/m", "b/m"]}


async def ask(upstream: ReplayUpstream, **headers: str) -> Any:
    async with gateway(RouterStandard(), OpenAI, providers=PROVIDERS, upstream=upstream) as client:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await client.post(PATH, json=chat_request("hi", model="a/m"), headers=named)


@pytest.mark.parametrize(
    ("config", "attempts", "told"),
    [
        ({"provider": "a/m"}, "1", "true"),
        (TWO, "2", "false"),
    ],
)
async def test_after_own_tries_a_client_is_told_not_to_go_on(config: Any, attempts: str, told: str) -> None:
    """Calls of the gateway's own are not multiplied by the client's; what a single call brought is passed on as it came."""
    reply = await ask(ReplayUpstream({"*": BAD}), x_headgate_config=json.dumps(config))
    assert (reply.status_code, reply.headers["x-headgate-attempt-count"]) == (503, attempts)
    assert reply.headers.get_list("x-should-retry") == [told]


async def test_an_error_of_the_gateways_own_says_so_too() -> None:
    """Targets that cannot be reached at all end in an error of the gateway, with the same word."""
    upstream = ReplayUpstream({"*": Recorded(status=302, headers=(("location", "https://x.example"),))})
    reply = await ask(upstream, x_headgate_config=json.dumps(TWO))
    assert (reply.status_code, reply.headers["x-headgate-attempt-count"]) == (502, "2")
    assert reply.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("config", [{"provider": "a/m"}, {**TWO, "retry": {"attempts": 3}}])
async def test_nothing_goes_on_after_the_deadline(config: Any) -> None:
    """A provider that hangs is cut when the caller's time is over, and nobody else is called then."""
    upstream = ReplayUpstream({"*": Recorded(stall_at=-1)})
    reply = await ask(upstream, x_headgate_config=json.dumps(config), x_headgate_deadline="150")
    assert (reply.status_code, reply.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("headers", "deadline"),
    [({}, 100), ({"x_headgate_deadline": "100"}, 60_000), ({"x_headgate_deadline": "60000"}, 100)],
)
async def test_the_deadline_of_a_config(headers: dict[str, str], deadline: int) -> None:
    """It bounds all targets and tries together, and of several deadlines the soonest counts."""
    upstream = ReplayUpstream({"*": Recorded(stall_at=-1)})
    config = {**TWO, "retry": {"attempts": 2}, "deadline": deadline}
    reply = await ask(upstream, x_headgate_config=json.dumps(config), **headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("value", ["0", "soon", "-1", "1.5"])
async def test_a_deadline_that_is_none_is_refused(value: str) -> None:
    """It names the header and what it takes."""
    upstream = ReplayUpstream({"*": BAD})
    reply = await ask(upstream, x_headgate_deadline=value)
    assert (reply.status_code, upstream.requests) == (400, [])
    assert "`deadline` must be a number of milliseconds" in reply.json()["error"]["message"]


FIRST = {"strategy": {"mode": "fallback"}, "targets": ["a/m", "b/m"]}
HANGING = {"/a/chat/completions": Recorded(stall_at=-1), "*": Recorded(body=b"{}")}


async def calls_after(headers: dict[str, str], configs: dict[str, Any]) -> list[str]:
    """Where a fallback goes after six requests with these headers, which the first target never answers."""
    upstream = ReplayUpstream(HANGING)
    config = {"configs": {"first": FIRST, **configs}}
    async with gateway(RouterStandard(), OpenAI, providers=PROVIDERS, config=config, upstream=upstream) as client:
        for _ in range(6):
            await client.post(PATH, json=chat_request("hi", model="a/m"), headers=headers)
        upstream.requests.clear()
        last = {"x-headgate-config": "first", "x-headgate-request-timeout": "20"}
        reply = await client.post(PATH, json=chat_request("hi", model="a/m"), headers=last)
    assert reply.status_code == 200
    return [request.url for request in upstream.requests]


@pytest.mark.parametrize(
    "headers",
    [
        {"x-headgate-config": "first", "x-headgate-deadline": "20"},
        {"x-headgate-config": "first", "x-headgate-request-timeout": "20"},
        {"x-headgate-config": json.dumps({**FIRST, "request_timeout": 20})},
        {"x-headgate-config": json.dumps({**FIRST, "timeouts": {"first_byte": 20}})},
        {"x-headgate-config": json.dumps({**FIRST, "timeouts": {"first_token": 20}})},
    ],
)
async def test_callers_without_patience_shut_no_deployment(headers: dict[str, str]) -> None:
    """Limits that callers bring are theirs: others still find the deployment open."""
    assert len(await calls_after(headers, {})) == 2


@pytest.mark.parametrize(
    "limits",
    [
        {"request_timeout": 20},
        {"request_timeout": 20, "retry": {"attempts": 1, "on_status_codes": [418]}},
        {"timeouts": {"first_byte": 20}},
        {"timeouts": {"first_token": 20}},
    ],
)
async def test_the_operators_limits_shut_a_deployment_that_hangs(limits: dict[str, Any]) -> None:
    """After as many timeouts of the operator's own the deployment is left alone, whoever of the layers measured them."""
    saved = {"saved": {**FIRST, **limits}}
    assert len(await calls_after({"x-headgate-config": "saved"}, saved)) == 1


async def test_a_limit_met_with_ones_own_key_is_nobody_elses() -> None:
    """In auth mode `passthrough` a 429 for one caller's key keeps no other caller from the provider."""
    upstream = ReplayUpstream({"/a/chat/completions": Recorded(status=429, body=b"{}"), "*": Recorded(body=b"{}")})
    config = {"auth": {"mode": "passthrough"}, "configs": {"first": FIRST}}
    called: list[int] = []
    async with gateway(RouterStandard(), OpenAI, providers=PROVIDERS, config=config, upstream=upstream) as client:
        for key in ("one", "one", "two"):
            headers = {"x-headgate-config": "first", "authorization": f"Bearer {key}"}
            reply = await client.post(PATH, json=chat_request("hi", model="a/m"), headers=headers)
            assert reply.status_code == 200
            called.append(len(upstream.requests))
    assert called == [2, 3, 5]
