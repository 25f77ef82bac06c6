"""Keys, guardrails, cache and routing as the official clients meet them, on a gateway with every plugin enabled."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
from portkey_ai import Portkey
from portkey_ai._vendor import openai as vendored
from tests.harness import GATEWAY_KEY, Gateway, eventually, eventually_idle, merged

LIMITED_KEY = "hg-limited-5d1f0c7b"
EXPIRED_KEY = "hg-expired-8a2e4f60"
CHECKS = [
    {"check": "contains", "on": [side], "parameters": {"words": [word], "operator": "none"}}
    for side, word in (("request", "project-x"), ("reply", "verboten"))
]
PLUGINS = [
    {
        "keys": {
            "keys": [
                {"name": "app", "key": GATEWAY_KEY},
                {"name": "limited", "key": LIMITED_KEY, "models": ["fast", "demo/echo"]},
                {"name": "old", "key": EXPIRED_KEY, "expires": "2020-01-01"},
            ]
        }
    },
    "cache-memory",
    "router-standard",
    {"guard-basic": {"checks": CHECKS}},
    {"logs-jsonl": {"path": "requests.jsonl", "content": True}},
]
SMART = {"strategy": {"mode": "fallback"}, "targets": ["dead/some-model", "demo/echo"]}


@pytest.fixture(scope="module")
def full_gateway(tmp_path_factory: pytest.TempPathFactory, sdk_config: Mapping[str, Any]) -> Iterator[Gateway]:
    """A gateway with keys, cache, router, guardrail and log."""
    changes = {"auth": {"mode": "keys"}, "plugins": PLUGINS, "models": {"smart": SMART}}
    gateway = Gateway(tmp_path_factory.mktemp("full"), merged(sdk_config, changes))
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture
async def gateway(full_gateway: Gateway) -> AsyncIterator[Gateway]:
    """The module's gateway; no exchange may be running on it when the test is over."""
    yield full_gateway
    await eventually_idle(full_gateway)


def hello(text: str = "hi") -> list[ChatCompletionMessageParam]:
    """One user message."""
    return [{"role": "user", "content": text}]


def test_a_known_key_may_call(client: OpenAI) -> None:
    """The gateway's key goes where the package puts a provider's."""
    assert client.chat.completions.create(model="fast", messages=hello()).choices[0].message.role == "assistant"


@pytest.mark.parametrize("key", ["sk-wrong", EXPIRED_KEY, GATEWAY_KEY + "x"])
def test_other_keys_are_refused(client: OpenAI, key: str) -> None:
    """An unknown or expired key is an AuthenticationError, for a call as for the model list, and is not repeated in it."""
    headers = {"authorization": f"Bearer {key}"}
    for call in (
        lambda: client.chat.completions.create(model="fast", messages=hello(), extra_headers=headers),
        lambda: client.models.list(extra_headers=headers),
    ):
        with pytest.raises(openai.AuthenticationError) as caught:
            call()
        assert caught.value.type == "authentication_error"
        assert key not in caught.value.response.text


def test_no_key_at_all(client: OpenAI) -> None:
    """Without a key the error says how to send one."""
    with pytest.raises(openai.AuthenticationError) as caught:
        client.chat.completions.create(model="fast", messages=hello(), extra_headers={"authorization": openai.omit})
    assert caught.value.code == "missing_api_key"


def test_a_limited_key(client: OpenAI) -> None:
    """A key with a model list calls and lists those models; another is a PermissionDeniedError that names it."""
    limited = client.with_options(api_key=LIMITED_KEY)
    assert limited.chat.completions.create(model="fast", messages=hello()).model == "echo"
    assert {model.id for model in limited.models.list()} == {"fast", "demo/echo"}
    with pytest.raises(openai.PermissionDeniedError, match="smart") as caught:
        limited.chat.completions.create(model="smart", messages=hello())
    assert caught.value.code == "model_not_allowed"


def test_a_blocked_request(client: OpenAI) -> None:
    """A request the guardrail refuses is an APIStatusError of 446 with Portkey's results, whole and streamed."""
    for stream in (False, True):
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="fast", messages=hello("tell me of project-x"), stream=stream)
        assert (caught.value.status_code, caught.value.type) == (446, "hooks_failed")
        results = caught.value.response.json()["hook_results"]
        assert [hook["verdict"] for hook in results["before_request_hooks"]] == [False]


def test_blocking_is_not_retried(client: OpenAI) -> None:
    """The package does not take a 446 as a reason to try again."""
    with pytest.raises(openai.APIStatusError) as caught:
        client.with_options(max_retries=3).chat.completions.create(model="fast", messages=hello("project-x"))
    assert caught.value.response.request.headers["x-stainless-retry-count"] == "0"


def test_a_blocked_reply(client: OpenAI) -> None:
    """A reply the guardrail refuses is a 446 as well."""
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="fast", messages=hello("say verboten"))
    assert caught.value.status_code == 446
    assert "verboten" not in caught.value.response.text


def test_a_blocked_stream(client: OpenAI) -> None:
    """A stream is cut before the refused word, however its pieces fall, and raises; nothing of the word is seen."""
    seen: list[ChatCompletionChunk] = []
    stream = client.chat.completions.create(
        model="fast",
        messages=hello("word " * 60 + "verboten and more"),
        stream=True,
        extra_body={"demo": {"chunk_bytes": 3}},
    )
    with pytest.raises(openai.APIError) as caught:
        seen.extend(stream)
    choices = [choice for chunk in seen for choice in chunk.choices]
    said = "".join(choice.delta.content or "" for choice in choices)
    assert said.startswith("Hello from the Headgate demo. You said: word ")
    assert "v" not in said
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == []
    assert (caught.value.type, caught.value.code) == ("hooks_failed", "guardrail_blocked")


def test_the_cache(client: OpenAI) -> None:
    """A repeated request is answered from the cache when it asks for that, with the same bytes; streams as well."""
    for stream in (False, True):
        seen: list[tuple[str, bytes]] = []
        for _ in range(2):
            raw = client.chat.completions.with_raw_response.create(
                model="fast", messages=hello("cached"), stream=stream, extra_headers={"x-headgate-cache": "exact"}
            )
            seen.append((raw.headers["x-headgate-cache-status"], raw.http_response.read()))
        assert [status for status, _ in seen] == ["MISS", "HIT"]
        assert seen[0][1] == seen[1][1]


def test_the_cache_is_not_shared_between_keys(client: OpenAI) -> None:
    """What one key has cached another does not get."""
    headers = {"x-headgate-cache": "exact"}
    seen = [
        each.chat.completions.with_raw_response.create(model="fast", messages=hello("mine"), extra_headers=headers)
        for each in (client, client.with_options(api_key=LIMITED_KEY))
    ]
    assert [response.headers["x-headgate-cache-status"] for response in seen] == ["MISS", "MISS"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_alias_with_a_fallback(client: OpenAI, stream: bool) -> None:
    """An alias may stand for a routing config: the second target answers for the first."""
    raw = client.chat.completions.with_raw_response.create(model="smart", messages=hello(), stream=stream)
    assert raw.headers["x-headgate-last-used-option-index"] == "config.targets[1]"
    assert raw.headers["x-headgate-deployment"] == "demo"
    raw.http_response.read()


def test_portkeys_client_with_a_gateway_key(gateway: Gateway) -> None:
    """`Portkey(api_key=…)` holds the gateway's key; a wrong one is its AuthenticationError."""
    with httpx.Client(timeout=10) as http:
        make: Any = Portkey
        options = {"base_url": f"{gateway.url}/v1", "provider": "demo", "http_client": http, "max_retries": 0}
        reply = make(api_key=GATEWAY_KEY, cache_force_refresh=True, **options).chat.completions.create(
            model="echo", messages=hello()
        )
        assert reply.get_headers()["provider"] == "demo"
        with pytest.raises(vendored.AuthenticationError):
            make(api_key="pk-wrong", **options).chat.completions.create(model="echo", messages=hello())
        with pytest.raises(vendored.APIStatusError) as caught:
            make(api_key=GATEWAY_KEY, **options).chat.completions.create(model="echo", messages=hello("project-x"))
        assert caught.value.status_code == 446


async def test_every_call_is_logged(gateway: Gateway, client: OpenAI) -> None:
    """A line tells who called what, and holds no key."""
    raw = client.chat.completions.with_raw_response.create(
        model="fast", messages=hello("log me"), extra_headers={"x-headgate-metadata": '{"team": "red"}'}
    )
    wanted = raw.headers["x-headgate-request-id"]
    path = next(gateway.folder.rglob("requests.jsonl"))
    await eventually(lambda: wanted in path.read_text("utf-8").rpartition("\n")[0], "the call was logged")
    line = next(json.loads(line) for line in path.read_text("utf-8").splitlines() if wanted in line)
    assert (line["principal"]["key"], line["model"], line["deployment"], line["status"]) == ("app", "fast", "demo", 200)
    assert line["metadata"] == {"team": "red"}
    assert "log me" in json.dumps(line["request"])
