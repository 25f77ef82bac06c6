"""The official client against kept responses: create, retrieve, list, delete, go on, whole and streamed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pytest
from openai.types.responses import Response

OpenHouse = Callable[..., Awaitable[Any]]


async def create(sdk: Any, text: Any, *, stream: bool = False, **more: Any) -> Response:
    """A response, whole or collected from a stream."""
    if not stream:
        made: Any = await sdk.responses.create(model="m", input=text, **more)
        return made
    last: Any = None
    events: Any = await sdk.responses.create(model="m", input=text, stream=True, **more)
    async for event in events:
        if event.type in {"response.created", "response.in_progress", "response.completed"}:
            if last is not None:
                assert event.response.id == last.id
            last = event.response
    return last


@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_is_kept_and_told_again(open_house: OpenHouse, stream: bool) -> None:
    """What was created is retrieved as it was, byte for byte of meaning, and says that it is stored."""
    sdk = (await open_house()).sdk()
    made = await create(sdk, "hi", stream=stream, instructions="be brief")
    assert made.id.startswith("resp_hg_")
    assert made.model_dump().get("store") is True
    assert made.output_text == "system: be brief | user: hi"
    again = await sdk.responses.retrieve(made.id)
    assert again.model_dump() == made.model_dump()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_goes_on(open_house: OpenHouse, stream: bool) -> None:
    """Each response has all before it; the reply names what it goes on from; instructions are not carried over."""
    house = await open_house()
    sdk = house.sdk()
    one = await create(sdk, "first", stream=stream, instructions="be brief")
    two = await create(sdk, "second", stream=stream, previous_response_id=one.id)
    three = await create(sdk, "third", stream=stream, previous_response_id=two.id)
    assert (one.previous_response_id, two.previous_response_id, three.previous_response_id) == (None, one.id, two.id)
    assert len({one.id, two.id, three.id}) == 3
    told = [(message["role"], message["content"]) for message in house.vendors.bodies[-1]["messages"]]
    assert told == [
        ("user", "first"),
        ("assistant", one.output_text),
        ("user", "second"),
        ("assistant", two.output_text),
        ("user", "third"),
    ]
    assert "previous_response_id" not in house.vendors.bodies[-1]


async def test_two_can_go_on_from_one(open_house: OpenHouse) -> None:
    """A conversation may fork: neither branch knows of the other."""
    sdk = (await open_house()).sdk()
    one = await create(sdk, "first")
    left = await create(sdk, "left", previous_response_id=one.id)
    right = await create(sdk, "right", previous_response_id=one.id)
    assert left.output_text.endswith("| user: left")
    assert right.output_text.endswith(f"assistant: {one.output_text} | user: right")


@pytest.mark.parametrize("stream", [False, True])
async def test_input_items(open_house: OpenHouse, stream: bool) -> None:
    """The list shows the whole conversation before the response, newest first, page by page, ids staying the same."""
    sdk = (await open_house()).sdk()
    one = await create(sdk, "first", stream=stream)
    content = [{"type": "input_text", "text": "second"}]
    two = await create(sdk, [{"role": "user", "content": content}], stream=stream, previous_response_id=one.id)
    listed = [item async for item in sdk.responses.input_items.list(two.id, limit=1)]
    assert [item.type for item in listed] == ["message", "message", "message"]
    assert [item.content[0].text for item in listed] == ["second", one.output_text, "first"]
    ascending = await sdk.responses.input_items.list(two.id, order="asc")
    assert [item.id for item in ascending.data] == [item.id for item in reversed(listed)]
    assert ascending.data[1].id == one.output[0].id
    assert len({item.id for item in listed}) == 3


async def test_delete(open_house: OpenHouse) -> None:
    """What is deleted is gone for everything but the conversations that went on from it."""
    house = await open_house()
    sdk = house.sdk()
    one = await create(sdk, "first")
    two = await create(sdk, "second", previous_response_id=one.id)
    deleted = await sdk.responses.with_raw_response.delete(one.id)
    assert deleted.http_response.json() == {"id": one.id, "object": "response", "deleted": True}
    for ask in (sdk.responses.retrieve, sdk.responses.delete, sdk.responses.input_items.list, sdk.responses.cancel):
        with pytest.raises(openai.NotFoundError) as caught:
            await ask(one.id)
        assert caught.value.message.endswith(f"Response with id '{one.id}' not found.")
        assert caught.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError) as refused:
        await create(sdk, "third", previous_response_id=one.id)
    assert (refused.value.code, refused.value.param) == ("previous_response_not_found", "previous_response_id")
    assert f"Previous response with id '{one.id}' not found" in refused.value.message
    three = await create(sdk, "third", previous_response_id=two.id)
    assert three.output_text.startswith("user: first |")


async def test_tools_go_on(open_house: OpenHouse) -> None:
    """A call that was kept is answered by its output alone."""
    house = await open_house()
    sdk = house.sdk()
    house.vendors.call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1.0}'}}
    tools: Any = [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}]
    one = await create(sdk, "use it", tools=tools)
    assert one.output[0].type == "function_call"
    output: Any = [{"type": "function_call_output", "call_id": one.output[0].call_id, "output": "42"}]
    await create(sdk, output, tools=tools, previous_response_id=one.id)
    _, call, result = house.vendors.bodies[-1]["messages"]
    assert call["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"x": 1.0}'}
    assert (result["role"], result["tool_call_id"], result["content"]) == ("tool", call["tool_calls"][0]["id"], "42")


async def test_what_is_not_to_be_stored_is_not(open_house: OpenHouse) -> None:
    """With `store: false` nothing is kept, and the reply says so; it may still go on from what is kept."""
    sdk = (await open_house()).sdk()
    one = await create(sdk, "first")
    two = await create(sdk, "second", store=False, previous_response_id=one.id)
    assert two.model_dump()["store"] is False
    assert (two.previous_response_id, two.output_text[:13]) == (one.id, "user: first |")
    with pytest.raises(openai.NotFoundError):
        await sdk.responses.retrieve(two.id)


async def test_tenants_are_apart(open_house: OpenHouse) -> None:
    """A response of one tenant is as unknown to another as one that never was."""
    house = await open_house()
    ann, bob = house.sdk("ann"), house.sdk("bob")
    one = await create(ann, "secret")
    for ask in (bob.responses.retrieve, bob.responses.delete, bob.responses.input_items.list, bob.responses.cancel):
        with pytest.raises(openai.NotFoundError) as caught:
            await ask(one.id)
        with pytest.raises(openai.NotFoundError) as never:
            await ask("resp_hg_never")
        assert caught.value.message.replace(one.id, "") == never.value.message.replace("resp_hg_never", "")
    with pytest.raises(openai.BadRequestError) as refused:
        await create(bob, "what was it?", previous_response_id=one.id)
    assert refused.value.code == "previous_response_not_found"
    assert (await ann.responses.retrieve(one.id)).id == one.id


async def test_a_caller_without_a_key_learns_nothing(open_house: OpenHouse) -> None:
    """Kept responses are behind authentication as everything is."""
    house = await open_house()
    one = await create(house.sdk(), "secret")
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/input_items"), ("POST", "/cancel")):
        reply = await house.http.request(method, f"/v1/responses/{one.id}{path}")
        assert reply.status_code == 401


async def test_a_finished_response_is_not_cancelled_or_streamed(open_house: OpenHouse) -> None:
    """Cancelling and streaming belong to background responses, in OpenAI's words."""
    sdk = (await open_house()).sdk()
    one = await create(sdk, "hi")
    with pytest.raises(openai.BadRequestError, match="Cannot cancel a synchronous response"):
        await sdk.responses.cancel(one.id)
    with pytest.raises(openai.BadRequestError, match="not created with background=true") as caught:
        await sdk.responses.retrieve(one.id, stream=True)
    assert caught.value.param == "stream"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("order=up", "order"),
        ("after=msg_x", "after"),
    ],
)
async def test_a_page_that_cannot_be(open_house: OpenHouse, query: str, param: str) -> None:
    """A wrong query is refused by the name of its parameter."""
    house = await open_house()
    one = await create(house.sdk(), "hi")
    reply = await house.http.get(f"/v1/responses/{one.id}/input_items?{query}", headers={"authorization": "Bearer ann"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


async def test_a_named_provider_does_not_hide_what_is_kept(open_house: OpenHouse) -> None:
    """A caller whose client always names a provider gets its kept responses too."""
    house = await open_house()
    sdk = house.sdk(default_headers={"x-headgate-provider": "chat"})
    one = await create(sdk, "hi")
    assert (await sdk.responses.retrieve(one.id)).id == one.id


async def test_dropping_does_not_drop_the_conversation(open_house: OpenHouse) -> None:
    """`unsupported: drop` lets hints go, but no conversation that is not known."""
    sdk = (await open_house()).sdk()
    with pytest.raises(openai.BadRequestError) as refused:
        await create(sdk, "hi", previous_response_id="resp_x", extra_headers={"x-headgate-unsupported": "drop"})
    assert refused.value.code == "previous_response_not_found"
