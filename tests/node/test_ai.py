"""The Vercel AI SDK, npm package `ai`, as a client of the gateway: chat completions, Responses and Messages."""

from __future__ import annotations

import pytest
from tests.door.upstream import Upstream
from tests.node.conftest import Results, RunScript
from tests.sdk import vendors

pytestmark = [pytest.mark.node, pytest.mark.parametrize("dialect", ["chat", "responses", "messages"])]

ANSWER = "Hello from the Headgate demo. You said: hi"


def test_whole_and_streamed(ai_results: Results, dialect: str) -> None:
    """`generateText` and `streamText` say the same, and both know that the answer is complete."""
    whole, streamed = ai_results[f"{dialect}.whole"], ai_results[f"{dialect}.stream"]
    assert whole == {"text": ANSWER, "finishReason": "stop", "outputTokens": 8}
    assert streamed == {"text": ANSWER, "pieces": 8, "finishReason": "stop"}


def test_tools_and_objects(ai_results: Results, dialect: str) -> None:
    """A required tool is called, and `generateObject` gives an object of its schema."""
    assert ai_results[f"{dialect}.called"] == [{"toolName": "weather", "input": {"city": "text"}}]
    assert ai_results[f"{dialect}.object"] == {"city": "text"}


def test_a_broken_stream_is_an_error(ai_results: Results, dialect: str) -> None:
    """A stream that breaks off reports the error after what came."""
    seen = ai_results[f"{dialect}.broken"]
    assert ANSWER.startswith(seen["text"])
    assert ["broke off" in error for error in seen["errors"]] == [True]


def test_errors(ai_results: Results, dialect: str) -> None:
    """A provider's error keeps its status, and the package knows that it may be tried again."""
    seen = ai_results[f"{dialect}.failed"]
    assert (seen["name"], seen["statusCode"], seen["isRetryable"]) == ("AI_APICallError", 429, True)


async def test_a_loop_with_a_tool(run_script: RunScript, upstream: Upstream, dialect: str) -> None:
    """The package's loop comes to its end on another vendor: the call, the tool's answer, the last word."""
    upstream.script = vendors.in_turn(vendors.GEMINI_CALLS, vendors.GEMINI_SAYS)
    seen = await run_script("ai.mjs", f"{dialect}.loop")
    assert seen == {f"{dialect}.loop": {"text": "It is -3 in Bergen.", "steps": 2, "asked": ["Bergen"]}}
    assert b"degrees: -3" in (await upstream.call(1)).body
