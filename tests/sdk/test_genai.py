"""The `google-genai` package: against the demo, which speaks its dialect, and against other vendors by translation."""

# The package's signatures name types of optional dependencies that are not installed.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel
from tests.door.upstream import Upstream, json_response
from tests.sdk import vendors

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
"""The package's own: it inherits from a class of aiohttp."""
ANSWER = "Hello from the Headgate demo. You said: hi there"
COLD = "It is -3 in Bergen."
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(name="weather", description="of a city", parameters_json_schema=SCHEMA)
    ]
)
FORCED = types.GenerateContentConfig(
    tools=[WEATHER],
    tool_config=types.ToolConfig(
        function_calling_config=types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.ANY)
    ),
)


class Place(BaseModel):
    """What a structured answer holds."""

    city: str
    people: int


def driving(**knobs: Any) -> types.GenerateContentConfig:
    """A configuration whose header drives the demo."""
    return types.GenerateContentConfig(http_options=types.HttpOptions(headers={"x-headgate-demo": json.dumps(knobs)}))


def test_whole_reply(gemini: genai.Client) -> None:
    """A reply parses into the package's own types, with finish reason and usage; the model may be named in full."""
    for model in ("fast", "demo/echo"):
        reply = gemini.models.generate_content(model=model, contents="hi there")
        assert reply.text == ANSWER
        assert reply.candidates is not None
        assert reply.candidates[0].finish_reason == types.FinishReason.STOP
        assert reply.usage_metadata is not None
        assert (reply.usage_metadata.prompt_token_count, reply.usage_metadata.total_token_count) == (2, 11)


def test_the_path_of_v1(gemini: genai.Client) -> None:
    """The package's default is `v1beta`; `api_version="v1"` is answered likewise."""
    config = types.GenerateContentConfig(http_options=types.HttpOptions(api_version="v1"))
    assert gemini.models.generate_content(model="fast", contents="hi there", config=config).text == ANSWER


def test_limits_are_honoured(gemini: genai.Client) -> None:
    """`max_output_tokens`, `stop_sequences` and `candidate_count` reach the provider."""
    config = types.GenerateContentConfig(max_output_tokens=2, candidate_count=2)
    reply = gemini.models.generate_content(model="fast", contents="hi", config=config)
    assert reply.candidates is not None
    assert [each.finish_reason for each in reply.candidates] == [types.FinishReason.MAX_TOKENS] * 2
    config = types.GenerateContentConfig(stop_sequences=["Headgate"])
    assert gemini.models.generate_content(model="fast", contents="hi", config=config).text == "Hello from the "


def test_stream(gemini: genai.Client) -> None:
    """A stream says the same as the whole reply in pieces, and the last event has finish and usage."""
    chunks = list(gemini.models.generate_content_stream(model="fast", contents="hi there"))
    assert "".join(chunk.text or "" for chunk in chunks) == ANSWER
    assert len(chunks) > 5
    usage, candidates = chunks[-1].usage_metadata, chunks[-1].candidates
    assert usage is not None
    assert usage.candidates_token_count == 9
    assert candidates is not None
    assert candidates[0].finish_reason == types.FinishReason.STOP


async def test_asynchronous_client(gemini: genai.Client) -> None:
    """The asynchronous face gives the same, whole and streamed."""
    assert (await gemini.aio.models.generate_content(model="fast", contents="hi there")).text == ANSWER
    stream = await gemini.aio.models.generate_content_stream(model="fast", contents="hi there")
    assert "".join([chunk.text or "" async for chunk in stream]) == ANSWER


def test_a_chat(gemini: genai.Client) -> None:
    """The package's chat keeps the history and sends it again."""
    chat = gemini.chats.create(model="fast")
    assert chat.send_message("hi there").text == ANSWER
    assert chat.send_message("bye").text == "Hello from the Headgate demo. You said: bye"


def test_structured_output(gemini: genai.Client) -> None:
    """A response schema given as a class gives an answer of that class."""
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Place)
    assert isinstance(gemini.models.generate_content(model="fast", contents="hi", config=config).parsed, Place)


def test_a_function_is_called_by_hand(gemini: genai.Client) -> None:
    """Mode ANY gives a call, whole and streamed; the function's answer goes back and the model speaks of it."""
    whole = gemini.models.generate_content(model="fast", contents="hi", config=FORCED)
    streamed = list(gemini.models.generate_content_stream(model="fast", contents="hi", config=FORCED))
    for reply in (whole, streamed[0]):
        calls = reply.function_calls or []
        assert [(call.name, call.args) for call in calls] == [("weather", {"city": "text"})]
    assert whole.candidates is not None
    spoken = whole.candidates[0].content
    assert spoken is not None
    answer = types.Part.from_function_response(name="weather", response={"result": "-3"})
    history = [types.UserContent("hi"), spoken, types.Content(role="user", parts=[answer])]
    last = gemini.models.generate_content(
        model="fast", contents=history, config=types.GenerateContentConfig(tools=[WEATHER])
    )
    assert "Your tool answered" in (last.text or "")


@pytest.mark.parametrize(
    ("model", "answers"),
    [
        ("claude", (vendors.CLAUDE_CALLS, vendors.CLAUDE_SAYS)),
        ("m", (vendors.OPENAI_CALLS, vendors.OPENAI_SAYS)),
        ("gemini", (vendors.GEMINI_CALLS, vendors.GEMINI_SAYS)),
    ],
)
async def test_automatic_function_calling(
    gemini: genai.Client, upstream: Upstream, model: str, answers: tuple[bytes, ...]
) -> None:
    """The package calls the Python function itself and goes on, whatever vendor answers."""
    upstream.script = vendors.in_turn(*answers)
    asked: list[str] = []

    async def weather(city: str) -> str:
        """The weather of a city."""
        asked.append(city)
        return "degrees: -3"

    reply = await gemini.aio.models.generate_content(
        model=model, contents="is it cold?", config=types.GenerateContentConfig(tools=[weather])
    )
    assert (reply.text, asked) == (COLD, ["Bergen"])
    first, second = upstream.calls
    assert b"The weather of a city" in first.body
    assert b"degrees: -3" in second.body


@pytest.mark.parametrize(
    ("model", "text", "call"),
    [
        ("claude", vendors.CLAUDE_STREAMS, vendors.CLAUDE_STREAMS_A_CALL),
        ("gemini", vendors.GEMINI_STREAMS, vendors.GEMINI_STREAMS_A_CALL),
    ],
)
async def test_streams_of_vendors(
    gemini: genai.Client, upstream: Upstream, model: str, text: bytes, call: bytes
) -> None:
    """Streams of other vendors read like Google's own: text, a call with whole arguments, usage at the end."""
    upstream.script = vendors.in_turn(text, call)
    stream = await gemini.aio.models.generate_content_stream(model=model, contents="is it cold?")
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.text or "" for chunk in chunks) == COLD
    usage = chunks[-1].usage_metadata
    assert usage is not None
    assert (usage.prompt_token_count, usage.candidates_token_count) == (11, 5)
    config = types.GenerateContentConfig(tools=[WEATHER])
    stream = await gemini.aio.models.generate_content_stream(model=model, contents="is it cold?", config=config)
    calls = [made for chunk in [each async for each in stream] for made in chunk.function_calls or []]
    assert [(made.name, made.args) for made in calls] == [("weather", vendors.CITY)]


def test_count_tokens(gemini: genai.Client) -> None:
    """Counting works for a provider that cannot count; longer contents count more."""
    short = gemini.models.count_tokens(model="fast", contents="hi").total_tokens
    long = gemini.models.count_tokens(model="fast", contents="hi there, how are you this morning?").total_tokens
    assert 0 < (short or 0) < (long or 0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_a_providers_error_keeps_its_status(gemini: genai.Client, status: int) -> None:
    """A provider's error is the package's class for clients' or servers' faults, with status and words."""
    kind = errors.ClientError if status < 500 else errors.ServerError
    with pytest.raises(kind, match=f"status {status}") as caught:
        gemini.models.generate_content(model="fast", contents="hi", config=driving(status=status))
    assert caught.value.code == status


def test_unknown_model(gemini: genai.Client) -> None:
    """The gateway's own errors come in Google's envelope and name what is wrong."""
    with pytest.raises(errors.ClientError, match="gemini-nobody") as caught:
        gemini.models.generate_content(model="gemini-nobody", contents="hi")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


async def test_another_vendors_error(gemini: genai.Client, upstream: Upstream) -> None:
    """Anthropic's error comes in Google's envelope: its status and words, Google's name for it."""
    refusal = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}
    upstream.script = vendors.in_turn(json_response(refusal, "429 Too Many Requests"))
    with pytest.raises(errors.ClientError, match="slow down") as caught:
        await gemini.aio.models.generate_content(model="claude", contents="hi")
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")


def test_a_broken_stream_throws(gemini: genai.Client) -> None:
    """A stream that breaks off throws after what came; it must not look like an answer that is complete."""
    said: list[str] = []
    with pytest.raises(errors.APIError, match="broke off"):
        said.extend(
            chunk.text or ""
            for chunk in gemini.models.generate_content_stream(
                model="fast", contents="hi", config=driving(fail_after_chunks=2)
            )
        )
    assert said == ["Hello ", "from "]


def test_the_demos_errors_have_googles_status(gemini: genai.Client) -> None:
    """The demo's own errors come in Google's envelope too."""
    with pytest.raises(errors.ClientError) as caught:
        gemini.models.generate_content(model="fast", contents="hi", config=driving(status=429))
    assert caught.value.status == "RESOURCE_EXHAUSTED"
