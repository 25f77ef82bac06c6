"""Reads answers of Gemini's generateContent. https://ai.google.dev/api/generate-content#generatecontentresponse"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from tests.replay.reading import Answer, Call, Json, Reading, Usage, count, events_of, members, objects, parse, settled

FILTERS = (
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
    "MODEL_ARMOR",
)
FINISH = {"STOP": "stop", "MAX_TOKENS": "length", **dict.fromkeys(FILTERS, "content_filter")}
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\['([^']*)'\]")


def read_whole(body: bytes) -> Reading:
    """A response."""
    return _reading([members(parse(body))])


def read_stream(body: bytes) -> Reading:
    """The chunks of a stream, each a response of its own."""
    chunks = [event.json for event in events_of(body)]
    return _reading(chunks)


def _reading(chunks: list[Json]) -> Reading:
    candidates: dict[int, Json] = {}
    beside: Json = {}
    error = None
    for chunk in chunks:
        beside.update({name: value for name, value in chunk.items() if value is not None})
        error = error or members(chunk.get("error")).get("message")
        for candidate in objects(chunk.get("candidates")):
            held = candidates.setdefault(count(candidate.get("index")), {"parts": []})
            held["parts"] += objects(members(candidate.get("content")).get("parts"))
            for name in ("finishReason", "groundingMetadata"):
                if candidate.get(name) is not None:
                    held[name] = candidate[name]
    if not candidates and members(beside.get("promptFeedback")).get("blockReason"):
        candidates[0] = {"parts": [], "finishReason": "SAFETY"}
    answers = tuple(_answer(candidates[index]) for index in sorted(candidates))
    model = str(beside.get("modelVersion") or "")
    return Reading(answers, _usage(beside), model, None if error is None else str(error))


def _answer(candidate: Json) -> Answer:
    text, thought = "", ""
    calls: list[Call] = []
    images: list[str] = []
    opaque: list[str] = []
    others = 0
    open_call: Json | None = None
    for part in candidate["parts"]:
        if part.get("thoughtSignature"):
            opaque.append(str(part["thoughtSignature"]))
        if "functionCall" in part:
            call = members(part["functionCall"])
            if open_call is None:
                open_call = {"name": call.get("name"), "args": {}, "id": call.get("id")}
            open_call["args"].update(members(call.get("args")))
            for piece in objects(call.get("partialArgs")):
                _put(open_call["args"], piece)
            if not call.get("willContinue"):
                calls.append(_call(open_call))
                open_call = None
        elif "inlineData" in part:
            images.append(str(members(part["inlineData"]).get("data")))
        elif "executableCode" in part or "codeExecutionResult" in part:
            others += 1
        elif part.get("thought"):
            thought += str(part.get("text") or "")
        else:
            text += str(part.get("text") or "")
    if open_call is not None:
        calls.append(_call(open_call))
    chunks = objects(members(candidate.get("groundingMetadata")).get("groundingChunks"))
    reason = candidate.get("finishReason")
    return settled(
        Answer(
            text,
            thought,
            calls=tuple(calls),
            finish=FINISH.get(str(reason), "error") if reason else None,
            images=tuple(images),
            opaque=tuple(opaque),
            sources=tuple(str(members(chunk.get("web")).get("uri")) for chunk in chunks if chunk.get("web")),
            items=others,
        )
    )


def _call(held: Json) -> Call:
    return Call(str(held["name"]), held["args"], str(held.get("id") or ""))


def _put(arguments: Json, piece: Json) -> None:
    """One piece of arguments at its JSON path; texts of one path follow one another.

    https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling#streaming-fc
    """
    steps = [found[1] or found[3] or int(found[2]) for found in _STEP.finditer(str(piece["jsonPath"])[1:])]
    value: Any = next((piece[name] for name in ("stringValue", "numberValue", "boolValue") if name in piece), None)
    held: Any = arguments
    for step, following in pairwise(steps):
        held = _child(held, step, [] if isinstance(following, int) else {})
    last = steps[-1]
    if isinstance(value, str):
        value = str(_child(held, last, "")) + value
    if isinstance(last, int) and len(held) == last:
        held.append(value)
    else:
        held[last] = value


def _child(held: Any, step: str | int, default: Any) -> Any:
    if isinstance(step, int):
        if len(held) == step:
            held.append(default)
        return held[step]
    return held.setdefault(step, default)


def _usage(data: Json) -> Usage | None:
    """The total is prompt, tool use prompt, candidates and thoughts together."""
    if not data.get("usageMetadata"):
        return None
    usage = members(data.get("usageMetadata"))
    thoughts = count(usage.get("thoughtsTokenCount"))
    return Usage(
        count(usage.get("promptTokenCount")) + count(usage.get("toolUsePromptTokenCount")),
        count(usage.get("candidatesTokenCount")) + thoughts,
        count(usage.get("cachedContentTokenCount")),
        0,
        thoughts,
    )
