"""The gateway as the `portkey-ai` package sees it: only its base URL changes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from typing import Any, cast

import httpx
import portkey_ai
import pytest
from openai import AsyncOpenAI
from portkey_ai import AsyncPortkey, Portkey
from portkey_ai._vendor import openai as vendored
from tests.door.upstream import CHAT_REPLY, Upstream, json_response, reply_fitting
from tests.harness import CANARY, GATEWAY_KEY, Gateway, eventually_idle, merged

HELLO = [{"role": "user", "content": "hi"}]
ANSWER = "Hello from the Headgate demo. You said: hi"
FALLBACK = {"strategy": {"mode": "fallback"}, "targets": [{"provider": "dead"}, {"provider": "demo"}]}


@pytest.fixture(scope="module")
def routing_gateway(tmp_path_factory: pytest.TempPathFactory, sdk_config: Mapping[str, Any]) -> Iterator[Gateway]:
    """A gateway with the router that reads routing configs from requests."""
    gateway = Gateway(tmp_path_factory.mktemp("portkey"), merged(sdk_config, {"plugins": ["router-standard"]}))
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture
async def gateway(routing_gateway: Gateway) -> AsyncIterator[Gateway]:
    """The module's gateway; no exchange may be running on it when the test is over."""
    yield routing_gateway
    await eventually_idle(routing_gateway)


Make = Callable[..., Any]
"""Makes a client of the gateway. The package's types are loose, so the tests treat a client as untyped."""


@pytest.fixture
def portkey(gateway: Gateway) -> Iterator[Make]:
    """Makes synchronous clients without retries of their own, whose connections are closed in the end."""
    with httpx.Client(timeout=10) as http:
        yield partial(Portkey, base_url=f"{gateway.url}/v1", api_key=GATEWAY_KEY, max_retries=0, http_client=http)


@pytest.fixture
async def async_portkey(gateway: Gateway) -> AsyncIterator[Make]:
    """The same, asynchronous."""
    async with httpx.AsyncClient(timeout=10) as http:
        yield partial(AsyncPortkey, base_url=f"{gateway.url}/v1", api_key=GATEWAY_KEY, max_retries=0, http_client=http)


def test_provider_header(portkey: Make) -> None:
    """`provider=` chooses the deployment, `@` before its name or not, and the reply parses."""
    for name in ("demo", "@demo"):
        reply = portkey(provider=name).chat.completions.create(model="echo", messages=HELLO)
        assert reply.choices[0].message.content == ANSWER
        assert reply.usage.total_tokens == 9


def test_model_with_its_deployment(portkey: Make) -> None:
    """`model="@deployment/model"` needs no provider."""
    reply = portkey().chat.completions.create(model="@demo/echo", messages=HELLO)
    assert (reply.model, reply.choices[0].message.content) == ("echo", ANSWER)


def test_an_alias_needs_no_provider(portkey: Make) -> None:
    """A model alias of the gateway works without provider and config."""
    reply = portkey().chat.completions.create(model="fast", messages=HELLO)
    assert reply.choices[0].message.content == ANSWER


def test_reply_headers(portkey: Make) -> None:
    """`get_headers()` finds what the package looks for, the caller's trace among it."""
    client = portkey(provider="demo", trace_id="trace-7", metadata={"_user": "ada", "team": "red"})
    headers = client.chat.completions.create(model="echo", messages=HELLO).get_headers()
    assert headers == {
        "trace-id": "trace-7",
        "provider": "demo",
        "last-used-option-index": "config",
        "retry-attempt-count": "0",
    }


def test_a_trace_is_made_where_none_is_given(portkey: Make) -> None:
    """Without a trace id each reply gets one of its own."""
    client = portkey(provider="demo")
    traces = [client.chat.completions.create(model="echo", messages=HELLO).get_headers()["trace-id"] for _ in range(2)]
    assert len(set(traces)) == 2
    assert all(traces)


def test_stream(portkey: Make) -> None:
    """A stream says the same, and its usage comes when asked for."""
    stream = portkey(provider="demo").chat.completions.create(
        model="echo", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    said = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(said) == ANSWER
    assert chunks[-1].usage.total_tokens == 9


async def test_async_whole_and_streamed(async_portkey: Make) -> None:
    """The asynchronous client gets the same answers."""
    client = async_portkey(provider="demo")
    reply = await client.chat.completions.create(model="echo", messages=HELLO)
    assert reply.choices[0].message.content == ANSWER
    stream = await client.chat.completions.create(model="echo", messages=HELLO, stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == ANSWER


def test_other_operations(portkey: Make) -> None:
    """Embeddings, text completions and the model list work as well."""
    client = portkey(provider="demo")
    assert len(client.embeddings.create(model="echo", input=["a", "b"]).data) == 2
    assert client.completions.create(model="echo", prompt="hi").choices[0].text == ANSWER
    assert "fast" in [model.id for model in client.models.list().data]


def test_tools_and_structured_output(portkey: Make) -> None:
    """Tools and `response_format` pass through the package and back."""
    client = portkey(provider="demo")
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"type": "function", "function": {"name": "weather", "parameters": schema}}
    called = client.chat.completions.create(model="echo", messages=HELLO, tools=[tool], tool_choice="required")
    assert called.choices[0].message.tool_calls[0].function.name == "weather"
    formed = client.chat.completions.create(
        model="echo",
        messages=HELLO,
        response_format={"type": "json_schema", "json_schema": {"name": "place", "schema": schema}},
    )
    assert json.loads(formed.choices[0].message.content).keys() == {"city"}


def test_inline_config(portkey: Make) -> None:
    """`config=` with a routing config is obeyed, and the headers tell which target answered."""
    reply = portkey(config=FALLBACK).chat.completions.create(model="echo", messages=HELLO)
    assert reply.choices[0].message.content == ANSWER
    headers = reply.get_headers()
    assert (headers["provider"], headers["last-used-option-index"]) == ("demo", "config.targets[1]")


def test_inline_config_as_text(portkey: Make) -> None:
    """The same as a JSON text, given for one call with `with_options`, streamed."""
    client = portkey(provider="dead").with_options(config=json.dumps(FALLBACK))
    chunks = list(client.chat.completions.create(model="echo", messages=HELLO, stream=True))
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == ANSWER


def test_override_params(portkey: Make) -> None:
    """`override_params` of a target replace what the request says, the model too."""
    config = {"provider": "demo", "override_params": {"model": "other", "max_tokens": 1}}
    reply = portkey(config=config).chat.completions.create(model="echo", messages=HELLO, max_tokens=50)
    assert (reply.model, reply.choices[0].message.content) == ("other", "Hello ")


def test_a_config_that_is_wrong(portkey: Make) -> None:
    """A misspelt config is a 400 that names what is wrong, not a call that goes somewhere."""
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"provider": "dmeo"}, "dmeo"),
        ({"stratgy": {}, "provider": "demo"}, "stratgy"),
    ]
    for config, said in wrong:
        with pytest.raises(vendored.BadRequestError, match=said):
            portkey(config=config).chat.completions.create(model="echo", messages=HELLO)


def test_a_saved_config_is_refused(portkey: Make) -> None:
    """The id of a config that is saved elsewhere is a 400 that says what to send instead."""
    with pytest.raises(vendored.BadRequestError, match="`configs:` has no"):
        portkey(config="pc-my-config-1a2b3c").chat.completions.create(model="echo", messages=HELLO)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "BadRequestError"), (429, "RateLimitError"), (446, "APIStatusError"), (500, "InternalServerError")],
)
def test_errors(portkey: Make, status: int, kind: str) -> None:
    """A provider's error is the package's exception for its status."""
    with pytest.raises(getattr(vendored, kind)) as caught:
        portkey(provider="demo").chat.completions.create(model="ill", messages=HELLO, demo={"status": status})
    assert caught.value.status_code == status
    assert caught.value.response.headers["x-portkey-provider"] == "demo"


def test_unknown_provider(portkey: Make) -> None:
    """A provider that is not configured is an error that names it."""
    with pytest.raises(vendored.NotFoundError, match="nowhere"):
        portkey(provider="nowhere").chat.completions.create(model="echo", messages=HELLO)


def test_a_broken_stream_raises(portkey: Make) -> None:
    """A stream that breaks off raises after what came."""
    stream = portkey(provider="demo").chat.completions.create(
        model="ill", messages=HELLO, stream=True, demo={"fail_after_chunks": 2}
    )
    with pytest.raises(vendored.APIError, match="broke off"):
        list(stream)


async def test_the_package_stays_out_of_the_upstream_call(async_portkey: Make, upstream: Upstream) -> None:
    """The provider gets the deployment's key and the body; no `x-portkey` header, neither of the caller's keys."""
    client = async_portkey(provider="mock", Authorization="sk-of-the-caller", metadata={"_user": "ada"})
    await client.chat.completions.create(model="some-model", messages=HELLO, temperature=0)
    call = await upstream.call()
    assert call.header("authorization") == f"Bearer {CANARY}"
    assert call.json == {"messages": HELLO, "model": "some-model", "temperature": 0}
    assert [name for name, _ in call.headers if name.startswith(("x-portkey", "x-stainless"))] == []
    assert "sk-of-the-caller" not in repr(call.headers)


async def test_a_caller_cannot_send_the_deployments_key_elsewhere(
    async_portkey: Make, upstream: Upstream, upstream_port: int
) -> None:
    """`custom_host` does not move a deployment's credential to another server."""
    elsewhere = Upstream()
    await elsewhere.listen()
    client = async_portkey(provider="mock", custom_host=f"http://127.0.0.1:{elsewhere.port}/v1")
    with contextlib.suppress(vendored.APIStatusError):
        await client.chat.completions.create(model="some-model", messages=HELLO)
    assert elsewhere.calls == []
    await elsewhere.close()


async def test_retries_of_the_config(async_portkey: Make, upstream: Upstream) -> None:
    """`retry` of a config is carried out by the gateway, and counted in `retry-attempt-count`."""
    upstream.script = reply_fitting()
    refused = json_response({"error": {"message": "no"}}, "503 Service Unavailable")
    answers = [refused, json_response(CHAT_REPLY)]

    async def script(call: Any) -> None:
        await call.send(answers.pop(0))

    upstream.script = script
    config = {"provider": "mock", "retry": {"attempts": 2, "on_status_codes": [503]}}
    reply = await async_portkey(config=config).chat.completions.create(model="some-model", messages=HELLO)
    assert reply.get_headers()["retry-attempt-count"] == "1"
    assert len(upstream.calls) == 2


async def test_request_timeout(async_portkey: Make) -> None:
    """`request_timeout` in milliseconds is the gateway's limit for the provider."""
    client = async_portkey(provider="demo", request_timeout=100)
    with pytest.raises(vendored.InternalServerError) as caught:
        await client.chat.completions.create(model="echo", messages=HELLO, demo={"hang": True})
    assert caught.value.status_code == 504


async def test_the_official_client_with_the_packages_headers(gateway: Gateway) -> None:
    """`createHeaders` on the `openai` client, as Portkey's guide shows, routes the same way."""
    headers: dict[str, str] = cast("Any", portkey_ai).createHeaders(api_key=GATEWAY_KEY, config=FALLBACK)
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="-", default_headers=headers, max_retries=0) as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="echo", messages=[{"role": "user", "content": "hi"}]
        )
    assert raw.headers["x-portkey-last-used-option-index"] == "config.targets[1]"
