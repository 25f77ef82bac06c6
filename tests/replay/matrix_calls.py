"""How a vendor was called: where to, with which key and for which model, and what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from tests.replay.documented import misplaced
from tests.replay.matrix_asking import FILE as UPLOADED
from tests.replay.matrix_providers import model_of
from tests.replay.reading import Json
from tests.replay.vendors import KEY

from headgate.provider import Provider
from headgate.upstream import UpstreamRequest, origin_of

_NO_MODEL = frozenset(
    {
        "messages.batches",
        "files",
        "uploads",
        "batches",
        "passthrough",
        "generate.files",
        "generate.uploads",
        "generate.batches",
    }
)
"""Operations that a model is no part of."""
_ONE_MODEL = frozenset(
    {
        ("bedrock", "moderations"),
        *(("deepseek", "audio.speech"), ("deepseek", "audio.transcriptions")),
        ("krutrim", "audio.speech"),
        ("oracle", "moderations"),
        *(("nvidia", "audio.speech"), ("nvidia", "audio.transcriptions")),
        ("reka", "audio.transcriptions"),
        *(("xai", "audio.speech"), ("xai", "audio.transcriptions")),
    }
)
"""Operations for which a vendor has one model, which is not named, or none at all:
https://docs.x.ai/developers/rest-api-reference/inference/voice,
https://docs.reka.ai/speech/api-reference/transcribe-or-translate,
https://docs.nvidia.com/nim/speech/latest/reference/api-references/tts/http-tts.html,
https://api-docs.deepseek.com/guides/tts and ../guides/asr,
https://github.com/ola-krutrim/krutrim-cloud-python/blob/main/api.md"""
_MEMBERS = ("model", "base_model", "baseModel", "modelName", "model_name")
"""What vendors call the member that names a model."""
_FORMS = frozenset({("ai21", "batches"), ("nvidia", "audio.speech")})
"""Operations that are sent as forms without the file of a client."""
_RELATED = {("google", "files"): "multipart/related", ("writer", "files"): "audio/wav"}
"""Bodies that hold a file and are no form."""
_SIGNED = re.compile(
    rb"(?:AWS4-HMAC-SHA256 Credential=\S+/aws4_request|HMAC-SHA256 Credential=\S+/ark/request), SignedHeaders=\S+,"
    rb" Signature=[0-9a-f]{64}"
    rb'|Signature algorithm="rsa-sha256",headers="[^"]+",keyId="[^"/]+/[^"/]+/[^"/]+",signature="[^"]+",version="1"'
)
"""A secret key signs and is not sent: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html,
https://docs.byteplus.com/en/docs/ModelArk/1298459, https://docs.oracle.com/en-us/iaas/Content/API/Concepts/signingrequests.htm."""


def call_of(request: UpstreamRequest | None, kind: type[Provider], operation: str) -> tuple[Json, list[str]]:
    """How the vendor was called, without what is secret, and what is wrong with it."""
    if request is None:
        return {}, ["nothing was sent"]
    is_form = UPLOADED[1] in request.body or (kind.name, operation) in _FORMS
    wrong = [*_key_faults(request, kind), *misplaced(request, kind, operation)]
    content_type = dict(request.headers).get(b"content-type", b"").decode().partition(";")[0]
    usual = _RELATED.get((kind.name, operation), "multipart/form-data")
    if content_type != (usual if is_form else "application/json"):
        wrong.append(f"content type {content_type}")
    has_model = operation not in _NO_MODEL and (kind.name, operation) not in _ONE_MODEL
    if has_model and not _names(request, model_of(kind, operation), is_form=is_form):
        wrong.append(f"the model `{model_of(kind, operation)}` stands neither in the body nor in the address")
    return _said(request), wrong


def session_of(request: UpstreamRequest, kind: type[Provider], operation: str) -> tuple[Json, list[str]]:
    """How the vendor's WebSocket was asked for, and what is wrong with it."""
    wrong = [*_key_faults(request, kind), *misplaced(request, kind, operation)]
    if request.body or b"content-type" in dict(request.headers):
        wrong.append("a handshake with a body")
    return _said(request), wrong


def _said(request: UpstreamRequest) -> Json:
    auth = request.credential.field()[0].decode() if request.credential is not None else ""
    if not auth and _is_signed(request):
        auth = "authorization, signed"
    return {"method": request.method, "url": request.url, "auth": auth}


def _is_signed(request: UpstreamRequest) -> bool:
    return _SIGNED.fullmatch(dict(request.headers).get(b"authorization", b"")) is not None


def _key_faults(request: UpstreamRequest, kind: type[Provider]) -> Iterator[str]:
    credential = request.credential
    if (credential is None and not _is_signed(request)) != (not kind.auth):
        yield "a key where none is wanted, or none where one is"
    if credential is not None and (
        credential.secret.reveal() != KEY or set(credential.origins) != {origin_of(request.url)}
    ):
        yield "another key, or one for another origin"
    if KEY in request.url or KEY.encode() in request.body or any(KEY.encode() in value for _, value in request.headers):
        yield "the key stands where it does not belong"


def _names(request: UpstreamRequest, model: str, *, is_form: bool) -> bool:
    where = urlsplit(request.url)
    path = where.path
    if (b"ai-model-id", model.encode()) in request.headers:  # of Vercel's, for what is the AI SDK's
        return True
    if is_form:
        return b'name="model"\r\n\r\n' + model.encode() + b"\r\n" in request.body or f"/{model}/" in f"{path}/"
    said: Mapping[str, Any] = json.loads(request.body)
    served, referred = said.get("servingMode", {}), said.get("ModelReference", {}).get("FoundationModel", {})
    if model in {served.get("modelId"), "-".join(referred.values())}:  # Oracle's, and BytePlus' jobs
        return True
    spoken = {model, f"models/{model}", model.removeprefix("meta/"), quote(model, safe="@:/")}
    inner: Any = said.get("params")
    places: list[Mapping[str, Any]] = [said, inner] if isinstance(inner, dict) else [said]
    named: set[Any] = {place.get(each) for place in places for each in _MEMBERS}
    if not spoken.isdisjoint(named) or where.netloc.startswith(f"{model}."):
        return True
    if any(str(each).endswith(f"/publishers/google/models/{model}") for each in named):  # in full, on Vertex AI
        return True
    return any(each in path for each in {*spoken, quote(model, safe=""), _host_name(model)})


def _host_name(model: str) -> str:
    """A model as NVIDIA's addresses write it."""
    return model.replace(".", "_")
