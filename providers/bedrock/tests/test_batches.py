"""Batches on Bedrock with the `openai` package: as the runtime has them, and as jobs of the control plane."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import openai
import pytest
from botocore.session import Session  # pyright: ignore[reportMissingTypeStubs]
from openai import AsyncOpenAI
from openai.types import Batch

from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_bedrock.batches import STATUSES

Json = dict[str, Any]
Judge = Callable[[bytes], list[str]]

KEYS: Json = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrXUtnFEMI"}
CLAUDE = "us.anthropic.claude-sonnet-4-6"
OSS = "openai.gpt-oss-20b-1:0"
ROLE = "arn:aws:iam::123456789012:role/BatchServiceRole"
OTHER_ROLE = "arn:aws:iam::123456789012:role/Other"
RUNTIME = "https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1/batches"
CONTROL = "https://bedrock.us-west-2.amazonaws.com"
ASKED: Json = {
    "input_file_id": "s3://amzn-s3-demo-bucket/openai-input.jsonl",
    "endpoint": "/v1/chat/completions",
    "completion_window": "24h",
}
"""The example of https://docs.aws.amazon.com/bedrock/latest/userguide/inference-openai-batch.html."""
MADE: Json = {
    "id": "batch_abc123",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "input_file_id": "s3://amzn-s3-demo-bucket/openai-input.jsonl",
    "completion_window": "24h",
    "status": "validating",
    "created_at": 1714508499,
}
ID = "abcd1234efgh"
ARN = f"arn:aws:bedrock:us-west-2:123456789012:model-invocation-job/{ID}"
JOB: Json = {
    "jobArn": ARN,
    "jobName": "my-job",
    "modelId": CLAUDE,
    "roleArn": ROLE,
    "status": "InProgress",
    "submitTime": "2026-01-15T09:30:00.123Z",
    "lastModifiedTime": "2026-01-15T09:31:00Z",
    "inputDataConfig": {"s3InputDataConfig": {"s3InputFormat": "JSONL", "s3Uri": "s3://in-bucket/lines.jsonl"}},
    "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://out-bucket/results/"}},
    "timeoutDurationInHours": 72,
    "jobExpirationTime": "2026-01-18T09:30:00Z",
    "modelInvocationType": "Converse",
    "totalRecordCount": 100,
    "processedRecordCount": 9,
    "successRecordCount": 8,
    "errorRecordCount": 1,
}
"""A job as GetModelInvocationJob tells it by botocore's model."""
NEW: Json = {**ASKED, "extra_body": {"model": CLAUDE}}


def said(*told: Any, status: int = 200) -> list[Recorded]:
    return [Recorded.from_json(each, status) for each in told]


@asynccontextmanager
async def serving(*answers: Recorded, **config: Any) -> AsyncGenerator[tuple[AsyncOpenAI, ReplayUpstream]]:
    """The package before a gateway with the deployment `aws`, whose calls are answered with `answers` in order."""
    upstream = ReplayUpstream({"*": list(answers)} if answers else {})
    held = {"aws": {"provider": "bedrock", "region": "us-west-2", **(config or KEYS)}}
    async with gateway(providers=held, upstream=upstream) as http:
        headers = {"x-headgate-provider": "aws"}
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


def jobs(**more: Any) -> Json:
    """A deployment that has batches as jobs of the control plane."""
    return {**KEYS, "batches": {"api": "jobs", "role_arn": ROLE, "output": "s3://out-bucket/results/", **more}}


# at the runtime


async def test_headers_pass() -> None:
    """Written as the vendor's page has it, a new batch reaches the runtime with its headers, signed, its body as it is."""
    async with serving(*said(MADE)) as (client, upstream):
        own = {
            "X-Amzn-Bedrock-ModelId": OSS,
            "X-Amzn-Bedrock-RoleArn": ROLE,
            "X-Amzn-Bedrock-OutputEncryptionKeyId": "key-1",
            "X-Amzn-Bedrock-Tags": '{"team":"a"}',
        }
        batch = await client.batches.create(**ASKED, metadata={"description": "test input"}, extra_headers=own)
        call = upstream.requests[0]
    assert (batch.id, batch.status) == ("batch_abc123", "validating")
    assert (call.method, call.url) == ("POST", RUNTIME)
    assert json.loads(call.body) == {**ASKED, "metadata": {"description": "test input"}}
    headers = dict(call.headers)
    assert {name: headers[name.lower().encode()].decode() for name in own} == own
    assert b"/us-west-2/bedrock/aws4_request" in headers[b"authorization"]


@pytest.mark.parametrize(("asked", "role"), [({}, ROLE), ({"X-Amzn-Bedrock-RoleArn": OTHER_ROLE}, OTHER_ROLE)])
async def test_a_model_beside_the_file(asked: dict[str, str], role: str) -> None:
    """`model` stands beside OpenAI's members as with other vendors; the deployment says a role for those who name none."""
    config: Json = {"api_key": "bedrock-key", "batches": {"role_arn": ROLE}}
    async with serving(*said(MADE), **config) as (client, upstream):
        await client.batches.create(**ASKED, extra_body={"model": f"aws/{OSS}"}, extra_headers=asked)
        call = upstream.requests[0]
    headers = dict(call.headers)
    assert json.loads(call.body) == ASKED
    assert headers[b"x-amzn-bedrock-modelid"].decode() == OSS
    assert headers[b"x-amzn-bedrock-rolearn"].decode() == role
    assert call.credential is not None
    assert call.credential.origins == {"https://bedrock-runtime.us-west-2.amazonaws.com:443"}


@pytest.mark.parametrize(
    ("asked", "config", "code"),
    [
        ({"model": None}, {**KEYS, "batches": {"role_arn": ROLE}}, "missing_model"),
        ({"model": OSS}, KEYS, "missing_role_arn"),
        ({"model": "a\r\nx-evil: 1"}, {**KEYS, "batches": {"role_arn": ROLE}}, "invalid_request"),
    ],
)
async def test_what_a_batch_needs(asked: Json, config: Json, code: str) -> None:
    """Without a model or a role nothing is sent, and no model becomes a header of its own."""
    async with serving(*said(MADE), **config) as (client, upstream):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.batches.create(**ASKED, extra_body=asked)
        assert upstream.requests == []
    assert caught.value.code == code


async def test_other_calls_pass() -> None:
    """Batches are asked for, listed and cancelled as they are, and need neither model nor role."""
    listed = {"object": "list", "data": [MADE], "has_more": False}
    async with serving(*said(MADE, listed, {**MADE, "status": "cancelling"})) as (client, upstream):
        assert (await client.batches.retrieve("batch_abc123")).status == "validating"
        assert [each.id async for each in await client.batches.list(limit=2)] == ["batch_abc123"]
        assert (await client.batches.cancel("batch_abc123")).status == "cancelling"
        calls = [(each.method, each.url) for each in upstream.requests]
        names = {name for each in upstream.requests for name, _ in each.headers}
    assert calls == [
        ("GET", f"{RUNTIME}/batch_abc123"),
        ("GET", f"{RUNTIME}?limit=2"),
        ("POST", f"{RUNTIME}/batch_abc123/cancel"),
    ]
    assert b"x-amzn-bedrock-modelid" not in names


# as jobs


async def test_a_job_is_made(job_problems: Judge) -> None:
    """A batch of any model is a job, as AWS's own model has it; its answer is an ARN alone, so the job is asked for."""
    async with serving(*said({"jobArn": ARN}, JOB), **jobs()) as (client, upstream):
        batch = await client.batches.create(**ASKED, extra_body={"model": f"aws/{CLAUDE}"})
        made, asked = upstream.requests
    assert (made.method, made.url) == ("POST", f"{CONTROL}/model-invocation-job")
    assert (asked.method, asked.url, asked.body) == ("GET", f"{CONTROL}/model-invocation-job/{ID}", b"")
    assert all(b"/us-west-2/bedrock/aws4_request" in dict(each.headers)[b"authorization"] for each in (made, asked))
    assert job_problems(made.body) == []
    body = json.loads(made.body)
    assert body.pop("jobName") == f"headgate-{body.pop('clientRequestToken')}"
    assert body == {
        "modelId": CLAUDE,
        "roleArn": ROLE,
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": ASKED["input_file_id"]}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://out-bucket/results/"}},
        "timeoutDurationInHours": 24,
    }
    Batch.model_validate(batch.to_dict())
    assert batch.to_dict() == {
        "id": ID,
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "model": CLAUDE,
        "input_file_id": "s3://in-bucket/lines.jsonl",
        "completion_window": "72h",
        "output_file_id": "s3://out-bucket/results/",
        "created_at": 1768469400,
        "expires_at": 1768728600,
        "request_counts": {"total": 100, "completed": 8, "failed": 1},
        "jobArn": ARN,
        "jobName": "my-job",
        "status": "in_progress",
        "errors": None,
        "native_status": "InProgress",
    }


async def test_members_of_the_vendors_own(job_problems: Judge) -> None:
    """What only the vendor has passes by its own names, before what the deployment says."""
    own: Json = {
        "jobName": "mine",
        "roleArn": OTHER_ROLE,
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://mine/", "s3BucketOwner": "123456789012"}},
        "modelInvocationType": "Converse",
        "timeoutDurationInHours": 168,
        "vpcConfig": {"subnetIds": ["subnet-1"], "securityGroupIds": ["sg-1"]},
        "tags": [{"key": "team", "value": "a"}],
        "clientRequestToken": "token1",
    }
    async with serving(*said({"jobArn": ARN}, JOB), **jobs()) as (client, upstream):
        await client.batches.create(**ASKED, extra_body={"model": CLAUDE, **own})
        made = upstream.requests[0].body
    assert job_problems(made) == []
    body = json.loads(made)
    assert {name: body[name] for name in own} == own


@pytest.mark.parametrize(
    ("native", "status", "place"),
    [
        ("Submitted", "validating", ""),
        ("Validating", "validating", ""),
        ("Scheduled", "in_progress", ""),
        ("Completed", "completed", "completed_at"),
        ("PartiallyCompleted", "expired", "expired_at"),
        ("Expired", "expired", "expired_at"),
        ("Failed", "failed", "failed_at"),
        ("Stopping", "cancelling", "cancelling_at"),
        ("Stopped", "cancelled", "cancelled_at"),
        ("Pondering", "in_progress", ""),
    ],
)
@pytest.mark.parametrize("known", [ID, ARN])
async def test_a_job_is_asked_for(native: str, status: str, place: str, known: str) -> None:
    """By its id or its ARN; each of the vendor's words is one of OpenAI's, and what went wrong is told."""
    told = {**JOB, "status": native, "endTime": "2026-01-15T10:30:00Z", "message": "no access"}
    async with serving(*said(told), **jobs()) as (client, upstream):
        batch = await client.batches.retrieve(known)
        segment = known.replace(":", "%3A").replace("/", "%2F")
        assert upstream.requests[0].url == f"{CONTROL}/model-invocation-job/{segment}"
    Batch.model_validate(batch.to_dict())
    assert (batch.id, batch.status, batch.endpoint) == (ID, status, "")
    assert not place or batch.to_dict()[place] == 1768473000
    assert batch.errors is not None
    assert [each.message for each in batch.errors.data or []] == ["no access"]


def test_every_status_is_known() -> None:
    """The table of statuses holds those of AWS's model."""
    model: Any = cast("Any", Session)().get_service_model("bedrock")
    assert set(STATUSES) == set(model.shape_for("ModelInvocationJobStatus").enum)


async def test_what_nobody_tells() -> None:
    """A summary without counts and times is a batch all the same."""
    told = {"jobArn": ARN, "modelId": CLAUDE, "roleArn": ROLE, "status": "Submitted"}
    async with serving(*said(told), **jobs()) as (client, _):
        batch = await client.batches.retrieve(ID)
    assert (batch.created_at, batch.request_counts, batch.output_file_id, batch.input_file_id) == (0, None, None, "")


async def test_jobs_are_listed() -> None:
    """Pages with tokens become those of OpenAI's, the newest first."""
    pages = [
        {"invocationJobSummaries": [{**JOB, "jobArn": f"{ARN[:-1]}{at}"} for at in "12"], "nextToken": "a b/c"},
        {"invocationJobSummaries": [{**JOB, "jobArn": f"{ARN[:-1]}3"}]},
    ]
    async with serving(*said(*pages), **jobs()) as (client, upstream):
        page = await client.batches.list(after=f"{ID[:-1]}2")
        urls = [each.url for each in upstream.requests]
    assert [each.id for each in page.data] == [f"{ID[:-1]}3"]
    query = "maxResults=1000&sortBy=CreationTime&sortOrder=Descending"
    assert urls == [
        f"{CONTROL}/model-invocation-jobs?{query}",
        f"{CONTROL}/model-invocation-jobs?{query}&nextToken=a+b%2Fc",
    ]


async def test_a_job_is_cancelled() -> None:
    """A stop is answered with nothing, so the job is asked for."""
    async with serving(*said({}, {**JOB, "status": "Stopping"}), **jobs()) as (client, upstream):
        batch = await client.batches.cancel(ID)
        calls = [(each.method, each.url, each.body) for each in upstream.requests]
    assert (batch.status, batch.cancelling_at) == ("cancelling", 1768469460)
    assert calls == [
        ("POST", f"{CONTROL}/model-invocation-job/{ID}/stop", b""),
        ("GET", f"{CONTROL}/model-invocation-job/{ID}", b""),
    ]


async def test_a_job_that_cannot_be_asked_for() -> None:
    """Its client takes it to have failed, so it is stopped and not left to run."""
    denied = Recorded.from_json({"message": "not authorized to perform bedrock:GetModelInvocationJob"}, 403)
    async with serving(*said({"jobArn": ARN}), denied, *said({}), **jobs()) as (client, upstream):
        with pytest.raises(openai.PermissionDeniedError, match="GetModelInvocationJob"):
            await client.batches.create(**NEW)
        last = upstream.requests[-1]
    assert (last.method, last.url) == ("POST", f"{CONTROL}/model-invocation-job/{ID}/stop")


@pytest.mark.parametrize("answer", [Recorded(body=b"<html>"), Recorded.from_json([])])
async def test_a_job_whose_answer_is_none(answer: Recorded) -> None:
    """So it is where the vendor's words on it cannot be read."""
    async with serving(*said({"jobArn": ARN}), answer, *said({}), **jobs()) as (client, upstream):
        with pytest.raises(openai.InternalServerError):
            await client.batches.create(**NEW)
        last = upstream.requests[-1]
    assert (last.method, last.url) == ("POST", f"{CONTROL}/model-invocation-job/{ID}/stop")


@pytest.mark.parametrize("told", [{}, {"jobArn": ""}, []])
async def test_an_answer_without_a_job(told: Any) -> None:
    """An answer that names no job is the provider's failure, and nothing is stopped."""
    async with serving(*said(told), **jobs()) as (client, upstream):
        with pytest.raises(openai.InternalServerError):
            await client.batches.create(**NEW)
        assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"model": None}, "model"),
        ({"roleArn": None}, "roleArn"),
        ({"outputDataConfig": None}, "outputDataConfig"),
        ({"input_file_id": "file-1"}, "input_file_id"),
        ({"endpoint": "/v1/responses"}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"metadata": {"a": "b"}}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 3600}}, "output_expires_after"),
    ],
)
async def test_what_cannot_be_asked(more: Json, named: str) -> None:
    """What is missing, or what AWS cannot be told, is a 400 that names it, and nothing is sent."""
    own = {"model": CLAUDE, "roleArn": ROLE, "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://mine/"}}}
    config = {**KEYS, "batches": {"api": "jobs"}}
    async with serving(**config) as (client, upstream):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.batches.create(**ASKED, extra_body={**own, **more})
        assert upstream.requests == []
    assert caught.value.param == named


async def test_a_key_at_the_control_plane() -> None:
    """An API key goes along as a bearer, bound to the control plane's origin for these calls alone."""
    config = {"api_key": "bedrock-key", "batches": {"api": "jobs", "role_arn": ROLE, "output": "s3://mine/"}}
    async with serving(*said(JOB), **config) as (client, upstream):
        await client.batches.retrieve(ID)
        call = upstream.requests[0]
    assert call.credential is not None
    assert call.credential.field() == (b"authorization", b"Bearer bedrock-key")
    assert call.credential.origins == {f"{CONTROL}:443"}
    assert b"authorization" not in dict(call.headers)


@pytest.mark.parametrize(
    ("config", "root"),
    [
        ({"region": "cn-north-1"}, "https://bedrock.cn-north-1.amazonaws.com.cn"),
        ({"base_url": "https://own.example/aws/"}, "https://own.example/aws"),
    ],
)
async def test_where_jobs_are(config: Json, root: str) -> None:
    """The region says it; a base URL of one's own has all."""
    async with serving(*said(JOB), **{**jobs(), **config}) as (client, upstream):
        await client.batches.retrieve(ID)
        assert upstream.requests[0].url == f"{root}/model-invocation-job/{ID}"


async def test_errors() -> None:
    """The vendor's error keeps its status and its words, in OpenAI's envelope."""
    async with serving(*said({"message": "The job is not found."}, status=404), **jobs()) as (client, _):
        with pytest.raises(openai.NotFoundError, match="The job is not found"):
            await client.batches.retrieve(ID)
