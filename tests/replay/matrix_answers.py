"""What vendors answer, in the dialect that a provider speaks: words, thoughts and calls; vectors, rankings, media and jobs.

Shapes are those of the pages that the `read_*` modules name, of https://docs.voyageai.com/reference/embeddings-api,
https://docs.cohere.com/reference/embed, https://api.jina.ai/redoc and the other pages that the providers' dialects name.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.replay.matrix_jobs import JOBS
from tests.replay.reading import Json, objects

from headgate.testing import Recorded

VECTORS = [[0.25, -1.5, 3.0], [1e-05, 0.125, -2.0]]
BYTES = [[1.0, -128.0, 127.0], [0.0, 5.0, -7.0]]
"""Vectors that signed bytes can say."""
SCORES = [(1, 0.875), (0, 0.125)]
TEXTS = ["Grüße", "two"]
SOUND = b"ID3\x04\x00\xff\xfb\x90\x00"
SOUND_URL = "https://sound.example/1.mp3"
PICTURE = "aGVsbG8="
PICTURE_URL = "https://pictures.example/1.png"
HEARD = {"text": "heard"}
TOKENS = 5
REPLICATE = "replicate.prediction"


@dataclass(frozen=True)
class Said:
    """A whole answer. `calls` are (name, arguments)."""

    text: str = "I look."
    thought: str = ""
    calls: tuple[tuple[str, Json], ...] = ()


def chat_answer(dialect: str, said: Said, thoughts: str = "reasoning_content") -> Recorded:
    """The answer in a vendor's words; `thoughts` is the member that an OpenAI-shaped vendor thinks in."""
    return Recorded.from_json(_CHATS[dialect](said, thoughts))


def _chat(said: Said, thoughts: str) -> Json:
    message: Json = {"role": "assistant", "content": said.text}
    if said.thought and thoughts == "parts":
        thinking = {"type": "thinking", "thinking": [{"type": "text", "text": said.thought}]}
        message["content"] = [thinking, {"type": "text", "text": said.text}]
    elif said.thought and thoughts == "details":
        message["reasoning_details"] = [{"type": "reasoning.text", "id": "reasoning-text-0", "text": said.thought}]
    elif said.thought and thoughts:
        message["reasoning" if thoughts == "reasoning_details" else thoughts] = said.thought
    if said.calls:
        message["tool_calls"] = [_function_call(at, *call) for at, call in enumerate(said.calls)]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if said.calls else "stop"}
    usage: Json = {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}
    if said.thought:
        usage["completion_tokens_details"] = {"reasoning_tokens": 3}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }


def _function_call(at: int, name: str, given: Json) -> Json:
    return {"id": f"callnr00{at}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}


def _responses(said: Said, _: str) -> Json:
    thought: Json = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": said.thought}]}
    text: Json = {"type": "output_text", "text": said.text, "annotations": []}
    items: list[Json] = [
        *([thought] if said.thought else []),
        {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [text]},
        *(
            {
                "type": "function_call",
                "id": f"fc_{at}",
                "call_id": f"call_{at}",
                "name": name,
                "arguments": json.dumps(given),
                "status": "completed",
            }
            for at, (name, given) in enumerate(said.calls)
        ),
    ]
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "m",
        "output": items,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 9,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 3 if said.thought else 0},
            "total_tokens": 16,
        },
    }


def _messages(said: Said, _: str) -> Json:
    thought = [{"type": "thinking", "thinking": said.thought, "signature": "c2lnbmVk"}] if said.thought else []
    calls = [
        {"type": "tool_use", "id": f"toolu_{at}", "name": name, "input": given}
        for at, (name, given) in enumerate(said.calls)
    ]
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [*thought, {"type": "text", "text": said.text}, *calls],
        "stop_reason": "tool_use" if said.calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 7},
    }


def _generate(said: Said, _: str) -> Json:
    parts: list[Json] = [{"text": said.thought, "thought": True}] if said.thought else []
    parts.append({"text": said.text})
    parts += [{"functionCall": {"name": name, "args": given}} for name, given in said.calls]
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 16, "thoughtsTokenCount": 3}
    return {
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": usage,
        "modelVersion": "m",
        "responseId": "r1",
    }


def _converse(said: Said, _: str) -> Json:
    thought = {"reasoningContent": {"reasoningText": {"text": said.thought, "signature": "c2lnbmVk"}}}
    calls = [
        {"toolUse": {"toolUseId": f"tooluse_{at}", "name": name, "input": given}}
        for at, (name, given) in enumerate(said.calls)
    ]
    content = [*([thought] if said.thought else []), {"text": said.text}, *calls]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "tool_use" if said.calls else "end_turn",
        "usage": {"inputTokens": 9, "outputTokens": 7, "totalTokens": 16},
        "metrics": {"latencyMs": 1},
    }


def _cohere(said: Said, _: str) -> Json:
    content = [{"type": "thinking", "thinking": said.thought}] if said.thought else []
    message: Json = {"role": "assistant", "content": [*content, {"type": "text", "text": said.text}]}
    if said.calls:
        message["tool_calls"] = [_function_call(at, *call) for at, call in enumerate(said.calls)]
    return {
        "id": "c1",
        "finish_reason": "TOOL_CALL" if said.calls else "COMPLETE",
        "message": message,
        "usage": {"tokens": {"input_tokens": 9, "output_tokens": 7}},
    }


def _ollama(said: Said, _: str) -> Json:
    message: Json = {"role": "assistant", "content": said.text}
    if said.thought:
        message["thinking"] = said.thought
    if said.calls:
        message["tool_calls"] = [{"function": {"name": name, "arguments": given}} for name, given in said.calls]
    return {
        "model": "m",
        "created_at": "2026-01-01T00:00:00Z",
        "message": message,
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 9,
        "eval_count": 7,
    }


def _prediction(said: Said, _: str) -> Json:
    return {
        "id": "p1",
        "model": "openai/gpt-5",
        "status": "succeeded",
        "output": [said.text[:2], said.text[2:]],
        "error": None,
        "created_at": "2026-01-01T00:00:00Z",
        "metrics": {"input_token_count": 9, "output_token_count": 7, "predict_time": 0.5},
    }


_CHATS: Mapping[str, Callable[[Said, str], Json]] = {
    "openai.chat": _chat,
    "openai.responses": _responses,
    "anthropic.messages": _messages,
    "google.generate": _generate,
    "bedrock.converse": _converse,
    "cohere.chat": _cohere,
    "ollama.chat": _ollama,
    REPLICATE: _prediction,
}


# other operations


def _vectors() -> Json:
    data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(VECTORS)]
    return {
        "object": "list",
        "data": data,
        "model": "m",
        "usage": {"prompt_tokens": TOKENS, "total_tokens": TOKENS},
    }


def _packed() -> Json:
    """Perplexity's vectors, in base64: https://docs.perplexity.ai/api-reference/embeddings-post."""
    said = _vectors()
    texts = [base64.b64encode(bytes(int(value) % 256 for value in vector)).decode() for vector in BYTES]
    data = [{**each, "embedding": text} for each, text in zip(objects(said["data"]), texts, strict=True)]
    return {**said, "data": data}


def _rows() -> Json:
    """Snowflake's vectors, each a table of one row: https://github.com/snowflakedb/snowflake-rest-api-specs."""
    said = _vectors()
    data = [{**each, "embedding": [vector]} for each, vector in zip(objects(said["data"]), VECTORS, strict=True)]
    return {**said, "data": data, "usage": {"total_tokens": TOKENS}}


def _single(vector: Sequence[float]) -> Json:
    """The one vector of a call of BytePlus: https://docs.byteplus.com/en/docs/ModelArk/1523520."""
    tokens = TOKENS // len(VECTORS)
    return {
        "created": 1,
        "data": {"embedding": vector, "object": "embedding"},
        "id": "e1",
        "model": "m",
        "object": "list",
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _ranked() -> Json:
    results = [{"index": index, "relevance_score": score} for index, score in SCORES]
    return {
        "id": "r1",
        "results": results,
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
    }


_JINA: Json = {"model": "m", "results": _ranked()["results"], "usage": {"total_tokens": TOKENS}}
_LISTED: Json = {"object": "list", "data": _ranked()["results"], "model": "m", "usage": {"total_tokens": TOKENS}}
_BY_DIALECT: Mapping[str, Any] = {
    "bedrock.count": {"inputTokens": 7},
    "dashscope.count": {"request_id": "1", "output": {"token_ids": [1]}, "usage": {"input_tokens": 7}},
    "moonshot.count": {"data": {"total_tokens": 7}},
    "sambanova.count": {"input_tokens": 7},
    "zai.count": {"id": "1", "usage": {"prompt_tokens": 7, "total_tokens": 7}},
    "openai.completions": {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "text": " there", "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
    },
    "openai.embeddings": _vectors(),
    "voyage.embeddings": _vectors(),
    "jina.embeddings": _vectors(),
    "nvidia.embeddings": _vectors(),
    "huggingface.embeddings": VECTORS,
    "snowflake.embeddings": _rows(),
    "perplexity.embeddings": _packed(),
    "byteplus.embeddings": _single(VECTORS[0]),
    "oracle.embeddings": {
        "id": "e1",
        "embeddings": VECTORS,
        "modelId": "m",
        "modelVersion": "1",
        "usage": {"promptTokens": TOKENS, "totalTokens": TOKENS},
    },
    "oracle.rerank": {
        "id": "r1",
        "modelId": "m",
        "documentRanks": [{"index": index, "relevanceScore": score} for index, score in SCORES],
    },
    "cohere.embed": {
        "id": "e1",
        "embeddings": {"float": VECTORS},
        "texts": TEXTS,
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": TOKENS}},
        "response_type": "embeddings_by_type",
    },
    "google.embed": {"embeddings": [{"values": vector} for vector in VECTORS]},
    "google.embed_one": {"embedding": {"values": VECTORS[0]}},
    "vertex.embed": {
        "predictions": [
            {"embeddings": {"values": vector, "statistics": {"truncated": False, "token_count": 2 + at}}}
            for at, vector in enumerate(VECTORS)
        ]
    },
    "bedrock.embeddings": {"embeddings": VECTORS, "id": "e1", "response_type": "embeddings_floats", "texts": TEXTS},
    "ollama.embed": {"model": "m", "embeddings": VECTORS, "prompt_eval_count": TOKENS},
    "cohere.rerank": _ranked(),
    "bedrock.rerank": {"results": _ranked()["results"]},
    "jina.rerank": _JINA,
    "together.rerank": _JINA,
    "listed.rerank": _LISTED,
    "voyage.rerank": _LISTED,
    "cloudflare.rerank": {
        "success": True,
        "result": {"response": [{"id": at, "score": score} for at, score in SCORES]},
    },
    "deepinfra.rerank": {"scores": [score for _, score in sorted(SCORES)], "input_tokens": TOKENS},
    "groq.rerank": {"results": [{"doc": TEXTS[index], "score": score} for index, score in SCORES]},
    "vertex.rerank": {"records": [{"id": str(index), "score": score} for index, score in SCORES]},
    "nvidia.rerank": {"rankings": [{"index": index, "logit": score} for index, score in SCORES]},
    "openai.images": {"created": 1, "data": [{"b64_json": PICTURE}]},
    "openai.transcription": HEARD,
    "openai.moderations": {
        "id": "modr-1",
        "model": "m",
        "results": [{"flagged": False, "categories": {"violence": False}, "category_scores": {"violence": 0.01}}],
    },
}
_BY_OPERATION: Mapping[str, Any] = {
    "count_tokens": {"input_tokens": 7},
    "generate.count_tokens": {"totalTokens": 7},
    "responses.input_tokens": {"object": "response.input_tokens", "input_tokens": 7},
    "files": {"id": "file-1", "object": "file", "bytes": 2, "created_at": 1, "filename": "a.jsonl", "purpose": "batch"},
    "uploads": {"id": "upload_1", "object": "upload", "status": "pending"},
    "batches": {"id": "batch_1", "object": "batch", "status": "validating"},
    "fine_tuning.jobs": {"id": "ftjob-1", "object": "fine_tuning.job", "status": "queued"},
    "messages.batches": {"id": "msgbatch_1", "type": "message_batch", "processing_status": "in_progress"},
    "generate.files": {"file": {"name": "files/a"}},
    "generate.uploads": {"file": {"name": "files/a"}},
    "generate.batch": {"name": "batches/b"},
    "generate.batches": {},
    "generate.caches": {"name": "cachedContents/c"},
    "passthrough": {"anything": [1, 2.5, None]},
}


_STABILITY: Json = {"seeds": [1], "finish_reasons": [None], "images": [PICTURE]}
_MESSAGE: Json = {
    "output": {"choices": [{"message": {"role": "assistant", "content": [{"image": PICTURE_URL}]}}]},
    "usage": {"image_count": 1},
}
"""https://www.alibabacloud.com/help/en/model-studio/qwen-image-generation-and-editing-api-reference"""
_EDITED: Json = {"id": "job-1", "status": "Ready", "result": {"sample": PICTURE_URL}, "progress": None, "details": None}
"""https://docs.fireworks.ai/api-reference/get-generated-image-from-flux-kontex"""
_CODE: Json = {
    "id": "fim-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": " there"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
}
_DRAWN: Json = {"candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": PICTURE}}]}}]}
_SAMPLES: Json = {"mimeType": "audio/L16;rate=24000", "data": base64.b64encode(SOUND).decode()}
_SPOKEN: Json = {"candidates": [{"content": {"parts": [{"inlineData": _SAMPLES}]}}]}
_WRITTEN: Json = {"candidates": [{"content": {"parts": [{"audioTranscription": HEARD}]}}]}
_NUMBERED: Json = {"images": [{"index": 0, "image": PICTURE, "random_seed": 1}], "inference_time": 1.5}
"""https://github.com/HyperbolicLabs/hyperbolic-ts"""
_DONE: Json = {"status": "COMPLETED", "result": {"output": [PICTURE_URL]}}
"""https://github.com/Qblocks/monsterapiclient"""
_OWN: Mapping[tuple[str, str], Json] = {
    ("mistral", "completions"): _CODE,
    ("vercel", "audio.speech"): {"audio": base64.b64encode(SOUND).decode()},
    ("vercel", "audio.transcriptions"): {**HEARD, "segments": []},
    ("vercel", "images.edit"): {"images": [PICTURE]},
    ("vertex", "completions"): _CODE,
    ("writer", "completions"): {"choices": [{"text": " there", "log_probs": None}], "model": "m"},
    ("zhipu", "moderations"): {
        "id": "m1",
        "created": 1,
        "result_list": [{"content_type": "text", "risk_level": "PASS", "risk_type": []}],
    },
    ("oracle", "moderations"): {
        "results": {"contentModeration": {"categories": [{"name": "OVERALL", "score": 0.0}]}},
    },
    ("bedrock", "moderations"): {
        "results": {"contentFilter": {"results": [{"category": "VIOLENCE", "severityScore": 0.1}]}},
        "usage": {"contentFilter": {"textUnits": 1}},
    },
    ("bedrock", "completions"): {
        "generation": " there",
        "prompt_token_count": 2,
        "generation_token_count": 1,
        "stop_reason": "stop",
    },
    ("bedrock", "images.generate"): _STABILITY,
    ("bedrock", "images.edit"): _STABILITY,
    ("mistral", "audio.speech"): {"audio_data": base64.b64encode(SOUND).decode()},
    ("cloudflare", "audio.speech"): {"success": True, "result": {"audio": base64.b64encode(SOUND).decode()}},
    ("cloudflare", "audio.transcriptions"): {"success": True, "result": HEARD},
    ("cloudflare", "audio.translations"): {"success": True, "result": HEARD},
    ("cloudflare", "completions"): {"success": True, "result": {"response": " there"}},
    ("cloudflare", "images.edit"): {"success": True, "result": {"image": PICTURE}},
    ("cloudflare", "images.generate"): {"success": True, "result": {"image": PICTURE}},
    ("minimax", "audio.speech"): {"data": {"audio": SOUND.hex(), "status": 2}, "base_resp": {"status_code": 0}},
    ("minimax", "images.generate"): {"data": {"image_base64": [PICTURE]}, "base_resp": {"status_code": 0}},
    ("bytez", "audio.speech"): {"error": None, "output": SOUND_URL},
    ("bytez", "audio.transcriptions"): {"error": None, "output": "heard"},
    ("bytez", "images.generate"): {"error": None, "output": PICTURE_URL},
    ("hyperbolic", "audio.speech"): {"audio": base64.b64encode(SOUND).decode(), "inference_time": 1, "sample_rate": 1},
    ("hyperbolic", "images.edit"): _NUMBERED,
    ("hyperbolic", "images.generate"): _NUMBERED,
    ("monsterapi", "audio.speech"): {"status": "COMPLETED", "result": {"output": [SOUND_URL]}},
    ("monsterapi", "audio.transcriptions"): {"status": "COMPLETED", "result": HEARD},
    ("monsterapi", "images.edit"): _DONE,
    ("monsterapi", "images.generate"): _DONE,
    ("krutrim", "audio.speech"): {"status": "success", "data": {"audio_file": SOUND_URL}},
    ("krutrim", "audio.transcriptions"): {"predictions": HEARD},
    ("krutrim", "audio.translations"): {"predictions": HEARD},
    ("krutrim", "images.generate"): {"created": 1, "data": [{"b64_json": PICTURE}], "error": None},
    ("dashscope", "audio.speech"): {"output": {"audio": {"url": SOUND_URL, "data": "", "id": "1", "expires_at": 2}}},
    ("dashscope", "audio.transcriptions"): {
        "output": {"choices": [{"message": {"role": "assistant", "content": [HEARD]}, "finish_reason": "stop"}]}
    },
    ("dashscope", "images.edit"): _MESSAGE,
    ("dashscope", "images.generate"): _MESSAGE,
    ("novita", "images.edit"): {"images": [PICTURE_URL]},
    ("novita", "images.generate"): {"images": [PICTURE_URL]},
    ("novita", "images.variations"): {"image_file": PICTURE, "image_type": "png"},
    ("novita", "audio.speech"): {"audio": SOUND.hex()},
    ("nvidia", "images.generate"): {"artifacts": [{"base64": PICTURE, "finishReason": "SUCCESS", "seed": 1}]},
    ("reka", "audio.transcriptions"): {"transcript": "heard", "transcript_translation_with_timestamp": []},
    ("replicate", "audio.speech"): {"id": "p1", "status": "succeeded", "output": SOUND_URL},
    ("replicate", "audio.transcriptions"): {"id": "p1", "status": "succeeded", "output": ["he", "ard"]},
    ("replicate", "audio.translations"): {
        "id": "p1",
        "status": "succeeded",
        "output": {"transcription": "gehört", "translation": "heard"},
    },
    ("replicate", "images.edit"): {"id": "p1", "status": "succeeded", "output": PICTURE_URL},
    ("replicate", "images.variations"): {"id": "p1", "status": "succeeded", "output": [PICTURE_URL]},
    ("replicate", "images.generate"): {"id": "p1", "status": "succeeded", "output": [PICTURE_URL]},
    ("siliconflow", "files"): {
        "code": 20000,
        "message": "Ok",
        "status": True,
        "data": {
            "id": "file-1",
            "object": "file",
            "bytes": 2,
            "createdAt": 1,
            "filename": "a.jsonl",
            "purpose": "batch",
        },
    },
    ("siliconflow", "images.edit"): {"images": [{"b64_json": PICTURE}], "timings": {"inference": 1}, "seed": 1},
    ("siliconflow", "images.generate"): {"images": [{"b64_json": PICTURE}], "timings": {"inference": 1}, "seed": 1},
    ("google", "images.edit"): _DRAWN,
    ("google", "audio.speech"): _SPOKEN,
    ("google", "audio.transcriptions"): _WRITTEN,
    ("vertex", "images.generate"): _DRAWN,
    ("vertex", "images.edit"): _DRAWN,
    ("vertex", "audio.speech"): _SPOKEN,
    ("vertex", "audio.transcriptions"): _WRITTEN,
}
"""Answers in a vendor's own shape, by vendor and operation."""
_FILES = frozenset(
    {("fireworks", "images.generate"), ("huggingface", "images.edit"), ("huggingface", "images.generate")}
)
"""Answers that are the picture itself."""


def other_answer(operation: str, dialect: str, vendor: str = "") -> Recorded:
    """What a vendor answers to an operation that is no chat. KeyError for a dialect of which nobody has said it."""
    if (vendor, operation) in _OWN:
        return Recorded.from_json(_OWN[vendor, operation])
    if (vendor, operation) in _FILES:
        return Recorded(headers=(("content-type", "image/png"),), body=base64.b64decode(PICTURE))
    if (vendor, operation) == ("dashscope", "audio.translations"):
        said = {"index": 0, "delta": {"content": HEARD["text"]}, "finish_reason": "stop"}
        return Recorded.from_events({"id": "c1", "object": "chat.completion.chunk", "choices": [said]})
    if operation == "audio.speech":
        return Recorded(headers=(("content-type", "audio/mpeg"),), body=SOUND)
    if dialect in JOBS:
        return Recorded.from_json(JOBS[dialect])
    return Recorded.from_json(_BY_DIALECT[dialect] if dialect else _BY_OPERATION[operation])


def other_answers(operation: str, dialect: str, vendor: str = "") -> Sequence[Recorded]:
    """The same, of a vendor that takes several calls for it: one for each of them."""
    if dialect == "byteplus.embeddings":
        return [Recorded.from_json(_single(vector)) for vector in VECTORS]
    if dialect in {"byteplus.batches", "byteplus.fine_tuning"}:
        return [Recorded.from_json({**JOBS[dialect], "Result": {"Id": "job-1"}}), Recorded.from_json(JOBS[dialect])]
    if dialect == "bytez.embeddings":
        return [Recorded.from_json({"error": None, "output": vector}) for vector in VECTORS]
    if (vendor, operation) == ("fireworks", "images.edit"):
        return [Recorded.from_json({"request_id": "job-1"}), Recorded.from_json(_EDITED)]
    begun = (
        [Recorded.from_json({"process_id": "p-1"})] if (vendor, operation) in _OWN and vendor == "monsterapi" else []
    )
    if operation == "audio.speech" and vendor in {"bytez", "dashscope", "krutrim", "monsterapi"}:
        sound = Recorded(headers=(("content-type", "audio/wav"),), body=SOUND)
        return [*begun, other_answer(operation, dialect, vendor), sound]
    return [*begun, other_answer(operation, dialect, vendor)]
