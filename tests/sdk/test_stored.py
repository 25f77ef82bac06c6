"""Stored responses with the `openai` package: retrieve, go on, list, cancel and delete, whatever vendor answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from tests.door.upstream import Upstream
from tests.harness import Gateway, eventually_idle, merged
from tests.sdk import vendors

COLD = "It is -3 in Bergen."


@pytest.fixture(scope="module")
def storing_gateway(tmp_path_factory: pytest.TempPathFactory, sdk_config: Mapping[str, Any]) -> Iterator[Gateway]:
    """A gateway that keeps responses, also those of a provider that has the API and keeps none."""
    plugins = [{"responses": {"keep_native": True}}]
    gateway = Gateway(tmp_path_factory.mktemp("storing"), merged(sdk_config, {"plugins": plugins}))
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture
async def gateway(storing_gateway: Gateway) -> AsyncIterator[Gateway]:
    """The module's gateway; no exchange may be running on it when the test is over."""
    yield storing_gateway
    await eventually_idle(storing_gateway)


@pytest.mark.parametrize(
    ("model", "answers"),
    [
        ("fast", ()),
        ("gemini", (vendors.GEMINI_SAYS, vendors.GEMINI_SAYS)),
        ("claude", (vendors.CLAUDE_SAYS, vendors.CLAUDE_SAYS)),
    ],
)
async def test_the_life_of_a_response(
    async_client: AsyncOpenAI, upstream: Upstream, model: str, answers: tuple[bytes, ...]
) -> None:
    """A response is retrieved as it was, is gone on from, lists what it was asked, and is unknown once deleted."""
    upstream.script = vendors.in_turn(*answers)
    responses = async_client.responses
    made = await responses.create(model=model, input="is it cold?")
    found = await responses.retrieve(made.id)
    assert (found.id, found.output_text, found.status) == (made.id, made.output_text, "completed")
    items = [item async for item in responses.input_items.list(made.id)]
    assert [item.type for item in items] == ["message"]
    after = await responses.create(model=model, input="and now?", previous_response_id=made.id)
    assert after.previous_response_id == made.id
    assert len([item async for item in responses.input_items.list(after.id, order="asc")]) == 3
    if answers:
        assert b"is it cold?" in upstream.calls[1].body
        assert COLD.encode() in upstream.calls[1].body
    with pytest.raises(openai.BadRequestError, match="cancel"):
        await responses.cancel(made.id)
    await responses.delete(made.id)
    with pytest.raises(openai.NotFoundError, match=made.id):
        await responses.retrieve(made.id)


async def test_a_streamed_response_is_stored(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """What was streamed can be retrieved whole."""
    upstream.script = vendors.in_turn(vendors.GEMINI_STREAMS)
    async with async_client.responses.stream(model="gemini", input="is it cold?") as stream:
        final = await stream.get_final_response()
    assert (await async_client.responses.retrieve(final.id)).output_text == COLD


async def test_what_is_not_stored(async_client: AsyncOpenAI) -> None:
    """With `store=False` nothing is kept, and an id that nobody made is unknown."""
    made = await async_client.responses.create(model="fast", input="hi", store=False)
    for name in (made.id, "resp_hg_nobody"):
        with pytest.raises(openai.NotFoundError, match=name):
            await async_client.responses.retrieve(name)
