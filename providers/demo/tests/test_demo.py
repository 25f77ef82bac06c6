"""What the demo answers in chat, judged by the official SDK's types."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from headgate.errors import InvalidRequest, UnsupportedField
from headgate.exchange import Reply, Target
from headgate.operations import CHAT, COMPLETIONS, EMBEDDINGS, PASSTHROUGH, Operation
from headgate.provider import DeploymentConfig
from headgate.testing import ReplayUpstream
from headgate_demo import Demo

Ask = Callable[..., Awaitable[Reply]]
Events = Callable[..., Awaitable[list[bytes]]]

HELLO: list[Any] = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "good morning"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}, "unit": {}},
            "required": ["city", "days"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock"}}


async def chat(ask: Ask, **asked: Any) -> ChatCompletion:
    reply = await ask({"messages": HELLO, **asked})
    assert (reply.status, dict(reply.headers)[b"content-type"]) == (200, b"application/json")
    return ChatCompletion.model_validate_json(reply.body, strict=True)


async def chunks(events: Events, **asked: Any) -> list[ChatCompletionChunk]:
    found = await events({"messages": HELLO, **asked})
    assert found[-1].endswith(b"data: [DONE]\n\n")
    assert all(event.startswith(b"data: ") and event.endswith(b"\n\n") for event in found)
    return [ChatCompletionChunk.model_validate_json(event[6:], strict=True) for event in found[:-1]]


def text_of(completion: ChatCompletion, index: int = 0) -> str:
    return completion.choices[index].message.content or ""


# chat


async def test_it_echoes(ask: Ask) -> None:
    """The answer greets and repeats the last user message; usage counts words."""
    reply = await chat(ask)
    assert text_of(reply) == "Hello from the Headgate demo. You said: good morning"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.model == "echo"
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (4, 9, 13)


async def test_parts_and_tool_results_are_echoed(ask: Ask) -> None:
    """Text parts are read, other parts are not, and a tool's answer is repeated to the user."""
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]
    assert text_of(await chat(ask, messages=[{"role": "user", "content": parts}])).endswith("You said: look")
    assert text_of(await chat(ask, messages=[{"role": "user", "content": parts[1:]}])).endswith("nothing I can read")
    after: list[Any] = [*HELLO, {"role": "tool", "tool_call_id": "c", "content": "sunny"}]
    assert text_of(await chat(ask, messages=after)).endswith("Your tool answered: sunny")


async def test_it_is_deterministic(ask: Ask, events: Events) -> None:
    """The same request gives the same bytes; another request, model or knob another id."""
    asked = {"messages": HELLO, "n": 2}
    first, second = await ask(asked), await ask(asked)
    assert (first.body, first.headers) == (second.body, second.headers)
    others = [await ask({**asked, "user": "u"}), await ask(asked, model="b")]
    others.append(await ask(asked, headers={"x-headgate-demo": '{"tokens": 3}'}))
    assert len({json.loads(reply.body)["id"] for reply in (first, *others)}) == 4
    assert await events(asked) == await events(asked)


async def test_usage_is_on_the_reply(ask: Ask) -> None:
    """The gateway gets the usage too, for a stream once it has ended."""
    whole = await ask({"messages": HELLO})
    running = await ask({"messages": HELLO, "stream": True})
    assert running.usage is None
    assert running.chunks is not None
    async for _ in running.chunks:
        pass
    assert whole.usage is not None
    assert running.usage == whole.usage
    assert (whole.usage.prompt, whole.usage.completion) == (4, 9)


async def test_several_choices(ask: Ask, events: Events) -> None:
    """`n` gives that many different answers, in a stream too, and usage counts all of them."""
    reply = await chat(ask, n=3)
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert len({text_of(reply, index) for index in range(3)}) == 3
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 9 + 11 + 11
    streamed = await chunks(events, n=3)
    for index in range(3):
        said = [choice for chunk in streamed for choice in chunk.choices if choice.index == index]
        assert "".join(choice.delta.content or "" for choice in said) == text_of(reply, index)
        assert [choice.finish_reason for choice in said if choice.finish_reason] == ["stop"]


async def test_max_tokens(ask: Ask) -> None:
    """An answer longer than the limit is cut there and says so; one just as long is complete."""
    for field in ("max_tokens", "max_completion_tokens"):
        cut = await chat(ask, **{field: 3})
        assert (text_of(cut), cut.choices[0].finish_reason) == ("Hello from the ", "length")
        assert cut.usage is not None
        assert cut.usage.completion_tokens == 3
    assert (await chat(ask, max_tokens=9)).choices[0].finish_reason == "stop"


async def test_stop(ask: Ask) -> None:
    """The answer ends before the first stop string that occurs, wherever it stands in the list."""
    assert text_of(await chat(ask, stop="demo")) == "Hello from the Headgate "
    reply = await chat(ask, stop=["You", "the", "", "nowhere"])
    assert (text_of(reply), reply.choices[0].finish_reason) == ("Hello from ", "stop")
    assert (await chat(ask, stop="demo", max_tokens=2)).choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"n": 0}, "n"), ({"n": 129}, "n"), ({"n": True}, "n"), ({"n": "2"}, "n"), ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"), ({"messages": []}, "messages"), ({"demo": {"tool": "x"}}, "demo.tool"),
        ({"n": 128, "demo": {"tokens": 1000}}, "demo.tokens"),
    ],
)  # fmt: skip
async def test_bad_requests(ask: Ask, asked: dict[str, Any], field: str) -> None:
    """What cannot be meant is a 400 that names the field, before a stream begins too."""
    for stream in (False, True):
        with pytest.raises(InvalidRequest) as caught:
            await ask({"messages": HELLO, **asked, "stream": stream})
        assert caught.value.param == field


async def test_streams_reassemble(ask: Ask, events: Events) -> None:
    """A stream says what the whole reply says: one id, role first, text in words, one finish, then the end."""
    whole, streamed = await chat(ask), await chunks(events)
    assert len({chunk.id for chunk in streamed}) == 1
    assert [chunk.choices[0].delta.role for chunk in streamed][:2] == ["assistant", None]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == text_of(whole)
    assert [chunk.choices[0].finish_reason for chunk in streamed] == [None] * 10 + ["stop"]


async def test_streamed_usage_is_asked_for(ask: Ask, events: Events) -> None:
    """The usage chunk comes last, without choices, and only when `stream_options` asks for it."""
    last = (await chunks(events, stream_options={"include_usage": True}))[-1]
    assert last.choices == []
    assert last.usage == (await chat(ask)).usage
    assert all(chunk.usage is None for chunk in await chunks(events))


async def test_overrides_of_the_target_count(ask: Ask) -> None:
    """A target's `override_params` are part of the request: one target of a fallback can be told to fail."""
    target = Target(deployment="try", override_params={"max_tokens": 1})
    assert json.loads((await ask({"messages": HELLO}, target=target)).body)["choices"][0]["finish_reason"] == "length"
    target = Target(deployment="try", override_params={"demo": {"status": 503}})
    assert (await ask({"messages": HELLO}, target=target)).status == 503


# tools and structured answers


@pytest.mark.parametrize(
    ("asked", "name", "arguments"),
    [
        ({"tool_choice": "required"}, "weather", {"city": "text", "days": 1}),
        ({"tool_choice": {"type": "function", "function": {"name": "clock"}}}, "clock", {}),
        ({"demo": {"tool": "clock"}}, "clock", {}),
        ({"demo": {"tool": "weather"}, "tool_choice": "none"}, "weather", {"city": "text", "days": 1}),
    ],
)
async def test_tool_calls(
    ask: Ask, events: Events, asked: dict[str, Any], name: str, arguments: dict[str, Any]
) -> None:
    """A required, named or wished-for tool is called with arguments its schema accepts, whole and streamed."""
    reply = await chat(ask, tools=[WEATHER, CLOCK], **asked)
    choice = reply.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == (name, arguments)
    streamed = await chunks(events, tools=[WEATHER, CLOCK], **asked)
    calls = [held for chunk in streamed for item in chunk.choices for held in item.delta.tool_calls or ()]
    functions = [held.function for held in calls if held.function is not None]
    assert (functions[0].name, calls[0].type) == (name, "function")
    assert json.loads("".join(function.arguments or "" for function in functions)) == arguments
    assert streamed[-1].choices[0].finish_reason == "tool_calls"


async def test_tools_are_left_alone_unless_asked(ask: Ask) -> None:
    """With `auto` or no choice, and with `none`, the demo speaks."""
    for choice in ({}, {"tool_choice": "auto"}, {"tool_choice": "none"}):
        assert (await chat(ask, tools=[WEATHER], **choice)).choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"demo": {"tool": "weathe"}}, "did you mean `weather`"),
        ({"tool_choice": {"type": "function", "function": {"name": "x"}}}, "`tool_choice`"),
        ({"tool_choice": "required", "tools": []}, "`tool_choice`"),
    ],
)
async def test_unknown_tools(ask: Ask, asked: dict[str, Any], match: str) -> None:
    """A tool that is not offered cannot be called."""
    with pytest.raises(InvalidRequest, match=match):
        await ask({"messages": HELLO, "tools": [WEATHER], **asked})


async def test_other_tool_choices(ask: Ask) -> None:
    """Kinds of choice the demo does not know are refused, not ignored."""
    with pytest.raises(UnsupportedField, match="tool_choice"):
        await ask({"messages": HELLO, "tools": [WEATHER], "tool_choice": {"type": "allowed_tools"}})


async def test_call_ids_differ_between_choices(ask: Ask) -> None:
    """Every call has an id of its own."""
    reply = await chat(ask, tools=[CLOCK], tool_choice="required", n=128)
    assert len({call.id for choice in reply.choices for call in choice.message.tool_calls or ()}) == 128


async def test_structured_answers(ask: Ask, events: Events) -> None:
    """`json_schema` gives JSON the schema accepts, `json_object` an object, streamed as well."""
    schema = {"type": "object", "properties": {"mood": {"enum": ["good", "bad"]}}, "required": ["mood"]}
    strict = {"type": "json_schema", "json_schema": {"name": "mood", "schema": schema, "strict": True}}
    assert json.loads(text_of(await chat(ask, response_format=strict))) == {"mood": "good"}
    assert json.loads(text_of(await chat(ask, response_format={"type": "json_object"}))) == {"echo": "good morning"}
    assert text_of(await chat(ask, response_format={"type": "text"})).startswith("Hello")
    streamed = await chunks(events, response_format=strict)
    assert json.loads("".join(chunk.choices[0].delta.content or "" for chunk in streamed)) == {"mood": "good"}


JUNK = st.recursive(
    st.sampled_from([None, True, 0, 1, -1, 2.5, 1e300, "", "a", "user", "text", "function", "required", "json_schema"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "function", "name", "role", "content", "parameters", "json_schema", "schema", "items"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
FIELDS = [
    "messages", "n", "stop", "max_tokens", "tools", "tool_choice", "response_format", "stream_options", "prompt", "input",
    "dimensions", "encoding_format", "demo", "echo", "stream",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(FIELDS), JUNK, max_size=5), st.sampled_from([CHAT, COMPLETIONS, EMBEDDINGS]))
@settings(max_examples=200, deadline=None)
async def test_junk_is_refused(ask: Ask, junk: dict[str, Any], operation: Operation) -> None:
    """Whatever stands in the fields, the answer is a reply or a 4xx, never an accident."""
    asked = {"messages": HELLO, "prompt": "x", "input": "x", **junk}
    try:
        reply = await ask(asked, operation)
    except InvalidRequest:
        return
    if reply.chunks is not None:
        async for _ in reply.chunks:
            pass
    assert reply.is_ok


# the provider


async def test_other_operations_are_refused(ask: Ask) -> None:
    """The demo has no passthrough."""
    with pytest.raises(InvalidRequest, match="passthrough"):
        await ask({}, PASSTHROUGH)


def test_it_needs_nothing() -> None:
    """No key, no URL, one model to show, and no variable of the environment that switches it on."""
    demo = Demo("try", DeploymentConfig(provider="demo"), ReplayUpstream())
    assert (Demo.is_keyless, demo.url, Demo.models, Demo.from_environment()) == (True, "", ("echo",), None)
