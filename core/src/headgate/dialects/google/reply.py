"""generateContent replies to the canonical model: candidates, citations, log probabilities and what was used.

Source: https://ai.google.dev/api/generate-content#GenerateContentResponse
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import msgspec

from headgate.chat import ChatReply, Choice, Citation, File, Item, Message, Part, Text, ToolCall, Usage
from headgate.dialects.google.facts import NAME, OUTPUT_TOOL, TIERS, call_id, finish_of, finish_word, unsealed
from headgate.dialects.google.parts import Fields, arguments_of, decode_part, encode_media
from headgate.dialects.openai.members import Json, objects
from headgate.errors import ProviderFailed


def decode_reply(data: Json) -> ChatReply:
    """A whole answer. Raises InvalidRequest for another shape, ProviderFailed when it holds no answer at all."""
    body = Fields(data)
    reply_id, model = str(body.take("responseId") or ""), str(body.take("modelVersion") or "")
    usage, feedback = body.find("usageMetadata", Json), body.find("promptFeedback", Json)
    created = seconds(body.take("createTime"))
    candidates = body.each("candidates")
    choices = [_decode_candidate(one, at, reply_id) for at, one in enumerate(candidates)]
    if not choices:
        choices = [blocked(feedback)]
    elif feedback:
        body.put("promptFeedback", feedback)
    return ChatReply(
        reply_id,
        model,
        tuple(choices),
        created,
        decode_usage(usage) if usage and has_counts(usage) else None,
        tier_of(usage),
        NAME,
        body.rest(),
    )


def blocked(feedback: Mapping[str, Any] | None) -> Choice:
    """The empty answer to a prompt that was refused. Raises ProviderFailed when the reply says no such thing."""
    if not feedback:
        raise ProviderFailed("the reply has neither candidates nor a reason why", code="upstream_bad_reply")
    reason = feedback.get("blockReason", feedback.get("block_reason"))
    word = reason if isinstance(reason, str) else None
    return Choice(Message("assistant"), "content_filter", word, extra={"promptFeedback": dict(feedback)})


def _decode_candidate(candidate: Fields, at: int, reply_id: str) -> Choice:
    index = candidate.count("index")
    index = at if index is None else index
    content = candidate.inner_if_given("content") or Fields({})
    content.take("role")
    parts: list[Part] = []
    number = 0
    for held in content.each("parts"):
        part = surfaced(decode_call(held, reply_id, number, index) or answer_part(held))
        number += isinstance(part, ToolCall)
        if part is not None:
            parts.append(part)
    word = finish_word(candidate.take("finishReason"))
    logprobs = decode_logprobs(candidate.find("logprobsResult", Json))
    extra = candidate.rest()
    parts = _joined(_cited(parts, extra))
    return Choice(
        Message("assistant", tuple(parts), extra=content.rest()),
        finish_of(word, has_calls=number > 0) if word else None,
        word,
        index=index,
        logprobs=logprobs,
        extra={name: value for name, value in extra.items() if name != "content"},
    )


def decode_call(part: Fields, reply_id: str, number: int, choice: int) -> ToolCall | None:
    """The call that a part is, if it is one and whole. Its id is Gemini's or one made for it."""
    call = part.inner_if_given("functionCall")
    if call is None:
        return None
    name, arguments = call.find("name", str) or "", arguments_of(call)
    made = call_id(call.find("id", str), reply_id, number, choice, f"{name}\0{arguments}".encode())
    opaque, _ = unsealed(part.find("thoughtSignature", str))
    return ToolCall(made, name, arguments, number, opaque=opaque, extra=part.rest())


def surfaced(part: Part | None) -> Part | None:
    """The input of the reserved output tool is what the model answers."""
    if isinstance(part, ToolCall) and part.name == OUTPUT_TOOL:
        return Text(part.arguments or "{}", opaque=part.opaque)
    return part


def answer_part(part: Fields) -> Part | None:
    """A part of an answer that is no call; None for an empty one. A file other than picture and sound is a block of Google's."""
    held = decode_part(part)
    return Item(NAME, encode_media(held)) if isinstance(held, File) else held


def _cited(parts: list[Part], extra: Json) -> list[Part]:
    """The parts with the sources of each text; a segment without `partIndex` counts in all the texts together."""
    said = [part.text if isinstance(part, Text) else "" for part in parts]
    for at, citation in citations_of(extra, said):
        part = parts[at]
        if isinstance(part, Text):
            parts[at] = msgspec.structs.replace(part, citations=(*part.citations, citation))
    return parts


def _joined(parts: list[Part]) -> list[Part]:
    """The parts, plain texts that stand side by side as one: Gemini writes one text in pieces, as a stream of it is one."""
    told: list[Part] = []
    for part in parts:
        last = told[-1] if told else None
        if isinstance(last, Text) and isinstance(part, Text) and _is_plain(last) and _is_plain(part):
            told[-1] = Text(last.text + part.text)
        else:
            told.append(part)
    return told


def _is_plain(text: Text) -> bool:
    return not (text.opaque or text.citations or text.extra or text.cache)


def citations_of(extra: Mapping[str, Any], said: Sequence[str]) -> Iterable[tuple[int, Citation]]:
    """The sources that a candidate's metadata names, each with the number of the text among `said` it belongs to.

    Google counts UTF-8 bytes; a Citation counts characters.
    """
    last = max((at for at, text in enumerate(said) if text), default=-1)
    if last < 0:
        return
    grounding = _object(extra.get("groundingMetadata"))
    chunks = objects(grounding.get("groundingChunks"))
    for support in objects(grounding.get("groundingSupports")):
        segment = _object(support.get("segment"))
        at, start, end = _placed(segment, said, last)
        for number in _list(support.get("groundingChunkIndices")):
            if isinstance(number, int) and 0 <= number < len(chunks):
                source = _object(next(iter(chunks[number].values()), None))
                quote = segment.get("text")
                raw = {"groundingChunk": chunks[number], "groundingSupport": support}
                yield at, Citation(source.get("uri"), source.get("title"), quote, start, end, raw)
    metadata = _object(extra.get("citationMetadata"))
    for found in objects(metadata.get("citations") or metadata.get("citationSources")):
        at, start, end = _placed(found, said, last)
        yield at, Citation(found.get("uri"), found.get("title"), None, start, end, dict(found))


def _placed(segment: Mapping[str, Any], said: Sequence[str], last: int) -> tuple[int, int, int | None]:
    """Which text a segment is in, and its first and last character there."""
    start, end = _count(segment.get("startIndex")), segment.get("endIndex")
    at = segment.get("partIndex")
    if not isinstance(at, int) or not 0 <= at < len(said) or not said[at]:
        at = 0
        while at < last and start >= len(said[at].encode()):
            size = len(said[at].encode())
            start, end, at = start - size, end - size if isinstance(end, int) else end, at + 1
    held = said[at].encode()
    first = len(held[:start].decode("utf-8", "ignore"))
    return at, first, len(held[: _count(end)].decode("utf-8", "ignore")) if isinstance(end, int) else None


def decode_logprobs(result: Mapping[str, Any] | None) -> Json | None:
    """`logprobsResult` in OpenAI's shape."""
    if not result:
        return None
    tops = [objects(held.get("candidates")) for held in objects(result.get("topCandidates"))]
    chosen = objects(result.get("chosenCandidates"))
    content = [
        {**_logprob(one), "top_logprobs": [_logprob(top) for top in tops[at]] if at < len(tops) else []}
        for at, one in enumerate(chosen)
    ]
    return {"content": content, "refusal": None}


def _logprob(candidate: Mapping[str, Any]) -> Json:
    token = str(candidate.get("token") or "")
    return {"token": token, "logprob": candidate.get("logProbability") or 0.0, "bytes": list(token.encode())}


def decode_usage(raw: Mapping[str, Any]) -> Usage:
    """What was used. The prompt counts what tools brought in, the completion counts thoughts: both are billed so.

    Source: https://ai.google.dev/api/generate-content#UsageMetadata
    """
    held = Fields(raw)
    thoughts = _count(held.take("thoughtsTokenCount"))
    prompt = _count(held.take("promptTokenCount")) + _count(held.take("toolUsePromptTokenCount"))
    prompts = [held.take("promptTokensDetails"), held.take("toolUsePromptTokensDetails")]
    return Usage(
        prompt=prompt,
        completion=_count(held.take("candidatesTokenCount")) + thoughts,
        cached=min(_count(held.take("cachedContentTokenCount")), prompt),
        reasoning=thoughts,
        audio_in=sum(_sound(details) for details in prompts),
        audio_out=_sound(held.take("candidatesTokensDetails")),
        raw=dict(raw),
    )


def has_counts(usage: Mapping[str, Any] | None) -> bool:
    """Whether usage says numbers; Vertex sends some that only name the kind of traffic."""
    return bool(usage) and any(name.replace("_", "").lower() in _COUNTED for name in usage or ())


_COUNTED = {"prompttokencount", "totaltokencount", "candidatestokencount"}


def tier_of(usage: Mapping[str, Any] | None) -> str | None:
    """The service tier that usage names, in OpenAI's word for it."""
    said = (usage or {}).get("serviceTier")
    return TIERS.get(said.lower(), said) if isinstance(said, str) and said else None


def _sound(details: object) -> int:
    return sum(
        _count(held.get("tokenCount", held.get("token_count")))
        for held in objects(details)
        if held.get("modality") in ("AUDIO", 4)
    )


def _count(value: object) -> int:
    """A number of tokens or bytes; what is none counts as 0."""
    if isinstance(value, str) and value.isdigit():
        return int(value)
    return max(0, int(value)) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def seconds(value: object) -> int:
    """An RFC 3339 time as Unix seconds, 0 when there is none."""
    if not isinstance(value, str):
        return 0
    try:
        return int(msgspec.convert(value, datetime).timestamp())
    except (msgspec.ValidationError, OverflowError, ValueError):
        return 0


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _object(value: object) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}
