"""Trainings and files, for clients of OpenAI's fine-tuning and files: what is sent by a trainer's schema, and what is told."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import openai.types
import openai.types.fine_tuning
import pytest
from providers.replicate.tests.replicate_wire import Json

from headgate.forms import boundary_of, parts_of
from headgate.testing import Client, Recorded, ReplayUpstream, gateway
from headgate.upstream import UpstreamRequest
from headgate_replicate import Replicate

API = "https://api.replicate.com/v1"
FILE: Json = {"type": "string", "format": "uri"}
COUNT: Json = {"type": "integer"}
TRAINING: Json = {
    "id": "zz4ibb",
    "model": "o/n",
    "version": "v1",
    "input": {"input_images": f"{API}/files/file-1", "steps": 9},
    "logs": "",
    "error": None,
    "status": "starting",
    "created_at": "2023-09-08T16:32:56.990893084Z",
    "urls": {"get": f"{API}/predictions/zz4ibb"},
}
UPLOADED: Json = {
    "id": "cneqzi",
    "name": "train.zip",
    "content_type": "application/zip",
    "size": 7,
    "checksums": {"sha256": "00"},
    "metadata": {},
    "created_at": "2024-03-01T19:52:34.129Z",
    "expires_at": "2024-03-02T19:52:34.129Z",
    "urls": {"get": f"{API}/files/cneqzi"},
}
ASKED: Json = {"model": "mine/o/n", "training_file": "file-1", "destination": "me/mine"}
HERE = {"x-headgate-provider": "mine"}


def trainer(*needed: str, **inputs: Json) -> Json:
    """A model's description, with what its trainer takes."""
    shape = {"type": "object", "properties": inputs, "required": list(needed)}
    return {"latest_version": {"id": "v1", "openapi_schema": {"components": {"schemas": {"TrainingInput": shape}}}}}


FLUX = trainer("input_images", input_images=FILE, steps=COUNT, trigger_word={"type": "string"})
LLAMA = trainer(
    "train_data", train_data=FILE, eval_data=FILE, num_train_epochs=COUNT, train_batch_size=COUNT, seed=COUNT
)


@asynccontextmanager
async def at(model: Json | None = None, **answers: Any) -> AsyncGenerator[tuple[Client, Sequence[UpstreamRequest]]]:
    """A gateway before Replicate, which has this model and answers paths as they are told, with `/` for `__`."""
    upstream = ReplayUpstream()
    if model is not None:
        upstream.answer("/v1/models/o/n", Recorded.from_json(model))
        upstream.answer("/v1/models/o/n/versions/abcdef01", Recorded.from_json(model["latest_version"]))
    for path, said in answers.items():
        upstream.answer("/v1/" + path.replace("__", "/"), *(Recorded.from_json(each) for each in said))
    settings = {"mine": {"provider": "replicate", "api_key": "r8_0f1e2d3c4b5a"}}
    async with gateway(Replicate, providers=settings, upstream=upstream) as client:
        yield client, upstream.requests


BEGUN = {"models__o__n__versions__v1__trainings": [TRAINING]}


async def test_a_training() -> None:
    """The schema says where the file goes, the address names the trainer's latest version, and more inputs pass."""
    own = {"input": {"steps": 9}, "webhook": "https://me.example/hook", "webhook_events_filter": ["completed"]}
    async with at(FLUX, **BEGUN) as (client, calls):
        reply = await client.post("/v1/fine_tuning/jobs", json={**ASKED, **own})
        assert [(call.method, call.url) for call in calls] == [
            ("GET", f"{API}/models/o/n"),
            ("POST", f"{API}/models/o/n/versions/v1/trainings"),
        ]
        assert json.loads(calls[1].body) == {
            "destination": "me/mine",
            "input": {"steps": 9, "input_images": f"{API}/files/file-1"},
            "webhook": "https://me.example/hook",
            "webhook_events_filter": ["completed"],
        }
        assert all(call.credential is not None for call in calls)
    assert reply.status_code == 200
    job = openai.types.fine_tuning.FineTuningJob.model_validate(reply.json())
    assert (job.id, job.status, job.model, job.training_file) == ("zz4ibb", "queued", "o/n:v1", "file-1")
    assert (job.created_at, job.finished_at, job.fine_tuned_model, job.error) == (1694190776, None, None, None)


async def test_a_version() -> None:
    """A trainer of which the version is named is described and trained by that."""
    version = trainer("input_images", input_images=FILE)
    version["latest_version"]["id"] = "abcdef01"
    async with at(version, models__o__n__versions__abcdef01__trainings=[TRAINING]) as (client, calls):
        reply = await client.post("/v1/fine_tuning/jobs", json={**ASKED, "model": "mine/o/n:abcdef01"})
        assert reply.status_code == 200
        assert [call.url for call in calls] == [
            f"{API}/models/o/n/versions/abcdef01",
            f"{API}/models/o/n/versions/abcdef01/trainings",
        ]


async def test_numbers() -> None:
    """Numbers of OpenAI's go to the inputs that mean them; a file elsewhere is named by its address."""
    method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3, "batch_size": 4}}}
    url = "https://files.example/a.jsonl"
    async with at(LLAMA, **BEGUN) as (client, calls):
        asked = {**ASKED, "training_file": url, "seed": 7, "method": method}
        reply = await client.post("/v1/fine_tuning/jobs", json=asked)
        assert reply.status_code == 200
        told = {"train_data": url, "num_train_epochs": 3, "train_batch_size": 4, "seed": 7}
        assert json.loads(calls[1].body) == {"destination": "me/mine", "input": told}
    assert reply.json()["training_file"] == url


@pytest.mark.parametrize(
    ("model", "members", "param"),
    [
        (FLUX, {"hyperparameters": {"n_epochs": 3}}, "hyperparameters.n_epochs"),
        (FLUX, {"hyperparameters": {"learning_rate_multiplier": 2}}, "hyperparameters.learning_rate_multiplier"),
        (FLUX, {"hyperparameters": {"learning_rate_multiplier": [2]}}, "hyperparameters.learning_rate_multiplier"),
        (FLUX, {"seed": 1}, "seed"),
        (FLUX, {"suffix": "mine"}, "suffix"),
        (FLUX, {"validation_file": "file-2"}, "validation_file"),
        (FLUX, {"destination": None}, "destination"),
        (FLUX, {"metadata": {"a": "b"}}, "metadata"),
        (FLUX, {"method": {"type": "dpo", "dpo": {}}}, "method.type"),
        (trainer(one=FILE, two=FILE), {}, "training_file"),
        (trainer("one", "two", one=FILE, two=FILE), {}, "training_file"),
        (trainer(text={"type": "string"}), {}, "training_file"),
        ({"latest_version": {"id": "v1", "openapi_schema": {"components": {"schemas": {}}}}}, {}, "model"),
        ({"latest_version": None}, {}, "model"),
    ],
)
async def test_what_cannot_be_asked(model: Json, members: Json, param: str) -> None:
    """What the trainer has no place for, or does not say the place of, is a 400 that names it; nothing is begun."""
    async with at(model, **BEGUN) as (client, calls):
        reply = await client.post("/v1/fine_tuning/jobs", json={**ASKED, **members})
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
        assert [call.method for call in calls] == ["GET"]


async def test_a_trainer_that_is_not_there() -> None:
    """Its error is the answer, in OpenAI's envelope; so is what a training is refused with."""
    async with at(FLUX) as (client, calls):
        refused = Recorded.from_json({"title": "Invalid destination", "detail": "no such model", "status": 422}, 422)
        upstream: Any = calls
        reply = await client.post("/v1/fine_tuning/jobs", json={**ASKED, "model": "mine/o/gone"})
        assert (reply.status_code, len(upstream)) == (404, 1)
        assert reply.json()["error"]["message"]
    upstream = ReplayUpstream({"/v1/models/o/n": Recorded.from_json(FLUX), "*": refused})
    settings = {"mine": {"provider": "replicate", "api_key": "r8_0f1e2d3c4b5a"}}
    async with gateway(Replicate, providers=settings, upstream=upstream) as client:
        reply = await client.post("/v1/fine_tuning/jobs", json=ASKED)
    assert (reply.status_code, reply.json()["error"]["message"]) == (422, "no such model")


@pytest.mark.parametrize(
    ("said", "status", "model", "error"),
    [
        ({"status": "processing"}, "running", None, None),
        ({"status": "succeeded", "output": {"version": "me/mine:9", "weights": "https://w"}}, "succeeded", "me/mine:9", None),
        ({"status": "failed", "error": "no images"}, "failed", None, "no images"),
        ({"status": "canceled", "output": None}, "cancelled", None, None),
    ],
)  # fmt: skip
async def test_a_job(said: Json, status: str, model: str | None, error: str | None) -> None:
    """What became of a training, in OpenAI's words; its file is the first one of its input."""
    ended = {**TRAINING, **said, "completed_at": "1970-01-01T00:00:09Z"}
    async with at(trainings__zz4ibb=[ended], trainings__zz4ibb__cancel=[ended]) as (client, calls):
        reply = await client.get("/v1/fine_tuning/jobs/zz4ibb", headers=HERE)
        await client.post("/v1/fine_tuning/jobs/zz4ibb/cancel", headers=HERE)
        assert [(call.method, call.url) for call in calls] == [
            ("GET", f"{API}/trainings/zz4ibb"),
            ("POST", f"{API}/trainings/zz4ibb/cancel"),
        ]
    job = openai.types.fine_tuning.FineTuningJob.model_validate(reply.json())
    assert (job.status, job.fine_tuned_model, job.training_file) == (status, model, "file-1")
    assert (job.error.message if job.error else None) == error
    assert job.finished_at == (None if status == "running" else 9)


async def test_lists() -> None:
    """They go on where the vendor's address of the next page says, at the deployment's own."""
    pages = [
        {"results": [TRAINING], "next": f"{API}/trainings?cursor=cD0%3D", "previous": None},
        {"results": [{**TRAINING, "id": "second"}], "next": None, "previous": None},
    ]
    async with at(trainings=pages) as (client, calls):
        reply = await client.get("/v1/fine_tuning/jobs?after=zz4ibb", headers=HERE)
        assert [call.url for call in calls] == [f"{API}/trainings", f"{API}/trainings?cursor=cD0%3D"]
    assert [each["id"] for each in reply.json()["data"]] == ["second"]
    assert reply.json()["has_more"] is False


async def test_events() -> None:
    """There are none, and that is said."""
    async with at() as (client, calls):
        reply = await client.get("/v1/fine_tuning/jobs/zz4ibb/events", headers=HERE)
        assert (reply.status_code, reply.json()["error"]["code"], calls) == (400, "unsupported_operation", [])


# files


@pytest.mark.parametrize("content", [b"content", b"content" * 20_000], ids=["small", "large"])
async def test_an_upload(content: bytes) -> None:
    """The file goes in the part that the vendor wants, without what it is for."""
    async with at(files=[UPLOADED]) as (client, calls):
        parts: list[Any] = [
            ("purpose", (None, "fine-tune")),
            ("file", ("train.zip", content, "application/zip")),
        ]
        reply = await client.post("/v1/files", files=parts, headers=HERE)
        [call] = calls
    assert (call.method, call.url) == ("POST", f"{API}/files")
    [part] = parts_of(call.body, boundary_of(dict(call.headers)[b"content-type"]))
    assert (part.name, part.content_type, part.content) == ("content", "application/zip", content)
    assert b'filename="train.zip"' in call.body
    file = openai.types.FileObject.model_validate(reply.json())
    assert (file.id, file.bytes, file.filename, file.purpose) == ("cneqzi", 7, "train.zip", "fine-tune")
    assert (file.status, file.created_at, file.expires_at) == ("processed", 1709322754, 1709409154)


async def test_uploads_for_batches() -> None:
    """There are no batches that could read them."""
    async with at(files=[UPLOADED]) as (client, calls):
        parts: list[Any] = [("purpose", (None, "batch")), ("file", ("a.jsonl", b"{}", "application/jsonl"))]
        reply = await client.post("/v1/files", files=parts, headers=HERE)
        assert (reply.status_code, reply.json()["error"]["param"], calls) == (400, "purpose", [])


async def test_files() -> None:
    """A file, all of them, and the end of one, which is answered with nothing; content is not given back."""
    listed = {"results": [UPLOADED, {**UPLOADED, "id": "other"}], "next": None}
    async with at(files=[listed], files__cneqzi=[UPLOADED, {}]) as (client, calls):
        one = (await client.get("/v1/files/cneqzi", headers=HERE)).json()
        assert (one["id"], one["urls"]) == ("cneqzi", UPLOADED["urls"])
        told = (await client.get("/v1/files", headers=HERE)).json()
        assert [each["id"] for each in told["data"]] == ["cneqzi", "other"]
        gone = (await client.delete("/v1/files/cneqzi", headers=HERE)).json()
        assert gone == {"id": "cneqzi", "object": "file", "deleted": True}
        assert [call.method for call in calls] == ["GET", "GET", "DELETE"]
        reply = await client.get("/v1/files/cneqzi/content", headers=HERE)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "unsupported_operation")
