"""Where each official package puts its key by default, and that the gateway takes it from there and no further."""

# The package's signatures name types of optional dependencies that are not installed.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import anthropic
import openai
import pytest
from anthropic import Anthropic
from google import genai
from google.genai import errors, types
from openai import OpenAI
from tests.harness import GATEWAY_KEY, Gateway, eventually_idle

ANSWER = "Hello from the Headgate demo. You said: hi"
Ask = Callable[[str, str], str | None]


@pytest.fixture
async def gateway(locked_gateway: Gateway) -> AsyncIterator[Gateway]:
    """A gateway that wants a key; no exchange may be running on it when the test is over."""
    yield locked_gateway
    await eventually_idle(locked_gateway)


def ask_openai(url: str, key: str) -> str | None:
    with OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        return client.responses.create(model="fast", input="hi").output_text


def ask_anthropic(url: str, key: str) -> str | None:
    with Anthropic(base_url=url, api_key=key, max_retries=0) as client:
        return _first_text(client)


def ask_anthropic_with_a_token(url: str, key: str) -> str | None:
    with Anthropic(base_url=url, auth_token=key, api_key=None, max_retries=0) as client:
        return _first_text(client)


def ask_google(url: str, key: str) -> str | None:
    with genai.Client(api_key=key, http_options=types.HttpOptions(base_url=url)) as client:
        return client.models.generate_content(model="fast", contents="hi").text


def _first_text(client: Anthropic) -> str | None:
    reply = client.messages.create(model="fast", max_tokens=99, messages=[{"role": "user", "content": "hi"}])
    return next((block.text for block in reply.content if block.type == "text"), None)


@pytest.mark.parametrize("ask", [ask_openai, ask_anthropic, ask_anthropic_with_a_token, ask_google])
def test_the_key_is_found(gateway: Gateway, ask: Ask) -> None:
    """`Authorization: Bearer`, `x-api-key` and `x-goog-api-key` are each a place for the gateway's key."""
    assert ask(gateway.url, GATEWAY_KEY) == ANSWER


@pytest.mark.parametrize(
    ("ask", "kind"),
    [
        (ask_openai, openai.AuthenticationError),
        (ask_anthropic, anthropic.AuthenticationError),
        (ask_anthropic_with_a_token, anthropic.AuthenticationError),
        (ask_google, errors.ClientError),
    ],
)
def test_a_wrong_key_is_refused(gateway: Gateway, ask: Ask, kind: type[Exception]) -> None:
    """A key that is not known is the package's own error for 401, and the message does not repeat it."""
    with pytest.raises(kind, match="401") as caught:
        ask(gateway.url, "hg-nobody-0123456789")
    assert "hg-nobody-0123456789" not in str(caught.value)
