"""Edits of pictures at Fireworks: what begins a job, how it is asked after, and what is told of its end."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest
from providers.compatible.tests.calls import Json

from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_compatible import catalogue
from headgate_compatible.vendors import awaited

DROP = {"x-headgate-unsupported": "drop"}
MODEL = "accounts/fireworks/models/flux-kontext-pro"
URL = f"https://api.fireworks.ai/inference/v1/workflows/{MODEL}"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
SHOWN = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
FORM: Json = {"model": f"v/{MODEL}", "prompt": "Grüße"}
FILE = ("image", ("a.png", PNG, "image/png"))
PICTURE = "https://p.example/1"
BEGUN = Recorded.from_json({"request_id": "job-1"})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause of these tests is longer than a moment."""
    monkeypatch.setattr(awaited, "POLL_S", 0.001)


def job(status: str, result: Any = None) -> Recorded:
    """A job as Fireworks tells it."""
    return Recorded.from_json({"id": "job-1", "status": status, "result": result, "progress": None, "details": None})


READY = job("Ready", {"sample": PICTURE})


async def asked(
    seen: Sequence[Recorded], headers: Json | None = None, begun: Recorded = BEGUN, **given: Any
) -> tuple[Any, Sequence[tuple[str, str, Any]]]:
    """A client's reply, and what Fireworks was asked: method, address and body of each call."""
    upstream = ReplayUpstream({"*": [begun, *seen]})
    settings = {"provider": "fireworks", "api_key": "sk-vendor-key", "timeouts": {"first_byte_s": given.pop("s", 20)}}
    async with gateway(catalogue()["fireworks"], providers={"v": settings}, upstream=upstream) as client:
        reply = await client.post("/v1/images/edits", headers=headers or {}, **given)
    assert all(response.is_closed for response in upstream.responses)
    assert all(dict(each.headers)[b"content-type"] == b"application/json" for each in upstream.requests)
    return reply, [(each.method, each.url, json.loads(each.body)) for each in upstream.requests]


async def test_an_edit_of_a_form() -> None:
    """The picture is a data URI, a size its proportions, and the job is asked after until its picture's address is there."""
    fields = {
        **FORM,
        "size": "1536x1024",
        "n": "1",
        "seed": "7",
        "prompt_upsampling": "true",
        "safety_tolerance": "2",
        "output_format": "png",
        "response_format": "url",
        "user": "u",
    }
    reply, calls = await asked([job("Pending"), job("Pending"), READY], data=fields, files=[FILE])
    assert (reply.status_code, reply.json()) == (200, {"created": 0, "data": [{"url": PICTURE}]})
    assert sorted(reply.headers["x-headgate-dropped"].replace(" ", "").split(",")) == ["size", "user"]
    begun = {
        "prompt": "Grüße",
        "input_image": SHOWN,
        "aspect_ratio": "3:2",
        "output_format": "png",
        "seed": 7,
        "prompt_upsampling": True,
        "safety_tolerance": 2,
    }
    look = ("POST", f"{URL}/get_result", {"id": "job-1"})
    assert calls == [("POST", URL, begun), look, look, look]


async def test_an_edit_as_json() -> None:
    """OpenAI's JSON with an address passes it on."""
    body = {**FORM, "images": [{"image_url": "https://p.example/0"}], "quality": "auto"}
    reply, calls = await asked([READY], json=body)
    assert (reply.status_code, reply.json()["data"]) == (200, [{"url": PICTURE}])
    assert calls[0] == ("POST", URL, {"prompt": "Grüße", "input_image": "https://p.example/0"})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", "2"),
        ("size", "4000x1000"),
        ("response_format", "b64_json"),
        ("output_format", "webp"),
        ("background", "transparent"),
        ("quality", "high"),
    ],
)
async def test_what_has_no_words_there(field: str, value: str) -> None:
    """It is refused by name before a job is begun, or left out where the client wants that."""
    refused, calls = await asked([READY], data={**FORM, field: value}, files=[FILE])
    assert (refused.status_code, refused.json()["error"]["param"], calls) == (400, field, [])
    reply, calls = await asked([READY], DROP, data={**FORM, field: value}, files=[FILE])
    assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, field)
    assert calls[0][2] == {"prompt": "Grüße", "input_image": SHOWN}


async def test_masks_and_second_pictures() -> None:
    """A mask is refused in a form and in JSON, and so is a second picture."""
    mask = ("mask", ("m.png", PNG, "image/png"))
    refused, calls = await asked([READY], data=FORM, files=[FILE, mask])
    assert (refused.status_code, refused.json()["error"]["param"], calls) == (400, "mask", [])
    body = {**FORM, "images": [{"image_url": SHOWN}], "mask": {"image_url": SHOWN}}
    refused, calls = await asked([READY], json=body)
    assert (refused.status_code, refused.json()["error"]["param"], calls) == (400, "mask", [])
    refused, calls = await asked([READY], data=FORM, files=[FILE, FILE])
    assert (refused.status_code, refused.json()["error"]["param"], calls) == (400, "image", [])


@pytest.mark.parametrize("status", ["Request Moderated", "Content Moderated"])
async def test_what_is_moderated(status: str) -> None:
    """It is an error of the request's, with OpenAI's code for it."""
    reply, _ = await asked([job(status)], data=FORM, files=[FILE])
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "content_policy_violation")
    assert status in reply.json()["error"]["message"]


@pytest.mark.parametrize("end", [job("Error"), job("Failed"), job("Ready"), job("Ready", {"sample": "no address"})])
async def test_jobs_that_fail(end: Recorded) -> None:
    """An end without a picture is the provider's failure."""
    reply, _ = await asked([end], data=FORM, files=[FILE])
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")


async def test_a_job_that_does_not_begin() -> None:
    """An error is the answer, and so is a reply that names no job: nothing is asked after."""
    wrong = Recorded.from_json({"error": {"message": "no such model"}}, 404)
    reply, calls = await asked([], begun=wrong, data=FORM, files=[FILE])
    assert (reply.status_code, len(calls)) == (404, 1)
    reply, calls = await asked([], begun=READY, data=FORM, files=[FILE])
    assert reply.status_code == 502
    assert [url for _, url, _ in calls if url.endswith("/get_result")] == []


async def test_looks_that_fail() -> None:
    """Two in a row are borne, also where the job is not known yet; the third is the answer."""
    broken, lost = Recorded(status=503), job("Task not found")
    reply, calls = await asked([broken, lost, job("Pending"), lost, broken, READY], data=FORM, files=[FILE])
    assert (reply.status_code, len(calls)) == (200, 7)
    reply, _ = await asked([lost], data=FORM, files=[FILE])
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")
    reply, _ = await asked([Recorded.from_json({"error": {"message": "over"}}, 403)], data=FORM, files=[FILE])
    assert reply.status_code == 403


async def test_a_job_that_takes_too_long() -> None:
    """The deployment's limit for an answer is the job's."""
    reply, calls = await asked([job("Pending")], s=0.2, data=FORM, files=[FILE])
    assert (reply.status_code, reply.json()["error"]["code"]) == (504, "upstream_timeout")
    assert calls[0][1] == URL
