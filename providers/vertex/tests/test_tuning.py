"""Tuning jobs of Vertex AI for clients of OpenAI's: what it is sent, and what is told of its answers."""

from __future__ import annotations

import openai.types.fine_tuning as tuning
import pytest
from google import genai
from google.genai import types
from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint
from providers.vertex.tests.jobs_wire import PLACE, URL, Json, official, sent, serving

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")
JOBS = "/v1/fine_tuning/jobs"
ASKED: Json = {"model": "mine/gemini-2.5-flash", "training_file": "gs://mine/train.jsonl"}
JOB: Json = {
    "name": f"{PLACE}/tuningJobs/123",
    "tunedModelDisplayName": "mine",
    "baseModel": "gemini-2.5-flash",
    "supervisedTuningSpec": {
        "trainingDatasetUri": "gs://mine/train.jsonl",
        "validationDatasetUri": "gs://mine/validate.jsonl",
        "hyperParameters": {"epochCount": "4", "learningRateMultiplier": 0.5, "adapterSize": "ADAPTER_SIZE_FOUR"},
    },
    "state": "JOB_STATE_SUCCEEDED",
    "createTime": "2025-10-16T19:33:59.153782Z",
    "startTime": "2025-10-16T19:34:59Z",
    "endTime": "2025-10-16T20:33:59Z",
    "updateTime": "2025-10-16T20:34:59Z",
    "experiment": f"{PLACE}/metadataStores/default/contexts/tuning-experiment-2025010112345678",
    "tunedModel": {
        "model": f"{PLACE}/models/456@1",
        "endpoint": f"{PLACE}/endpoints/789",
        "checkpoints": [
            {"checkpointId": "1", "epoch": "2", "step": "10", "endpoint": f"{PLACE}/endpoints/788"},
            {"checkpointId": "2", "epoch": "4", "step": "20", "endpoint": f"{PLACE}/endpoints/789"},
        ],
    },
    "labels": {"team": "search"},
}
"""By the resource of https://docs.cloud.google.com/gemini-enterprise-agent-platform/reference/rest/v1/projects.locations.tuningJobs."""
PREFERRED: Json = {
    **{name: value for name, value in JOB.items() if name != "supervisedTuningSpec"},
    "preferenceOptimizationSpec": {
        "trainingDatasetUri": "gs://mine/pairs.jsonl",
        "hyperParameters": {"beta": 0.2, "epochCount": "1"},
    },
}


@pytest.mark.parametrize("sample", [JOB, PREFERRED])
def test_the_samples_are_what_google_reads(sample: Json) -> None:
    """Google's own client reads the samples as the jobs that they stand for."""

    def retrieve(google: genai.Client) -> types.TuningJob:
        return google.tunings.get(name=sample["name"])

    job, _ = official(retrieve, sample)
    assert (job.state, job.base_model) == (types.JobState.JOB_STATE_SUCCEEDED, "gemini-2.5-flash")
    assert job.tuned_model is not None
    assert job.tuned_model.checkpoints is not None
    assert [each.step for each in job.tuned_model.checkpoints] == [10, 20]
    assert (job.supervised_tuning_spec is None) == (job.preference_optimization_spec is not None)


async def test_create() -> None:
    """What Google's own client sends for the same is sent, members of the vendor's own among it."""
    numbers = {"n_epochs": 4, "learning_rate_multiplier": 0.5, "batch_size": "auto"}
    asked = {
        **ASKED,
        "validation_file": "gs://mine/validate.jsonl",
        "suffix": "mine",
        "metadata": {"team": "search"},
        "method": {"type": "supervised", "supervised": {"hyperparameters": numbers}},
        "adapterSize": "ADAPTER_SIZE_FOUR",
        "exportLastCheckpointOnly": True,
        "description": "a try",
    }
    async with serving() as vertex:
        vertex.answer({**JOB, "state": "JOB_STATE_PENDING", "tunedModel": None})
        status, told = await vertex.ask("POST", JOBS, asked)
        assert (status, vertex.dropped) == (200, None)
        method, url, body = sent(vertex.calls[0])
    assert (method, url) == ("POST", f"{URL}/tuningJobs")

    def create(google: genai.Client) -> types.TuningJob:
        config = types.CreateTuningJobConfig(
            validation_dataset=types.TuningValidationDataset(gcs_uri="gs://mine/validate.jsonl"),
            tuned_model_display_name="mine",
            labels={"team": "search"},
            epoch_count=4,
            learning_rate_multiplier=0.5,
            adapter_size=types.AdapterSize.ADAPTER_SIZE_FOUR,
            export_last_checkpoint_only=True,
            description="a try",
        )
        data = types.TuningDataset(gcs_uri="gs://mine/train.jsonl")
        return google.tunings.tune(base_model="gemini-2.5-flash", training_dataset=data, config=config)

    assert body == official(create, JOB)[1]
    job = tuning.FineTuningJob.model_validate(told)
    assert (job.id, job.status, job.created_at) == ("123", "queued", 1760643239)
    assert (job.fine_tuned_model, job.finished_at, job.organization_id) == (None, None, "my-project")


async def test_by_preferences() -> None:
    """The method `dpo` is the vendor's preference tuning, with its beta; what is `auto` the vendor finds."""
    numbers = {"beta": 0.2, "n_epochs": 1, "learning_rate_multiplier": "auto"}
    asked = {
        **ASKED,
        "training_file": "gs://mine/pairs.jsonl",
        "method": {"type": "dpo", "dpo": {"hyperparameters": numbers}},
    }
    async with serving() as vertex:
        vertex.answer(PREFERRED)
        _, told = await vertex.ask("POST", JOBS, asked)
        body = sent(vertex.calls[0])[2]

    def create(google: genai.Client) -> types.TuningJob:
        config = types.CreateTuningJobConfig(method=types.TuningMethod.PREFERENCE_TUNING, beta=0.2, epoch_count=1)
        data = types.TuningDataset(gcs_uri="gs://mine/pairs.jsonl")
        return google.tunings.tune(base_model="gemini-2.5-flash", training_dataset=data, config=config)

    assert body == official(create, PREFERRED)[1]
    job = tuning.FineTuningJob.model_validate(told)
    assert job.method is not None
    assert job.method.dpo is not None
    assert job.method.dpo.hyperparameters is not None
    assert (job.method.type, job.method.dpo.hyperparameters.beta) == ("dpo", 0.2)
    assert (job.training_file, job.hyperparameters.n_epochs) == ("gs://mine/pairs.jsonl", 1)


async def test_a_tuned_model_is_tuned_further() -> None:
    """A model of the project's own is named as what was tuned before, as Google's own client does."""
    async with serving() as vertex:
        vertex.answer(JOB)
        await vertex.ask("POST", JOBS, {**ASKED, "model": f"mine/{PLACE}/models/456@1"})
        body = sent(vertex.calls[0])[2]

    def create(google: genai.Client) -> types.TuningJob:
        data = types.TuningDataset(gcs_uri="gs://mine/train.jsonl")
        return google.tunings.tune(base_model=f"{PLACE}/models/456@1", training_dataset=data)

    said = official(create, JOB)[1]
    assert set(body) == set(said)
    assert types.PreTunedModel(**body["preTunedModel"]) == types.PreTunedModel(**said["preTunedModel"])
    assert body["supervisedTuningSpec"] == said["supervisedTuningSpec"]


async def test_retrieve() -> None:
    """What has ended names the model that can be asked, by its endpoint, and the one that can be tuned further."""
    async with serving() as vertex:
        vertex.answer(JOB)
        _, told = await vertex.ask("GET", f"{JOBS}/123")
        assert sent(vertex.calls[0]) == ("GET", f"{URL}/tuningJobs/123", None)
    job = tuning.FineTuningJob.model_validate(told)
    assert (job.status, job.model, job.fine_tuned_model) == ("succeeded", "gemini-2.5-flash", "789")
    assert (job.created_at, job.finished_at, job.trained_tokens) == (1760643239, 1760646839, None)
    assert (job.training_file, job.validation_file) == ("gs://mine/train.jsonl", "gs://mine/validate.jsonl")
    assert (job.hyperparameters.n_epochs, job.hyperparameters.learning_rate_multiplier) == (4, 0.5)
    assert (job.metadata, job.error, told["tunedModel"]["model"]) == ({"team": "search"}, None, f"{PLACE}/models/456@1")


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("JOB_STATE_QUEUED", "queued"),
        ("JOB_STATE_RUNNING", "running"),
        ("JOB_STATE_CANCELLING", "running"),
        ("JOB_STATE_CANCELLED", "cancelled"),
        ("JOB_STATE_EXPIRED", "failed"),
        ("JOB_STATE_FAILED", "failed"),
        ("JOB_STATE_SOMETHING", "running"),
    ],
)
async def test_states(state: str, status: str) -> None:
    """Each of the vendor's words is one of OpenAI's; what failed says why. A change is followed by a call for the job."""
    async with serving() as vertex:
        path = f"/v1/{PLACE}/tuningJobs/123"
        vertex.answer({}, path=f"{path}:cancel")
        vertex.answer({**JOB, "state": state, "error": {"code": 3, "message": "no data"}}, path=path)
        _, told = await vertex.ask("POST", f"{JOBS}/123/cancel")
        assert [sent(call)[:2] for call in vertex.calls] == [
            ("POST", f"{URL}/tuningJobs/123:cancel"),
            ("GET", f"{URL}/tuningJobs/123"),
        ]
    job = tuning.FineTuningJob.model_validate(told)
    assert (job.status, told["native_status"], job.fine_tuned_model) == (status, state, None)
    assert (job.error and (job.error.code, job.error.message)) == (("3", "no data") if status == "failed" else None)


async def test_list() -> None:
    """Pages with tokens become OpenAI's."""
    jobs = [{**JOB, "name": f"{PLACE}/tuningJobs/{number}"} for number in (1, 2, 3)]
    async with serving() as vertex:
        vertex.answer({"tuningJobs": jobs[:2], "nextPageToken": "t"}, {"tuningJobs": jobs[2:]})
        _, told = await vertex.ask("GET", f"{JOBS}?limit=2&after=1")
        assert [call.url.partition("?")[2] for call in vertex.calls] == ["pageSize=100", "pageSize=100&pageToken=t"]
    assert ([each["id"] for each in told["data"]], told["has_more"]) == (["2", "3"], False)


async def test_checkpoints() -> None:
    """They stand in the job, are told the newest first, and can each be asked."""
    async with serving() as vertex:
        vertex.answer(JOB)
        _, told = await vertex.ask("GET", f"{JOBS}/123/checkpoints")
        assert sent(vertex.calls[0])[1] == f"{URL}/tuningJobs/123"
        vertex.answer({**JOB, "tunedModel": None})
        _, none = await vertex.ask("GET", f"{JOBS}/123/checkpoints")
    found = [FineTuningJobCheckpoint.model_validate(each) for each in told["data"]]
    assert [(each.id, each.step_number, each.fine_tuned_model_checkpoint) for each in found] == [
        ("123:2", 20, "789"),
        ("123:1", 10, "788"),
    ]
    assert none["data"] == []


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"training_file": "file-1"}, "training_file"),
        ({"validation_file": "file-2"}, "validation_file"),
        ({"model": "mine/789"}, "model"),
        ({"seed": 7}, "seed"),
        ({"hyperparameters": {"batch_size": 8}}, "hyperparameters.batch_size"),
        ({"hyperparameters": {"n_epochs": "many"}}, "hyperparameters.n_epochs"),
        ({"method": {"type": "reinforcement"}}, "method.type"),
        ({"method": {"type": "supervised"}, "hyperparameters": {"n_epochs": 1}}, "hyperparameters"),
        ({"method": {"type": "supervised", "supervised": {"hyperparameters": {"beta": 1}}}}, "method"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "integrations"),
        ({"preTunedModel": {"tunedModelName": "another"}}, "preTunedModel"),
    ],
)
async def test_what_cannot_be_asked(more: Json, param: str) -> None:
    """What Vertex AI cannot be told is a 400 that names it, and nothing is sent."""
    async with serving() as vertex:
        status, told = await vertex.ask("POST", JOBS, {**ASKED, **more})
        assert (status, told["error"]["param"], list(vertex.calls)) == (400, param, [])


@pytest.mark.parametrize(
    ("settings", "code"),
    [({"location": "global"}, "unsupported_location"), ({"project": None, "location": None}, "missing_project")],
)
async def test_where_nothing_is_tuned(settings: Json, code: str) -> None:
    """Neither everywhere at once nor without a project is anything tuned, whatever is asked of it."""
    async with serving(**settings) as vertex:
        for method, path, body in (("POST", JOBS, ASKED), ("GET", JOBS, None), ("GET", f"{JOBS}/123", None)):
            status, told = await vertex.ask(method, path, body)
            assert (status, told["error"]["code"]) == (400, code)
        assert list(vertex.calls) == []


async def test_no_events() -> None:
    """The vendor tells no events of a job."""
    async with serving() as vertex:
        status, told = await vertex.ask("GET", f"{JOBS}/123/events")
        assert (status, told["error"]["code"], list(vertex.calls)) == (400, "unsupported_operation", [])
