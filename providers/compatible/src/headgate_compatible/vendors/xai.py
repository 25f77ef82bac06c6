"""xAI: words for effort by model, what reasoning models refuse, and a wrong key that is told as 400.

Sources: https://docs.x.ai/docs/guides/reasoning, https://docs.x.ai/developers/model-capabilities/text/reasoning,
https://docs.x.ai/developers/grok-4-7, for `realtime` https://docs.x.ai/docs/guides/voice/agent, for edits of pictures, sound,
batches and lists of files see `edits`, `speech`, `transcripts`, `results` and `files`
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from headgate.chat import ChatRequest
from headgate.dialects import Dialect, Gaps
from headgate.dialects.openai.errors import decode_error
from headgate.dialects.openai.members import as_object, objects
from headgate.exchange import Exchange, RawHeaders, Reply
from headgate.operations import BATCHES, EMBEDDINGS, FILES, IMAGES_EDIT, IMAGES_GENERATE, SPEECH, TRANSCRIPTIONS
from headgate.relay import Decode
from headgate_compatible import policy
from headgate_compatible.vendors import edits, pictures, speech, transcripts
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.files import XAIFileLists
from headgate_compatible.vendors.reshaped import Reshaped, Shape, as_it_is
from headgate_compatible.vendors.results import XAIBatches, asks_for_results

_EFFORTS = (
    ("grok-3-mini", ("low", "high")),
    ("grok-4.3", ("none", "low", "medium", "high")),
    ("grok-4.7", ("low", "medium", "high", "xhigh")),
    ("grok-4.20", ()),
    ("grok-4.", ("low", "medium", "high")),
    ("grok-4", ()),
    ("grok-3", ()),
    ("grok-2", ()),
    ("grok-code", ()),
    ("", ("low", "medium", "high")),
)
"""The words a model takes, by how its name begins; a model that is not listed is taken for a newer one."""
_REFUSED = ("presence_penalty", "frequency_penalty", "stop")
_PLAIN = ("grok-3", "grok-2")
"""Models that do not think, beside those whose name says so."""


def decode_pictures(headers: RawHeaders, body: bytes, _sent: bytes = b"") -> Reply:
    """A good answer with the time that it lacks. Raises ProviderFailed for one without pictures."""
    held = pictures.object_in(body)
    data = objects(held.get("data"))
    return Reply(200, headers, body) if data and "created" in held else pictures.made(headers, data, held)


def decode_vectors(headers: RawHeaders, body: bytes, _sent: bytes) -> Reply:
    """A good answer with counts of tokens, which the vendor does not tell, beside its own of embeddings."""
    held = pictures.object_in(body)
    counts = as_object(held.get("usage")) or {}
    if not held or "prompt_tokens" in counts:
        return Reply(200, headers, body)
    counted = {"prompt_tokens": 0, "total_tokens": 0, **counts}
    return Reply(200, headers, msgspec.json.encode({**held, "usage": counted}))


class XAI(JsonForms, Reshaped):
    """xAI's Grok."""

    own_dialects: ClassVar[Mapping[str, str]] = {BATCHES.name: XAIBatches.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {each.name: each for each in (XAIBatches(), XAIFileLists())}
    forms: ClassVar[Mapping[str, Encode]] = {
        IMAGES_EDIT.name: partial(edits.from_form, words=edits.XAI),
        TRANSCRIPTIONS.name: transcripts.to_xai,
    }
    bare: ClassVar[frozenset[str]] = frozenset({TRANSCRIPTIONS.name})
    answers: ClassVar[Mapping[str, Decode]] = {IMAGES_EDIT.name: decode_pictures}
    shapes: ClassVar[Mapping[str, Shape]] = {
        EMBEDDINGS.name: Shape(as_it_is, decode_vectors),
        IMAGES_EDIT.name: Shape(partial(edits.from_json, words=edits.XAI), decode_pictures),
        IMAGES_GENERATE.name: Shape(as_it_is, decode_pictures),
        SPEECH.name: Shape(speech.encode_xai),
    }

    @override
    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:
        if ex.operation is FILES and ex.scope_method == "GET" and ex.path == FILES.path:
            return FILES.name, XAIFileLists.name
        return (BATCHES.name, XAIBatches.name) if asks_for_results(ex) else super().spoken(ex, model)

    @override
    def shape_of(self, ex: Exchange) -> Shape | None:
        """Embeddings are reshaped for OpenAI's clients; those of others are translated."""
        is_translated = ex.attempt is not None and ex.attempt.dialect is not None
        return None if is_translated else super().shape_of(ex)

    @override
    def think(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        known = next(words for name, words in _EFFORTS if request.model.startswith(name))
        request = replace(request, thinking=policy.think(request.thinking, known, gaps))
        if not thinks(request.model):
            return request
        sampling = request.sampling
        for name in _REFUSED:
            if getattr(sampling, name):
                gaps.refuse(name, f"`{request.model}` thinks, and takes none")
                sampling = replace(sampling, **{name: () if name == "stop" else None})
        return replace(request, sampling=sampling)

    @override
    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        called = super().call(ex)
        is_translated = ex.attempt is not None and ex.attempt.dialect is not None
        return called if is_translated or ex.dialect is None else _corrected(called, ex.dialect)


def thinks(model: str) -> bool:
    """Whether a model is one of those that think."""
    return model.startswith("grok-3-mini") or not ("non-reasoning" in model or model.startswith(_PLAIN))


async def _corrected(call: Coroutine[Any, Any, Reply], dialect: Dialect) -> Reply:
    """An answer to a wrong key with the status that retries and fallbacks know it by."""
    reply = await call
    if reply.status == 400:
        words = decode_error(400, reply.body)  # whatever is asked, xAI's clients speak OpenAI's errors
        if words.status == 401:
            reply.status = 401
            reply.body = dialect.encode_error(replace(words, type="authentication_error", code="invalid_api_key"))
    return reply
