"""Google's official client reads what this dialect writes: whole answers, streams and errors."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from core.tests.google_wire import GOOGLE, ask
from google import genai
from google.genai import errors, types

from headgate.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    ErrorEvent,
    Finish,
    Message,
    Opaque,
    Reasoning,
    ReasoningDelta,
    Start,
    StreamEvent,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    ToolResult,
    Usage,
    UsageEvent,
)
from headgate.errors import RateLimited

JSON, SSE = {"content-type": "application/json"}, {"content-type": "text/event-stream"}


class Wire:
    """A server in memory: it keeps what the client sent, and answers with `reply`."""

    def __init__(self, status: int, headers: dict[str, str], reply: bytes) -> None:
        self.status, self.headers, self.reply = status, headers, reply
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return httpx2.Response(self.status, headers=self.headers, content=self.reply)

    def asked(self) -> ChatRequest:
        """The client's last request."""
        return GOOGLE.decode_request(self.requests[-1].content)


def client(status: int, headers: dict[str, str], reply: bytes) -> tuple[Any, Wire]:
    wire = Wire(status, headers, reply)
    options = types.HttpOptions(base_url="http://gateway.test", client_args={"transport": httpx2.MockTransport(wire)})
    return genai.Client(api_key="k", http_options=options), wire


def streamed(*events: StreamEvent) -> bytes:
    encoder = GOOGLE.stream_encoder(ask())
    return b"".join([*map(encoder.feed, events), encoder.end()])


def weather(city: str) -> str:
    """Tells the weather."""
    return f"sunny in {city}"


def test_an_answer() -> None:
    """Texts, thoughts, calls with their signatures, and usage are where the client looks for them."""
    parts = (
        Reasoning("hm", Opaque("openai", "enc")),
        Text("Hello"),
        ToolCall("call_1", "f", '{"a": 1.5}', opaque=Opaque("google", "c2ln")),
    )
    usage = Usage(10, 5, 4, 0, 2)
    reply = ChatReply("r", "gpt-5", (Choice(Message("assistant", parts), "tool_calls", "tool_calls"),), 1, usage)
    known, wire = client(200, JSON, GOOGLE.encode_reply(reply, ask()))
    config = types.GenerateContentConfig(
        system_instruction="be brief",
        temperature=0.5,
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=100),
        response_mime_type="application/json",
        response_json_schema={"type": "object"},
        tools=[weather],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    response: types.GenerateContentResponse = known.models.generate_content(model="any", contents="hi", config=config)
    assert response.text == "Hello"
    [call] = response.function_calls or []
    assert (call.id, call.name, call.args) == ("call_1", "f", {"a": 1.5})
    assert response.candidates
    assert response.candidates[0].finish_reason == types.FinishReason.STOP
    held = response.candidates[0].content
    assert held is not None
    assert [part.thought_signature for part in held.parts or ()] == [b"headgate:openai::enc", None, b"sig"]
    assert response.usage_metadata is not None
    assert (response.usage_metadata.thoughts_token_count, response.usage_metadata.total_token_count) == (2, 15)
    asked = wire.asked()
    assert [message.text for message in asked.messages] == ["be brief", "hi"]
    assert asked.sampling.temperature == 0.5
    assert asked.thinking is not None
    assert (asked.thinking.budget_tokens, asked.thinking.is_shown) == (100, True)
    assert asked.response_format is not None
    assert asked.response_format.schema == {"type": "object"}
    assert [tool.name for tool in asked.tools] == ["weather"]
    assert asked.extra == {}


def test_the_history_goes_back() -> None:
    """What the client sends back of an answer finds its opaque items and its calls again."""
    parts = (Reasoning("", Opaque("anthropic", "sig", "acc"), is_redacted=True), ToolCall("call_1", "f", "{}"))
    reply = ChatReply("r", "m", (Choice(Message("assistant", parts), "tool_calls"),))
    known, wire = client(200, JSON, GOOGLE.encode_reply(reply, ask()))
    first: types.GenerateContentResponse = known.models.generate_content(model="m", contents="hi")
    assert first.candidates
    held = first.candidates[0].content
    assert held is not None
    answer = types.Part.from_function_response(name="f", response={"output": "fine"})
    known.models.generate_content(model="m", contents=["hi", held, types.Content(role="user", parts=[answer])])
    history = wire.asked().messages
    assert history[1].parts == parts
    [result] = history[2].parts
    assert isinstance(result, ToolResult)
    assert (result.call_id, result.text) == ("call_1", "fine")


def test_the_client_calls_functions_itself() -> None:
    """Automatic function calling understands the call, and its result names the call again."""
    calling = ChatReply(
        "r", "m", (Choice(Message("assistant", (ToolCall("c9", "weather", '{"city": "Bern"}'),)), "stop"),)
    )
    known, wire = client(200, JSON, GOOGLE.encode_reply(calling, ask()))
    options = types.AutomaticFunctionCallingConfig(maximum_remote_calls=1)
    config = types.GenerateContentConfig(tools=[weather], automatic_function_calling=options)
    known.models.generate_content(model="m", contents="hi", config=config)
    said = [part for message in wire.asked().messages for part in message.parts]
    assert len(wire.requests) in {1, 2}
    if len(wire.requests) == 2:
        assert "sunny in Bern" in str(said[-1])


def test_a_stream() -> None:
    """Chunks as they come; the last one tells why it ended and what was used."""
    body = streamed(
        Start("r", "m"),
        ReasoningDelta("hm"),
        TextDelta("Hel"),
        TextDelta("lo\u2028"),
        ToolCallStart(0, "c1", "f"),
        ToolCallDelta(0, '{"a":\n1}'),
        Finish("length", raw="max_tokens"),
        UsageEvent(Usage(3, 2)),
    )
    known, wire = client(200, SSE, body)
    chunks: list[types.GenerateContentResponse] = list(known.models.generate_content_stream(model="m", contents="hi"))
    assert "".join(chunk.text or "" for chunk in chunks) == "Hello\u2028"
    assert [call.args for chunk in chunks for call in chunk.function_calls or ()] == [{"a": 1}]
    assert chunks[-1].candidates
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert chunks[-1].usage_metadata is not None
    assert chunks[-1].usage_metadata.total_token_count == 5
    assert wire.requests[0].url.raw_path.endswith(b"/models/m:streamGenerateContent?alt=sse")


BROKEN = streamed(Start("r", "m"), TextDelta("Hel"))
FAILED = ErrorEvent("slow down", "rate_limit_error", status=429)


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (429, JSON, GOOGLE.encode_error(RateLimited("slow down", retry_after_s=1).words())),
        (200, SSE, BROKEN + GOOGLE.error_event(RateLimited("slow down"))),
        (200, SSE, BROKEN + GOOGLE.stream_encoder(ask()).feed(FAILED)),
    ],
)
def test_errors(status: int, headers: dict[str, str], body: bytes) -> None:
    """An error raises with its message and status, before a stream and in the middle of one."""
    known, _ = client(status, headers, body)
    with pytest.raises(errors.APIError) as caught:
        list(known.models.generate_content_stream(model="m", contents="hi"))
    raised: Any = caught.value
    assert (raised.status, raised.message) == ("RESOURCE_EXHAUSTED", "slow down")
    assert raised.code == 429
