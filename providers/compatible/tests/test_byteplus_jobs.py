"""Batches and tuning of BytePlus with the `openai` package: jobs of its control plane, signed."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import openai
import pytest
from msgspec.structs import replace
from openai import AsyncOpenAI
from openai.types import Batch
from openai.types.fine_tuning import FineTuningJob

from headgate.errors import InvalidRequest, ProviderFailed, StartupError
from headgate.exchange import Attempt, Exchange, Principal, Target
from headgate.operations import BATCHES, FILES, Operation
from headgate.secret import Secret
from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate.upstream import Tls, UpstreamRequest
from headgate_compatible import catalogue
from headgate_compatible.vendors.byteplus_jobs import ArkBatches, ArkTuning, Settings
from headgate_compatible.vendors.byteplus_signature import AccessKey, sign

Json = dict[str, Any]

KEYS: Json = {"api_key": "sk-ark-0f1e2d3c4b5a", "access_key_id": "AKLTEXAMPLE", "secret_access_key": "wJalrXUtnFEMI"}
PLACE: Json = {"jobs": {"output": "tos://out-bucket/results/"}}
URL = "https://ark.ap-southeast-1.byteplusapi.com/?Action={}&Version=2024-01-01"
META: Json = {"RequestId": "2024", "Action": "a", "Version": "2024-01-01", "Service": "ark", "Region": "ap-southeast-1"}
ASKED: Json = {
    "input_file_id": "tos://my-bucket-name/batch-inference-job/dataset/my-job.jsonl",
    "endpoint": "/v1/chat/completions",
    "completion_window": "24h",
}
MODEL: Json = {"extra_body": {"model": "skylark-pro-250415"}}
JOB: Json = {
    "Id": "bi-20240918194641-r2nwq",
    "Name": "a batch",
    "Description": "a batch of mine",
    "InputFileTosLocation": {"BucketName": "my-bucket-name", "ObjectKey": "batch-inference-job/dataset/my-job.jsonl"},
    "OutputDirTosLocation": {"BucketName": "my-bucket-name", "ObjectKey": "batch-inference-job/output/"},
    "ErrorFileTosLocation": None,
    "CompletionWindow": "1d",
    "Status": {"Phase": "Completed", "PhaseTime": "2024-09-18T11:50:00Z", "Message": "done"},
    "ModelReference": {"FoundationModel": {"Name": "skylark-pro", "ModelVersion": "250415"}},
    "RequestCounts": {"Total": 2, "Completed": 2, "Failed": 0},
    "Tags": [{"Key": "sys:ark:createdBy", "Value": "IAMUser/1/a"}, {"Key": "team", "Value": "a"}],
    "ProjectName": "default",
    "CreateTime": "2024-09-18T11:46:41Z",
    "UpdateTime": "2024-09-18T11:50:00Z",
    "ExpireTime": "2024-09-19T11:46:41Z",
}
"""The example of https://www.volcengine.com/docs/82379/1339609, whose members are those of the page of BytePlus' own."""
TUNED: Json = {
    "Id": "mcj-1",
    "Name": "mine",
    "CustomizationType": "FinetuneLoRA",
    "ModelReference": {"FoundationModel": {"Name": "skylark-lite", "ModelVersion": "240515"}},
    "Hyperparameters": [{"Name": "epoch", "Value": "6"}, {"Name": "learning_rate", "Value": "0.00001"}],
    "Data": {"TrainingSet": {"TosBucket": "b", "TosPaths": ["train.jsonl"]}, "ValidationSet": None},
    "Outputs": [
        {"Index": 1, "CustomModelId": "cm-1", "CustomModelCreateTimeUnix": 1726660000, "Name": "m1", "Status": "Ready"},
        {"Index": 2, "CustomModelId": "cm-2", "CustomModelCreateTimeUnix": 1726660100, "Name": "m2", "Status": "Ready"},
        {"Index": 3, "CustomModelId": None, "Name": "m3", "Status": "Exporting"},
    ],
    "Status": {"Phase": "Completed", "PhaseTime": "2024-09-18T11:50:00Z", "Message": "", "BillableTokens": 77},
    "Tags": None,
    "CreateTime": "2024-09-18T11:46:41Z",
    "UpdateTime": "2024-09-18T11:50:00Z",
}


def told(result: Any) -> Recorded:
    return Recorded.from_json({"ResponseMetadata": META, "Result": result})


def refused(code: str, message: str, status: int) -> Recorded:
    error = {"Code": code, "Message": message, "CodeN": 100010}
    return Recorded.from_json({"ResponseMetadata": {**META, "Error": error}}, status)


@asynccontextmanager
async def serving(*answers: Recorded, **config: Any) -> AsyncGenerator[tuple[AsyncOpenAI, ReplayUpstream]]:
    """The package before a gateway with the deployment `ark`, whose calls are answered with `answers` in order."""
    upstream = ReplayUpstream({"*": list(answers)} if answers else {})
    held = {"ark": {"provider": "byteplus", **(config or {**KEYS, **PLACE})}}
    async with gateway(providers=held, upstream=upstream) as http:
        headers = {"x-headgate-provider": "ark"}
        own = AsyncOpenAI(
            base_url="http://gateway.test/v1", api_key="none", http_client=http, max_retries=0, default_headers=headers
        )
        yield own, upstream


def actions(upstream: ReplayUpstream) -> list[str]:
    """What was asked, each call a POST to the control plane that is signed and holds no key."""
    for call in upstream.requests:
        assert call.method == "POST"
        assert call.url.startswith("https://ark.ap-southeast-1.byteplusapi.com/?Action=")
        assert call.credential is None
        proof = dict(call.headers)[b"authorization"].decode()
        assert proof.startswith("HMAC-SHA256 Credential=AKLTEXAMPLE/")
        assert "/ap-southeast-1/ark/request, SignedHeaders=content-type;host;x-content-sha256;x-date, " in proof
    return [call.url.split("Action=")[1].split("&")[0] for call in upstream.requests]


def body(request: UpstreamRequest) -> Json:
    return json.loads(request.body)


# signatures


@pytest.mark.parametrize(
    ("token", "signature"),
    [
        (None, "f44bfc17a450176558f3dc11afa2b7674ff987b137479675ca340085f763d0c6"),
        ("tok", "edc219a04247a994db9fdb812e8ce17da3093217eb48af7a7095f39612f11b13"),
    ],
)
def test_signatures_are_those_of_the_sdk(token: str | None, signature: str) -> None:
    """`byteplussdkcore.signv4` 3.0.63 makes the same of the same call."""
    key = AccessKey("AKID", Secret("sekret"), "ap-southeast-1", Secret(token) if token else None)
    given = ((b"content-type", b"application/json"), (b"accept", b"*/*"), (b"x-date", b"old"))
    url = URL.format("ListBatchInferenceJobs")
    headers = sign("POST", url, given, b'{"a":1}', key, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert dict(headers)[b"authorization"].decode().endswith(f"Signature={signature}")
    assert dict(headers)[b"x-date"] == b"20260102T030405Z"
    assert len(dict(headers)) == len(headers)


# batches


async def test_a_new_batch() -> None:
    """Model, places and window go in the vendor's words; the new job is then asked for, since only its id is answered."""
    async with serving(told({"Id": JOB["Id"]}), told(JOB)) as (client, upstream):
        made = await client.batches.create(**ASKED, metadata={"team": "a"}, **MODEL)
    assert actions(upstream) == ["CreateBatchInferenceJob", "GetBatchInferenceJob"]
    sent = body(upstream.requests[0])
    assert sent.pop("Name").startswith("headgate-")
    assert sent == {
        "ModelReference": {"FoundationModel": {"Name": "skylark-pro", "ModelVersion": "250415"}},
        "InputFileTosLocation": JOB["InputFileTosLocation"],
        "OutputDirTosLocation": {"BucketName": "out-bucket", "ObjectKey": "results/"},
        "CompletionWindow": "1d",
        "Tags": [{"Key": "team", "Value": "a"}],
    }
    assert body(upstream.requests[1]) == {"Id": JOB["Id"]}
    Batch.model_validate(made.model_dump())
    assert (made.id, made.object, made.status, made.endpoint) == (JOB["Id"], "batch", "completed", ASKED["endpoint"])
    assert made.input_file_id == ASKED["input_file_id"]
    assert made.output_file_id == "tos://my-bucket-name/batch-inference-job/output/"
    assert (made.created_at, made.completed_at, made.expires_at) == (1726660001, 1726660200, 1726746401)
    assert made.request_counts is not None
    assert (made.request_counts.total, made.request_counts.completed) == (2, 2)
    assert made.metadata == {"team": "a"}
    assert made.errors is None
    extra = made.model_extra or {}
    assert (extra["native_status"], made.model) == ("Completed", "skylark-pro-250415")


async def test_what_a_client_says_of_its_own() -> None:
    """Members of the vendor's pass, and go before the deployment's; a customized model is named by its id."""
    more = {
        "model": "cm-20240401114541-5gzd8",
        "Name": "mine",
        "Description": "d",
        "ProjectName": "p",
        "OutputDirTosLocation": {"BucketName": "b", "ObjectKey": "k/"},
    }
    config: Json = {**KEYS, "jobs": {"output": "tos://out-bucket/results/", "project": "usual"}}
    async with serving(told({"Id": JOB["Id"]}), told(JOB), **config) as (client, upstream):
        await client.batches.create(**{**ASKED, "completion_window": "72h"}, extra_body=more)  # pyright: ignore[reportArgumentType] - the vendor's own
    sent = body(upstream.requests[0])
    assert sent["ModelReference"] == {"CustomModelId": more["model"]}
    assert sent["OutputDirTosLocation"] == more["OutputDirTosLocation"]
    assert (sent["Name"], sent["Description"], sent["ProjectName"]) == ("mine", "d", "p")
    assert sent["CompletionWindow"] == "3d"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input_file_id": "file-1"}, "input_file_id"),
        ({"endpoint": "/v1/embeddings"}, "endpoint"),
        ({"completion_window": "25h"}, "completion_window"),
        ({"completion_window": "29d"}, "completion_window"),
        ({"completion_window": "696h"}, "completion_window"),
        ({"extra_body": {"model": "seed"}}, "model"),
        ({"extra_body": {}}, "model"),
        ({"extra_body": {**MODEL["extra_body"], "priority": 1}}, "priority"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 3600}}, "output_expires_after"),
    ],
)
async def test_what_a_batch_cannot_be_asked(change: Json, param: str) -> None:
    """It is refused by name, and nothing is sent."""
    async with serving() as (client, upstream):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.batches.create(**{**ASKED, **MODEL, **change})
    assert caught.value.param == param
    assert upstream.requests == []


async def test_a_batch_has_a_place_for_its_results() -> None:
    """Where neither client nor deployment says one it is asked for."""
    async with serving(**KEYS) as (client, upstream):
        with pytest.raises(openai.BadRequestError, match=r"jobs: \{output") as caught:
            await client.batches.create(**ASKED, **MODEL)
    assert caught.value.code == "missing_OutputDirTosLocation"
    assert upstream.requests == []


@pytest.mark.parametrize(("phase", "status"), [*ArkBatches.PHASES.items(), ("Pausing", "in_progress")])
async def test_phases_of_batches(phase: str, status: str) -> None:
    """Each is one of OpenAI's, with the vendor's word beside it; what went wrong is told of a failed one alone."""
    job = {**JOB, "Status": {"Phase": phase, "PhaseTime": "2024-09-18T11:50:00Z", "Message": "why"}}
    async with serving(told(job)) as (client, upstream):
        batch = await client.batches.retrieve(JOB["Id"])
    assert actions(upstream) == ["GetBatchInferenceJob"]
    assert (batch.status, (batch.model_extra or {})["native_status"]) == (status, phase)
    errors = batch.errors.data if batch.errors is not None else None
    assert [each.message for each in errors or []] == (["why"] if phase == "Failed" else [])


async def test_a_batch_is_stopped() -> None:
    """Stopping is answered with nothing, so the job is asked for."""
    stopped = {**JOB, "Status": {"Phase": "Terminating"}}
    async with serving(told({}), told(stopped)) as (client, upstream):
        batch = await client.batches.cancel(JOB["Id"])
    assert actions(upstream) == ["StopBatchInferenceJob", "GetBatchInferenceJob"]
    assert [body(each) for each in upstream.requests] == [{"Id": JOB["Id"]}] * 2
    assert batch.status == "cancelling"


async def test_lists_of_batches() -> None:
    """Pages are counted until the one that is asked for is here."""
    first = [{**JOB, "Id": f"bi-{at}"} for at in range(100)]
    pages = [
        told({"TotalCount": 101, "PageNumber": 1, "PageSize": 100, "Items": first}),
        told({"TotalCount": 101, "PageNumber": 2, "PageSize": 100, "Items": [{**JOB, "Id": "bi-100"}]}),
    ]
    config: Json = {**KEYS, "jobs": {"project": "p"}}
    async with serving(*pages, **config) as (client, upstream):
        page = await client.batches.list(after="bi-98", limit=5)
    assert [each.id for each in page.data] == ["bi-99", "bi-100"]
    assert not page.has_more
    assert actions(upstream) == ["ListBatchInferenceJobs"] * 2
    usual = {"PageSize": 100, "SortBy": "CreateTime", "SortOrder": "Desc", "ProjectName": "p"}
    assert [body(each) for each in upstream.requests] == [{"PageNumber": number, **usual} for number in (1, 2)]


async def test_an_empty_list() -> None:
    """No jobs are an empty page, whether the vendor says a list or nothing."""
    async with serving(told({"TotalCount": 0, "Items": None})) as (client, upstream):
        page = await client.batches.list()
    assert page.data == []
    assert len(upstream.requests) == 1


async def test_a_batch_that_cannot_be_asked_for_is_stopped() -> None:
    """Its client gets an error, so it does not go on at somebody's cost."""
    broken = refused("InternalError", "later", 500)
    async with serving(told({"Id": "bi-1"}), broken, told({})) as (client, upstream):
        with pytest.raises(openai.InternalServerError, match="later"):
            await client.batches.create(**ASKED, **MODEL)
    assert actions(upstream)[-1] == "StopBatchInferenceJob"
    assert body(upstream.requests[-1]) == {"Id": "bi-1"}


# tuning


async def test_a_new_tuning_job() -> None:
    """Method, epochs and files go in the vendor's words, what models name themselves as it is."""
    async with serving(told({"Id": "mcj-1"}), told({**TUNED, "Status": {"Phase": "Queued"}})) as (client, upstream):
        job = await client.fine_tuning.jobs.create(
            model="ark/skylark-lite-240515",
            training_file="tos://b/train.jsonl",
            validation_file="tos://b/check.jsonl",
            method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 6, "batch_size": "auto"}}},
            metadata={"team": "a"},
            extra_body={
                "CustomizationType": "FinetuneLoRA",
                "Hyperparameters": [{"Name": "learning_rate", "Value": "0.00001"}],
                "SaveModelLimit": 1,
                "Name": "mine",
            },
        )
    assert actions(upstream) == ["CreateModelCustomizationJob", "GetModelCustomizationJob"]
    assert body(upstream.requests[0]) == {
        "Name": "mine",
        "Tags": [{"Key": "team", "Value": "a"}],
        "CustomizationType": "FinetuneLoRA",
        "ModelReference": TUNED["ModelReference"],
        "Data": {
            "TrainingSet": {"TosBucket": "b", "TosPaths": ["train.jsonl"]},
            "ValidationSet": {"TosBucket": "b", "TosPaths": ["check.jsonl"]},
        },
        "Hyperparameters": TUNED["Hyperparameters"],
        "SaveModelLimit": 1,
    }
    FineTuningJob.model_validate(job.model_dump())
    assert (job.id, job.status, job.model, job.fine_tuned_model) == ("mcj-1", "queued", "skylark-lite-240515", None)
    assert (job.training_file, job.validation_file) == ("tos://b/train.jsonl", None)
    assert job.hyperparameters.n_epochs == 6
    assert job.finished_at is None


@pytest.mark.parametrize(
    ("asked", "way"),
    [
        ({}, "FinetuneSft"),
        ({"method": {"type": "dpo"}}, "DPO"),
        ({"method": {"type": "dpo"}, "extra_body": {"CustomizationType": "DPOLoRA"}}, "DPOLoRA"),
        ({"hyperparameters": {"n_epochs": "auto"}}, "FinetuneSft"),
    ],
)
async def test_ways_to_train(asked: Json, way: str) -> None:
    """OpenAI's methods have a usual way each; numbers that the vendor is to find are not sent."""
    async with serving(told({"Id": "mcj-1"}), told({**TUNED, "CustomizationType": way})) as (client, upstream):
        job = await client.fine_tuning.jobs.create(
            model="ark/skylark-lite-240515", training_file="tos://b/train.jsonl", **asked
        )
    sent = body(upstream.requests[0])
    assert sent["CustomizationType"] == way
    assert "Hyperparameters" not in sent
    assert job.method is not None
    assert job.method.type == ("dpo" if way.startswith("DPO") else "supervised")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"training_file": "file-1"}, "training_file"),
        ({"validation_file": "file-1"}, "validation_file"),
        ({"model": "ark/seed"}, "model"),
        ({"hyperparameters": {"batch_size": 4}}, "hyperparameters.batch_size"),
        ({"hyperparameters": {"batch_size": [4]}}, "hyperparameters.batch_size"),
        (
            {"hyperparameters": {"n_epochs": 2}, "extra_body": {"Hyperparameters": [{"Name": "epoch", "Value": "3"}]}},
            "hyperparameters.n_epochs",
        ),
        ({"hyperparameters": {"learning_rate_multiplier": 0.1}}, "hyperparameters.learning_rate_multiplier"),
        ({"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.1}}}}, "method.dpo.hyperparameters.beta"),
        ({"method": {"type": "reinforcement"}}, "method.type"),
        ({"extra_body": {"CustomizationType": "DPO"}}, "CustomizationType"),
        ({"suffix": "mine"}, "suffix"),
        ({"seed": 7}, "seed"),
    ],
)
async def test_what_tuning_cannot_be_asked(change: Json, param: str) -> None:
    """It is refused by name, and nothing is sent."""
    usual: Json = {"model": "ark/skylark-lite-240515", "training_file": "tos://b/train.jsonl"}
    async with serving() as (client, upstream):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.fine_tuning.jobs.create(**{**usual, **change})
    assert caught.value.param == param
    assert upstream.requests == []


@pytest.mark.parametrize(("phase", "status"), [*ArkTuning.PHASES.items(), ("Pausing", "running")])
async def test_phases_of_tuning(phase: str, status: str) -> None:
    """Each is one of OpenAI's; a model is told of a job that succeeded, what went wrong of one that failed."""
    state = {"Phase": phase, "PhaseTime": "2024-09-18T11:50:00Z", "Message": "why"}
    async with serving(told({**TUNED, "Status": state})) as (client, _):
        job = await client.fine_tuning.jobs.retrieve("mcj-1")
    assert (job.status, job.fine_tuned_model) == (status, "cm-2" if phase == "Completed" else None)
    assert (job.error is not None and job.error.message == "why") == (phase == "Failed")
    assert (job.finished_at is not None) == (status in {"succeeded", "failed", "cancelled"})


async def test_tuning_is_stopped_and_listed() -> None:
    """By the vendor's actions, which answer with nothing and with pages."""
    page = told({"TotalCount": 1, "Items": [TUNED]})
    async with serving(told({}), told({**TUNED, "Status": {"Phase": "Terminated"}}), page) as (client, upstream):
        job = await client.fine_tuning.jobs.cancel("mcj-1")
        listed = await client.fine_tuning.jobs.list()
    assert job.status == "cancelled"
    assert [each.id for each in listed.data] == ["mcj-1"]
    assert listed.data[0].trained_tokens == 77
    expected = ["TerminateModelCustomizationJob", "GetModelCustomizationJob", "ListModelCustomizationJobs"]
    assert actions(upstream) == expected


async def test_checkpoints() -> None:
    """They are the models that were made so far, the newest first."""
    async with serving(told(TUNED)) as (client, _):
        page = await client.fine_tuning.jobs.checkpoints.list("mcj-1")
    assert [(each.fine_tuned_model_checkpoint, each.step_number) for each in page.data] == [("cm-2", 2), ("cm-1", 1)]
    assert page.data[0].created_at == 1726660100


async def test_the_last_checkpoint_is_the_model() -> None:
    """By its number, in whatever order they come."""
    job = {**TUNED, "Outputs": TUNED["Outputs"][::-1]}
    async with serving(told(job)) as (client, _):
        tuned = await client.fine_tuning.jobs.retrieve("mcj-1")
    assert tuned.fine_tuned_model == "cm-2"


async def test_there_are_no_events() -> None:
    """What the vendor has not is refused."""
    async with serving() as (client, upstream):
        with pytest.raises(openai.BadRequestError, match="has no events"):
            await client.fine_tuning.jobs.list_events("mcj-1")
    assert upstream.requests == []


# who calls


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
async def test_errors(status: int) -> None:
    """The vendor's words and code are below `ResponseMetadata`."""
    async with serving(refused("SignatureDoesNotMatch", "check your Secret Access Key", status)) as (client, _):
        with pytest.raises(openai.APIStatusError, match="check your Secret Access Key") as caught:
            await client.batches.retrieve("bi-1")
    assert (caught.value.status_code, caught.value.code) == (status, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("code", "status"),
    [("AccessDenied", 403), ("InvalidParameter.Id", 400), ("NotFound.Job", 404), ("InternalError", 502)],
)
async def test_errors_with_a_good_status(code: str, status: int) -> None:
    """They are no empty list and no missing job, and a new job that cannot be asked for is stopped."""
    async with serving(refused(code, "you may not", 200)) as (client, _):
        for asked in (client.batches.list(), client.batches.retrieve("bi-1"), client.batches.create(**ASKED, **MODEL)):
            with pytest.raises(openai.APIStatusError, match="you may not") as caught:
                await asked
            assert (caught.value.status_code, caught.value.code) == (status, code)
    async with serving(told({"Id": "bi-1"}), refused(code, "you may not", 200), told({})) as (client, upstream):
        with pytest.raises(openai.APIStatusError, match="you may not"):
            await client.batches.create(**ASKED, **MODEL)
    assert actions(upstream)[-1] == "StopBatchInferenceJob"


async def test_jobs_take_no_api_key() -> None:
    """A deployment without an access key says what it is missing."""
    async with serving(api_key="sk-1") as (client, upstream):
        with pytest.raises(openai.BadRequestError, match="set `access_key_id`") as caught:
            await client.batches.list()
    assert caught.value.code == "unsupported_operation"
    assert upstream.requests == []


async def test_the_access_key_signs_jobs_alone() -> None:
    """Chat goes with the API key as it is, to the other host; a secret that comes back is not told."""
    async with serving(told({**JOB, "Description": KEYS["secret_access_key"], "Name": KEYS["secret_access_key"]})) as (
        client,
        upstream,
    ):
        batch = await client.batches.retrieve("bi-1")
        upstream.answer("*", Recorded.from_json({"id": "f", "object": "list", "data": []}))
        await client.files.list()
    assert KEYS["secret_access_key"] not in batch.to_json()
    call = upstream.requests[-1]
    assert call.url.startswith("https://ark.ap-southeast.bytepluses.com/api/v3/files")
    assert call.credential is not None
    assert b"authorization" not in dict(call.headers)


@pytest.mark.parametrize(
    ("settings", "region"),
    [
        ({"base_url": "https://ark.eu-west.bytepluses.com/api/v3"}, "eu-west-1"),
        ({"base_url": "https://ark.eu-west-2.bytepluses.com/api/v3"}, "eu-west-2"),
        ({"base_url": "https://ark.eu-west.bytepluses.com/api/v3", "region": "ap-southeast-1"}, "ap-southeast-1"),
        ({"base_url": "https://proxy.corp.example/ark/api/v3", "region": "eu-west-1"}, "eu-west-1"),
        ({"region": "eu-west-1"}, "eu-west-1"),
    ],
)
async def test_the_region_of_jobs(settings: Json, region: str) -> None:
    """It is the one that is set, else that of the vendor's base URL; jobs get nothing that is meant for that URL."""
    held = {**KEYS, **settings, "headers": {"X-Proxy-Token": "t0k3n"}}
    async with serving(told({"TotalCount": 0, "Items": None}), **held) as (client, upstream):
        await client.batches.list()
        upstream.answer("*", Recorded.from_json({"id": "f", "object": "list", "data": []}))
        await client.files.list()
    call, other = upstream.requests
    assert call.url.startswith(f"https://ark.{region}.byteplusapi.com/?Action=")
    assert f"/{region}/ark/request" in dict(call.headers)[b"authorization"].decode()
    assert b"x-proxy-token" not in dict(call.headers)
    assert dict(other.headers)[b"x-proxy-token"] == b"t0k3n"


def test_certificates_are_for_the_base_url() -> None:
    """Files for the servers of a base URL are not used with the vendor's control plane."""
    provider = deployed(base_url="https://proxy.corp.example/v3", region="eu-west-1")
    provider.config = replace(provider.config, tls=Tls(cert_file="mine.pem"))
    assert provider.prepare(exchange(provider)).tls == Tls()
    assert provider.prepare(exchange(provider, FILES)).tls == Tls(cert_file="mine.pem")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"base_url": "https://proxy.corp.example/ark/api/v3"}, "`region` is missing"),
        ({"base_url": "https://ark.evil.example/.bytepluses.com"}, "`region` is missing"),
        ({"region": "evil.example/"}, "no region of BytePlus"),
        ({"jobs": Settings(output="results/")}, "`jobs.output` must be a folder in TOS, such as `tos://bucket/"),
    ],
)
def test_settings_that_cannot_work(settings: Json, told: str) -> None:
    """They are said at the start."""
    with pytest.raises(StartupError, match=told):
        deployed(**settings)


def test_a_base_url_of_ones_own_without_jobs_needs_no_region() -> None:
    """A deployment that signs nothing has no control plane."""
    kind = catalogue()["byteplus"]
    held: Json = {"provider": "byteplus", "api_key": Secret("sk"), "base_url": "https://proxy.corp.example/v3"}
    provider = kind("ark", kind.Config(**held), ReplayUpstream())
    with pytest.raises(InvalidRequest, match="set `access_key_id`"):
        provider.prepare(exchange(provider))


def deployed(**settings: Any) -> Any:
    kind = catalogue()["byteplus"]
    keys = {"api_key": Secret("sk"), "access_key_id": "AK", "secret_access_key": Secret("s")}
    held: Json = {"provider": "byteplus", **keys, **settings}
    return kind("ark", kind.Config(**held), ReplayUpstream())


def exchange(provider: Any, operation: Operation = BATCHES, **target: Any) -> Exchange:
    ex = Exchange(operation, {}, request_id="r", trace_id="t")
    ex.attempt = Attempt(Target(deployment="ark", **target), provider, "m", 0.0)
    return ex


async def test_nobody_elses_key_is_answered_with_the_deployments_signature() -> None:
    """Nor is anything signed for another host."""
    provider = deployed()
    own = exchange(provider)
    own.principal = Principal("caller", credential=Secret("theirs"))
    for theirs in (own, exchange(provider, credential=Secret("theirs"))):
        with pytest.raises(InvalidRequest, match="with a key of the caller's own"):
            provider.credential(theirs)
    with pytest.raises(ProviderFailed, match="not bound to this origin"):
        await provider.authorize(UpstreamRequest("POST", "https://evil.example/"))


@pytest.mark.parametrize(
    "keys", [{"access_key_id": "AK"}, {"secret_access_key": Secret("s")}, {"session_token": Secret("t")}]
)
def test_half_a_key_is_none(keys: Json) -> None:
    """Settings that cannot work are said at the start."""
    kind = catalogue()["byteplus"]
    held: Json = {"provider": "byteplus", "api_key": Secret("sk"), **keys}
    with pytest.raises(StartupError, match="secret_access_key"):
        kind("ark", kind.Config(**held), ReplayUpstream())
