"""Novita's pictures that are tasks: what begins one, how it is asked after, and what is told of its end."""

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
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
SHOWN = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
FILE = ("image", ("a.png", PNG, "image/png"))
THERE = "https://api.novita.ai/v3/async"
LOOK = ("GET", f"{THERE}/task-result?task_id=5f-1", None)
BEGUN = Recorded.from_json({"task_id": "5f-1"})
URLS = ["https://p.example/1", "https://p.example/2"]
DATA = [{"url": url} for url in URLS]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause of these tests is longer than a moment."""
    monkeypatch.setattr(awaited, "POLL_S", 0.001)


def task(status: str, urls: Sequence[str] = (), reason: str = "") -> Recorded:
    """A task as Novita tells it."""
    images = [{"image_url": url, "image_url_ttl": "3600", "image_type": "png"} for url in urls]
    held = {"task_id": "5f-1", "status": f"TASK_STATUS_{status}", "reason": reason, "progress_percent": 1}
    return Recorded.from_json({"task": held, "images": images, "videos": [], "audios": [], "extra": {}})


READY = task("SUCCEED", URLS)


async def asked(
    path: str, seen: Sequence[Recorded] = (READY,), begun: Recorded = BEGUN, headers: Json | None = None, **given: Any
) -> tuple[Any, Sequence[tuple[str, str, Any]]]:
    """A client's reply, and what Novita was asked: method, address and body of each call."""
    upstream = ReplayUpstream({"*": [begun, *seen]})
    settings = {"provider": "novita", "api_key": "sk-vendor-key", "timeouts": {"first_byte_s": given.pop("s", 20)}}
    async with gateway(catalogue()["novita"], providers={"v": settings}, upstream=upstream) as client:
        reply = await client.post(f"/v1/images/{path}", headers=headers or {}, **given)
    assert all(response.is_closed for response in upstream.responses)
    assert {each.credential.secret.reveal() for each in upstream.requests if each.credential} <= {"sk-vendor-key"}
    assert all(each.credential for each in upstream.requests)
    assert all((b"content-type" in dict(each.headers)) == (each.method == "POST") for each in upstream.requests)
    return reply, [(each.method, each.url, json.loads(each.body or b"null")) for each in upstream.requests]


async def test_a_picture_of_words() -> None:
    """A size is in Novita's words, and the task is asked after until its pictures are there."""
    body = {"model": "v/z-image-turbo", "prompt": "Grüße", "size": "1024x768", "n": 1, "seed": 7, "user": "u"}
    reply, calls = await asked("generations", [task("QUEUED"), task("PROCESSING"), READY], json=body)
    assert (reply.status_code, reply.json()) == (200, {"created": 0, "data": DATA})
    assert reply.headers["x-headgate-dropped"] == "user"
    begun = ("POST", f"{THERE}/z-image-turbo", {"prompt": "Grüße", "size": "1024*768", "seed": 7})
    assert calls == [begun, LOOK, LOOK, LOOK]


async def test_novitas_own_words() -> None:
    """A size as Novita writes it, and members that only it has, stay as they are."""
    body = {"model": "v/z-image-turbo-lora", "prompt": "p", "size": "512*512", "loras": [{"path": "a", "scale": 1}]}
    _, calls = await asked("generations", json=body)
    assert calls[0][2] == {"prompt": "p", "size": "512*512", "loras": [{"path": "a", "scale": 1}]}


@pytest.mark.parametrize(
    ("model", "fields", "told"),
    [
        (
            "flux-1-kontext-dev",
            {"n": "2", "size": "1024x512", "output_format": "webp", "fast_mode": "true", "seed": "3"},
            {"num_images": 2, "size": "1024*512", "output_format": "webp", "fast_mode": True, "seed": 3},
        ),
        ("flux-1-kontext-pro", {"size": "1536x1024", "safety_tolerance": "2"}, {"aspect_ratio": "3:2", "safety_tolerance": "2"}),
        ("flux-2-pro", {"size": "1024x1024", "quality": "auto", "response_format": "url"}, {"size": "1024*1024"}),
    ],
)  # fmt: skip
async def test_edits(model: str, fields: Json, told: Json) -> None:
    """Pictures of a form, or of OpenAI's JSON, stand in `images`, and each model is told what it has words for."""
    form = {"model": f"v/{model}", "prompt": "p", **fields}
    reply, calls = await asked("edits", data=form, files=[FILE, FILE])
    assert (reply.status_code, reply.json()["data"]) == (200, DATA)
    assert calls == [("POST", f"{THERE}/{model}", {"prompt": "p", "images": [SHOWN, SHOWN], **told}), LOOK]
    body = {"model": f"v/{model}", "prompt": "p", "images": [{"image_url": "https://p.example/0"}]}
    reply, calls = await asked("edits", json=body)
    assert (reply.status_code, calls[0][2]) == (200, {"prompt": "p", "images": ["https://p.example/0"]})


async def test_an_edit_of_one_picture() -> None:
    """Qwen edits one; a second is refused, and so is any by a model that draws words alone."""
    reply, calls = await asked("edits", data={"model": "v/qwen-image-edit", "prompt": "p"}, files=[FILE])
    assert (reply.status_code, calls[0][2]) == (200, {"prompt": "p", "image": SHOWN})
    for model, files in (("qwen-image-edit", [FILE, FILE]), ("hunyuan-image-3", [FILE])):
        reply, calls = await asked("edits", data={"model": f"v/{model}", "prompt": "p"}, files=files)
        assert (reply.status_code, reply.json()["error"]["param"], calls) == (400, "image", [])


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        ("flux-1-kontext-dev", "n", "5"),
        ("flux-1-kontext-dev", "output_format", "gif"),
        ("flux-1-kontext-dev", "size", "large"),
        ("flux-1-kontext-pro", "n", "2"),
        ("flux-1-kontext-pro", "size", "1000x1001"),
        ("flux-1-kontext-pro", "output_format", "png"),
        ("flux-2-pro", "guidance_scale", "2"),
        ("flux-2-pro", "response_format", "b64_json"),
        ("flux-2-pro", "input_fidelity", "high"),
    ],
)
async def test_what_has_no_words_there(model: str, field: str, value: str) -> None:
    """It is refused by name before a task is begun, or left out where the client wants that."""
    form = {"model": f"v/{model}", "prompt": "p", field: value}
    refused, calls = await asked("edits", data=form, files=[FILE])
    assert (refused.status_code, refused.json()["error"]["param"], calls) == (400, field, [])
    reply, calls = await asked("edits", headers=DROP, data=form, files=[FILE])
    assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, field)
    assert calls[0][2] == {"prompt": "p", "images": [SHOWN]}


async def test_a_mask() -> None:
    """No model there has one, in a form or in JSON."""
    form: Json = {"model": "v/flux-2-pro", "prompt": "p"}
    refused, calls = await asked("edits", data=form, files=[FILE, ("mask", ("m.png", PNG, "image/png"))])
    assert (refused.status_code, refused.json()["error"]["param"], calls) == (400, "mask", [])
    body = {**form, "images": [{"image_url": SHOWN}], "mask": {"image_url": SHOWN}}
    refused, calls = await asked("edits", json=body)
    assert (refused.status_code, refused.json()["error"]["param"], calls) == (400, "mask", [])


@pytest.mark.parametrize("end", [task("FAILED", reason="no GPU"), task("SUCCEED"), task("SUCCEED", [""])])
async def test_tasks_that_fail(end: Recorded) -> None:
    """An end without a picture is the provider's failure, with its reason."""
    reply, _ = await asked("generations", [end], json={"model": "v/flux-2-pro", "prompt": "p"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")
    assert ("no GPU" in reply.json()["error"]["message"]) == (b"no GPU" in end.body)


async def test_a_task_that_does_not_begin() -> None:
    """An error is the answer, and so is a reply that names no task: nothing is asked after."""
    body = {"model": "v/flux-2-pro", "prompt": "p"}
    wrong = Recorded.from_json({"code": 400, "reason": "ILLEGAL_PROMPT", "message": "not that"}, 400)
    reply, calls = await asked("generations", begun=wrong, json=body)
    assert (reply.status_code, reply.json()["error"]["message"], len(calls)) == (400, "not that", 1)
    for odd in ({}, {"task_id": "../x"}, {"task_id": 1}):
        reply, calls = await asked("generations", begun=Recorded.from_json(odd), json=body)
        assert (reply.status_code, [each[0] for each in calls if each[0] == "GET"]) == (502, [])


async def test_looks_that_fail() -> None:
    """Two in a row are borne; the third is the answer."""
    body, broken = {"model": "v/flux-2-pro", "prompt": "p"}, Recorded(status=503)
    odd = Recorded.from_json({"task": {}})
    reply, calls = await asked("generations", [broken, odd, task("QUEUED"), odd, broken, READY], json=body)
    assert (reply.status_code, len(calls)) == (200, 7)
    reply, calls = await asked("generations", [Recorded.from_json({"message": "over"}, 403)], json=body)
    assert (reply.status_code, reply.json()["error"]["message"]) == (403, "over")


async def test_a_task_that_takes_too_long() -> None:
    """The deployment's limit for an answer is the task's."""
    reply, _ = await asked("generations", [task("QUEUED")], s=0.2, json={"model": "v/flux-2-pro", "prompt": "p"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (504, "upstream_timeout")
