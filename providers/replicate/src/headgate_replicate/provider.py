"""Replicate as a provider: chat, pictures, sound and trainings by the schema that each model publishes, files, and everything
else passed through.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, ClassVar

from msgspec.structs import replace
from typing_extensions import override

from headgate.body import decode_object
from headgate.caller import checked_base_url
from headgate.dialects import Dialect, Gaps
from headgate.errors import InvalidRequest, ProviderError, ProviderFailed
from headgate.exchange import Attempt, Exchange, RawHeaders, Reply
from headgate.files import download
from headgate.forms import parts_of
from headgate.operations import (
    FILES,
    FINE_TUNING,
    IMAGES_EDIT,
    IMAGES_GENERATE,
    IMAGES_VARIATIONS,
    SPEECH,
    TRANSCRIPTIONS,
    TRANSLATIONS,
)
from headgate.provider import DeploymentConfig, Provider
from headgate.relay import Decode, passed_headers, relayed_error, retell, scrub
from headgate.upstream import Upstream, UpstreamRequest, UpstreamResponse, WholeResponse
from headgate_replicate import pictures, sound
from headgate_replicate.chat import ReplicateChat
from headgate_replicate.files import ReplicateFiles
from headgate_replicate.inputs import PROMPTS, Inputs, read_inputs
from headgate_replicate.predictions import Awaited, Predictions
from headgate_replicate.trainings import ReplicateTuning, read_trainer

Json = dict[str, Any]

KEPT_S = 600.0
"""So long the schema of a model is taken as it was read: official models change theirs at times."""
MOST_KEPT = 256
_MODEL = re.compile(r"([A-Za-z0-9][\w.-]*)/([A-Za-z0-9][\w.-]*)(?::([0-9a-f]{8,64}))?", re.ASCII)
_JSON = (b"content-type", b"application/json")
_MEDIA = (IMAGES_GENERATE, IMAGES_EDIT, IMAGES_VARIATIONS, SPEECH, TRANSCRIPTIONS, TRANSLATIONS)
_FORMS = frozenset(each.name for each in _MEDIA if each.is_form)


class Replicate(Provider):
    """Models of text, pictures and sound on Replicate.

    A model is `owner/name`, or `owner/name:version` where its owner does not keep it running.
    """

    name = "replicate"
    base_url = "https://api.replicate.com/v1"
    key_env = "REPLICATE_API_TOKEN"
    docs = "https://replicate.com/docs/reference/http"
    dialects: ClassVar[Mapping[str, str]] = {
        "chat": ReplicateChat.name,
        **{each.name: each.dialect for each in _MEDIA},
        FILES.name: ReplicateFiles.name,
        FINE_TUNING.name: ReplicateTuning.name,
        "passthrough": "",
    }
    codecs: ClassVar[Mapping[str, Dialect]] = {
        each.name: each for each in (ReplicateChat(), ReplicateFiles(), ReplicateTuning())
    }
    paths: ClassVar[Mapping[str, str]] = dict.fromkeys(("chat", *(each.name for each in _MEDIA)), "/predictions")

    def __init__(self, deployment: str, config: DeploymentConfig, upstream: Upstream) -> None:
        super().__init__(deployment, config, upstream)
        self._kept: dict[str, tuple[float, Inputs]] = {}
        self.predictions = Predictions(self.url, upstream)
        self._ways: Mapping[str, Callable[[Exchange], Coroutine[Any, Any, Reply]]] = {
            IMAGES_GENERATE.name: self._pictures,
            IMAGES_EDIT.name: self._edits,
            IMAGES_VARIATIONS.name: self._edits,
            SPEECH.name: self._speech,
            TRANSCRIPTIONS.name: self._transcription,
            TRANSLATIONS.name: self._transcription,
        }

    @override
    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        attempt = ex.attempt
        if attempt is not None and isinstance(attempt.dialect, ReplicateChat):
            return self._chat(ex)
        if attempt is not None and isinstance(attempt.dialect, ReplicateTuning) and _is_new(ex):
            return self._training(ex, attempt)
        way = self._ways.get(ex.operation.name)
        return super().call(ex) if way is None or attempt is None else way(ex)

    @override
    def url_for(self, ex: Exchange) -> str:
        attempt = ex.attempt
        if attempt is None or self.is_passed(ex):
            return super().url_for(ex)
        owner, name, version = _model_of(attempt.model)
        path = "" if version else f"/models/{owner}/{name}"
        return (checked_base_url(ex.base_url) if ex.base_url else self.url) + path + self.paths["chat"]

    @override
    def fields_for(self, ex: Exchange) -> Mapping[str, str]:
        return {} if ex.operation.name in _FORMS else super().fields_for(ex)

    @override
    async def send(self, ex: Exchange) -> UpstreamResponse:
        """The answer of a prediction, which takes several calls."""
        request, predictions = self.prepare(ex), self._predictions(ex)
        return await (predictions.stream(request) if ex.stream else predictions.answer(request))

    @override
    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        return {} if self.is_passed(ex) else {b"accept": b"application/json"}

    async def _chat(self, ex: Exchange) -> Reply:
        """A chat, in the dialect of its model."""
        attempt = ex.attempt
        if attempt is None:
            raise ProviderFailed("a call without an attempt cannot be made")
        found = await self._described(ex, PROMPTS)
        if isinstance(found, Reply):
            return found
        attempt.dialect = ReplicateChat(found)
        return await super().call(ex)

    async def _pictures(self, ex: Exchange) -> Reply:
        """Pictures, once their prediction is over."""
        found = await self._described(ex, PROMPTS)
        if isinstance(found, Reply):
            return found
        request, gaps = self.prepare(ex), self._gaps(ex)
        body = pictures.encode(request.body, _version_of(ex), found, gaps)
        return await self._told(ex, request, body, gaps, pictures.decode)

    async def _edits(self, ex: Exchange) -> Reply:
        """Pictures that are made of others, by a prompt or without one, which come in a form or by their addresses."""
        found = await self._described(ex, pictures.IMAGES)
        if isinstance(found, Reply):
            return found
        request, gaps, upload = self.prepare(ex), self._gaps(ex), ex.upload
        if upload is None or ex.attempt is None:
            body = pictures.encode_edit(request.body, _version_of(ex), found, gaps)
        else:
            parts = parts_of(await upload.read(sound.MAX_BYTES), upload.boundary or b"")
            body = pictures.encode_form(parts, ex.attempt.target.override_params, _version_of(ex), found, gaps)
        return await self._told(ex, request, body, gaps, pictures.decode)

    async def _speech(self, ex: Exchange) -> Reply:
        """The file that a prediction makes, from where Replicate stores it. No credential goes there."""
        found = await self._described(ex, sound.TEXTS)
        if isinstance(found, Reply):
            return found
        request, gaps = self.prepare(ex), self._gaps(ex)
        body = sound.encode_speech(request.body, _version_of(ex), found, gaps)
        reply = await self._told(ex, request, body, gaps, _whole)
        if reply.status != 200:
            return reply
        try:
            return await download(self.upstream, request, [sound.address_in(reply.body)])
        except ProviderError as error:
            error.blame(self.name, self.deployment)
            raise

    async def _transcription(self, ex: Exchange) -> Reply:
        """What a prediction heard, once it is over, in its own language or in English."""
        upload, attempt = ex.upload, ex.attempt
        if upload is None or attempt is None:
            raise InvalidRequest("a transcript needs a form with the sound in `file`", param="file")
        found = await self._described(ex, sound.SOUNDS)
        if isinstance(found, Reply):
            return found
        request, gaps = self.prepare(ex), self._gaps(ex)
        parts = parts_of(await upload.read(sound.MAX_BYTES), upload.boundary or b"")
        values, is_translation = attempt.target.override_params, ex.operation is TRANSLATIONS
        version = _version_of(ex)
        body = sound.encode_transcription(parts, values, version, found, gaps, is_translation=is_translation)
        decode = sound.decode_translation if is_translation else sound.decode_transcript
        return await self._told(ex, request, body, gaps, decode)

    async def _training(self, ex: Exchange, attempt: Attempt) -> Reply:
        """A new training, by the schema of its trainer."""
        owner, name, _ = _model_of(attempt.model)
        try:
            found = await self._description(ex, attempt.model)
        except ProviderError as error:
            error.blame(self.name, self.deployment)
            raise
        if isinstance(found, WholeResponse):
            secrets = self.secrets_of(ex)
            return relayed_error(ex, found.status, passed_headers(found.headers, secrets), await found.read(), secrets)
        attempt.dialect = ReplicateTuning(read_trainer(found, owner, name), self.url_at(ex, ""))
        return await super().call(ex)

    async def _told(self, ex: Exchange, request: UpstreamRequest, body: bytes, gaps: Gaps, decode: Decode) -> Reply:
        """Begin a prediction with `body`, and tell its end as `decode` does."""
        ex.tell_dropped(gaps.dropped)
        headers = tuple(pair for pair in request.headers if pair[0] != _JSON[0])
        request = replace(request, headers=(*headers, _JSON), body=body, pieces=None)
        return await retell(ex, Awaited(self._predictions(ex)), request, self._origin, decode)

    def _gaps(self, ex: Exchange) -> Gaps:
        return Gaps(self.name, self.policy(ex))

    async def _described(self, ex: Exchange, takes: Sequence[str]) -> Inputs | Reply:
        """What the model takes; or the error that came instead, which is the answer.

        Raises ProviderError, and InvalidRequest for a model that has none of the inputs `takes`.
        """
        try:
            found = await self._inputs(ex, ex.attempt.model if ex.attempt is not None else "")
        except ProviderError as error:
            error.blame(self.name, self.deployment)
            raise
        if not isinstance(found, Inputs):
            return await self._refused(ex, found)
        found.first(takes)
        return found

    def _predictions(self, ex: Exchange) -> Predictions:
        """The predictions of this call: the deployment's, or those of the caller's address."""
        return self.predictions.at(checked_base_url(ex.base_url)) if ex.base_url else self.predictions

    async def _inputs(self, ex: Exchange, model: str) -> Inputs | WholeResponse:
        """What the model takes, as it says itself; or the error that came instead."""
        is_own = ex.base_url == "" and (ex.principal is None or ex.principal.credential is None)
        kept = self._kept.get(model) if is_own else None
        if kept is not None and time.monotonic() - kept[0] < KEPT_S:
            return kept[1]
        found = await self._description(ex, model)
        if isinstance(found, WholeResponse):
            return found
        inputs = read_inputs(found)
        if is_own:
            self._keep(model, inputs)
        return inputs

    async def _description(self, ex: Exchange, model: str) -> Json | WholeResponse:
        """What the model publishes about itself; or the error that came instead."""
        owner, name, version = _model_of(model)
        base = checked_base_url(ex.base_url) if ex.base_url else self.url
        url = f"{base}/models/{owner}/{name}" + (f"/versions/{version}" if version else "")
        prepared = self.prepare(ex)
        headers = tuple(pair for pair in prepared.headers if pair[0] != b"content-type")
        asked = replace(prepared, method="GET", url=url, headers=headers, body=b"", pieces=None)
        response = await self.upstream.send(asked)
        try:
            body = await response.read()
        finally:
            response.close()
        if not 200 <= response.status < 300:
            return WholeResponse(response.status, response.headers, body)
        try:
            return decode_object(body)
        except InvalidRequest as error:
            raise ProviderFailed(f"the model's schema is not JSON: {error}", code="upstream_bad_reply") from None

    def _keep(self, model: str, inputs: Inputs) -> None:
        """Keep what was read, and no more than `MOST_KEPT` of them: names of models are the callers' choice."""
        self._kept.pop(model, None)
        while len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[model] = (time.monotonic(), inputs)

    async def _refused(self, ex: Exchange, response: WholeResponse) -> Reply:
        """An error reply in the client's dialect."""
        secrets, client = self.secrets_of(ex), ex.dialect
        words = ReplicateChat().decode_error(response.status, body := await response.read())
        message = words.message or f"the provider answered with status {response.status}"
        told = replace(words, message=message, type="upstream_error", code=words.code or str(response.status), extra={})
        said = client.encode_error(told) if client is not None else body
        kept = tuple(pair for pair in passed_headers(response.headers, secrets) if pair[0] != _JSON[0])
        return Reply(response.status, (*kept, _JSON), scrub(said, secrets))


def _model_of(model: str) -> tuple[str, str, str]:
    """Owner, name and version (or ""). Raises InvalidRequest for any other name."""
    found = _MODEL.fullmatch(model)
    if found is None:
        told = "a model of Replicate is `owner/name` or `owner/name:version`"
        raise InvalidRequest(told, param="model", code="unsupported_model")
    return found[1], found[2], found[3] or ""


def _is_new(ex: Exchange) -> bool:
    """Whether a client makes a new fine-tuning job."""
    return ex.scope_method == "POST" and ex.path.rstrip("/") == FINE_TUNING.path


def _version_of(ex: Exchange) -> str:
    return _model_of(ex.attempt.model)[2] if ex.attempt is not None else ""


def _whole(headers: RawHeaders, body: bytes) -> Reply:
    return Reply(200, headers, body)
