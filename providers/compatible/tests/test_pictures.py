"""Pictures and their edits at vendors with words of their own: DashScope, Hugging Face, NVIDIA, BytePlus, SiliconFlow, Ollama."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from providers.compatible.tests.calls import Json

from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_compatible import catalogue

DROP = {"x-headgate-unsupported": "drop"}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
PICTURE = base64.b64encode(PNG).decode()
SHOWN = f"data:image/png;base64,{PICTURE}"
URL = "https://p.example/1"
MADE = Recorded.from_json({"created": 1, "data": [{"url": URL}]})
MESSAGE = Recorded.from_json(
    {"output": {"choices": [{"message": {"content": [{"image": URL}, {"text": "done"}]}}]}, "request_id": "1"}
)


async def asked(name: str, path: str, answer: Recorded, headers: Json | None = None, **given: Any) -> tuple[Any, Any]:
    """A client's reply, and what the vendor was asked."""
    upstream, kind = ReplayUpstream({"*": answer}), catalogue()[name]
    settings = {"provider": name, **({"api_key": "sk-vendor-key"} if kind.auth else {})}
    async with gateway(kind, providers={"v": settings}, upstream=upstream) as client:
        return await client.post(path, headers=headers or {}, **given), upstream


def sent(upstream: ReplayUpstream) -> Json:
    """The JSON body of the last call."""
    request = upstream.requests[-1]
    assert dict(request.headers)[b"content-type"] == b"application/json"
    return json.loads(request.body)


# DashScope


async def test_dashscope_draws() -> None:
    """A prompt is a message, what else is asked for are parameters, and the pictures of the answer's message come back."""
    body = {"model": "v/qwen-image-3.0", "prompt": "Grüße", "size": "1024x768", "n": 2, "watermark": False}
    reply, upstream = await asked("dashscope", "/v1/images/generations", MESSAGE, json=body)
    assert (reply.status_code, reply.json()) == (200, {"created": 0, "data": [{"url": URL}]})
    there = "https://dashscope-intl.aliyuncs.com/api/v1/services/aigc/multimodal-generation/generation"
    assert upstream.requests[-1].url == there
    assert sent(upstream) == {
        "model": "qwen-image-3.0",
        "input": {"messages": [{"role": "user", "content": [{"text": "Grüße"}]}]},
        "parameters": {"n": 2, "watermark": False, "size": "1024*768"},
    }


@pytest.mark.parametrize(
    "given",
    [
        {"data": {"model": "v/m", "prompt": "p"}, "files": {"image": ("a.png", PNG, "image/png")}},
        {"json": {"model": "v/m", "prompt": "p", "images": [{"image_url": SHOWN}]}},
    ],
)
async def test_dashscope_edits(given: Json) -> None:
    """Pictures of a form, or of OpenAI's JSON, stand before the prompt."""
    reply, upstream = await asked("dashscope", "/v1/images/edits", MESSAGE, **given)
    assert (reply.status_code, reply.json()["data"]) == (200, [{"url": URL}])
    content = [{"image": SHOWN}, {"text": "p"}]
    assert sent(upstream) == {"model": "m", "input": {"messages": [{"role": "user", "content": content}]}}


@pytest.mark.parametrize("images", [7, {"a": 1}, "https://a.example/x.png"])
async def test_pictures_for_dashscope_are_a_list(images: Any) -> None:
    """Anything else is refused by its name."""
    body = {"model": "v/qwen-image-edit", "prompt": "p", "images": images}
    reply, upstream = await asked("dashscope", "/v1/images/edits", MESSAGE, json=body)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, "images", [])


async def test_dashscopes_errors() -> None:
    """An error in its shape is one in OpenAI's, with its status and words."""
    answer = Recorded.from_json({"code": "InvalidParameter", "message": "no such size", "request_id": "1"}, 400)
    body = {"model": "v/m", "prompt": "p"}
    reply, _ = await asked("dashscope", "/v1/images/generations", answer, json=body)
    assert (reply.status_code, reply.json()["error"]["message"]) == (400, "no such size")


# Hugging Face


async def test_hugging_face_draws() -> None:
    """A prompt is an input, what else is asked for are parameters, and the answer, a picture, becomes base64."""
    body = {"model": "v/a/b", "prompt": "Grüße", "size": "512x256", "guidance_scale": 7.5}
    answer = Recorded(headers=(("content-type", "image/png"),), body=PNG)
    reply, upstream = await asked("huggingface", "/v1/images/generations", answer, json=body)
    assert (reply.status_code, reply.json()["data"]) == (200, [{"b64_json": PICTURE}])
    assert dict(upstream.requests[-1].headers)[b"accept"] == b"image/png"
    parameters = {"guidance_scale": 7.5, "width": 512, "height": 256}
    assert sent(upstream) == {"inputs": "Grüße", "parameters": parameters}


HF_EDITED = {"model": "v/a/b", "prompt": "Grüße", "size": "512x256"}


@pytest.mark.parametrize(
    "given",
    [
        {
            "data": {**HF_EDITED, "n": "1", "guidance_scale": "7.5", "num_inference_steps": "9", "user": "u"},
            "files": {"image": ("a.png", PNG, "image/png")},
        },
        {
            "json": {
                **HF_EDITED,
                "guidance_scale": 7.5,
                "num_inference_steps": 9,
                "user": "u",
                "images": [{"image_url": SHOWN}],
            }
        },
    ],
)
async def test_hugging_face_edits(given: Json) -> None:
    """The picture is an input in base64, what else is asked for are parameters, and the answer, a picture, becomes base64."""
    answer = Recorded(headers=(("content-type", "image/png"),), body=PNG)
    reply, upstream = await asked("huggingface", "/v1/images/edits", answer, **given)
    assert (reply.status_code, reply.json()["data"]) == (200, [{"b64_json": PICTURE}])
    assert reply.headers["x-headgate-dropped"] == "user"
    [request] = upstream.requests
    assert (request.method, request.url) == ("POST", "https://router.huggingface.co/hf-inference/models/a/b")
    headers = dict(request.headers)
    assert (headers[b"accept"], headers[b"content-type"]) == (b"image/png", b"application/json")
    parameters = {"prompt": "Grüße", "guidance_scale": 7.5, "num_inference_steps": 9}
    target: Json = {"target_size": {"width": 512, "height": 256}}
    assert sent(upstream) == {"inputs": base64.b64encode(PNG).decode(), "parameters": {**parameters, **target}}


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"data": {"model": "v/a/b", "quality": "high"}, "files": [("image", ("a", PNG))]}, "quality"),
        ({"data": {"model": "v/a/b", "n": "2"}, "files": [("image", ("a", PNG))]}, "n"),
        ({"data": {"model": "v/a/b"}, "files": [("image", ("a", PNG)), ("mask", ("m", PNG))]}, "mask"),
        ({"data": {"model": "v/a/b"}, "files": [("image[]", ("a", PNG)), ("image[]", ("b", PNG))]}, "image"),
        ({"data": {"model": "v/a/b"}, "files": [("other", ("a", PNG))]}, "other"),
        ({"data": {"model": "v/a/b", "guidance_scale": "much"}, "files": [("image", ("a", PNG))]}, "guidance_scale"),
        ({"json": {"model": "v/a/b", "images": []}}, "image"),
        ({"json": {"model": "v/a/b", "images": [{"image_url": "https://a.b/c"}]}}, "images[0].image_url"),
        ({"json": {"model": "v/a/b", "images": [{"image_url": SHOWN}], "mask": {"image_url": SHOWN}}}, "mask"),
    ],
)
async def test_hugging_face_cannot_edit(given: Json, param: str) -> None:
    """What the task has no word for, a second picture and one that would have to be fetched are refused by name."""
    answer = Recorded(headers=(("content-type", "image/png"),), body=PNG)
    reply, upstream = await asked("huggingface", "/v1/images/edits", answer, **given)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, param, [])


async def test_hugging_face_hears() -> None:
    """Sound is an input in base64, and the text comes back as it is; timestamps are another answer, and refused."""
    given: Json = {"files": {"file": ("a.wav", b"RIFF\xff", "audio/wav")}}
    answer = Recorded.from_json({"text": "Grüße"})
    reply, upstream = await asked("huggingface", "/v1/audio/transcriptions", answer, data={"model": "v/a/b"}, **given)
    assert (reply.status_code, reply.content) == (200, answer.body)
    assert upstream.requests[-1].url == "https://router.huggingface.co/hf-inference/models/a/b"
    assert sent(upstream) == {"inputs": base64.b64encode(b"RIFF\xff").decode()}
    fields = {"model": "v/a/b", "response_format": "verbose_json"}
    refused, upstream = await asked("huggingface", "/v1/audio/transcriptions", answer, data=fields, **given)
    assert (refused.json()["error"]["param"], upstream.requests) == ("response_format", [])


async def test_hugging_face_speaks() -> None:
    """Speech is another provider's: the one that follows the model, without which its name is sent. Its sound comes as it is."""
    answer = Recorded(headers=(("content-type", "audio/mpeg"),), body=bytes(range(256)))
    body = {"model": "v/hexgrad/Kokoro-82M:together", "input": "Grüße", "voice": "af_alloy"}
    reply, upstream = await asked("huggingface", "/v1/audio/speech", answer, json=body)
    assert (reply.status_code, reply.content) == (200, answer.body)
    assert upstream.requests[-1].url == "https://router.huggingface.co/together/v1/audio/speech"
    assert sent(upstream) == {**body, "model": "hexgrad/Kokoro-82M"}
    refused, upstream = await asked("huggingface", "/v1/audio/speech", answer, json={**body, "model": "v/a/b:fal-ai"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_model")
    assert upstream.requests == []


# NVIDIA


@pytest.mark.parametrize("answer", [{"artifacts": [{"base64": PICTURE, "seed": 1}]}, {"image": PICTURE, "seed": 1}])
async def test_nvidia_draws(answer: Json) -> None:
    """What NVIDIA hosts is asked in its own words, with the key, and its pictures stand where clients look for them."""
    body = {"model": "v/black-forest-labs/flux.1-dev", "prompt": "p", "size": "1024x1024", "n": 1, "steps": 30}
    reply, upstream = await asked("nvidia", "/v1/images/generations", Recorded.from_json(answer), json=body)
    assert (reply.status_code, reply.json()["data"]) == (200, [{"b64_json": PICTURE}])
    request = upstream.requests[-1]
    assert request.credential is not None
    assert request.credential.origins == {"https://ai.api.nvidia.com:443"}
    assert sent(upstream) == {"prompt": "p", "steps": 30, "width": 1024, "height": 1024}


async def test_a_nim_of_ones_own_draws() -> None:
    """A server of one's own has OpenAI's shape: nothing is changed on the way there and back."""
    upstream = ReplayUpstream({"*": MADE})
    settings = {"provider": "nvidia", "api_key": "sk", "base_url": "https://own.example/v1"}
    body = {"model": "v/m", "prompt": "p", "size": "1024x1024", "n": 2}
    async with gateway(catalogue()["nvidia"], providers={"v": settings}, upstream=upstream) as client:
        reply = await client.post("/v1/images/generations", json=body)
    assert (reply.status_code, reply.content) == (200, MADE.body)
    assert sent(upstream) == {**body, "model": "m"}


# edits


@pytest.mark.parametrize(
    ("name", "fields", "wanted"),
    [
        (
            "byteplus",
            {"n": "1", "size": "2048x2048", "watermark": "false", "response_format": "b64_json", "seed": "7"},
            {"size": "2048x2048", "watermark": False, "response_format": "b64_json", "seed": 7, "image": [SHOWN] * 2},
        ),
        (
            "siliconflow",
            {"n": "2", "guidance_scale": "7.5", "size": "1024x1024"},
            {"batch_size": 2, "guidance_scale": 7.5, "image_size": "1024x1024", "image": SHOWN, "image2": SHOWN},
        ),
    ],
)
async def test_edits_are_pictures_after_others(name: str, fields: Json, wanted: Json) -> None:
    """The form of OpenAI's clients is a request for pictures with others beside it, values of their own kinds."""
    files = [("image[]", ("a.png", PNG, "image/png"))] * 2
    data = {"model": "v/m", "prompt": "p", **fields}
    reply, upstream = await asked(name, "/v1/images/edits", MADE, data=data, files=files)
    assert (reply.status_code, reply.json()) == (200, {"created": 1, "data": [{"url": URL}]})
    assert upstream.requests[-1].url.endswith("/images/generations")
    assert sent(upstream) == {"model": "m", "prompt": "p", **wanted}


@pytest.mark.parametrize(("name", "path"), [("byteplus", "generations"), ("siliconflow", "generations")])
async def test_edits_in_json(name: str, path: str) -> None:
    """Pictures in OpenAI's JSON are told in the vendor's words, and those in its own go as they are."""
    for shown in ({"images": [{"image_url": SHOWN}]}, {"image": SHOWN}):
        body = {"model": "v/m", "prompt": "p", **shown}
        reply, upstream = await asked(name, "/v1/images/edits", MADE, json=body)
        assert (reply.status_code, reply.json()["data"]) == (200, [{"url": URL}])
        assert upstream.requests[-1].url.endswith(f"/images/{path}")
        assert sent(upstream) == {"model": "m", "prompt": "p", "image": SHOWN}


async def test_ollama_edits_one_picture() -> None:
    """Ollama takes JSON with one picture; of more the first is taken, where what cannot be said may be dropped."""
    data = {"model": "v/m", "prompt": "p", "size": "512x512", "response_format": "b64_json"}
    files = [("image[]", ("a.png", PNG, "image/png"))]
    reply, upstream = await asked("ollama-openai", "/v1/images/edits", MADE, data=data, files=files)
    assert (reply.status_code, reply.content) == (200, MADE.body)
    assert upstream.requests[-1].url == "http://127.0.0.1:11434/v1/images/edits"
    wanted = {"model": "m", "prompt": "p", "size": "512x512", "image": SHOWN}
    assert sent(upstream) == wanted
    refused, upstream = await asked("ollama-openai", "/v1/images/edits", MADE, data=data, files=files * 2)
    assert (refused.json()["error"]["param"], upstream.requests) == ("image", [])
    reply, upstream = await asked("ollama-openai", "/v1/images/edits", MADE, DROP, data=data, files=files * 2)
    assert (sent(upstream), reply.headers["x-headgate-dropped"]) == (wanted, "image")


@pytest.mark.parametrize("name", ["byteplus", "dashscope", "ollama-openai", "siliconflow"])
async def test_edits_know_no_masks(name: str) -> None:
    """A mask is refused by name before anything is sent."""
    files = [("image", ("a.png", PNG, "image/png")), ("mask", ("m.png", PNG, "image/png"))]
    reply, upstream = await asked(name, "/v1/images/edits", MADE, data={"model": "v/m", "prompt": "p"}, files=files)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, "mask", [])


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("dashscope", Recorded.from_json({"output": {"choices": []}})),
        ("huggingface", Recorded.from_json({"error": "loading"})),
        ("nvidia", Recorded.from_json({"artifacts": []})),
    ],
)
async def test_answers_without_pictures(name: str, answer: Recorded) -> None:
    """An answer without a picture is the provider's failure."""
    reply, _ = await asked(name, "/v1/images/generations", answer, json={"model": "v/m", "prompt": "p"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")


@pytest.mark.parametrize("shown", [{}, {"base64": "AAAA"}], ids=["no picture", "another picture"])
async def test_what_nvidia_filters(shown: Json) -> None:
    """A picture that was filtered is a refusal, whatever stands in its place."""
    answer = Recorded.from_json({"artifacts": [{**shown, "finishReason": "CONTENT_FILTERED", "seed": 1}]})
    reply, _ = await asked("nvidia", "/v1/images/generations", answer, json={"model": "v/m", "prompt": "p"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "content_policy_violation")
