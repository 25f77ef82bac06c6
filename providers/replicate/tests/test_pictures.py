"""Pictures: what a model's schema makes of OpenAI's request, and what its prediction is to the client."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from providers.replicate.tests.replicate_calls import CANCELED, MODEL, SEEN, answers, canceled, deploy, error_of
from providers.replicate.tests.replicate_wire import Json, described, inputs, prediction

from headgate.builtin import Core
from headgate.dialects import Gaps
from headgate.errors import ProviderFailed, UnsupportedField
from headgate.exchange import Attempt, Exchange, Principal, Reply, Target
from headgate.operations import IMAGES_GENERATE
from headgate.testing import Recorded, ReplayUpstream
from headgate.testing.waiting import eventually
from headgate_replicate import pictures, predictions

TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer"}
SCHNELL = described(
    prompt=TEXT, seed=WHOLE, num_outputs=WHOLE, aspect_ratio={"enum": ["1:1", "16:9", "21:9", "3:2"]},
    output_format={"enum": ["webp", "jpg", "png"]},
)  # fmt: skip
PRO = described(prompt=TEXT, aspect_ratio={"enum": ["custom", "1:1", "16:9"]}, width=WHOLE, height=WHOLE)
SEEDREAM = described(prompt=TEXT, size={"enum": ["1K", "2K", "custom"]}, width=WHOLE, height=WHOLE)
GPT = described(prompt=TEXT, quality={"enum": ["auto", "low", "high"]}, background={"enum": ["auto", "transparent"]})
URL = "https://replicate.delivery/xezq/1.webp"
MADE = Recorded.from_json(prediction(output=[URL]), 201)


def asked(model: Json, gaps: Gaps | None = None, **members: Any) -> Json:
    """The input that is sent for a request."""
    body = json.dumps({"model": "o/n", "prompt": "Grüße", **members}).encode()
    told: Json = json.loads(pictures.encode(body, "", inputs(model), gaps or Gaps("replicate")))
    assert told["input"].pop("prompt") == "Grüße"
    assert set(told) == {"input"}
    return told["input"]


async def call(upstream: ReplayUpstream, model: str = "o/n", **members: Any) -> Reply:
    """A client's reply."""
    provider = deploy(upstream)
    dialects = {dialect.name: dialect for dialect in Core().dialects()}
    ex = Exchange(IMAGES_GENERATE, {}, request_id="r", trace_id="t", dialect=dialects[IMAGES_GENERATE.dialect])
    ex.body = json.dumps({"model": model, "prompt": "p", **members}).encode()
    ex.model, ex.principal = model, Principal("k")
    ex.attempt = Attempt(Target(deployment="main"), provider, model, 0.0)
    ex.attempt.operation = IMAGES_GENERATE.name
    try:
        return await provider.call(ex)
    finally:
        await provider.predictions.settled()


# what is asked


@pytest.mark.parametrize(
    ("model", "members", "wanted", "dropped"),
    [
        (SCHNELL, {"n": 1, "size": "auto", "quality": "auto", "response_format": "url"}, {}, []),
        (SCHNELL, {"n": 3, "seed": 7}, {"num_outputs": 3, "seed": 7}, []),
        (SCHNELL, {"size": "1536x1024"}, {"aspect_ratio": "3:2"}, ["size"]),
        (SCHNELL, {"size": "2520x1080", "user": "u"}, {"aspect_ratio": "21:9"}, ["user", "size"]),
        (SCHNELL, {"output_format": "jpeg"}, {"output_format": "jpg"}, []),
        (SCHNELL, {"output_format": "png"}, {"output_format": "png"}, []),
        (PRO, {"size": "800x600"}, {"aspect_ratio": "custom", "width": 800, "height": 600}, []),
        (SEEDREAM, {"size": "2048x1024"}, {"size": "custom", "width": 2048, "height": 1024}, []),
        (GPT, {"quality": "high", "background": "transparent"}, {"quality": "high", "background": "transparent"}, []),
    ],
)
def test_a_request_by_the_schema(model: Json, members: Json, wanted: Json, dropped: list[str]) -> None:
    """Number, size and format go where the model takes them, and what it has under OpenAI's name goes as it is."""
    gaps = Gaps("replicate")
    assert (asked(model, gaps, **members), gaps.dropped) == (wanted, dropped)


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        (PRO, "n", 2),
        (GPT, "size", "1024x1024"),
        (SCHNELL, "size", "1000x999"),
        (SCHNELL, "size", "large"),
        (SCHNELL, "response_format", "b64_json"),
        (SCHNELL, "quality", "high"),
        (SCHNELL, "stream", True),
        (GPT, "guidance", 3.5),
    ],
)
def test_what_a_model_has_no_input_for(model: Json, field: str, value: object) -> None:
    """Such a wish is refused by name, or left out and named."""
    wish: Json = {field: value}
    with pytest.raises(UnsupportedField) as caught:
        asked(model, **wish)
    assert caught.value.param == field
    gaps = Gaps("replicate", "drop")
    assert (asked(model, gaps, **wish), gaps.dropped) == ({}, [field])


# what comes back


async def test_pictures() -> None:
    """The prediction is begun where its model is, and its output is addresses of pictures to the client."""
    upstream = answers(SCHNELL, begin=MADE)
    reply = await call(upstream, size="1024x1024")
    assert reply.status == 200
    assert json.loads(reply.body) == {"created": 1786082894, "data": [{"url": URL}]}
    schema, begun = upstream.requests
    assert (schema.method, begun.method) == ("GET", "POST")
    assert begun.url == "https://api.replicate.com/v1/models/o/n/predictions"
    assert json.loads(begun.body) == {"input": {"prompt": "p", "aspect_ratio": "1:1"}}


async def test_pictures_of_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is not kept running is named by its version; a prediction that takes long is looked after."""
    monkeypatch.setattr(predictions, "POLL_S", 0.001)
    begun, ended = Recorded.from_json(prediction("starting"), 201), Recorded.from_json(prediction(output=URL))
    upstream = ReplayUpstream(
        {f"{MODEL}/versions/12345678": Recorded.from_json(SCHNELL), "/v1/predictions": begun, SEEN: ended}
    )
    reply = await call(upstream, "o/n:12345678")
    assert json.loads(reply.body)["data"] == [{"url": URL}]
    assert json.loads(upstream.requests[1].body) == {"version": "12345678", "input": {"prompt": "p"}}


@pytest.mark.parametrize("output", [None, [], ["no address"], {"image": URL}])
async def test_odd_outputs(output: object) -> None:
    """An output that is no picture is the provider's failure."""
    with pytest.raises(ProviderFailed, match="answered with no pictures") as caught:
        await call(answers(SCHNELL, begin=Recorded.from_json(prediction(output=output), 201)))
    assert caught.value.provider == "replicate"


async def test_errors() -> None:
    """A prediction that failed, and a model that is not there, are errors in OpenAI's shape."""
    failed = Recorded.from_json(prediction("failed", error="NSFW content detected"), 201)
    reply = await call(answers(SCHNELL, begin=failed))
    assert (reply.status, "NSFW content detected" in error_of(reply)["message"]) == (502, True)
    missing = ReplayUpstream({MODEL: Recorded.from_json({"detail": "not found", "status": 404}, 404)})
    reply = await call(missing)
    assert (reply.status, error_of(reply)["message"]) == (404, "not found")
    strange = ReplayUpstream({MODEL: Recorded(body=b"<html>")})
    with pytest.raises(ProviderFailed, match="schema") as caught:
        await call(strange)
    assert caught.value.provider == "replicate"


async def test_a_caller_who_leaves() -> None:
    """The prediction of pictures that nobody waits for any more is canceled."""
    begun = Recorded.from_json(prediction("starting"), 201)
    upstream = answers(SCHNELL, begin=begun, seen=Recorded.from_json(prediction("processing")), cancel=CANCELED)
    task = asyncio.create_task(call(upstream))
    await eventually(lambda: len(upstream.requests) > 1, "the prediction is begun")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert canceled(upstream)
