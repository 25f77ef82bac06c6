"""Fine-tuning of Predibase with the `openai` package: jobs at its API, whose times are on another page."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.fine_tuning import FineTuningJob

from headgate.testing import Recorded, ReplayUpstream, gateway

Json = dict[str, Any]

API = "https://api.app.predibase.com/v2/finetuning/jobs"
JOB: Json = {
    "uuid": "0192-ab",
    "baseModel": "llama-3-1-8b",
    "datasetName": "file_uploads/support",
    "targetRepoName": "support",
    "targetVersionTag": 3,
    "accelerator": {"id": "a100_80gb_100"},
    "status": "queued",
    "params": {"task": "sft", "base_model": "llama-3-1-8b", "epochs": 2, "rank": 16},
}
TIMELINE: Json = {
    "queued": {"startedAt": "2025-10-01T10:00:00.5Z"},
    "training": {"startedAt": "2025-10-01T10:05:00Z"},
    "completed": {"startedAt": "2025-10-01T11:00:00Z"},
    "canceled": None,
}
BEGUN, OVER = 1759312800, 1759316400
MINE: Json = {"model": "llama-3-1-8b", "training_file": "file_uploads/support", "suffix": "support"}


@asynccontextmanager
async def serving(*answers: Recorded, **settings: Any) -> AsyncGenerator[tuple[AsyncOpenAI, ReplayUpstream]]:
    """The package before a gateway with the deployment `pb`, whose calls are answered with `answers` in order."""
    upstream = ReplayUpstream({"*": list(answers)} if answers else {})
    own = settings or {"vars": {"tenant": "t", "deployment": "d"}}
    held = {"pb": {"provider": "predibase", "api_key": "pb_secret", **own}}
    async with gateway(providers=held, upstream=upstream) as http:
        headers = {"x-headgate-provider": "pb"}
        yield (
            AsyncOpenAI(
                base_url="http://gateway.test/v1",
                api_key="none",
                http_client=http,
                max_retries=0,
                default_headers=headers,
            ),
            upstream,
        )


def told(said: Any, status: int = 200) -> Recorded:
    return Recorded.from_json(said, status)


def calls(upstream: ReplayUpstream) -> list[str]:
    """What was asked, each with the key and bound to the API's own host."""
    for each in upstream.requests:
        assert each.credential is not None
        assert each.credential.origins == frozenset({"https://api.app.predibase.com:443"})
    return [f"{each.method} {each.url.removeprefix(API)}" for each in upstream.requests]


async def test_a_new_job() -> None:
    """Data, model, numbers and repository go in the vendor's words; the time is that of its timeline."""
    supervised: Any = {"hyperparameters": {"n_epochs": 2, "batch_size": "auto", "learning_rate_multiplier": "auto"}}
    async with serving(told(JOB), told(TIMELINE)) as (client, upstream):
        job = await client.fine_tuning.jobs.create(
            **MINE,
            method={"type": "supervised", "supervised": supervised},
            extra_body={"params": {"rank": 16, "task": "grpo"}, "description": "mine"},
        )
    assert calls(upstream) == ["POST ", "GET /0192-ab/timeline"]
    assert json.loads(upstream.requests[0].body) == {
        "params": {"rank": 16, "base_model": "llama-3-1-8b", "task": "sft", "epochs": 2},
        "dataset": "file_uploads/support",
        "repo": "support",
        "description": "mine",
    }
    FineTuningJob.model_validate(job.model_dump(), strict=True)
    assert (job.id, job.status, job.created_at, job.finished_at) == ("0192-ab", "queued", BEGUN, None)
    assert (job.model, job.training_file, job.fine_tuned_model) == ("llama-3-1-8b", "file_uploads/support", None)
    assert job.hyperparameters.n_epochs == 2


@pytest.mark.parametrize(
    ("native", "status", "finished"),
    [
        ("training", "running", None),
        ("completed", "succeeded", OVER),
        ("errored", "failed", None),
        ("canceled", "cancelled", None),
        ("stopped", "cancelled", None),
        ("stopping", "running", None),
    ],
)
async def test_a_job(native: str, status: str, finished: int | None) -> None:
    """Statuses in OpenAI's words; the tuned model is a version of the repository."""
    async with serving(told({**JOB, "status": native}), told(TIMELINE)) as (client, upstream):
        job = await client.fine_tuning.jobs.retrieve("0192-ab")
    assert calls(upstream) == ["GET /0192-ab", "GET /0192-ab/timeline"]
    FineTuningJob.model_validate(job.model_dump(), strict=True)
    assert (job.status, job.finished_at) == (status, finished)
    assert job.fine_tuned_model == ("support/3" if status == "succeeded" else None)
    assert (job.error is not None) == (status == "failed")


@pytest.mark.parametrize("missing", ["targetRepoName", "targetVersionTag"])
async def test_a_job_that_does_not_name_its_model(missing: str) -> None:
    """A name is told whole or not at all."""
    async with serving(told({**JOB, "status": "completed", missing: None}), told(TIMELINE)) as (client, _):
        job = await client.fine_tuning.jobs.retrieve("0192-ab")
    assert (job.status, job.fine_tuned_model) == ("succeeded", None)


@pytest.mark.parametrize(
    ("base", "api"),
    [
        ("https://proxy.example/predibase/v1", "https://proxy.example/predibase/v1"),
        ("https://serving.vpc.predibase.com/t/deployments/v2/llms/d/v1", "https://api.vpc.predibase.com"),
    ],
)
async def test_jobs_at_another_base_url(base: str, api: str) -> None:
    """One of somebody else's has everything below it."""
    async with serving(told(JOB), told(TIMELINE), base_url=base) as (client, upstream):
        await client.fine_tuning.jobs.retrieve("u")
    call = upstream.requests[0]
    assert call.url == f"{api}/v2/finetuning/jobs/u"
    assert call.credential is not None
    assert call.credential.origins == frozenset({f"https://{urlsplit(api).hostname}:443"})


async def test_cancelling() -> None:
    """The order is answered with nothing, so the job and its timeline are asked for."""
    async with serving(told({}), told({**JOB, "status": "canceled"}), told(TIMELINE)) as (client, upstream):
        job = await client.fine_tuning.jobs.cancel("0192-ab")
    assert calls(upstream) == ["POST /0192-ab/cancel", "GET /0192-ab", "GET /0192-ab/timeline"]
    assert (job.status, job.created_at) == ("cancelled", BEGUN)


async def test_events() -> None:
    """What has begun of the timeline, the newest first."""
    async with serving(told(TIMELINE)) as (client, upstream):
        page = await client.fine_tuning.jobs.list_events("0192-ab")
    assert calls(upstream) == ["GET /0192-ab/timeline"]
    assert [(each.message, each.created_at) for each in page.data] == [
        ("completed", OVER),
        ("training", BEGUN + 300),
        ("queued", BEGUN),
    ]


async def test_a_job_whose_timeline_fails() -> None:
    """A new job that its client takes to have failed is cancelled."""
    async with serving(told(JOB), told({"error": "gone"}, 500), told({})) as (client, upstream):
        with pytest.raises(openai.InternalServerError):
            await client.fine_tuning.jobs.create(**MINE)
    assert calls(upstream) == ["POST ", "GET /0192-ab/timeline", "POST /0192-ab/cancel"]


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"suffix": openai.omit}, "suffix"),
        ({"validation_file": "file_uploads/other"}, "validation_file"),
        ({"seed": 7}, "seed"),
        ({"hyperparameters": {"learning_rate_multiplier": 0.1}}, "hyperparameters.learning_rate_multiplier"),
        ({"method": {"type": "dpo"}}, "method.type"),
        ({"extra_body": {"continueFromVersion": "other/1"}}, "continueFromVersion"),
    ],
)
async def test_what_cannot_be_said(asked: Json, param: str) -> None:
    """It is refused by name, and nothing is sent."""
    async with serving() as (client, upstream):
        with pytest.raises(openai.BadRequestError) as held:
            await client.fine_tuning.jobs.create(**{**MINE, **asked})
    assert held.value.param == param
    assert upstream.requests == []


async def test_there_is_no_list() -> None:
    """The vendor has none."""
    async with serving() as (client, _):
        with pytest.raises(openai.BadRequestError, match="no list of `fine_tuning"):
            await client.fine_tuning.jobs.list()


async def test_an_error_of_the_vendors() -> None:
    """Its status and words arrive."""
    async with serving(told({"error": "repo not found"}, 404)) as (client, _):
        with pytest.raises(openai.NotFoundError, match="repo not found"):
            await client.fine_tuning.jobs.create(**MINE)
