"""Pictures of FLUX.1 [schnell] and of Stable Diffusion's checkpoints at Novita."""

from __future__ import annotations

from typing import Any

import openai.types
import pytest
from providers.compatible.tests.asking import Json, at, sent

from headgate_compatible.vendors import awaited

MODEL = "sd_xl_base_1.0.safetensors"
MADE = [{"image_url": f"https://p.example/{number}", "image_url_ttl": "3600", "image_type": "png"} for number in (1, 2)]
SCHNELL: Json = {"images": MADE, "task": {"task_id": "t-1"}}
TASK: Json = {"task": {"task_id": "t-1", "status": "TASK_STATUS_SUCCEED", "reason": ""}, "images": MADE}
USUAL: Json = {"steps": 20, "guidance_scale": 7.5, "sampler_name": "Euler a"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause of these tests is longer than a moment."""
    monkeypatch.setattr(awaited, "POLL_S", 0.001)


async def asked(model: str, body: Json, *said: Json, **headers: str) -> tuple[int, Any, list[Any], str | None]:
    """What the client is told, and each call to the vendor."""
    async with at("novita") as vendor:
        if said:
            vendor.answer(*said)
        status, told = await vendor.ask(
            "POST", "/v1/images/generations", {"model": f"mine/{model}", "prompt": "Grüße", **body}, **headers
        )
        return status, told, [sent(call) for call in vendor.calls], vendor.dropped


def urls_of(told: Any) -> list[str | None]:
    return [each.url for each in openai.types.ImagesResponse.model_validate(told).data or []]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, {"width": 1024, "height": 1024, "steps": 4, "image_num": 1}),
        (
            {"size": "640x480", "n": 2, "seed": 7, "steps": 3, "response_format": "url"},
            {"width": 640, "height": 480, "steps": 3, "image_num": 2, "seed": 7},
        ),
    ],
)
async def test_schnell(body: Json, told: Json) -> None:
    """A call that is answered at once, at an address of its own; what must be said and was not has the usual value."""
    status, said, calls, _ = await asked("flux-1-schnell", body, SCHNELL)
    assert calls == [("POST", "https://api.novita.ai/v3beta/flux-1-schnell", {"prompt": "Grüße", **told})]
    assert (status, urls_of(said)) == (200, ["https://p.example/1", "https://p.example/2"])


async def test_a_checkpoint() -> None:
    """A task whose request stands in `request`, and the format of its pictures in `extra`."""
    body = {"size": "768x512", "n": 2, "output_format": "webp", "user": "u", "negative_prompt": "dogs", "steps": 30}
    status, said, calls, dropped = await asked(MODEL, body, {"task_id": "t-1"}, TASK)
    request = {"model_name": MODEL, "prompt": "Grüße", **USUAL, "steps": 30, "negative_prompt": "dogs"}
    assert calls == [
        (
            "POST",
            "https://api.novita.ai/v3/async/txt2img",
            {
                "extra": {"response_image_type": "webp"},
                "request": {**request, "width": 768, "height": 512, "image_num": 2},
            },
        ),
        ("GET", "https://api.novita.ai/v3/async/task-result?task_id=t-1", None),
    ]
    assert (status, dropped, urls_of(said)) == (200, "user", ["https://p.example/1", "https://p.example/2"])


@pytest.mark.parametrize("model", ["flux-1-schnell", MODEL])
@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 9}, "n"),
        ({"size": "big"}, "size"),
        ({"response_format": "b64_json"}, "response_format"),
        ({"quality": "high"}, "quality"),
        ({"output_format": "gif"}, "output_format"),
        ({"background": "transparent"}, "background"),
    ],
)
async def test_what_they_cannot_say(model: str, body: Json, param: str) -> None:
    """What they have no words for is refused by its name."""
    status, told, calls, _ = await asked(model, body)
    assert (status, told["error"]["param"], calls) == (400, param, [])


async def test_what_may_be_dropped() -> None:
    """Let drop, it is left out and named."""
    drop = {"x-headgate-unsupported": "drop"}
    _, _, calls, dropped = await asked("flux-1-schnell", {"quality": "high", "n": 9}, SCHNELL, **drop)
    assert (dropped, calls[0][2]["image_num"]) == ("quality, n", 1)


async def test_no_pictures() -> None:
    """An answer without pictures, and a task that failed, are errors of the provider."""
    status, told, _, _ = await asked("flux-1-schnell", {}, {"images": [], "task": {"task_id": "t"}})
    assert (status, told["error"]["code"]) == (502, "upstream_bad_reply")
    failed = {"task": {"task_id": "t-1", "status": "TASK_STATUS_FAILED", "reason": "bad words"}}
    status, told, _, _ = await asked(MODEL, {}, {"task_id": "t-1"}, failed)
    assert status == 502
    assert "bad words" in told["error"]["message"]
