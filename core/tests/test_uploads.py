"""Forms and files through a whole gateway: whose model they use, how often they may go out, and what of them is held."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from core.tests.media import BOUNDARY, FORM, KEY, SPEECH_FILE, Acme, Noting, field, file, form, serving
from typing_extensions import override

from headgate import Exchange, Hooks, Outcome, ProviderError, Reply, Target, hookimpl
from headgate.errors import BodyTooLarge, HookFailed
from headgate.hooks import Call, Scene, Strategy
from headgate.testing import MockUpstream, Recorded, eventually, gateway
from headgate.upload import Upload

PATH = "/v1/audio/transcriptions"
HEARD = Recorded.from_json({"text": "heard"})
BROKEN = Recorded.from_json({"error": {"message": "try later"}}, 503)
LARGE = random.Random(5).randbytes(3 * 1024 * 1024)


class Next(Strategy):
    """Takes the targets in turn while any is left, whatever the outcome says; it notes what it was told."""

    def __init__(self) -> None:
        self.told: list[Outcome] = []

    @override
    def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
        self.told = list(outcomes)
        return len(outcomes) if len(outcomes) < len(target.targets) else None


class Routing(Hooks):
    """Sends everything to two deployments, one after the other, and tries each call twice where it can be repeated."""

    def __init__(self, overrides: Mapping[str, Any] | None = None, *, is_stubborn: bool = False) -> None:
        self.strategy = Next()
        self.overrides = overrides or {}
        self.is_stubborn = is_stubborn

    @override
    @hookimpl
    def strategies(self) -> Mapping[str, Strategy]:
        return {"next": self.strategy}

    @override
    @hookimpl
    async def route(self, ex: Exchange) -> Target | None:
        leaves = [
            Target(deployment=name, model="deployed", override_params=self.overrides) for name in ("acme", "acme-2")
        ]
        return Target(strategy="next", targets=tuple(leaves))

    @override
    @hookimpl
    def wrap_call(self, call: Call) -> Call:
        async def twice(ex: Exchange) -> Reply:
            try:
                reply = await call(ex)
            except ProviderError:
                if not ex.can_repeat:
                    raise
            else:
                if reply.is_ok or not (ex.can_repeat or self.is_stubborn):
                    return reply
            return await call(ex)

        return twice


async def slowly(body: bytes, size: int = 65536) -> AsyncIterator[bytes]:
    """A body of unknown length, in pieces."""
    for at in range(0, len(body), size):
        yield body[at : at + size]
        await asyncio.sleep(0)


# the model


@pytest.mark.parametrize("is_model_first", [True, False], ids=["model first", "file first"])
async def test_the_model_of_a_form_is_put_in(is_model_first: bool) -> None:
    """A form goes to its model's deployment, under the deployment's name for the model; nothing else of it changes."""
    noting = Noting()
    parts = [field("model", "m"), field("language", "en"), file(SPEECH_FILE)]
    async with serving(HEARD, noting) as (client, upstream):
        reply = await client.post(PATH, content=form(*(parts if is_model_first else parts[::-1])), headers=FORM)
        received = upstream.requests[0]
    assert (reply.status_code, reply.json()) == (200, {"text": "heard"})
    parts[0] = field("model", "deployed-model")
    sent = form(*(parts if is_model_first else parts[::-1]))
    assert received.body == sent
    assert received.header("content-length") == str(len(sent))
    assert received.header("content-type") == f"multipart/form-data; boundary={BOUNDARY}"
    assert received.path == "/v1/audio/transcriptions"
    ex = noting.last
    assert (ex.operation.name, ex.model, ex.attempts[0].model) == ("audio.transcriptions", "m", "deployed-model")
    assert ex.outcome == "complete"


async def test_a_form_of_unknown_length_goes_out_in_chunks() -> None:
    """What the client sends in chunks the provider gets in chunks."""
    body = form(field("model", "m"), file(LARGE))
    async with serving(HEARD) as (client, upstream):
        reply = await client.post(PATH, content=slowly(body), headers=FORM)
        received = upstream.requests[0]
    assert reply.status_code == 200
    assert received.header("transfer-encoding") == "chunked"
    assert received.body == form(field("model", "deployed-model"), file(LARGE))


async def test_a_model_too_far_behind_is_refused() -> None:
    """A form is held only so far to find its model; the answer says what to do, and nothing has left the gateway."""
    body = form(file(LARGE), field("model", "m"))
    async with serving(HEARD, limits={"form_bytes": 1024 * 1024}) as (client, upstream):
        reply = await client.post(PATH, content=slowly(body), headers=FORM)
        held = client.gateway.body_bytes
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (400, "missing_model", "model")
    assert "put it before the file" in error["message"]
    assert "x-headgate-model" in error["message"]
    assert upstream.requests == []
    assert held == 0


async def test_a_header_names_the_model() -> None:
    """With `x-headgate-model` nothing is held to find it; the form's own field, or a new one, says the deployment's model."""
    noting = Noting()
    headers = {**FORM, "x-headgate-model": "m"}
    behind = [file(LARGE), field("model", "whatever")]
    async with serving(HEARD, noting, limits={"form_bytes": 1}) as (client, upstream):
        for parts in (behind, behind[:1]):
            assert (await client.post(PATH, content=form(*parts), headers=headers)).status_code == 200
        bodies = [received.body for received in upstream.requests]
    sent = form(file(LARGE), field("model", "deployed-model"))
    assert bodies == [sent, sent]
    assert [ex.model for ex in noting.exchanges] == ["m", "m"]


async def test_a_header_names_the_deployment() -> None:
    """A form without a model goes where `x-headgate-provider` says, as it is; without that it is refused."""
    async with serving(HEARD) as (client, upstream):
        body = form(file(b"sound"))
        named = await client.post(PATH, content=body, headers={**FORM, "x-headgate-provider": "acme"})
        refused = await client.post(PATH, content=body, headers=FORM)
        bodies = [received.body for received in upstream.requests]
    assert named.status_code == 200
    assert bodies == [body]
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "missing_model")


@pytest.mark.parametrize(("model", "status"), [("m", 200), ("acme/other", 403), ("m" * 600, 400)])
async def test_a_key_s_models_hold_for_forms(model: str, status: int) -> None:
    """A key that may use one model cannot send a form to another; nothing of it reaches the provider."""
    async with serving(HEARD, Noting("m")) as (client, upstream):
        reply = await client.post(PATH, content=form(field("model", model), file(b"sound")), headers=FORM)
    assert reply.status_code == status
    assert len(upstream.requests) == (status == 200)


async def test_a_key_s_models_hold_for_the_header() -> None:
    """The header is a name like any other, and a deployment alone is every model of it."""
    async with serving(HEARD, Noting("m")) as (client, upstream):
        body = form(file(b"sound"))
        for option, name in (("model", "acme/other"), ("provider", "acme")):
            reply = await client.post(PATH, content=body, headers={**FORM, f"x-headgate-{option}": name})
            assert (reply.status_code, reply.json()["error"]["code"]) == (403, "model_not_allowed")
    assert upstream.requests == []


async def test_a_second_model_never_arrives() -> None:
    """A second field `model`, far behind the first, ends the request: the provider gets no whole form to act on."""
    noting = Noting("m")
    body = form(field("model", "m"), file(LARGE), field("model", "forbidden"))
    async with serving(HEARD, noting) as (client, upstream):
        reply = await client.post(PATH, content=body, headers=FORM)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_form")
        await eventually(lambda: client.gateway.in_flight == 0, "the exchange is over")
    assert upstream.requests == []
    assert (noting.last.outcome, client.gateway.body_bytes) == ("error", 0)


async def test_overrides_are_put_into_a_form() -> None:
    """`override_params` of a target replace fields or are added; what no field can say is refused, not dropped."""
    body = form(field("model", "m"), field("temperature", "1"), file(b"sound"))
    routing = Routing({"temperature": 0.5, "stream": True, "language": "de"})
    async with serving(HEARD, routing, deployments=2) as (client, upstream):
        assert (await client.post(PATH, content=body, headers=FORM)).status_code == 200
        sent = upstream.requests[0].body
    assert sent == form(
        field("model", "deployed"),
        field("temperature", "0.5"),
        file(b"sound"),
        field("stream", "true"),
        field("language", "de"),
    )
    async with serving(HEARD, Routing({"include": ["logprobs"]}), deployments=2) as (client, upstream):
        reply = await client.post(PATH, content=body, headers=FORM)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "unsupported_field")
    assert upstream.requests == []


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", "multipart/mixed; boundary=a", ""])
async def test_another_content_type_is_refused(kind: str) -> None:
    """A form must be a form, or JSON."""
    async with serving(HEARD) as (client, upstream):
        reply = await client.post(PATH, content=b"sound", headers={"content-type": kind})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_form")
    assert upstream.requests == []


async def test_json_in_a_form_s_place() -> None:
    """Operations that take forms take JSON too, read as any JSON is, up to the size that is held of a form."""
    async with serving(HEARD, limits={"form_bytes": 1000}) as (client, upstream):
        reply = await client.post(
            "/v1/images/edits", json={"model": "m", "images": [{"image_url": "https://a.example"}]}
        )
        large = await client.post("/v1/images/edits", json={"model": "m", "prompt": "a" * 1000})
        received = upstream.requests[0]
    assert (reply.status_code, large.status_code) == (200, 413)
    assert received.body == b'{"model":"deployed-model","images":[{"image_url":"https://a.example"}]}'
    assert received.header("content-type") == "application/json"


# once, or more than once


async def test_a_small_form_is_repeated() -> None:
    """A form that is here whole goes out again, to the same place and to others."""
    routing = Routing()
    async with serving({"*": BROKEN}, routing, deployments=2) as (client, upstream):
        reply = await client.post(PATH, content=form(field("model", "m"), file(b"sound")), headers=FORM)
        bodies = [received.body for received in upstream.requests]
    assert reply.status_code == 503
    assert bodies == 4 * [form(field("model", "deployed"), file(b"sound"))]
    assert [outcome.is_final for outcome in routing.strategy.told] == [False, False]


async def test_what_was_sent_on_is_not_repeated() -> None:
    """Once more of a body was taken than is kept, the attempt is final: no retry, no other target, the outcome stands."""
    noting, routing = Noting(), Routing()
    body = form(field("model", "m"), file(LARGE))
    async with serving({"*": BROKEN}, noting, routing, deployments=2) as (client, upstream):
        reply = await client.post(PATH, content=slowly(body), headers=FORM)
        assert len(upstream.requests) == 1
    assert (reply.status_code, reply.json()["error"]["message"]) == (503, "try later")
    assert len(noting.last.attempts) == 1
    assert not noting.last.can_repeat


async def test_a_plugin_cannot_repeat_it_either() -> None:
    """A wrapper that tries again anyway is told so, and the provider gets nothing."""
    body = form(field("model", "m"), file(LARGE))
    async with serving({"*": BROKEN}, Routing(is_stubborn=True), deployments=2) as (client, upstream):
        reply = await client.post(PATH, content=slowly(body), headers=FORM)
        assert len(upstream.requests) == 1
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "body_spent")


async def test_nothing_taken_is_nothing_lost() -> None:
    """A deployment that cannot be reached costs nothing of the body: the next one gets all of it."""
    noting = Noting()

    class Away(Routing):
        @override
        @hookimpl
        async def route(self, ex: Exchange) -> Target | None:
            leaves = [Target(deployment=name, model="deployed") for name in ("away", "acme")]
            return Target(strategy="next", targets=tuple(leaves))

    body = form(field("model", "m"), file(LARGE))
    async with MockUpstream({"*": HEARD}) as upstream:
        away = {"provider": "acme", "api_key": KEY, "base_url": "http://127.0.0.1:9/v1"}
        here = {**away, "base_url": f"{upstream.url}/v1"}
        async with gateway(Acme, noting, Away(), providers={"away": away, "acme": here}) as client:
            reply = await client.post(PATH, content=slowly(body), headers=FORM)
        received = upstream.requests[0]
    assert reply.status_code == 200
    assert received.body == form(field("model", "deployed"), file(LARGE))
    assert [attempt.status for attempt in noting.last.attempts] == [502, 200]


# limits


def limits(**changes: Any) -> dict[str, Any]:
    return {"limits": changes}


@pytest.mark.parametrize("is_chunked", [False, True], ids=["declared", "counted"])
async def test_a_form_over_its_limit(is_chunked: bool) -> None:
    """The limit of the operation holds for what is announced and for what comes."""
    body = form(field("model", "m"), file(LARGE))
    sizes = {"audio.transcriptions": 1024 * 1024}
    async with serving(HEARD, **limits(body_bytes=sizes)) as (client, upstream):
        reply = await client.post(PATH, content=slowly(body) if is_chunked else body, headers=FORM)
        assert (reply.status_code, reply.json()["error"]["code"]) == (413, "body_too_large")
        assert client.gateway.body_bytes == 0
    assert upstream.requests == []


async def test_a_form_that_stalls() -> None:
    """A client that stops in the middle of its form is answered with 408, and the provider's call is ended."""
    stalled = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield form(field("model", "m"), file(LARGE))[: 2 * 1024 * 1024]
        await stalled.wait()

    async with serving(HEARD, **limits(body_stall_s=0.1)) as (client, upstream):
        reply = await client.post(PATH, content=body(), headers=FORM)
        assert (reply.status_code, reply.json()["error"]["code"]) == (408, "body_timeout")
        stalled.set()
    assert upstream.requests == []


async def test_only_what_is_held_is_counted() -> None:
    """An upload counts for what is kept of it and is on its way, whatever its size; afterwards it counts for nothing."""
    noting = Noting()
    body = form(field("model", "m"), file(LARGE * 4))
    async with serving(HEARD, noting, **limits(inflight_bytes=1024 * 1024)) as (client, upstream):
        reply = await client.post(PATH, content=slowly(body), headers=FORM)
        assert reply.status_code == 200
        behind = await client.post(PATH, content=slowly(form(file(LARGE), field("model", "m"))), headers=FORM)
        assert (behind.status_code, behind.json()["error"]["code"]) == (503, "overloaded")
        assert client.gateway.body_bytes == 0
    assert len(upstream.requests) == 1
    assert noting.exchanges[0].request_bytes == len(body)
    assert noting.exchanges[0].held_bytes == 128 * 1024


async def test_a_client_that_leaves_ends_the_upload() -> None:
    """When the client is gone in the middle of its body, the provider's connection is closed and nothing stays behind."""
    noting = Noting()
    going = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield form(field("model", "m"), file(LARGE))[: 1024 * 1024]
        going.set()
        await asyncio.Event().wait()

    async with serving(HEARD, noting) as (client, upstream):
        task = asyncio.create_task(client.post(PATH, content=body(), headers=FORM))
        await going.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await eventually(lambda: client.gateway.in_flight == 0, "the exchange is over")
        assert client.gateway.body_bytes == 0
    assert noting.last.outcome == "client_gone"
    assert upstream.requests == []


async def test_a_body_that_is_read_whole_can_go_out_again() -> None:
    """All of it is kept and counted, and a second reading or sending has the same bytes."""
    held: list[int] = []
    pieces = iter([b"a" * 5, b"b" * 5, b""])

    async def pull() -> bytes:
        return next(pieces)

    upload = Upload(pull, held.append, b"application/octet-stream", None, None)
    assert await upload.read(10) == b"aaaaabbbbb"
    assert held == [5, 5]
    assert await upload.read(10) == b"aaaaabbbbb"
    assert [piece async for piece in upload.outgoing({}).source] == [b"aaaaa", b"bbbbb"]
    assert not upload.is_spent


async def test_a_body_that_is_read_whole_has_a_limit() -> None:
    """One that is longer is refused before more of it is held, and one that has gone out cannot be read."""
    held: list[int] = []

    async def pull() -> bytes:
        return b"a" * 6

    upload = Upload(pull, held.append, b"application/octet-stream", None, None)
    with pytest.raises(BodyTooLarge, match="larger than the 10 bytes"):
        await upload.read(10)
    assert held == [6]
    await upload.take()
    with pytest.raises(HookFailed, match="second time"):
        await upload.read(10)
