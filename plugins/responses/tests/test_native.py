"""Responses that providers keep themselves: they stay with the deployment that made them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import openai
import pytest

OpenHouse = Callable[..., Awaitable[Any]]

MODELS = {
    "m": "chat/m",
    "a": "a/m",
    "b": "b/m",
    "a-then-b": {"strategy": {"mode": "fallback"}, "targets": ["a/m", "b/m"]},
    "b-then-a": {"strategy": {"mode": "fallback"}, "targets": ["b/m", "a/m"]},
    "spread": {"strategy": {"mode": "in-turn"}, "targets": ["b/m", "a/m", "b/m"]},
    "others": {"strategy": {"mode": "fallback"}, "targets": ["chat/m", "b/m"]},
    "chat-then-a": {"strategy": {"mode": "fallback"}, "targets": ["chat/m", "a/m"]},
}


BOTH = {"strategy": {"mode": "fallback"}, "targets": ["b/m", "twin/m"]}


@pytest.fixture
async def house(open_house: OpenHouse) -> Any:
    """A house with routes over both native vendors."""
    return await open_house(models=MODELS)


async def create(
    house: Any, model: str, text: str = "hi", *, stream: bool = False, key: str = "ann", **more: Any
) -> str:
    """The id of a new response."""
    made = await house.sdk(key).responses.create(model=model, input=text, stream=stream, **more)
    if not stream:
        return made.id
    return [event async for event in made][-1].response.id


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("vendor", ["a", "b"])
async def test_calls_about_it_go_where_it_was_made(house: Any, vendor: str, stream: bool) -> None:
    """Retrieving, listing, cancelling and deleting need no provider to be named."""
    made = await create(house, vendor, stream=stream)
    calls = [("GET", ""), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")]
    for method, path in calls:
        reply = await house.http.request(
            method, f"/v1/responses/{made}{path}?x=1", headers={"authorization": "Bearer ann"}
        )
        assert reply.json() == {"host": f"{vendor}.test", "method": method, "path": f"/v1/responses/{made}{path}"}
        assert reply.headers["x-headgate-deployment"] == vendor
    assert house.vendors.requests[-1].url.endswith("?x=1")
    gone = await house.http.get(f"/v1/responses/{made}", headers={"authorization": "Bearer ann"})
    assert gone.status_code == 404


@pytest.mark.parametrize("stream", [False, True])
async def test_bytes_are_forwarded(house: Any, stream: bool) -> None:
    """A native exchange is neither read nor changed, whole or streamed, going on or not."""
    first = await create(house, "a")
    body = f'{{"model": "a", "input":"hi",  "previous_response_id":"{first}", "stream":{str(stream).lower()}}}'.encode()
    reply = await house.http.post("/v1/responses", content=body, headers={"authorization": "Bearer ann"})
    assert house.vendors.requests[-1].body == body.replace(b'"a"', b'"m"', 1)
    assert reply.content == house.vendors.said


async def test_other_tenants_do_not_find_it(house: Any) -> None:
    """A response of another tenant is unknown, unless the caller names a provider and asks it."""
    made = await create(house, "a")
    headers = {"authorization": "Bearer bob"}
    assert (await house.http.get(f"/v1/responses/{made}", headers=headers)).status_code == 404
    named = await house.http.get(f"/v1/responses/{made}", headers={**headers, "x-headgate-provider": "b"})
    assert named.json()["host"] == "b.test"


async def test_an_unknown_id_is_the_providers_to_judge(house: Any) -> None:
    """What nobody here has heard of goes on to a provider that speaks Responses, as it is."""
    await create(house, "b", previous_response_id="resp_from_elsewhere")
    assert house.vendors.bodies[-1]["previous_response_id"] == "resp_from_elsewhere"


@pytest.mark.parametrize("model", ["m", "b"])
async def test_another_deployment_is_refused(house: Any, model: str) -> None:
    """What a deployment keeps cannot go on at another one, and the error says where it can."""
    made = await create(house, "a")
    calls = len(house.vendors.bodies)
    with pytest.raises(openai.BadRequestError) as refused:
        await create(house, model, previous_response_id=made)
    assert (refused.value.code, refused.value.param) == ("previous_response_not_found", "previous_response_id")
    assert "name a model of `a`" in refused.value.message
    assert len(house.vendors.bodies) == calls


@pytest.mark.parametrize("model", ["b-then-a", "chat-then-a"])
async def test_a_fallback_finds_the_one_that_keeps_it(house: Any, model: str) -> None:
    """A route over several deployments passes over those that do not have the conversation."""
    made = await create(house, "a")
    await create(house, model, previous_response_id=made)
    assert house.vendors.hosts == ["a.test", "a.test"]


async def test_a_fallback_does_not_lose_the_conversation(house: Any) -> None:
    """When the deployment that keeps it fails, its error stands, and no other one answers without the conversation."""
    made = await create(house, "a-then-b")
    house.vendors.status["a.test"] = 500
    with pytest.raises(openai.InternalServerError) as failed:
        await create(house, "a-then-b", previous_response_id=made)
    assert (failed.value.status_code, failed.value.response.headers["x-headgate-deployment"]) == (500, "a")
    assert "a.test is down" in failed.value.message
    assert house.vendors.hosts == ["a.test", "a.test"]
    await create(house, "a-then-b")
    assert house.vendors.hosts[-1] == "b.test"


async def test_not_stored_is_not_remembered(house: Any) -> None:
    """Neither what the caller does not want stored, nor what the provider says it did not store."""
    unwanted = await create(house, "a", store=False)
    house.vendors.says_store = False
    unstored = await create(house, "a")
    for made in (unwanted, unstored):
        with pytest.raises(openai.NotFoundError):
            await house.sdk().responses.retrieve(made)


async def test_a_provider_that_does_not_say(house: Any) -> None:
    """A provider that says nothing of storing is asked."""
    house.vendors.says_store = None
    made = await create(house, "a")
    reply = await house.http.get(f"/v1/responses/{made}", headers={"authorization": "Bearer ann"})
    assert reply.json()["host"] == "a.test"


@pytest.mark.parametrize("says", [False, None])
@pytest.mark.parametrize("stream", [False, True])
async def test_keep_native(open_house: OpenHouse, says: bool | None, stream: bool) -> None:
    """With `keep_native` what a provider does not say it has stored is kept here and gone on from."""
    house = await open_house(models=MODELS, keep_native=True)
    house.vendors.says_store = says
    first = await create(house, "a", "first", stream=stream)
    assert (await house.sdk().responses.retrieve(first)).output_text == "hello"
    second = await house.sdk().responses.create(model="b", input="second", previous_response_id=first)
    assert second.previous_response_id == first
    sent = house.vendors.bodies[-1]
    assert "previous_response_id" not in sent
    assert [item["role"] for item in sent["input"]] == ["user", "assistant", "user"]


async def test_a_response_that_is_being_kept_is_waited_for(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that asks at once for what it has just been told of gets it, though it is kept a moment later."""
    house = await open_house(models=MODELS, keep_native=True)
    house.vendors.says_store = None
    state, began, gate = house.http.gateway.context.state, asyncio.Event(), asyncio.Event()
    put = state.set

    async def late(key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        began.set()
        await gate.wait()
        await put(key, value, ttl_s)

    monkeypatch.setattr(state, "set", late)
    making = asyncio.create_task(create(house, "a", "first", stream=True))
    await began.wait()
    asking = asyncio.create_task(house.sdk().responses.retrieve("resp_a1"))
    await asyncio.sleep(0.05)
    assert not asking.done()
    gate.set()
    assert (await asking).output_text == "hello"
    assert await making == "resp_a1"


async def test_a_translated_conversation_goes_on_natively(house: Any) -> None:
    """What the gateway keeps can go on anywhere; ids it made are not sent to a provider that would look for them."""
    first = await create(house, "m", "first")
    second = await house.sdk().responses.create(model="a", input="second", previous_response_id=first)
    sent = house.vendors.bodies[-1]
    assert [item["role"] for item in sent["input"]] == ["user", "assistant", "user"]
    assert "_hg_" not in str(sent)
    assert (second.previous_response_id, second.model_dump()["store"]) == (first, True)
    third = await house.sdk().responses.create(model="m", input="third", previous_response_id=second.id)
    assert third.output_text.endswith("assistant: hello | user: third")


async def test_a_deployment_that_is_gone(house: Any) -> None:
    """What a deployment of an earlier configuration keeps is refused by that deployment's name, and asked of nobody else."""
    made = await create(house, "a")
    context = house.http.gateway.context
    context.known = msgspec.structs.replace(context.known, deployments={"b", "chat"})
    gone = "`a` made it and keeps it, and is not in the configuration any more"
    with pytest.raises(openai.NotFoundError, match=gone):
        await house.sdk().responses.retrieve(made)
    for model in ("b", "m", "others"):
        with pytest.raises(openai.BadRequestError, match=gone) as refused:
            await create(house, model, previous_response_id=made)
        assert refused.value.code == "previous_response_not_found"
    assert house.vendors.hosts == ["a.test"]
    named = await house.http.get(
        f"/v1/responses/{made}", headers={"authorization": "Bearer ann", "x-headgate-provider": "b"}
    )
    assert named.json()["host"] == "b.test"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_balancer_calls_the_one_that_keeps_it(house: Any, stream: bool) -> None:
    """Whatever a strategy would choose, the conversation goes on where it is; what the gateway keeps can go on anywhere."""
    made = await create(house, "a", stream=stream)
    for _ in range(6):
        made = await create(house, "spread", previous_response_id=made, stream=stream)
    assert set(house.vendors.hosts) == {"a.test"}
    ours = await create(house, "m")
    hosts = len(house.vendors.hosts)
    for _ in range(4):
        await create(house, "spread", previous_response_id=ours, stream=stream)
    assert set(house.vendors.hosts[hosts:]) == {"a.test", "b.test"}


async def test_the_same_account_has_it_too(open_house: OpenHouse) -> None:
    """Another deployment of the account that made it can go on from it."""
    house = await open_house(models={**MODELS, "twin": "twin/m", "b-then-twin": BOTH})
    made = await create(house, "a")
    await create(house, "twin", previous_response_id=made)
    await create(house, "b-then-twin", previous_response_id=made)
    assert house.vendors.hosts == ["a.test"] * 3
    assert [request.url for request in house.vendors.requests[-2:]] == ["http://a.test/v1/responses"] * 2


async def test_an_id_of_the_gateway_is_sent_to_nobody(house: Any) -> None:
    """One that is not kept any more is refused with the reasons there may be, whoever would be called."""
    for model in ("a", "m", "spread"):
        with pytest.raises(openai.BadRequestError, match="it was deleted, has expired or went because") as refused:
            await create(house, model, previous_response_id="resp_hg_gone")
        assert (refused.value.code, refused.value.param) == ("previous_response_not_found", "previous_response_id")
    assert house.vendors.hosts == []


async def test_other_paths_are_let_be(house: Any) -> None:
    """What is no call about one response passes as before."""
    for method, path in (("POST", "responses/compact"), ("GET", "responses/a/b/c"), ("GET", "vector_stores")):
        reply = await house.http.request(
            method, f"/v1/{path}", headers={"authorization": "Bearer ann", "x-headgate-provider": "b"}
        )
        assert reply.json()["path"] == f"/v1/{path}"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_vendor_that_keeps_nothing(open_house: OpenHouse, stream: bool) -> None:
    """What a vendor makes in the Responses API without keeping it is kept here, as what is translated is."""
    house = await open_house(models={**MODELS, "none": "none/m"})
    house.vendors.says_store = False
    first = await create(house, "none", "first", stream=stream)
    assert first.startswith("resp_hg_")
    assert (await house.sdk().responses.retrieve(first)).output_text == "hello"
    await create(house, "none", "second", previous_response_id=first)
    assert [item["role"] for item in house.vendors.bodies[-1]["input"]] == ["user", "assistant", "user"]
    with pytest.raises(openai.BadRequestError, match="send the whole conversation"):
        await create(house, "none", previous_response_id="resp_from_elsewhere")
