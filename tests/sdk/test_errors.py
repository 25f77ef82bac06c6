"""Every error as the `openai` package sees it: its exception class, its fields, and the package's own retries."""

from __future__ import annotations

import time
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
from tests.conftest import StartGateway
from tests.door.upstream import CHAT_REPLY, Call, Upstream, json_response, reply_with

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]


def demo(**knobs: Any) -> dict[str, Any]:
    """The body member that drives the demo."""
    return {"demo": knobs}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (418, openai.APIStatusError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (529, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_providers_error_keeps_its_status(
    client: OpenAI, status: int, kind: type[openai.APIStatusError], stream: bool
) -> None:
    """A provider's error is the exception of its status, with its message, also when a stream was asked for."""
    with pytest.raises(kind) as caught:
        client.chat.completions.create(model="fast", messages=HELLO, stream=stream, extra_body=demo(status=status))
    assert caught.value.status_code == status
    assert f"status {status}" in caught.value.message
    assert caught.value.request_id is not None
    assert caught.value.response.headers["x-headgate-provider"] == "demo"


def test_unknown_model(client: OpenAI) -> None:
    """A model nobody knows is a NotFoundError that names the field and the fix."""
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-nobody", messages=HELLO)
    error = caught.value
    assert (error.code, error.param, error.type) == ("model_not_found", "model", "invalid_request_error")
    assert "gpt-nobody" in error.message


def test_a_near_miss_is_suggested(client: OpenAI) -> None:
    """A model name with a slip in it is answered with the right one."""
    with pytest.raises(openai.NotFoundError, match="did you mean `fast`"):
        client.chat.completions.create(model="fasst", messages=HELLO)


def test_bad_request(client: OpenAI) -> None:
    """What the provider cannot mean is a BadRequestError that names the field."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="fast", messages=HELLO, n=0)
    assert caught.value.param == "n"


def test_unsupported_operation(client: OpenAI) -> None:
    """An operation that the provider does not have says so instead of failing."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.moderations.create(input="x", extra_headers={"x-headgate-provider": "demo"})
    assert caught.value.code == "unsupported_operation"


def test_provider_that_is_down(client: OpenAI) -> None:
    """A provider nobody listens for is a 502 which names the provider but not its address's secrets."""
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="down", messages=HELLO)
    assert (caught.value.status_code, caught.value.code) == (502, "upstream_failed")
    assert caught.value.response.json()["provider"] == "openai"


def test_provider_that_is_silent(client: OpenAI) -> None:
    """A provider that never answers is a 504 once the deployment's limit has passed."""
    started = time.monotonic()
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="fast", messages=HELLO, extra_body=demo(hang=True))
    assert (caught.value.status_code, caught.value.code) == (504, "upstream_timeout")
    assert 1.8 < time.monotonic() - started < 4


def test_the_caller_may_wait_for_less(client: OpenAI) -> None:
    """`x-headgate-request-timeout` in milliseconds ends the wait sooner."""
    started = time.monotonic()
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(
            model="fast",
            messages=HELLO,
            extra_body=demo(hang=True),
            extra_headers={"x-headgate-request-timeout": "150"},
        )
    assert caught.value.code == "upstream_timeout"
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("stream", [False, True])
def test_the_clients_own_timeout(client: OpenAI, stream: bool) -> None:
    """A client that gives up first gets its own timeout; the fixture sees that the gateway has given up as well."""
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(
            model="fast", messages=HELLO, stream=stream, timeout=0.2, extra_body=demo(hang=True)
        )


def test_a_broken_stream_raises(client: OpenAI) -> None:
    """A stream that breaks off gives what came, then an APIError; it never looks finished."""
    seen: list[ChatCompletionChunk] = []
    stream = client.chat.completions.create(
        model="fast", messages=HELLO, stream=True, extra_body=demo(fail_after_chunks=3)
    )
    with pytest.raises(openai.APIError) as caught:
        seen.extend(stream)
    choices = [choice for chunk in seen for choice in chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == "Hello from "
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == []
    assert caught.value.code == "upstream_cut"


def test_a_broken_completion_stream_raises(client: OpenAI) -> None:
    """The same holds for text completions."""
    with pytest.raises(openai.APIError) as caught:
        list(client.completions.create(model="fast", prompt="hi", stream=True, extra_body=demo(fail_after_chunks=2)))
    assert caught.value.code == "upstream_cut"


def test_a_stream_that_fails_at_once_is_a_status(client: OpenAI) -> None:
    """A failure before the first event is still an HTTP status."""
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="fast", messages=HELLO, stream=True, extra_body=demo(fail_after_chunks=0))
    assert caught.value.status_code == 502


def limited(times: int, header: bytes) -> Any:
    """A script that answers 429 with `header` so many times, then well."""

    async def script(call: Call) -> None:
        nonlocal times
        times -= 1
        refusal = {"error": {"message": "slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}
        refused = json_response(refusal, "429 Too Many Requests", header)
        await call.send(refused if times >= 0 else json_response(CHAT_REPLY))

    return script


@pytest.mark.parametrize("header", [b"retry-after-ms: 20\r\n", b"retry-after: 0.02\r\n"])
async def test_the_packages_retries_obey_the_provider(
    async_client: AsyncOpenAI, upstream: Upstream, header: bytes
) -> None:
    """`retry-after` in either form reaches the package, whose own retries then succeed; the gateway adds none."""
    upstream.script = limited(2, header)
    reply = await async_client.with_options(max_retries=2).chat.completions.create(model="m", messages=HELLO)
    assert reply.choices[0].message.content == "Hello"
    assert len(upstream.calls) == 3
    assert upstream.calls[2].arrived - upstream.calls[0].arrived < 1


async def test_retries_that_do_not_help(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """When the retries are spent the provider's last word is the error, `retry-after` and all."""
    upstream.script = limited(9, b"retry-after-ms: 10\r\nx-ratelimit-remaining-requests: 0\r\n")
    with pytest.raises(openai.RateLimitError) as caught:
        await async_client.with_options(max_retries=1).chat.completions.create(model="m", messages=HELLO)
    assert len(upstream.calls) == 2
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["retry-after-ms"] == "10"
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"


async def test_an_error_of_another_shape(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """An HTML error page of something in between becomes an error object, and the page stays out of it."""
    page = b"<html><body>nginx</body></html>"
    upstream.script = reply_with(
        b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n%s" % (len(page), page)
    )
    with pytest.raises(openai.InternalServerError) as caught:
        await async_client.chat.completions.create(model="m", messages=HELLO)
    assert caught.value.status_code == 502
    assert isinstance(caught.value.body, dict)
    assert "nginx" not in caught.value.message


def test_no_key(start_gateway: StartGateway) -> None:
    """Where callers bring the provider's key, none is an AuthenticationError that says what to send."""
    gateway = start_gateway({"auth": {"mode": "passthrough"}, "providers": {"demo": {"provider": "demo"}}})
    nothing = {"authorization": openai.Omit()}
    with (
        OpenAI(base_url=f"{gateway.url}/v1", api_key="-", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.chat.completions.create(model="demo/echo", messages=HELLO, extra_headers=nothing)
    assert caught.value.code == "missing_api_key"


def test_a_gateway_at_its_limit(start_gateway: StartGateway) -> None:
    """A gateway that can take no more answers 503 with `retry-after`, which the package takes as a reason to retry."""
    full = start_gateway({"limits": {"in_flight": 1}, "providers": {"demo": {"provider": "demo"}}})
    slow = {"demo": {"chunk_gap_ms": 2000, "tokens": 50}}
    with (
        OpenAI(base_url=f"{full.url}/v1", api_key="sk-x", max_retries=1) as client,
        client.chat.completions.create(model="demo/echo", messages=HELLO, stream=True, extra_body=slow) as running,
    ):
        next(iter(running))
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(model="demo/echo", messages=HELLO)
    assert (caught.value.status_code, caught.value.code) == (503, "overloaded")
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.response.request.headers["x-stainless-retry-count"] == "1"
