"""Batches of Vertex AI for clients of OpenAI's: what it is sent, and what is told of its answers."""

from __future__ import annotations

import msgspec
import openai.types
import pytest
from google import genai
from google.genai import types
from providers.vertex.tests.jobs_wire import PLACE, URL, Json, official, sent, serving
from providers.vertex.tests.vertex_wire import TOKEN, USER

RESULTS: Json = {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": "gs://mine/results"}}
ASKED: Json = {
    "input_file_id": "gs://mine/requests.jsonl",
    "endpoint": "/v1/chat/completions",
    "completion_window": "24h",
    "model": "mine/gemini-2.5-flash",
    "outputConfig": RESULTS,
}
BATCH: Json = {
    "name": f"{PLACE}/batchPredictionJobs/123",
    "displayName": "requests.jsonl",
    "model": "publishers/google/models/gemini-2.5-flash",
    "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://mine/requests.jsonl"]}},
    "outputConfig": RESULTS,
    "state": "JOB_STATE_PENDING",
    "createTime": "2024-10-16T19:33:59.153782Z",
    "updateTime": "2024-10-16T19:33:59.153782Z",
    "modelVersionId": "1",
}
"""The example of https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-from-cloud-storage."""
DONE: Json = {
    **BATCH,
    "state": "JOB_STATE_SUCCEEDED",
    "startTime": "2024-10-16T19:34:59Z",
    "endTime": "2024-10-16T20:33:59Z",
    "updateTime": "2024-10-16T20:34:59Z",
    "completionStats": {"successfulCount": "10", "failedCount": "1", "incompleteCount": "-1"},
    "outputInfo": {"gcsOutputDirectory": "gs://mine/results/prediction-model-2024-10-16T19:33:59Z"},
    "labels": {"team": "search"},
}


def test_the_samples_are_what_google_reads() -> None:
    """Google's own client reads the samples as the batches that they stand for."""

    def retrieve(google: genai.Client) -> types.BatchJob:
        return google.batches.get(name="123")

    job, _ = official(retrieve, DONE)
    assert (job.state, job.model) == (types.JobState.JOB_STATE_SUCCEEDED, BATCH["model"])
    assert job.src is not None
    assert job.src.gcs_uri == ["gs://mine/requests.jsonl"]
    assert job.output_info is not None
    assert job.output_info.gcs_output_directory == DONE["outputInfo"]["gcsOutputDirectory"]
    assert job.completion_stats is not None
    assert (job.completion_stats.successful_count, job.completion_stats.failed_count) == (10, 1)


async def test_create() -> None:
    """What Google's own client sends for the same is sent; the window, which nobody promises there, is named."""
    async with serving() as vertex:
        vertex.answer(BATCH)
        status, told = await vertex.ask("POST", "/v1/batches", ASKED)
        assert (status, vertex.dropped) == (200, "completion_window")
        method, url, body = sent(vertex.calls[0])
    assert (method, url) == ("POST", f"{URL}/batchPredictionJobs")

    def create(google: genai.Client) -> types.BatchJob:
        there = types.BatchJobDestination(format="jsonl", gcs_uri="gs://mine/results")
        config = types.CreateBatchJobConfig(display_name="requests.jsonl", dest=there)
        return google.batches.create(model="gemini-2.5-flash", src="gs://mine/requests.jsonl", config=config)

    assert body == official(create, BATCH)[1]
    made = openai.types.Batch.model_validate(told)
    assert (made.id, made.status, made.created_at) == ("123", "validating", 1729107239)
    assert (made.endpoint, made.completion_window) == ("/v1/chat/completions", "24h")
    assert (made.input_file_id, made.output_file_id) == ("gs://mine/requests.jsonl", None)
    assert told["outputConfig"] == RESULTS


async def test_tables_of_bigquery() -> None:
    """A table stands in the place of a file, and another in that of the results, as Google's own client says it."""
    there: Json = {"predictionsFormat": "bigquery", "bigqueryDestination": {"outputUri": "bq://p.d.out"}}
    asked = {**ASKED, "input_file_id": "bq://p.d.in", "outputConfig": there, "displayName": "mine"}
    table = {"instancesFormat": "bigquery", "bigquerySource": {"inputUri": "bq://p.d.in"}}
    where = {"bigqueryOutputDataset": "bq://p.d", "bigqueryOutputTable": "predictions_1"}
    async with serving() as vertex:
        vertex.answer({**BATCH, "inputConfig": table, "outputConfig": there, "outputInfo": where})
        _, told = await vertex.ask("POST", "/v1/batches", asked)
        body = sent(vertex.calls[0])[2]

    def create(google: genai.Client) -> types.BatchJob:
        destination = types.BatchJobDestination(format="bigquery", bigquery_uri="bq://p.d.out")
        config = types.CreateBatchJobConfig(display_name="mine", dest=destination)
        return google.batches.create(model="gemini-2.5-flash", src="bq://p.d.in", config=config)

    assert body == official(create, BATCH)[1]
    assert (told["input_file_id"], told["output_file_id"]) == ("bq://p.d.in", "bq://p.d.predictions_1")


@pytest.mark.parametrize(
    ("model", "resource"),
    [
        ("google/gemini-2.5-flash", "publishers/google/models/gemini-2.5-flash"),
        ("text-embedding-005", "publishers/google/models/text-embedding-005"),
        ("claude-sonnet-4-5@20250929", "publishers/anthropic/models/claude-sonnet-4-5@20250929"),
        ("openai/gpt-oss-120b-maas", "publishers/openai/models/gpt-oss-120b-maas"),
        ("publishers/meta/models/llama-4-scout-maas", "publishers/meta/models/llama-4-scout-maas"),
        (f"{PLACE}/models/456@1", f"{PLACE}/models/456@1"),
    ],
)
async def test_models(model: str, resource: str) -> None:
    """A model is told by its full name, whoever publishes it; labels are what OpenAI calls metadata."""
    async with serving() as vertex:
        vertex.answer({**BATCH, "labels": {"a": "b"}})
        asked = {**ASKED, "model": model, "metadata": {"a": "b"}, "endpoint": "/v1/embeddings"}
        _, told = await vertex.ask("POST", "/v1/batches", asked)
        body = sent(vertex.calls[0])[2]
    assert (body["model"], body["labels"], told["metadata"]) == (resource, {"a": "b"}, {"a": "b"})


async def test_retrieve() -> None:
    """What has ended says when, where its results are, and how many lines failed; unknown numbers count for nothing."""
    async with serving() as vertex:
        vertex.answer(DONE)
        _, told = await vertex.ask("GET", "/v1/batches/123")
        assert sent(vertex.calls[0]) == ("GET", f"{URL}/batchPredictionJobs/123", None)
    done = openai.types.Batch.model_validate(told)
    assert (done.status, told["native_status"]) == ("completed", "JOB_STATE_SUCCEEDED")
    assert (done.in_progress_at, done.completed_at) == (1729107299, 1729110839)
    assert done.output_file_id == DONE["outputInfo"]["gcsOutputDirectory"]
    assert done.request_counts is not None
    assert done.request_counts.to_dict() == {"total": 11, "completed": 10, "failed": 1}
    assert (done.metadata, done.errors, done.endpoint) == ({"team": "search"}, None, "")


@pytest.mark.parametrize(
    ("state", "status", "place"),
    [
        ("JOB_STATE_QUEUED", "validating", None),
        ("JOB_STATE_RUNNING", "in_progress", None),
        ("JOB_STATE_PAUSED", "in_progress", None),
        ("JOB_STATE_PARTIALLY_SUCCEEDED", "completed", "completed_at"),
        ("JOB_STATE_FAILED", "failed", "failed_at"),
        ("JOB_STATE_EXPIRED", "expired", "expired_at"),
        ("JOB_STATE_CANCELLED", "cancelled", "cancelled_at"),
        ("JOB_STATE_SOMETHING", "in_progress", None),
    ],
)
async def test_states(state: str, status: str, place: str | None) -> None:
    """Each of the vendor's words is one of OpenAI's, and what went wrong is told."""
    wrong = {"code": 3, "message": "no data"}
    partly = {"code": 5, "message": "a file is missing"}
    async with serving() as vertex:
        vertex.answer({**DONE, "state": state, "error": wrong, "partialFailures": [partly]})
        _, told = await vertex.ask("GET", "/v1/batches/123")
    batch = openai.types.Batch.model_validate(told)
    assert batch.status == status
    assert place is None or told[place] == 1729110839
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert [(each.code, each.message) for each in batch.errors.data] == [("3", "no data"), ("5", "a file is missing")]


async def test_list() -> None:
    """Pages with tokens become OpenAI's."""
    jobs = [{**BATCH, "name": f"{PLACE}/batchPredictionJobs/{number}"} for number in (1, 2, 3)]
    async with serving() as vertex:
        vertex.answer({"batchPredictionJobs": jobs[:2], "nextPageToken": "t"}, {"batchPredictionJobs": jobs[2:]})
        _, told = await vertex.ask("GET", "/v1/batches?after=2")
        assert [call.url.partition("?")[2] for call in vertex.calls] == ["pageSize=100", "pageSize=100&pageToken=t"]
        vertex.answer({})
        _, none = await vertex.ask("GET", "/v1/batches")
    assert ([each["id"] for each in told["data"]], told["has_more"], none["data"]) == (["3"], False, [])


async def test_cancel() -> None:
    """A cancellation is answered with nothing, so the batch is asked for."""
    async with serving() as vertex:
        path = f"/v1/{PLACE}/batchPredictionJobs/123"
        vertex.answer({}, path=f"{path}:cancel")
        vertex.answer({**DONE, "state": "JOB_STATE_CANCELLING", "endTime": None}, path=path)
        _, told = await vertex.ask("POST", "/v1/batches/123/cancel")
        assert [sent(call)[:2] for call in vertex.calls] == [
            ("POST", f"{URL}/batchPredictionJobs/123:cancel"),
            ("GET", f"{URL}/batchPredictionJobs/123"),
        ]
    assert (told["status"], told["cancelling_at"]) == ("cancelling", 1729110899)


async def test_with_a_token() -> None:
    """Calls for jobs carry the deployment's access token, and the project that they count for."""
    async with serving(api_key=None, credentials=USER, quota_project="payer") as vertex:
        vertex.answer(msgspec.json.decode(TOKEN.body, type=Json), path="/token")
        vertex.answer(BATCH)
        status, _ = await vertex.ask("GET", "/v1/batches/123")
        call = vertex.calls[-1]
    assert (status, call.url) == (200, f"{URL}/batchPredictionJobs/123")
    assert call.credential is not None
    assert call.credential.field() == (b"authorization", b"Bearer ya29.token")
    assert dict(call.headers)[b"x-goog-user-project"] == b"payer"


@pytest.mark.parametrize(
    ("more", "param", "code"),
    [
        ({"model": None}, "model", "missing_model"),
        ({"model": "llama-4"}, "model", "unsupported_model"),
        ({"model": "123456"}, "model", "unsupported_model"),
        ({"outputConfig": None}, "outputConfig", "missing_outputConfig"),
        ({"outputConfig": "gs://mine/results"}, "outputConfig", None),
        ({"input_file_id": "file-1"}, "input_file_id", None),
        ({"endpoint": "/v1/responses"}, "endpoint", None),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 3600}}, "output_expires_after", None),
    ],
)
async def test_what_cannot_be_asked(more: Json, param: str, code: str | None) -> None:
    """What Vertex AI cannot be told is a 400 that names it, and nothing is sent."""
    async with serving() as vertex:
        status, told = await vertex.ask("POST", "/v1/batches", {**ASKED, **more})
        assert (status, told["error"]["param"], list(vertex.calls)) == (400, param, [])
    assert code is None or told["error"]["code"] == code


@pytest.mark.parametrize("model", ["claude-sonnet-4-5@20250929", "meta/llama-4-scout-maas", f"{PLACE}/models/456"])
async def test_everywhere_there_are_batches_of_gemini_alone(model: str) -> None:
    """At the location `global`, batches of other models are refused, and those of Gemini are sent to its host."""
    async with serving(location="global") as vertex:
        vertex.answer(BATCH)
        status, told = await vertex.ask("POST", "/v1/batches", {**ASKED, "model": model})
        assert (status, told["error"]["code"], list(vertex.calls)) == (400, "unsupported_model", [])
        await vertex.ask("POST", "/v1/batches", ASKED)
        there = "https://aiplatform.googleapis.com/v1/projects/my-project/locations/global/batchPredictionJobs"
        assert sent(vertex.calls[0])[1] == there


async def test_express_mode_has_none() -> None:
    """An API key alone has no project, so it has no jobs."""
    async with serving(project=None, location=None) as vertex:
        status, told = await vertex.ask("GET", "/v1/batches")
        assert (status, told["error"]["code"], list(vertex.calls)) == (400, "missing_project", [])


async def test_errors() -> None:
    """The vendor's error keeps its status and its words."""
    async with serving() as vertex:
        vertex.answer({"error": {"code": 404, "message": "not found", "status": "NOT_FOUND"}}, status=404)
        status, told = await vertex.ask("GET", "/v1/batches/123")
    assert (status, told["error"]["message"], told["error"]["code"]) == (404, "not found", "NOT_FOUND")
