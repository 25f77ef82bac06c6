"""The plugin hook by hook, and beside other plugins: guardrails, caches, bounds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import openai
import pytest
import structlog
from typing_extensions import override

from headgate import (
    Exchange,
    HookFailed,
    Hooks,
    InvalidRequest,
    Principal,
    Reply,
    RequestError,
    Window,
    hookimpl,
    pipeline,
)
from headgate.dialects import OpenAIResponses
from headgate.hooks import STAGES
from headgate.operations import CHAT, PASSTHROUGH, RESPONSES, Operation
from headgate.plan import Plugin, implements, validate
from headgate.state import MemoryStateStore
from headgate_responses import Held, Kept, Lost, Responses, ResponsesConfig, Shelf

OpenHouse = Callable[..., Awaitable[Any]]

KEPT = Kept(b'{"id":"resp_hg_1","status":"completed","output":[{"n":2}]}', b'[{"n":1}]')


class Stage:
    """The plugin with a store of its own, which has one response of each kind for `ann`."""

    def __init__(self) -> None:
        self.shelf = Shelf(60)
        self.plugin = Responses(ResponsesConfig(), self.shelf)
        context: Any = type("Context", (), {"state": MemoryStateStore(), "deployments": {"a"}})()
        self.plugin.configure(context)

    async def fill(self) -> None:
        await self.shelf.put("key:ann", "resp_hg_1", KEPT)
        await self.shelf.put("key:ann", "resp_a1", Held("a", ""))


@pytest.fixture
async def stage() -> Stage:
    made = Stage()
    await made.fill()
    return made


def exchange(
    operation: Operation = PASSTHROUGH, path: str = "", method: str = "GET", body: Any = None, key: str = "ann"
) -> Exchange:
    dialect = OpenAIResponses() if operation is RESPONSES else None
    ex = Exchange(operation, {}, request_id="r", trace_id="t", method=method, path=path, dialect=dialect)
    ex.principal = Principal(key)
    ex.body = b"" if body is None else msgspec.json.encode(body)
    return ex


def creation(previous: object = None, key: str = "ann", **more: Any) -> Exchange:
    body = {"model": "m", "input": [{"n": 3}], "previous_response_id": previous, **more}
    return exchange(RESPONSES, "/v1/responses", "POST", body, key)


def test_the_hooks_are_hooks() -> None:
    """All of them are known to the core, in the right colour, and no other stage pays for the plugin."""
    plugin = Responses(ResponsesConfig())
    assert validate([Plugin("responses", plugin)]) == []
    hooks = {"configure", "admit", "lookup", "store", "route", "wrap_call", "record"}
    assert {hook for hook in STAGES if implements(plugin, hook)} == hooks


async def test_other_operations_do_not_pay(open_house: OpenHouse) -> None:
    """For chat the plugin is not there at all: no hook of it runs, and no wrapper."""
    generation = (await open_house()).http.gateway.generation
    chat, responses = generation.plans["chat"], generation.plans["responses"]
    assert {step.hook for step in responses.steps() if isinstance(step.hooks, Responses)} == {
        "admit",
        "lookup",
        "store",
        "route",
        "record",
    }
    assert [step for step in chat.steps() if isinstance(step.hooks, Responses)] == []
    assert chat.call is not responses.call


async def test_hook_configure(stage: Stage) -> None:
    """The store is the one that the configuration names."""
    assert await stage.shelf.find("key:ann", "resp_hg_1") == KEPT


async def test_hook_admit(stage: Stage) -> None:
    """An id that is kept here gives way to its conversation; guardrails and the provider see one request."""
    ex = creation("resp_hg_1", temperature=0.5)
    ex.keep_json({"stale": True})
    await stage.plugin.admit(ex)
    assert ex.json == {"model": "m", "input": [{"n": 1}, {"n": 2}, {"n": 3}], "temperature": 0.5}
    assert msgspec.json.decode(ex.body) == ex.json


@pytest.mark.parametrize("previous", [None, "", 5, ["resp_hg_1"], "resp_a1", "resp_unknown"])
async def test_hook_admit_leaves_other_requests_alone(stage: Stage, previous: object) -> None:
    """Without an id that is kept here the request stays as it is, byte for byte."""
    ex = creation(previous)
    body = ex.body
    await stage.plugin.admit(ex)
    assert ex.body == body
    other = exchange(CHAT, "/v1/chat/completions", "POST", {"model": "m"})
    await stage.plugin.admit(other)
    assert other.data == {}


async def test_hook_admit_of_another_tenant(stage: Stage) -> None:
    """An id of another tenant is as one that never was: one of the gateway's is refused, any other is left alone."""
    ex = creation("resp_a1", key="bob")
    body = ex.body
    await stage.plugin.admit(ex)
    assert (ex.body, ex.pinned) == (body, None)
    refused: list[str] = []
    for response_id in ("resp_hg_1", "resp_hg_never"):
        with pytest.raises(InvalidRequest) as wrong:
            await stage.plugin.admit(creation(response_id, key="bob"))
        refused.append(wrong.value.message.replace(response_id, ""))
    assert refused[0] == refused[1]
    with pytest.raises(RequestError) as caught:
        await stage.plugin.admit(exchange(path="/v1/responses/resp_hg_1", key="bob"))
    assert (caught.value.status, caught.value.message) == (404, "Response with id 'resp_hg_1' not found.")


async def test_hook_lookup(stage: Stage) -> None:
    """A kept response is told as it was sent; nothing else is answered."""
    ex = exchange(path="/v1/responses/resp_hg_1")
    await stage.plugin.admit(ex)
    reply = await stage.plugin.lookup(ex)
    assert reply is not None
    assert (reply.status, reply.body) == (200, KEPT.response)
    assert await stage.plugin.lookup(exchange(path="/v1/vector_stores")) is None
    for other in (creation("resp_hg_1"), exchange(path="/v1/responses/resp_a1")):
        await stage.plugin.admit(other)
        assert await stage.plugin.lookup(other) is None


async def test_hook_route(stage: Stage) -> None:
    """A call about what a deployment keeps goes there; an answer that could not be given is a 503."""
    ex = exchange(path="/v1/responses/resp_a1/cancel", method="POST")
    await stage.plugin.admit(ex)
    target = await stage.plugin.route(ex)
    assert target is not None
    assert target.deployment == "a"
    lost = exchange(path="/v1/responses/resp_hg_1")
    await stage.plugin.admit(lost)
    with pytest.raises(HookFailed) as caught:
        await stage.plugin.route(lost)
    assert caught.value.status == 503
    made = creation("resp_hg_1")
    await stage.plugin.admit(made)
    assert await stage.plugin.route(made) is None


async def test_hook_wrap_call(stage: Stage) -> None:
    """What is no call for or about a response goes to the inner call itself."""

    async def call(_: Exchange) -> Reply:
        return Reply(200)

    inner = call
    calls: list[Exchange] = []

    def noted(ex: Exchange) -> Awaitable[Reply]:
        calls.append(ex)
        return inner(ex)

    carry = stage.plugin.wrap_call(noted)
    ex = exchange(CHAT, "/v1/chat/completions", "POST")
    assert (await carry(ex)).status == 200
    assert (calls, ex.collect) == ([ex], False)


async def test_hook_store(stage: Stage) -> None:
    """Only a reply that was to be kept is stored, and only when it is whole; of any other the reason is kept."""
    ex = creation()
    await stage.plugin.admit(ex)
    ex.reply = Reply(200, body=b'{"status":"completed"}')
    ex.reply_body = ex.reply.body
    await stage.plugin.store(ex)
    turn: Any = ex.data["responses"]
    turn.response_id = "resp_hg_9"
    for body in (b'{"status":"failed"}', b"no json"):
        ex.reply_body = body
        await stage.plugin.store(ex)
        assert await stage.shelf.find("key:ann", "resp_hg_9") == Lost("it failed, or did not come to its end")
    ex.reply_body = b'{"status":"incomplete"}'
    await stage.plugin.store(ex)
    assert await stage.shelf.find("key:ann", "resp_hg_9") == Kept(b'{"status":"incomplete"}', b'[{"n":3}]')
    await stage.plugin.store(exchange(CHAT, "/v1/chat/completions", "POST"))


@pytest.mark.parametrize("settings", [{"ttl_s": 0}, {"max_bytes": 0}, {"ttl": 5}, {"keep_native": "yes"}])
def test_wrong_settings(settings: dict[str, Any]) -> None:
    """Bounds are above zero, and a misspelt setting is no setting."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(settings, ResponsesConfig)


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """What is logged."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_too_large_is_not_kept(open_house: OpenHouse, events: list[Any], stream: bool) -> None:
    """A response whose conversation is larger than `max_bytes` is answered and not kept; reply, log and later errors say so."""
    house = await open_house(max_bytes=6000)
    sdk = house.sdk()

    async def create(text: str, **more: Any) -> tuple[str, bool]:
        made = await sdk.responses.create(model="m", input=text, stream=stream, **more)
        made = [event async for event in made][-1].response if stream else made
        return made.id, made.model_dump()["store"]

    (small, is_kept), (large, is_large_kept) = await create("x"), await create("x" * 3000)
    assert (is_kept, is_large_kept) == (True, False)
    assert (await sdk.responses.retrieve(small)).id == small
    longer, _ = await create("x" * 1500, previous_response_id=small)
    assert (await create("x" * 1500, previous_response_id=longer))[1] is False
    for ask in (sdk.responses.retrieve, sdk.responses.delete, sdk.responses.input_items.list):
        with pytest.raises(openai.NotFoundError, match=r"the gateway did not keep it: .* more than 6000 are not kept"):
            await ask(large)
    with pytest.raises(openai.BadRequestError, match="more than 6000 are not kept") as refused:
        await create("go on", previous_response_id=large)
    assert refused.value.code == "previous_response_not_found"
    assert [entry["event"] for entry in events if entry.get("plugin") == "responses"] == [
        "a response was not kept: it is larger than `max_bytes`"
    ]


async def test_a_long_stream_is_kept(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that is too long to be collected is kept all the same, for its last event has the whole response."""
    monkeypatch.setattr(pipeline, "MAX_COLLECTED_BYTES", 1000)
    house = await open_house()
    sdk = house.sdk()
    text = "many words " * 400
    made = [event async for event in await sdk.responses.create(model="m", input=text, stream=True)]
    one = made[-1].response
    assert len(made) > 400
    assert (await sdk.responses.retrieve(one.id)).output_text == f"user: {text}"


class Redact(Hooks):
    """Takes the word `secret` out of all that is said, both ways."""

    hold_chars = 16

    @override
    @hookimpl
    async def guard_request(self, ex: Exchange) -> None:
        ex.replace_texts(
            [(place, place.text.replace("secret", "[*]")) for place in ex.texts() if "secret" in place.text]
        )

    @override
    @hookimpl
    async def guard_chunk(self, ex: Exchange, window: Window) -> str | None:
        return window.text.replace("user", "USER") if "user" in window.text else None

    @override
    @hookimpl
    async def guard_reply(self, ex: Exchange) -> None:
        changed = [(place, place.text.replace("user", "USER")) for place in ex.reply_texts()]
        ex.replace_reply_texts(changed)


@pytest.mark.parametrize("stream", [False, True])
async def test_what_guardrails_took_out_is_not_kept(open_house: OpenHouse, stream: bool) -> None:
    """Kept is what the model got and what the client got, after the guardrails; the next turn has no more than that."""
    house = await open_house(Redact())
    sdk = house.sdk()
    made = await sdk.responses.create(model="m", input="my secret", stream=stream)
    one = [event async for event in made][-1].response if stream else made
    assert one.output_text == "USER: my [*]"
    assert (await sdk.responses.retrieve(one.id)).output_text == one.output_text
    listed = await sdk.responses.input_items.list(one.id)
    assert listed.data[0].content[0].text == "my [*]"
    await sdk.responses.create(model="m", input="go on", previous_response_id=one.id)
    assert [each["content"] for each in house.vendors.bodies[-1]["messages"]] == ["my [*]", "USER: my [*]", "go on"]


@pytest.mark.parametrize("status", [400, 429, 500])
async def test_errors_are_not_kept(open_house: OpenHouse, status: int) -> None:
    """An error of the provider is passed on as it is."""
    house = await open_house()
    house.vendors.status["chat.test"] = status
    with pytest.raises(openai.APIStatusError) as failed:
        await house.sdk().responses.create(model="m", input="hi")
    assert failed.value.status_code == status


async def test_other_operations_pass(open_house: OpenHouse) -> None:
    """Chat completions are as without the plugin."""
    house = await open_house()
    reply = await house.sdk().chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert reply.choices[0].message.content == "user: hi"
    assert reply.id == "chatcmpl-sample"
