"""Fine-tuning of Together and Fireworks for clients of OpenAI's: what they are sent, and what is told of their answers."""

from __future__ import annotations

from typing import Any

import openai.types.fine_tuning as tuning
import pytest
import together.types
from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint
from providers.compatible.tests.asking import Json, at, sent
from together.lib.resources.fine_tuning import create_finetune_request
from together.types.finetune_model_limits import FinetuneModelLimits

LIMITS = FinetuneModelLimits.construct(supports_vision=False)
"""Of a model: what the SDK looks at before it makes a request without a training type."""
ASKED: Json = {"model": "mine/meta", "training_file": "file-1"}
TOGETHER: Json = {
    "id": "ft-1",
    "status": "completed",
    "created_at": "2023-05-17T17:35:45.123Z",
    "updated_at": "2023-05-17T18:46:23.456Z",
    "user_id": "user_01",
    "owner_address": "a@acme.example",
    "total_price": 1500,
    "token_count": 850000,
    "events": [],
    "model": "meta-llama/Llama-2-7b-hf",
    "model_output_name": "mynamespace/meta-llama/Llama-2-7b-hf-32162631",
    "n_epochs": 3,
    "batch_size": 16,
    "learning_rate": 1e-5,
    "training_file": "file-1",
    "validation_file": "",
    "training_method": {"method": "sft", "train_on_inputs": "auto"},
    "wandb_project_name": "my-finetune-project",
}
FIREWORKS: Json = {
    "name": "accounts/acme/supervisedFineTuningJobs/sft-1",
    "displayName": "mine",
    "createTime": "2026-01-01T00:00:00Z",
    "completedTime": "2026-01-01T01:00:00Z",
    "dataset": "accounts/acme/datasets/train-1",
    "evaluationDataset": "accounts/acme/datasets/eval-1",
    "state": "JOB_STATE_COMPLETED",
    "status": {"code": "OK", "message": ""},
    "outputModel": "accounts/acme/models/tuned",
    "baseModel": "accounts/fireworks/models/llama-v3p1-8b-instruct",
    "epochs": 2,
    "learningRate": 0.0001,
    "updateTime": "2026-01-01T01:00:01Z",
}


async def test_together_creates() -> None:
    """A job says what Together's own SDK says for the same, and nothing that is left to the vendor."""
    numbers = {"n_epochs": 3, "batch_size": 16, "learning_rate_multiplier": "auto"}
    run = {"project": "p", "name": "n", "entity": "e"}
    asked = {
        **ASKED,
        "validation_file": "file-2",
        "suffix": "mine",
        "seed": 7,
        "method": {"type": "supervised", "supervised": {"hyperparameters": numbers}},
        "integrations": [{"type": "wandb", "wandb": run}],
        "learning_rate": 2e-5,
    }
    async with at("together") as vendor:
        vendor.answer({**TOGETHER, "status": "pending"})
        status, told = await vendor.ask("POST", "/v1/fine_tuning/jobs", asked)
        assert (status, vendor.dropped) == (200, None)
        method, url, body = sent(vendor.calls[0])
    assert (method, url) == ("POST", "https://api.together.ai/v1/fine-tunes")
    official, _, _ = create_finetune_request(
        LIMITS,
        "file-1",
        model="meta",
        validation_file="file-2",
        n_epochs=3,
        batch_size=16,
        suffix="mine",
        random_seed=7,
        learning_rate=2e-5,
        wandb_project_name="p",
        wandb_name="n",
        wandb_entity="e",
    )
    said = official.model_dump(exclude_none=True)
    assert {name: said[name] for name in body} == body
    assert set(body) >= {"model", "training_file", "validation_file", "n_epochs", "batch_size", "suffix", "random_seed"}
    job = tuning.FineTuningJob.model_validate(told)
    assert (job.status, job.fine_tuned_model, job.finished_at, job.trained_tokens) == ("queued", None, None, None)


async def test_together_trains_by_preferences() -> None:
    """The method `dpo` keeps its beta, and what is `auto` is left to the vendor."""
    asked = {**ASKED, "method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2, "n_epochs": "auto"}}}}
    async with at("together") as vendor:
        vendor.answer({**TOGETHER, "training_method": {"method": "dpo", "dpo_beta": 0.2}})
        _, told = await vendor.ask("POST", "/v1/fine_tuning/jobs", asked)
        assert sent(vendor.calls[0])[2] == {
            "model": "meta",
            "training_file": "file-1",
            "training_method": {"method": "dpo", "dpo_beta": 0.2},
        }
    job = tuning.FineTuningJob.model_validate(told)
    assert job.method is not None
    assert job.method.type == "dpo"
    assert job.method.dpo is not None
    assert job.method.dpo.hyperparameters is not None
    assert job.method.dpo.hyperparameters.beta == 0.2


async def test_together_tells_a_job() -> None:
    """What has ended has a model, a time and its tokens; the vendor's word stands beside OpenAI's."""
    async with at("together") as vendor:
        vendor.answer(TOGETHER)
        _, told = await vendor.ask("GET", "/v1/fine_tuning/jobs/ft-1")
        assert sent(vendor.calls[0]) == ("GET", "https://api.together.ai/v1/fine-tunes/ft-1", None)
    together.types.FinetuneResponse.model_validate(TOGETHER)
    job = tuning.FineTuningJob.model_validate(told)
    assert (job.id, job.status, job.model) == ("ft-1", "succeeded", "meta-llama/Llama-2-7b-hf")
    assert (job.created_at, job.finished_at, job.trained_tokens) == (1684344945, 1684349183, 850000)
    assert (job.fine_tuned_model, job.seed) == (TOGETHER["model_output_name"], 42)
    assert (job.hyperparameters.n_epochs, job.hyperparameters.batch_size) == (3, 16)
    assert job.validation_file is None
    assert job.integrations is not None
    assert job.integrations[0].wandb.project == "my-finetune-project"
    assert (told["native_status"], told["learning_rate"], job.error) == ("completed", 1e-5, None)


@pytest.mark.parametrize(
    ("native", "status"),
    [
        ("pending", "queued"),
        ("compressing", "running"),
        ("cancel_requested", "running"),
        ("cancelled", "cancelled"),
        ("user_error", "failed"),
        ("something_new", "running"),
    ],
)
async def test_together_statuses(native: str, status: str) -> None:
    """Each of the vendor's words is one of OpenAI's; what failed says why."""
    event = {"object": "fine-tune-event", "type": "job_error", "level": "error", "message": "no data", "created_at": ""}
    async with at("together") as vendor:
        vendor.answer(
            {
                **TOGETHER,
                "status": native,
                "batch_size": "max",
                "events": [event, {**event, "type": "x", "level": "info"}],
            }
        )
        _, told = await vendor.ask("POST", "/v1/fine_tuning/jobs/ft-1/cancel")
        assert sent(vendor.calls[0]) == ("POST", "https://api.together.ai/v1/fine-tunes/ft-1/cancel", None)
    job = tuning.FineTuningJob.model_validate(told)
    assert (job.status, told["native_status"], job.hyperparameters.batch_size) == (status, native, "auto")
    assert (job.error.message if job.error else None) == ("no data" if status == "failed" else None)


async def test_together_lists() -> None:
    """The vendor's whole list is told in pages, the newest first."""
    jobs = [{**TOGETHER, "id": f"ft-{day}", "created_at": f"2026-01-0{day}T00:00:00Z"} for day in (2, 1, 3)]
    async with at("together") as vendor:
        vendor.answer({"data": jobs})
        _, first = await vendor.ask("GET", "/v1/fine_tuning/jobs?limit=2")
        _, second = await vendor.ask("GET", "/v1/fine_tuning/jobs?limit=2&after=ft-2")
        status, told = await vendor.ask("GET", "/v1/fine_tuning/jobs?metadata%5Ba%5D=b")
        assert (status, told["error"]["param"], len(vendor.calls)) == (400, "metadata[a]", 2)
    assert ([each["id"] for each in first["data"]], first["has_more"]) == (["ft-3", "ft-2"], True)
    assert ([each["id"] for each in second["data"]], second["has_more"]) == (["ft-1"], False)


async def test_together_events_and_checkpoints() -> None:
    """Both are told the newest first, with ids that stay; a step with two files has two checkpoints."""
    events: list[Json] = [
        {
            "object": "fine-tune-event",
            "type": "job_pending",
            "level": "info",
            "message": "a",
            "created_at": "2026-01-01T00:00:00Z",
        },
        {
            "object": "fine-tune-event",
            "type": "warning",
            "level": "legacy_iwarning",
            "message": "b",
            "created_at": "x",
            "step": 3,
        },
    ]
    saved: list[Json] = [
        {"checkpoint_type": "Intermediate", "created_at": "2026-01-01T00:00:00Z", "path": "s3://a/1", "step": 1},
        {
            "checkpoint_type": "Final",
            "created_at": "2026-01-01T00:00:00Z",
            "path": "s3://a/2",
            "step": 2,
            "checkpoint": "model",
        },
        {
            "checkpoint_type": "Final",
            "created_at": "",
            "path": "s3://a/3",
            "step": 2,
            "checkpoint": "adapter",
            "object_name": "o",
        },
    ]
    async with at("together") as vendor:
        vendor.answer({"data": events})
        _, told = await vendor.ask("GET", "/v1/fine_tuning/jobs/ft-1/events")
        _, rest = await vendor.ask("GET", "/v1/fine_tuning/jobs/ft-1/events?after=ftevent-ft-1-1")
        vendor.answer({"data": saved})
        _, kept = await vendor.ask("GET", "/v1/fine_tuning/jobs/ft-1/checkpoints")
        assert [call.url.rpartition("/v1")[2] for call in vendor.calls][1:] == [
            "/fine-tunes/ft-1/events",
            "/fine-tunes/ft-1/checkpoints",
        ]
    together.types.FineTuningListCheckpointsResponse.model_validate({"data": saved})
    found = [tuning.FineTuningJobEvent.model_validate(each) for each in told["data"]]
    assert [(each.id, each.level, each.message) for each in found] == [
        ("ftevent-ft-1-1", "warn", "b"),
        ("ftevent-ft-1-0", "info", "a"),
    ]
    assert told["data"][0]["data"] == {"type": "warning", "step": 3}
    assert [each["id"] for each in rest["data"]] == ["ftevent-ft-1-0"]
    checkpoints = [FineTuningJobCheckpoint.model_validate(each) for each in kept["data"]]
    assert [(each.id, each.step_number, each.fine_tuned_model_checkpoint) for each in checkpoints] == [
        ("ft-1:2:model", 2, "s3://a/2"),
        ("ft-1:2:adapter", 2, "o"),
        ("ft-1:1", 1, "s3://a/1"),
    ]


async def test_fireworks_creates() -> None:
    """A job is made over datasets of the account; members of the vendor's own pass."""
    asked = {
        **ASKED,
        "training_file": "train-1",
        "validation_file": "accounts/acme/datasets/eval-1",
        "hyperparameters": {"n_epochs": 2, "batch_size": "auto", "learning_rate_multiplier": "auto"},
        "learningRate": 0.0001,
        "outputModel": "tuned",
    }
    async with at("fireworks") as vendor:
        vendor.answer({**FIREWORKS, "state": "JOB_STATE_CREATING"})
        status, told = await vendor.ask("POST", "/v1/fine_tuning/jobs", asked)
        assert (status, vendor.dropped) == (200, None)
        method, url, body = sent(vendor.calls[0])
    assert (method, url) == ("POST", "https://api.fireworks.ai/v1/accounts/acme/supervisedFineTuningJobs")
    assert body == {
        "dataset": "accounts/acme/datasets/train-1",
        "evaluationDataset": "accounts/acme/datasets/eval-1",
        "baseModel": "meta",
        "epochs": 2,
        "learningRate": 0.0001,
        "outputModel": "tuned",
    }
    job = tuning.FineTuningJob.model_validate(told)
    assert (job.id, job.status, job.fine_tuned_model, job.finished_at) == ("sft-1", "queued", None, None)


async def test_fireworks_tells_jobs() -> None:
    """Jobs come by pages with a token, below their account, in OpenAI's shape."""
    failed = {**FIREWORKS, "state": "JOB_STATE_FAILED", "status": {"code": "INVALID_ARGUMENT", "message": "no rows"}}
    async with at("fireworks") as vendor:
        vendor.answer({"supervisedFineTuningJobs": [FIREWORKS, failed], "totalSize": 2})
        _, told = await vendor.ask("GET", "/v1/fine_tuning/jobs")
        assert (
            vendor.calls[0].url.partition("?")[0]
            == "https://api.fireworks.ai/v1/accounts/acme/supervisedFineTuningJobs"
        )
    first, second = [tuning.FineTuningJob.model_validate(each) for each in told["data"]]
    assert (first.status, first.fine_tuned_model, first.organization_id) == (
        "succeeded",
        FIREWORKS["outputModel"],
        "acme",
    )
    assert (first.created_at, first.finished_at) == (1767225600, 1767229200)
    assert (first.training_file, first.validation_file, first.hyperparameters.n_epochs) == ("train-1", "eval-1", 2)
    assert second.error is not None
    assert (second.status, second.error.code, second.error.message) == ("failed", "INVALID_ARGUMENT", "no rows")


async def test_fireworks_cancels_and_resumes() -> None:
    """A cancellation is answered with nothing, so the job is asked for; a job that goes on is told at once."""
    async with at("fireworks") as vendor:
        job = "/v1/accounts/acme/supervisedFineTuningJobs/sft-1"
        vendor.answer({}, path=f"{job}:cancel")
        vendor.answer({**FIREWORKS, "state": "JOB_STATE_CANCELLED"}, path=job)
        vendor.answer({**FIREWORKS, "state": "JOB_STATE_RUNNING"}, path=f"{job}:resume")
        _, cancelled = await vendor.ask("POST", "/v1/fine_tuning/jobs/sft-1/cancel")
        _, resumed = await vendor.ask("POST", "/v1/fine_tuning/jobs/sft-1/resume")
        assert [sent(call) for call in vendor.calls] == [
            ("POST", f"https://api.fireworks.ai{job}:cancel", {}),
            ("GET", f"https://api.fireworks.ai{job}", None),
            ("POST", f"https://api.fireworks.ai{job}:resume", {}),
        ]
    assert (cancelled["status"], resumed["status"]) == ("cancelled", "running")


@pytest.mark.parametrize(
    ("vendor", "more", "param"),
    [
        ("together", {"metadata": {"a": "b"}}, "metadata"),
        ("together", {"method": {"type": "reinforcement", "reinforcement": {"grader": {}}}}, "method.type"),
        ("together", {"hyperparameters": {"learning_rate_multiplier": 2}}, "hyperparameters.learning_rate_multiplier"),
        (
            "together",
            {"hyperparameters": {"learning_rate_multiplier": [2]}},
            "hyperparameters.learning_rate_multiplier",
        ),
        ("together", {"hyperparameters": {"n_epochs": 1}, "method": {"type": "supervised"}}, "hyperparameters"),
        ("together", {"hyperparameters": {"n_epochs": "many"}}, "hyperparameters.n_epochs"),
        (
            "together",
            {"integrations": [{"type": "wandb", "wandb": {"project": "p", "tags": ["t"]}}]},
            "integrations[0].wandb.tags",
        ),
        ("together", {"integrations": [{"type": "other"}]}, "integrations[0]"),
        ("together", {"from_checkpoint": "ft-9:1"}, "from_checkpoint"),
        ("fireworks", {"warmStartFrom": "accounts/acme/models/other"}, "warmStartFrom"),
        ("fireworks", {"seed": 1}, "seed"),
        ("fireworks", {"suffix": "mine"}, "suffix"),
        ("fireworks", {"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "integrations"),
        ("fireworks", {"method": {"type": "dpo"}}, "method.type"),
        (
            "fireworks",
            {"method": {"type": "supervised", "supervised": {"hyperparameters": {"batch_size": 8}}}},
            "method.supervised.hyperparameters.batch_size",
        ),
    ],
)
async def test_what_cannot_be_asked(vendor: str, more: Json, param: str) -> None:
    """What a vendor cannot be told is a 400 that names it, and nothing is sent."""
    async with at(vendor) as held:
        status, told = await held.ask("POST", "/v1/fine_tuning/jobs", {**ASKED, **more})
        assert (status, told["error"]["param"], held.calls) == (400, param, [])


async def test_what_is_let_drop() -> None:
    """With `unsupported: drop` the rest is sent, and what was left out is named."""
    asked = {**ASKED, "seed": 1, "suffix": "s", "hyperparameters": {"n_epochs": 1, "learning_rate_multiplier": 2}}
    async with at("fireworks", unsupported="drop") as vendor:
        vendor.answer(FIREWORKS)
        await vendor.ask("POST", "/v1/fine_tuning/jobs", asked)
        body: Any = sent(vendor.calls[0])[2]
        assert body == {"dataset": "accounts/acme/datasets/file-1", "baseModel": "meta", "epochs": 1}
        assert vendor.dropped is not None
        assert set(vendor.dropped.split(", ")) == {"seed", "suffix", "hyperparameters.learning_rate_multiplier"}


@pytest.mark.parametrize(
    ("vendor", "method", "path"),
    [
        ("together", "POST", "/v1/fine_tuning/jobs/ft-1/pause"),
        ("together", "DELETE", "/v1/fine_tuning/jobs/ft-1"),
        ("fireworks", "GET", "/v1/fine_tuning/jobs/sft-1/events"),
        ("fireworks", "GET", "/v1/fine_tuning/jobs/sft-1/checkpoints"),
        ("together", "GET", "/v1/fine_tuning/jobs/ft-1/events/1"),
    ],
)
async def test_what_there_is_not(vendor: str, method: str, path: str) -> None:
    """What the vendor has no call for is a 400, and nothing is sent."""
    async with at(vendor) as held:
        status, told = await held.ask(method, path)
        assert (status, told["error"]["code"], held.calls) == (400, "unsupported_operation", [])
