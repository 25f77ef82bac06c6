"""Pictures, voices and transcripts of Gemini's models for clients of OpenAI's, wherever these models are called.

Google's layer in OpenAI's shape makes pictures alone (https://ai.google.dev/gemini-api/docs/openai); all else is asked of
`generateContent`.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from functools import partial
from typing import Any, ClassVar

from typing_extensions import override

from headgate.chat import Usage
from headgate.dialects import Gaps
from headgate.errors import InvalidRequest
from headgate.exchange import Attempt, Exchange, RawHeaders, Reply
from headgate.forms import Part, parts_of
from headgate.operations import IMAGES_EDIT, SPEECH, TRANSCRIPTIONS
from headgate.provider import Provider, operation_of
from headgate.relay import Decode, retell
from headgate_google import pictures, speech, transcripts
from headgate_google.answers import GEMINI, in_words_of_client

MOST_BYTES = 64 * 1024 * 1024
"""How large a form may be: bodies that hold files have 100 MB at most, and in them it is base64.

https://ai.google.dev/gemini-api/docs/file-input-methods
"""
JSON = (b"content-type", b"application/json")


class GeminiMedia(Provider):
    """A provider whose models draw, speak and write down what they hear through `generateContent`."""

    has_formats: ClassVar[bool] = False
    """Whether the form of pictures can be chosen."""
    retold: ClassVar[frozenset[str]] = frozenset({IMAGES_EDIT.name, SPEECH.name, TRANSCRIPTIONS.name})
    """Operations that are carried out so."""

    @override
    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        attempt = ex.attempt
        if attempt is None or operation_of(ex) not in self.retold:
            return super().call(ex)
        return self._retold(ex, attempt)

    async def _retold(self, ex: Exchange, attempt: Attempt) -> Reply:
        """Ask what a client asks as `generateContent`, and tell the answer in OpenAI's shape."""
        gaps = Gaps(self.name, self.policy(ex))
        attempt.body, decode = await self._told(ex, attempt, gaps)
        ex.tell_dropped(gaps.dropped)
        used: list[Usage | None] = []

        def decode_all(headers: RawHeaders, body: bytes) -> Reply:
            """The answer told, and what the vendor's own words say that it used: a bare text says nothing of it."""
            told = decode(headers, body)
            used.append(GEMINI.reply_usage(body))
            return told

        reply = await retell(ex, self.upstream, *await self.ready(ex), decode_all)
        reply.usage = used[0] if used else reply.usage
        return in_words_of_client(ex, reply, self.secrets_of(ex))

    async def _told(self, ex: Exchange, attempt: Attempt, gaps: Gaps) -> tuple[bytes, Decode]:
        operation, values = operation_of(ex), attempt.target.override_params
        if operation == TRANSCRIPTIONS.name:
            return transcripts.encode_form(await _parts_of(ex), values, attempt.model, gaps)
        if operation == SPEECH.name:
            told, kind = speech.encode(ex.body_for(attempt.model, values), attempt.model, gaps)
            return told, partial(speech.decode, kind=kind)
        if ex.upload is None:
            body = ex.body_for(attempt.model, values)
            return pictures.encode(body, gaps, has_formats=self.has_formats), pictures.decode
        parts = await _parts_of(ex)
        return pictures.encode_form(parts, values, gaps, has_formats=self.has_formats), pictures.decode


async def _parts_of(ex: Exchange) -> Iterable[Part]:
    """The form of a request, read whole. Raises InvalidRequest for a request that is none."""
    upload = ex.upload
    if upload is None:
        raise InvalidRequest("send the file in a form, as `multipart/form-data`", code="invalid_form")
    return parts_of(await upload.read(MOST_BYTES), upload.boundary or b"")
