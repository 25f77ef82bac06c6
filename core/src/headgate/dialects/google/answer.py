"""The canonical model to generateContent replies, in the types that google-genai 3.4 reads.

Source: https://ai.google.dev/api/generate-content#GenerateContentResponse
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

import msgspec

from headgate.chat import (
    Audio,
    ChatReply,
    Choice,
    Citation,
    File,
    FinishReason,
    Image,
    Item,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
)
from headgate.dialects.google.facts import FAILURES, FINISH, NAME, SAID_FINISH, TIERS, audio_type, shown_id
from headgate.dialects.google.parts import PROVIDER_ITEM, arguments_of_call, encode_media, signed, transcribed
from headgate.dialects.openai.members import Json, merged, objects
from headgate.errors import InvalidRequest

_TIERS = {ours: theirs for theirs, ours in TIERS.items()}
NOTED = ("namespace",)
"""Members of other vendors' calls that must come back with them: metadata of the part, which Google's clients send back."""
_GROUNDED = ("groundingSupports", "groundingChunks")

IGNORED = frozenset(
    {
        "Message.role",  # it is the model's
        "Message.name",
        "Start.role",
        "Text.cache",  # marks of requests
        "Image.cache",
        "ToolCall.cache",
        "Image.detail",  # how to look at a picture that is sent
        "Image.file_id",  # a picture that a model made comes with its bytes or its URL
        "Audio.id",  # a sound is its bytes
        "Citation.end",  # a source stands for its whole text
        "Reasoning.is_redacted",  # the text is empty then
        "Reasoning.is_summary",
        "ReasoningDelta.is_summary",
        "TextDelta.begins",  # one text goes on in parts
        "ReasoningEnd.is_redacted",
        "ToolCall.custom",  # its input is an object like any other's
        "ToolCall.index",  # the order says it
        "ToolCall.item_id",  # a name of another API's
        "ToolCallStart.call",
        "ToolCallStart.custom",
        "ToolCallStart.extra",
        "ToolCallStart.item_id",
        "Start.usage",  # usage comes last
        "Usage.cache_write",  # it is counted with the prompt
        "ErrorEvent.raw",  # an error has a code, a status and a message
    }
)
"""Canonical fields of an answer, and of the events of a stream, that have no place in Google's."""


def encode_reply(reply: ChatReply) -> Json:
    """A whole answer. Members of other vendors' replies stand beside Google's own, which nothing overwrites."""
    body: Json = {"candidates": [_encode_choice(choice, reply.dialect) for choice in reply.choices]}
    if len(reply.choices) == 1 and "promptFeedback" in reply.choices[0].extra and reply.dialect == NAME:
        body = {"promptFeedback": reply.choices[0].extra["promptFeedback"]}
    if reply.usage is not None:
        body["usageMetadata"] = encode_usage(reply.usage, reply.dialect, reply.service_tier)
    body |= head_of(reply.id, reply.model, reply.created)
    return {**reply.extra, **body}


def head_of(reply_id: str, model: str, created: int) -> Json:
    """What names a reply, in every chunk of a stream as well."""
    head: Json = {"modelVersion": model, "responseId": reply_id}
    if created:
        head["createTime"] = datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return head


def _encode_choice(choice: Choice, dialect: str) -> Json:
    is_own = dialect == NAME
    parts = [merged(encode_part(part), _extra_of(part) if is_own else {}) for part in choice.message.parts]
    content = {**(choice.message.extra if is_own else {}), "parts": parts, "role": "model"}
    body: Json = {"content": content, "index": choice.index}
    if choice.finish is not None:
        body |= encode_finish(choice.finish, choice.finish_raw, choice.stop)
    if choice.logprobs is not None:
        body["logprobsResult"] = encode_logprobs(choice.logprobs)
    cited = [
        (at, citation)
        for at, part in enumerate(choice.message.parts)
        if isinstance(part, Text)
        for citation in part.citations
    ]
    said = [part.text if isinstance(part, Text) else "" for part in choice.message.parts]
    if not is_own:
        body |= encode_citations(cited, said)
    beside = {} if is_own else choice.message.extra
    return {**beside, **choice.extra, **body}


def _extra_of(part: Part) -> Json:
    return {} if isinstance(part, Item) else part.extra


def encode_finish(reason: FinishReason, raw: str | None, stop: str | None = None) -> Json:
    """Why a candidate ended: Google's own word where it was one, else the word for what it means and the vendor's beside it.

    The stop sequence that was met stands behind that word, as JSON: `stop_sequence: "END"`.
    """
    if raw in FINISH or raw in FAILURES:
        return {"finishReason": raw}
    said: Json = {"finishReason": SAID_FINISH[reason]}
    if stop is not None:
        said["finishMessage"] = f"{raw or reason}: {msgspec.json.encode(stop).decode()}"
    elif raw is not None and raw != reason:
        said["finishMessage"] = raw
    return said


def encode_part(part: Part) -> Json:
    """A part of an answer. A block of another provider rides along in the metadata of an empty text."""
    match part:
        case Text():
            return {"text": part.text, **signed(part.opaque)}
        case Reasoning():
            return {"text": part.text, "thought": True, **signed(part.opaque, part.item_id)}
        case Refusal():
            return {"text": part.text}
        case ToolCall():
            call = {"id": shown_id(part.id), "name": part.name, "args": arguments_of_call(part.arguments)}
            noted = {name: part.extra[name] for name in NOTED if name in part.extra}
            return {"functionCall": call, **signed(part.opaque), **({"partMetadata": noted} if noted else {})}
        case Audio():
            exact = part.extra.get("inlineData")  # where Google's media type says more than a format does
            kind = cast("Json", exact).get("mimeType") if isinstance(exact, dict) else None
            blob = {"mimeType": kind or audio_type(part.format), "data": part.data}
            return {"inlineData": blob, **transcribed(part)}
        case Image() | File():
            return encode_media(part)
        case Item():
            if part.dialect == NAME:
                return dict(part.raw)
            return {"text": "", "partMetadata": {PROVIDER_ITEM: {"dialect": part.dialect, **part.raw}}}
        case _:
            raise InvalidRequest(f"a model does not answer with a part of type `{type(part).__name__}`")


def encode_logprobs(value: object) -> Json:
    """OpenAI's log probabilities in Google's shape."""
    content = objects(cast("Json", value).get("content") if isinstance(value, dict) else None)
    chosen = [{"token": held.get("token") or "", "logProbability": held.get("logprob") or 0.0} for held in content]
    tops = [
        {
            "candidates": [
                {"token": top.get("token") or "", "logProbability": top.get("logprob") or 0.0}
                for top in objects(held.get("top_logprobs"))
            ]
        }
        for held in content
    ]
    return {"chosenCandidates": chosen, "topCandidates": tops}


def encode_citations(cited: Sequence[tuple[int, Citation]], said: Sequence[str]) -> Json:
    """Sources as `groundingMetadata`, which counts bytes; nothing when there are none."""
    if not cited:
        return {}
    chunks: list[Json] = []
    supports: list[Json] = []
    for at, citation in cited:
        web = {"uri": citation.url, "title": citation.title}
        chunks.append({"web": {name: value for name, value in web.items() if value is not None}})
        text = said[at] if at < len(said) else ""
        segment: Json = {"partIndex": at} if at else {}
        if citation.start is not None:
            segment["startIndex"] = len(text[: citation.start].encode())
        if citation.end is not None:
            segment["endIndex"] = len(text[: citation.end].encode())
        if citation.quote is not None:
            segment["text"] = citation.quote
        supports.append({"segment": segment, "groundingChunkIndices": [len(chunks) - 1]})
    return {"groundingMetadata": dict(zip(_GROUNDED, (supports, chunks), strict=True))}


def encode_usage(usage: Usage, dialect: str = "", tier: str | None = None) -> Json:
    """`usageMetadata`: thoughts stand beside what was said, and the whole is their sum; `tier` is in OpenAI's words."""
    if dialect == NAME and usage.raw is not None:
        return usage.raw
    said: Json = {
        "promptTokenCount": usage.prompt,
        "candidatesTokenCount": max(0, usage.completion - usage.reasoning),
        "totalTokenCount": usage.total,
    }
    if usage.reasoning:
        said["thoughtsTokenCount"] = min(usage.reasoning, usage.completion)
    if usage.cached:
        said["cachedContentTokenCount"] = usage.cached
    if usage.audio_in:
        said["promptTokensDetails"] = [{"modality": "AUDIO", "tokenCount": usage.audio_in}]
    if tier in _TIERS:
        said["serviceTier"] = _TIERS[tier]
    if usage.audio_out:
        said["candidatesTokensDetails"] = [{"modality": "AUDIO", "tokenCount": usage.audio_out}]
    return said
