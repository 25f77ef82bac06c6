"""Mistral's completions of code, which answer in the shape of chat, for clients of OpenAI's completions.

Sources: https://docs.mistral.ai/api/ and the types of `mistralai` 3.7 (`FIMCompletionRequest`,
`FIMCompletionResponse`, `CompletionChunk`). Members that are not in its schema are answered with 422.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, cast

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import as_object, objects
from headgate.dialects.sse import data_event, data_of, events_of
from headgate.errors import InvalidRequest, UnsupportedField
from headgate.exchange import Reply
from headgate.relay import OwnedStream, discard
from headgate_compatible.vendors.speech import refuse_idle

Json = dict[str, Any]

_IDLE: Mapping[str, object] = {
    "best_of": 1,
    "echo": False,
    "frequency_penalty": 0,
    "logprobs": None,
    "n": 1,
    "presence_penalty": 0,
}
"""Members of OpenAI's that Mistral has no words for, and what asks for nothing."""
_REASONS: Mapping[object, str] = {"model_length": "length"}


def encode(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request as Mistral takes it, which completes one text. `gaps` is told of what is lost.

    Raises UnsupportedField for several texts, and for tokens.
    """
    members = decode_object(body)
    refuse_idle(members, gaps, _IDLE)
    prompt = members.get("prompt")
    if prompt is None:
        return msgspec.json.encode(members)  # the vendor says what is missing
    texts = cast("list[object]", prompt) if isinstance(prompt, list) else [prompt]
    if len(texts) != 1 or not isinstance(texts[0], str):
        raise UnsupportedField(f"`prompt` must be one text: `{gaps.target}` completes no other", param="prompt")
    return msgspec.json.encode({**members, "prompt": texts[0]})


def tell(reply: Reply) -> Reply:
    """A good answer as OpenAI's clients read completions, streamed or whole; an error as it came."""
    if not reply.is_ok:
        return reply
    chunks = reply.chunks
    if chunks is None:
        reply.body = _told(reply.body)
    else:
        source = Reply(reply.status, chunks=chunks)
        reply.chunks = OwnedStream(_telling(chunks), lambda: discard(source))
    return reply


async def _telling(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    async for chunk in chunks:
        yield b"".join(_told_event(event) for event in events_of(chunk))


def _told_event(event: bytes) -> bytes:
    """A chunk in the other shape; what has no choices, such as `[DONE]` and errors, is the same bytes."""
    return data_event(_told(data_of(event))) if b'"choices"' in event else event


def _told(said: bytes) -> bytes:
    try:
        held = decode_object(said)
    except InvalidRequest:
        return said
    choices = [_choice(choice) for choice in objects(held.get("choices"))]
    return msgspec.json.encode({**held, "object": "text_completion", "choices": choices})


def _choice(choice: Json) -> Json:
    """A choice with its text where completions have it."""
    message = as_object(choice.get("message")) or as_object(choice.get("delta")) or {}
    content, reason = message.get("content"), choice.get("finish_reason")
    return {
        "index": choice.get("index", 0),
        "text": content
        if isinstance(content, str)
        else "".join(str(part.get("text") or "") for part in objects(content)),
        "logprobs": None,
        "finish_reason": _REASONS.get(reason, reason),
    }
