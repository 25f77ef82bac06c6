"""DashScope's sound and its fine-tuning, as OpenAI's clients ask for them and read them."""

from __future__ import annotations

import base64
import json
from typing import Any

import openai.types.fine_tuning as tuning
import pytest
from openai.types.fine_tuning import jobs
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


async def asked(path: str, *answers: Recorded, base_url: str = "", **given: Any) -> tuple[Any, ReplayUpstream]:
    """A client's reply, and what was asked for it."""
    upstream = ReplayUpstream({"*": answers})
    settings = {"provider": "dashscope", "api_key": KEY, "base_url": base_url}
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


@pytest.mark.parametrize("beta", [0.1, [0.1]])
async def test_training_has_no_weight(beta: Any) -> None:
    """The weight of preferences is refused by its name where it is not left to the vendor."""
    asked: Json = {
        "model": "mine/m",
        "training_file": "f",
        "method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": beta}}},
    }
    async with at("dashscope") as vendor:
        status, told = await vendor.ask("POST", JOBS, asked)
    assert (status, told["error"]["param"]) == (400, "method.dpo.hyperparameters.beta")
    assert vendor.calls == []


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


async def test_a_log_is_events() -> None:
    """A log is read to its end, however many pages that takes, and its newest line comes first."""
    pages = [
        {"output": {"total": 1001, "logs": [f"line {at}" for at in range(1000)]}},
        {"output": {"total": 1001, "logs": "{'loss': 0.5}"}},
    ]
    async with at("dashscope") as vendor:
        vendor.answer(*pages)
        status, told = await vendor.ask("GET", f"{JOBS}/ft-1/events?limit=2")
        assert [call.url for call in vendor.calls] == [
            f"{ROOT}/fine-tunes/ft-1/logs?offset={start}&line=1000" for start in (0, 1000)
        ]
    events = [tuning.FineTuningJobEvent.model_validate(each) for each in told["data"]]
    assert (status, [each.message for each in events], told["has_more"]) == (200, ["{'loss': 0.5}", "line 999"], True)
    assert [each.id for each in events] == ["ftevent-ft-1-1000", "ftevent-ft-1-999"]
    async with at("dashscope") as vendor:
        vendor.answer({"output": {"total": 2, "logs": ["a", "b"]}})
        _, told = await vendor.ask("GET", f"{JOBS}/ft-1/events?after=ftevent-ft-1-1")
        assert ([each["message"] for each in told["data"]], told["has_more"]) == (["a"], False)


@pytest.mark.parametrize("answer", [{"output": {"logs": 1}}, {"output": []}, []])
async def test_no_log(answer: Any) -> None:
    """An answer without lines has no events where it may be so, and is the provider's failure where it is none."""
    async with at("dashscope") as vendor:
        vendor.answer(answer)
        status, told = await vendor.ask("GET", f"{JOBS}/ft-1/events")
    is_empty = answer == {"output": []}
    assert (status, told.get("data")) == ((200, []) if is_empty else (502, None))


async def test_checkpoints() -> None:
    """Checkpoints come with the newest first, and with what the vendor tells beside OpenAI's members."""
    name = "ft-1:checkpoint-0004000"
    held = [
        {
            "create_time": "2026-05-27T18:07:16",
            "full_name": f"{name}{at}",
            "checkpoint_id": f"{name}{at}",
            "model_name": "cosyvoice-v3-flash-ft-1",
            "status": "SUCCEEDED",
            "expire_time": "2026-06-11T18:07:16",
            "step": 40000 + at,
        }
        for at in (3, 4)
    ]
    async with at("dashscope") as vendor:
        vendor.answer({"request_id": "1", "output": held})
        status, told = await vendor.ask("GET", f"{JOBS}/ft-1/checkpoints?limit=1")
        assert sent(vendor.calls[0]) == ("GET", f"{ROOT}/fine-tunes/ft-1/checkpoints", None)
    (found,) = [jobs.FineTuningJobCheckpoint.model_validate(each) for each in told["data"]]
    assert (status, found.id, found.fine_tuned_model_checkpoint) == (200, f"{name}4", f"{name}4")
    assert (found.step_number, found.metrics.step, found.created_at) == (40004, 40004, 1779905236)
    assert (told["data"][0]["model_name"], told["has_more"]) == ("cosyvoice-v3-flash-ft-1", True)


@pytest.mark.parametrize("model", ["cosyvoice-v3-flash", "qwen-audio-3.0-tts-flash"])
async def test_cosyvoice(model: str) -> None:
    """Models of another family speak at an address of their own, in the format that OpenAI's clients get unasked."""
    body = {**SAY, "model": f"v/{model}", "speed": 1.5, "instructions": "sing", "seed": 7, "response_format": None}
    reply, upstream = await asked("/v1/audio/speech", SPOKEN, WAV, json=body)
    assert (reply.status_code, reply.content) == (200, SOUND)
    assert (upstream.requests[0].url, json.loads(upstream.requests[0].body)) == (
        f"{ROOT}/services/audio/tts/SpeechSynthesizer",
        {
            "model": model,
            "input": {
                "text": "Grüße",
                "voice": "Cherry",
                "format": "mp3",
                "rate": 1.5,
                "instruction": "sing",
                "seed": 7,
            },
        },
    )


async def test_formats_of_cosyvoice() -> None:
    """Bare samples come at OpenAI's rate; a format that is not there is refused by name."""
    say = {**SAY, "model": "v/cosyvoice-v3-flash"}
    _, upstream = await asked("/v1/audio/speech", SPOKEN, WAV, json={**say, "response_format": "pcm"})
    spoken = json.loads(upstream.requests[0].body)["input"]
    assert (spoken["format"], spoken["sample_rate"]) == ("pcm", 24000)
    for field, value in (("response_format", "flac"), ("stream_format", "sse")):
        reply, upstream = await asked("/v1/audio/speech", SPOKEN, WAV, json={**say, field: value})
        assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, field, [])


COUNTED = Recorded.from_json({"output": {"token_ids": [1, 2]}, "usage": {"input_tokens": 12}, "request_id": "1"})
COUNT: Json = {"model": "v/qwen-plus", "messages": [{"role": "user", "content": "Grüße"}]}


async def test_it_counts() -> None:
    """Texts are counted by the vendor, whichever client asks."""
    reply, upstream = await asked("/v1/messages/count_tokens", COUNTED, json={**COUNT, "system": "Be brief."})
    assert (reply.status_code, reply.json()) == (200, {"input_tokens": 12})
    (request,) = upstream.requests
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße"}]
    assert (request.url, json.loads(request.body)) == (
        f"{ROOT}/tokenizer",
        {"model": "qwen-plus", "input": {"messages": messages}, "parameters": {}},
    )
    reply, _ = await asked("/v1/responses/input_tokens", COUNTED, json={"model": "v/qwen-plus", "input": "Grüße"})
    assert reply.json() == {"object": "response.input_tokens", "input_tokens": 12}


async def test_it_counts_parts() -> None:
    """What clients say in parts, as Anthropic's agents do, is one text: the vendor counts strings."""
    parts = [{"type": "text", "text": "Grüße"}, {"type": "text", "text": "Adieu"}]
    _, upstream = await asked(
        "/v1/messages/count_tokens", COUNTED, json={**COUNT, "messages": [{"role": "user", "content": parts}]}
    )
    (request,) = upstream.requests
    assert json.loads(request.body)["input"]["messages"] == [{"role": "user", "content": "Grüße\n\nAdieu"}]


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"name": "f", "input_schema": {"type": "object"}}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://a.example"}}]}
            ]
        },
    ],
)
async def test_what_it_does_not_count(more: Json) -> None:
    """Tools and pictures, which the vendor would leave out, are estimated with the rest, and marked so."""
    reply, upstream = await asked("/v1/messages/count_tokens", COUNTED, json={**COUNT, **more})
    assert (reply.status_code, reply.headers["x-headgate-estimated"], upstream.requests) == (200, "true", [])


BEIJING = "https://dashscope.aliyuncs.com/compatible-mode/v1"
COMPLETED = Recorded.from_json(
    {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "qwen2.5-coder-32b-instruct",
        "choices": [{"index": 0, "text": "return 1", "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
    }
)


@pytest.mark.parametrize("base", [BEIJING, "https://llm-1.cn-beijing.maas.aliyuncs.com/compatible-mode/v1"])
async def test_completions_in_beijing(base: str) -> None:
    """What stands behind the gap is marked in the prompt; an answer passes as it comes."""
    body = {"model": "v/qwen2.5-coder-32b-instruct", "prompt": "def f():", "suffix": "\n", "max_tokens": 9}
    reply, upstream = await asked("/v1/completions", COMPLETED, base_url=base, json=body)
    assert reply.json() == json.loads(COMPLETED.body)
    (request,) = upstream.requests
    prompt = "<|fim_prefix|>def f():<|fim_suffix|>\n<|fim_middle|>"
    assert (request.url, json.loads(request.body)) == (
        f"{base}/completions",
        {"model": "qwen2.5-coder-32b-instruct", "prompt": prompt, "max_tokens": 9},
    )
    _, upstream = await asked("/v1/completions", COMPLETED, base_url=base, json={**body, "suffix": None})
    assert json.loads(upstream.requests[0].body)["prompt"] == "def f():"
    reply, upstream = await asked("/v1/completions", COMPLETED, base_url=base, json={**body, "prompt": ["a", "b"]})
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, "suffix", [])


async def test_completions_elsewhere() -> None:
    """Other regions have no completions, and that is said before anything is sent."""
    reply, upstream = await asked("/v1/completions", COMPLETED, json={"model": "v/qwen2.5-coder", "prompt": "a"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "unsupported_operation")
    assert upstream.requests == []


CHUNKS: tuple[Json, ...] = (
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Good "}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": "morning."}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}},
)
TRANSLATE: Json = {
    "data": {"model": "v/qwen3-livetranslate-flash", "response_format": "json"},
    "files": {"file": ("a.mp3", SOUND, "audio/mpeg")},
}


async def test_it_translates_sound() -> None:
    """Sound is the one message of a chat that streams, into English unless a client says otherwise; its pieces are one text."""
    reply, upstream = await asked("/v1/audio/translations", Recorded.from_events(*CHUNKS), **TRANSLATE)
    usage = {"type": "tokens", "input_tokens": 9, "output_tokens": 3, "total_tokens": 12}
    assert (reply.status_code, reply.json()) == (200, {"text": "Good morning.", "usage": usage})
    assert reply.headers["content-type"] == "application/json"
    (request,) = upstream.requests
    sound = {"data": f"data:;base64,{base64.b64encode(SOUND).decode()}", "format": "mp3"}
    assert (request.url, json.loads(request.body)) == (
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions",
        {
            "model": "qwen3-livetranslate-flash",
            "messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": sound}]}],
            "modalities": ["text"],
            "stream": True,
            "stream_options": {"include_usage": True},
            "translation_options": {"target_lang": "en"},
        },
    )
    given: Any = {
        **TRANSLATE,
        "data": {**TRANSLATE["data"], "source_lang": "zh", "target_lang": "de", "temperature": "0.5"},
    }
    _, upstream = await asked("/v1/audio/translations", Recorded.from_events(*CHUNKS), **given)
    sent = json.loads(upstream.requests[0].body)
    assert (sent["translation_options"], sent["temperature"]) == ({"source_lang": "zh", "target_lang": "de"}, 0.5)


@pytest.mark.parametrize("field", ["prompt", "response_format"])
async def test_what_translating_cannot_be_told(field: str) -> None:
    """A wish that the vendor has no words for is refused by name, and nothing is sent."""
    given: Any = {**TRANSLATE, "data": {**TRANSLATE["data"], field: "srt"}}
    reply, upstream = await asked("/v1/audio/translations", Recorded.from_events(*CHUNKS), **given)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, field, [])


@pytest.mark.parametrize(
    ("chunks", "code"),
    [
        (CHUNKS[:2], "upstream_cut"),
        ((CHUNKS[0], {"error": {"code": "Throttling", "message": "later"}}), "upstream_error"),
    ],
)
async def test_a_translation_that_breaks_off(chunks: tuple[Json, ...], code: str) -> None:
    """Half a translation is none."""
    reply, _ = await asked("/v1/audio/translations", Recorded.from_events(*chunks), **TRANSLATE)
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, code)


async def test_errors_of_translating() -> None:
    """An error status is relayed."""
    answer = Recorded.from_json({"error": {"message": "no such model", "code": "model_not_found"}}, 404)
    reply, _ = await asked("/v1/audio/translations", answer, **TRANSLATE)
    assert (reply.status_code, reply.json()["error"]["message"]) == (404, "no such model")
