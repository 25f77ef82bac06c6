"""What `generateContent` answers with, for clients of OpenAI's that asked for pictures, voices or transcripts.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from headgate.body import decode_object
from headgate.dialects import GoogleGenerate
from headgate.dialects.openai.members import as_object, objects
from headgate.dialects.words import openai_envelope
from headgate.errors import ErrorWords, InvalidRequest, ProviderFailed
from headgate.exchange import Exchange, RawHeaders, Reply
from headgate.relay import Secrets
from headgate.translation import error_reply

Json = dict[str, Any]

GEMINI = GoogleGenerate()
"""What Google's own answers and errors say."""
_STOPPED = frozenset({"STOP", "MAX_TOKENS", "FINISH_REASON_UNSPECIFIED", "OTHER", "NO_IMAGE"})
"""Ends that are not for what was asked; others, such as `IMAGE_SAFETY`, are a refusal."""


def object_in(body: bytes) -> Json:
    """The members of an answer; none where it is no object."""
    try:
        return decode_object(body)
    except InvalidRequest:
        return {}


def parts_in(held: Json) -> Iterator[Json]:
    """The parts of an answer that are no thoughts."""
    for candidate in objects(held.get("candidates")):
        for part in objects((as_object(candidate.get("content")) or {}).get("parts")):
            if not part.get("thought"):
                yield part


def media_in(held: Json) -> Iterator[tuple[str, str]]:
    """What an answer holds inline: its media type, and its bytes in base64."""
    for part in parts_in(held):
        blob = as_object(part.get("inlineData")) or {}
        data = blob.get("data")
        if isinstance(data, str):
            yield str(blob.get("mimeType") or ""), data


def without(what: str, headers: RawHeaders, held: Json) -> Reply:
    """The reply to an answer without `what` was asked for: an error where that was refused. Raises ProviderFailed elsewhere."""
    blocked = (as_object(held.get("promptFeedback")) or {}).get("blockReason")
    ends = [blocked, *(each.get("finishReason") for each in objects(held.get("candidates")))]
    reason = next((each for each in ends if isinstance(each, str) and each not in _STOPPED), "")
    if not reason:
        raise ProviderFailed(f"the provider answered with no {what}", code="upstream_bad_reply")
    words = ErrorWords(400, f"no {what} was made: `{reason}`", "invalid_request_error", "content_policy_violation")
    return Reply(400, headers, openai_envelope(words))


def in_words_of_client(ex: Exchange, reply: Reply, secrets: Secrets) -> Reply:
    """A reply with an error of Google's own in the envelope of the client's dialect; any other as it is."""
    client = ex.error_dialect
    if client is None or reply.is_ok or google_error(reply.body) is None:
        return reply
    headers = tuple(pair for pair in reply.headers if pair[0] != b"content-type")
    return error_reply(client, GEMINI.decode_error(reply.status, reply.body, reply.headers), headers, secrets)


def google_error(body: bytes) -> Json | None:
    """The error in a body that is one of Google's own, whose code is a number; None in any other."""
    error = as_object(object_in(body).get("error"))
    return error if error is not None and isinstance(error.get("code"), int) else None


def out_of_list(body: bytes) -> bytes:
    """An error as the object that it is: where a stream was asked for it stands in a list. Any other body as it is."""
    if not body.lstrip().startswith(b"["):
        return body
    first, *more = objects(_decoded(body)) or [{}]
    return body if more or as_object(first.get("error")) is None else msgspec.json.encode(first)


def usage_in(held: Json) -> Json:
    """The tokens of an answer as OpenAI tells them for pictures and sound, by what they were; none where it tells none."""
    used = as_object(held.get("usageMetadata"))
    if used is None:
        return {}
    counts: Json = {
        name: int(used.get(member) or 0)
        for name, member in (
            ("input_tokens", "promptTokenCount"),
            ("output_tokens", "candidatesTokenCount"),
            ("total_tokens", "totalTokenCount"),
        )
    }
    counts["output_tokens"] += int(used.get("thoughtsTokenCount") or 0)
    return {"usage": {**counts, **_by_kind(used)}}


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _by_kind(used: Json) -> Json:
    kinds = {
        f"{str(each.get('modality')).lower()}_tokens": int(each.get("tokenCount") or 0)
        for each in objects(used.get("promptTokensDetails"))
    }
    return {"input_tokens_details": kinds} if kinds else {}
