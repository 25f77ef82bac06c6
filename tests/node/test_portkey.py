"""The npm package `portkey-ai` as a client of the gateway: only its base URL changes."""

from __future__ import annotations

import json

import pytest
from tests.door.upstream import EVENTS, STREAM_HEAD, Call, Upstream
from tests.harness import CANARY, chunked
from tests.node.conftest import Results, RunScript

pytestmark = pytest.mark.node

ANSWER = "Hello from the Headgate demo. You said: hi"


def test_whole_reply_and_headers(portkey_results: Results) -> None:
    """A reply parses, and `getHeaders()` finds the caller's trace and who answered."""
    seen = portkey_results["whole"]
    assert (seen["content"], seen["usage"]["total_tokens"]) == (ANSWER, 9)
    assert seen["headers"] == {
        "trace-id": "trace-7",
        "provider": "demo",
        "last-used-option-index": "config",
        "retry-attempt-count": "0",
    }


def test_stream(portkey_results: Results) -> None:
    """A stream says the same and finishes once."""
    seen = portkey_results["stream"]
    assert (seen["text"], seen["finishes"], seen["threw"]) == (ANSWER, ["stop"], None)


def test_inline_config(portkey_results: Results) -> None:
    """A routing config, as object or as text, whole or streamed, leads to the target that works."""
    seen = portkey_results["config"]
    assert seen["content"] == ANSWER
    assert seen["headers"]["last-used-option-index"] == "config.targets[1]"
    assert portkey_results["configAsText"]["text"] == ANSWER


def test_tools_and_structured_output(portkey_results: Results) -> None:
    """Tools and `response_format` pass through the package and back."""
    assert portkey_results["called"]["name"] == "weather"
    assert json.loads(portkey_results["structured"]).keys() == {"city", "unit"}


def test_other_operations(portkey_results: Results) -> None:
    """Embeddings and the model list work as well."""
    assert portkey_results["embeddings"] == 2
    assert {"fast", "demo/echo"} <= set(portkey_results["models"])


@pytest.mark.parametrize(
    ("status", "kind"),
    [("400", "BadRequestError"), ("429", "RateLimitError"), ("446", "APIError"), ("500", "InternalServerError")],
)
def test_errors(portkey_results: Results, status: str, kind: str) -> None:
    """A provider's error is the package's class for its status, and its words are in the message."""
    seen = portkey_results["errors"][status]
    assert (seen["name"], seen["status"]) == (kind, int(status))
    assert f"status {status}" in seen["message"]


def test_what_is_not_known_is_named(portkey_results: Results) -> None:
    """An unknown provider and a misspelt config are errors that name what is wrong."""
    assert (portkey_results["unknownProvider"]["status"], portkey_results["wrongConfig"]["status"]) == (404, 400)
    assert "nowhere" in portkey_results["unknownProvider"]["message"]
    assert "dmeo" in portkey_results["wrongConfig"]["message"]


def test_a_broken_stream_does_not_look_finished(portkey_results: Results) -> None:
    """The package does not throw for an error event; it hands it over, and no finish comes with it."""
    seen = portkey_results["broken"]
    assert (seen["text"], seen["finishes"], seen["threw"]) == ("Hello from ", [], None)
    assert seen["error"]["code"] == "upstream_cut"


async def test_the_package_stays_out_of_the_upstream_call(run_script: RunScript, upstream: Upstream) -> None:
    """The provider gets the deployment's key and the body; no `x-portkey` header, neither of the caller's keys."""
    assert await run_script("portkey.mjs", "upstream") == {"upstream": "Hello"}
    call = await upstream.call()
    assert call.header("authorization") == f"Bearer {CANARY}"
    assert call.json == {"model": "echo", "messages": [{"role": "user", "content": "hi"}], "temperature": 0}
    assert [name for name, _ in call.headers if name.startswith(("x-portkey", "x-stainless"))] == []
    assert "sk-of-the-caller" not in repr(call.headers)


async def test_a_stream_that_is_left_is_left_upstream(run_script: RunScript, upstream: Upstream) -> None:
    """A stream whose loop is left ends the provider's work while the client lives on."""

    async def trickle(call: Call) -> None:
        await call.send(STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n")
        for event in EVENTS[:2]:
            await call.send(chunked(event))
        await call.closed(10)

    upstream.script = trickle
    assert await run_script("portkey.mjs", "leave") == {"leave": {"isIdle": True}}
    await (await upstream.call()).closed(2)
