"""DashScope's sound and its fine-tuning, as OpenAI's clients ask for them and read them."""

from __future__ import annotations

import base64
import json
from typing import Any

import openai.types.fine_tuning as tuning
import pytest
from providers.compatible.tests.asking import KEY, Json, at, sent

from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_compatible import catalogue

ROOT = "https://dashscope-intl.aliyuncs.com/api/v1"
PLACE = f"{ROOT}/services/aigc/multimodal-generation/generation"
JOBS = "/v1/fine_tuning/jobs"
URL = "http://sounds.example/1d/1.wav?Expires=1&Signature=a%2Bb"
SOUND = b"RIFF" + bytes(range(256))
WAV = Recorded(headers=(("content-type", "audio/x-wav"), ("x-oss-request-id", "1")), body=SOUND)
SPOKEN = Recorded.from_json({"output": {"audio": {"url": URL, "data": "", "id": "1"}}, "usage": {"characters": 5}})
HEARD = Recorded.from_json({"output": {"choices": [{"message": {"content": [{"text": "Grüße"}]}}]}})
SAY: Json = {"model": "v/qwen3-tts-flash", "input": "Grüße", "voice": "Cherry"}
JOB: Json = {
    "job_id": "ft-1",
    "job_name": "ft-1",
    "status": "SUCCEEDED",
    "finetuned_output": "qwen3-14b-mine-ft-1",
    "model": "qwen3-14b",
    "base_model": "qwen3-14b",
    "training_file_ids": ["file-1"],
    "validation_file_ids": [],
    "hyper_parameters": {"n_epochs": 3, "batch_size": 32, "learning_rate": "1.6e-5"},
    "training_type": "sft",
    "create_time": "2024-10-29 16:53:53",
    "end_time": "2024-10-29 17:11:26",
    "usage": 279808,
}


async def asked(path: str, *answers: Recorded, **given: Any) -> tuple[Any, ReplayUpstream]:
    """A client's reply, and what was asked for it."""
    upstream = ReplayUpstream({"*": answers})
    settings = {"provider": "dashscope", "api_key": KEY}
    async with gateway(catalogue()["dashscope"], providers={"v": settings}, upstream=upstream) as client:
        return await client.post(path, **given), upstream


async def test_speech_is_fetched() -> None:
    """The sound comes from the address that the vendor tells, which gets no key, with the type that it has there."""
    body = {**SAY, "language_type": "German", "instructions": "slowly", "speed": 1}
    reply, upstream = await asked("/v1/audio/speech", SPOKEN, WAV, json=body)
    assert (reply.status_code, reply.headers["content-type"], reply.content) == (200, "audio/x-wav", SOUND)
    assert "x-oss-request-id" not in reply.headers
    first, second = upstream.requests
    assert (first.method, first.url, json.loads(first.body)) == (
        "POST",
        PLACE,
        {
            "model": "qwen3-tts-flash",
            "input": {"text": "Grüße", "voice": "Cherry", "language_type": "German"},
            "parameters": {"instructions": "slowly"},
        },
    )
    assert (second.method, second.url, second.headers, second.credential) == ("GET", URL, (), None)
    assert all(response.is_closed for response in upstream.responses)


@pytest.mark.parametrize(("field", "value"), [("response_format", "mp3"), ("speed", 2), ("stream_format", "sse")])
async def test_what_speech_cannot_be_told(field: str, value: object) -> None:
    """A wish that the vendor has no words for is refused by name, and nothing is sent."""
    reply, upstream = await asked("/v1/audio/speech", SPOKEN, WAV, json={**SAY, field: value})
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, field, [])


@pytest.mark.parametrize(
    "answers",
    [
        (Recorded.from_json({"output": {"audio": None}}),),
        (Recorded.from_json({"output": {"audio": {"url": "file:///etc/passwd"}}}),),
        (SPOKEN, Recorded(status=403, body=b"<Error/>")),
    ],
)
async def test_no_sound(answers: tuple[Recorded, ...]) -> None:
    """An answer without an address, one that is none, and one where nothing stands are the provider's failures."""
    reply, _ = await asked("/v1/audio/speech", *answers, json=SAY)
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")


async def test_errors_of_speech() -> None:
    """An error in the vendor's shape is one in OpenAI's, and nothing is fetched."""
    answer = Recorded.from_json({"code": "InvalidParameter", "message": "no such voice", "request_id": "1"}, 400)
    reply, upstream = await asked("/v1/audio/speech", answer, json=SAY)
    assert (reply.status_code, reply.json()["error"]["message"], len(upstream.requests)) == (400, "no such voice", 1)


@pytest.mark.parametrize(("name", "kind"), [("a.wav", "audio/wav"), ("a.mp3", "audio/mpeg")])
async def test_it_hears(name: str, kind: str) -> None:
    """Sound is a data URI in a message, a prompt the context before it, and the text stands where clients look for it."""
    fields = {"model": "v/qwen3-asr-flash", "language": "de", "prompt": "Headgate", "response_format": "json"}
    reply, upstream = await asked("/v1/audio/transcriptions", HEARD, data=fields, files={"file": (name, SOUND, kind)})
    assert (reply.status_code, reply.json()) == (200, {"text": "Grüße"})
    (request,) = upstream.requests
    audio = f"data:{kind};base64,{base64.b64encode(SOUND).decode()}"
    assert (request.url, json.loads(request.body)) == (
        PLACE,
        {
            "model": "qwen3-asr-flash",
            "input": {
                "messages": [
                    {"role": "system", "content": [{"text": "Headgate"}]},
                    {"role": "user", "content": [{"audio": audio}]},
                ]
            },
            "parameters": {"asr_options": {"language": "de"}},
        },
    )


async def test_what_hearing_cannot_be_told() -> None:
    """A file and a model are enough; other formats are refused by name, and an answer without a choice is a failure."""
    given: Json = {"files": {"file": ("a.wav", SOUND, "audio/wav")}}
    path, fields = "/v1/audio/transcriptions", {"model": "v/m"}
    reply, upstream = await asked(path, HEARD, data=fields, **given)
    assert (reply.status_code, sorted(json.loads(upstream.requests[0].body))) == (200, ["input", "model"])
    reply, upstream = await asked(path, HEARD, data={**fields, "response_format": "srt"}, **given)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, "response_format", [])
    reply, _ = await asked(path, Recorded.from_json({"output": {"choices": []}}), data=fields, **given)
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")


@pytest.mark.parametrize(
    ("method", "kind", "own"),
    [
        ("supervised", "sft", {}),
        ("dpo", "dpo_full", {}),
        ("supervised", "efficient_sft", {"training_type": "efficient_sft"}),
    ],
)
async def test_it_trains(method: str, kind: str, own: Json) -> None:
    """A job names its files in lists and its numbers in the vendor's object, beside what a client writes there itself."""
    asked: Json = {
        "model": "mine/qwen3-14b",
        "training_file": "file-1",
        "validation_file": "file-2",
        "suffix": "s",
        "method": {"type": method, method: {"hyperparameters": {"n_epochs": 3, "batch_size": "auto"}}},
        "hyper_parameters": {"max_length": 8192, "learning_rate": "1.6e-5"},
        **own,
    }
    async with at("dashscope") as vendor:
        vendor.answer({"request_id": "1", "output": {**JOB, "status": "PENDING"}})
        status, told = await vendor.ask("POST", JOBS, asked)
        assert (status, vendor.dropped) == (200, None)
        assert sent(vendor.calls[0]) == (
            "POST",
            f"{ROOT}/fine-tunes",
            {
                "model": "qwen3-14b",
                "training_file_ids": ["file-1"],
                "validation_file_ids": ["file-2"],
                "training_type": kind,
                "hyper_parameters": {"max_length": 8192, "learning_rate": "1.6e-5", "n_epochs": 3},
                "finetuned_output_suffix": "s",
            },
        )
    job = tuning.FineTuningJob.model_validate(told)
    assert (job.id, job.status, job.fine_tuned_model) == ("ft-1", "queued", None)


async def test_it_tells_a_job() -> None:
    """What has ended has a model, a time and its tokens; the vendor's word stands beside OpenAI's."""
    async with at("dashscope") as vendor:
        vendor.answer({"request_id": "1", "output": JOB})
        _, told = await vendor.ask("GET", f"{JOBS}/ft-1")
        assert sent(vendor.calls[0]) == ("GET", f"{ROOT}/fine-tunes/ft-1", None)
    job = tuning.FineTuningJob.model_validate(told)
    assert (job.status, told["native_status"], job.fine_tuned_model) == (
        "succeeded",
        "SUCCEEDED",
        "qwen3-14b-mine-ft-1",
    )
    assert (job.created_at, job.finished_at, job.trained_tokens) == (1730220833, 1730221886, 279808)
    assert (job.training_file, job.validation_file, job.error) == ("file-1", None, None)
    assert (job.hyperparameters.n_epochs, job.hyperparameters.batch_size) == (3, 32)


@pytest.mark.parametrize(
    ("native", "status"),
    [("RUNNING", "running"), ("CANCELED", "cancelled"), ("FAILED", "failed"), ("SOMETHING_NEW", "running")],
)
async def test_it_cancels(native: str, status: str) -> None:
    """The vendor says that it did so; the job behind that is what a client gets, with a reason where it failed."""
    async with at("dashscope") as vendor:
        held = {**JOB, "status": native, "code": "1", "message": "no data", "end_time": None}
        vendor.answer({"output": {"status": "success"}}, {"output": held})
        _, told = await vendor.ask("POST", f"{JOBS}/ft-1/cancel")
        assert [sent(call)[:2] for call in vendor.calls] == [
            ("POST", f"{ROOT}/fine-tunes/ft-1/cancel"),
            ("GET", f"{ROOT}/fine-tunes/ft-1"),
        ]
    job = tuning.FineTuningJob.model_validate(told)
    assert (job.id, job.status, job.fine_tuned_model, job.finished_at) == ("ft-1", status, None, None)
    assert (job.error.message if job.error else None) == ("no data" if status == "failed" else None)


async def test_it_lists() -> None:
    """Pages are read until the one that a client asks for is there."""
    pages = [
        {"output": {"total": 101, "jobs": [{**JOB, "job_id": f"ft-{at}"} for at in numbers]}}
        for numbers in (range(100), range(100, 101))
    ]
    async with at("dashscope") as vendor:
        vendor.answer(*pages)
        _, told = await vendor.ask("GET", f"{JOBS}?limit=2&after=ft-98")
        queries = [call.url.partition("?")[2] for call in vendor.calls]
    assert queries == ["page_no=1&page_size=100", "page_no=2&page_size=100"]
    assert ([each["id"] for each in told["data"]], told["has_more"]) == (["ft-99", "ft-100"], False)


@pytest.mark.parametrize("asked", [{"seed": 1}, {"hyperparameters": {"learning_rate_multiplier": 2}}])
async def test_what_training_cannot_be_told(asked: Json) -> None:
    """A wish that the vendor has no words for is refused by name, and nothing is sent."""
    async with at("dashscope") as vendor:
        status, told = await vendor.ask("POST", JOBS, {"model": "mine/m", "training_file": "file-1", **asked})
        assert (status, told["error"]["param"].partition(".")[0], vendor.calls) == (400, next(iter(asked)), [])
