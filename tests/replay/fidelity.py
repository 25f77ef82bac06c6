"""Whether a vendor is asked what the client asked, by the semantic rules of translation.

3. Order and roles of turns. 4. The same media. 5. Schemas keep what they demand. 6. Parameters keep their values, and what is
left out is named in `x-headgate-dropped`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from tests.replay import schemas
from tests.replay.asked import Asked, Result, Segment
from tests.replay.judge import short
from tests.replay.neutral import Function
from tests.replay.reading import members
from tests.replay.targets import FETCHED, Target

_THINKING = ("effort", "budget", "thinking")
_LEGAL_IDS = {
    "anthropic.messages": re.compile(r"[a-zA-Z0-9_-]+"),
    "vertex.messages": re.compile(r"[a-zA-Z0-9_-]+"),
    "bedrock.converse": re.compile(r"[a-zA-Z0-9_.:-]{1,64}"),
    "mistral.chat": re.compile(r"[a-zA-Z0-9]{9}"),
    "openai.responses": re.compile(r".{1,64}"),
}
"""What ids of calls may look like, by the reference of each vendor."""
_HINTS = frozenset(
    {
        "user",
        "metadata",
        "service_tier",
        "store",
        "verbosity",
        "prompt_cache_key",
        "safety_identifier",
        "modalities",
        "truncation",
        "container",
        "prediction",
        "media_resolution",
        "labels",
        "context_management",
    }
)
"""What only hints: it may be left out if that is told."""
SENTINEL = "skip_thought_signature_validator"
"""What Google wants where a call of another model has no signature: https://ai.google.dev/gemini-api/docs/thought-signatures"""
ORIGINS = {
    "anthropic.messages": "claude",
    "anthropic": "claude",
    "vertex-claude": "claude",
    "bedrock-claude": "claude",
    "google.generate": "gemini",
    "google": "gemini",
    "vertex-gemini": "gemini",
    "openai.responses": "openai",
    "openai-responses": "openai",
}
"""Who can read the signatures of a client's history, and of a target."""
FILLER = "OK."
_SEPARATORS = ("", "\n", "\n\n", " ")


def changes(asked: Asked, seen: Asked, target: Target, dropped: Collection[str], client: str) -> Iterator[str]:
    """Everything in which the vendor's request asks something else than the client's, who speaks `client`."""
    yield from seen.problems
    if "custom" not in seen.others:
        asked = _with_functions(asked)
    yield from _opaque(asked, seen, target, client)
    added = seen.system[len(asked.system) :] if _told(("response_format",), dropped) else []  # JSON mode in words
    if not _same_text([*asked.system, *added], seen.system):
        yield f"system: {short(seen.system)} instead of {short(asked.system)}"
    turns = seen.segments
    if "messages[0].role" in dropped and asked.segments[:1] != turns[:1] and len(turns) > len(asked.segments):
        turns = turns[1:]  # a conversation must begin with the user
    if target.vendor == "mistral":
        turns = _without_fillers(turns)
    wanted = asked.segments
    if any(name.endswith(".role") for name in dropped):
        wanted = _with_system_inside(wanted)
    yield from _turns(wanted, turns, dropped)
    yield from _tools(asked, seen, target, dropped)
    yield from _params(asked, seen, target, dropped)
    ids = seen.ids
    if len(set(ids)) != len(ids):
        yield f"ids of calls are not unique: {ids}"
    legal = _LEGAL_IDS.get(target.dialect)
    if legal is not None and not all(map(legal.fullmatch, ids)):
        yield f"ids of calls are not what the vendor takes: {ids}"


def _with_functions(asked: Asked) -> Asked:
    """Tools of free text, where there are functions alone: they take it as `input`, and so do their calls."""
    names = {each.name for each in asked.customs}
    segments = [
        replace(
            segment,
            calls=[
                (name, {"input": said} if name in names and isinstance(said, str) else said)
                for name, said in segment.calls
            ],
        )
        for segment in asked.segments
    ]
    return replace(asked, functions=[*asked.functions, *asked.customs], segments=segments)


def _opaque(asked: Asked, seen: Asked, target: Target, client: str) -> Iterator[str]:
    """Signatures go back to who made them, and to nobody else."""
    theirs = [item for segment in seen.segments for item in segment.opaque if item != SENTINEL]
    ours = [item for segment in asked.segments for item in segment.opaque]
    wanted = ours if ORIGINS.get(client) == ORIGINS.get(target.name, ORIGINS.get(target.vendor)) else []
    if theirs != wanted:
        yield f"opaque items: {short(theirs)} instead of {short(wanted)}"


def _with_system_inside(turns: list[Segment]) -> list[Segment]:
    """Words of the system between turns, where nobody can say them, are marked words of the user."""
    kept: list[Segment] = []
    for turn in turns:
        held = turn
        if turn.role == "system":
            held = replace(turn, role="user", texts=[f"<system>\n{''.join(turn.texts)}\n</system>"])
        if kept and kept[-1].role == held.role:
            last = kept[-1]
            kept[-1] = replace(last, texts=[*last.texts, *held.texts], media=[*last.media, *held.media])
        else:
            kept.append(held)
    return kept


def _without_fillers(turns: list[Segment]) -> list[Segment]:
    """Mistral wants the assistant to speak between a tool and the user; https://docs.mistral.ai/capabilities/function_calling"""
    kept: list[Segment] = []
    for turn in turns:
        if turn.texts == [FILLER] and not turn.calls and kept and kept[-1].results:
            continue
        if kept and kept[-1].role == turn.role:
            kept[-1].texts += turn.texts
            kept[-1].media += turn.media
            kept[-1].results += turn.results
        else:
            kept.append(turn)
    return kept


def _same_text(wanted: list[str], seen: list[str]) -> bool:
    ours = "".join("".join(wanted).split())
    if ours != "".join("".join(seen).split()):
        return False
    return any(_joined(wanted, separator) == _joined(seen, other) for separator in _SEPARATORS for other in _SEPARATORS)


def _joined(texts: list[str], separator: str) -> str:
    return separator.join(text for text in texts if text.strip()).strip()


def _turns(wanted: list[Segment], seen: list[Segment], dropped: Collection[str]) -> Iterator[str]:
    if [segment.role for segment in seen] != [segment.role for segment in wanted]:
        yield f"turns: {[segment.role for segment in seen]} instead of {[segment.role for segment in wanted]}"
        return
    for at, (ours, theirs) in enumerate(zip(wanted, seen, strict=True)):
        if any(name.startswith("messages[") and "content" in name for name in dropped):
            continue
        if not _same_text(ours.texts, theirs.texts) and not (ours.media and set(ours.texts) <= set(theirs.texts)):
            yield f"text of turn {at}: {short(theirs.texts)} instead of {short(ours.texts)}"
        if not _same_media(ours.media, theirs.media):
            yield f"media of turn {at}: {theirs.media} instead of {ours.media}"
        if theirs.calls != ours.calls:
            yield f"calls of turn {at}: {short(theirs.calls)} instead of {short(ours.calls)}"
        yield from _results(ours.results, theirs.results, at)


def _same_media(wanted: list[str], seen: list[str]) -> bool:
    """Addresses may have become what stands there."""
    return len(wanted) == len(seen) and all(
        ours == theirs or (ours.startswith(("http", "gs:")) and theirs in FETCHED)
        for ours, theirs in zip(wanted, seen, strict=True)
    )


def _results(wanted: list[Result], seen: list[Result], at: int) -> Iterator[str]:
    if [result.call for result in seen] != [result.call for result in wanted]:
        yield f"results of turn {at} answer calls {[result.call for result in seen]}, not {[result.call for result in wanted]}"
        return
    for ours, theirs in zip(wanted, seen, strict=True):
        if _plain(ours.text) != _plain(theirs.text) and ours.text not in theirs.text:
            yield f"result of call {ours.call}: {short(theirs.text)} instead of {short(ours.text)}"


def _plain(text: str) -> Any:
    """A text, or the JSON it is; an object with one output is that output."""
    try:
        value: Any = json.loads(text)
    except ValueError:
        return text.strip()
    held = members(value)
    for name in ("output", "result", "error", "content", "return_value"):
        if set(held) == {name}:
            return _plain(held[name]) if isinstance(held[name], str) else held[name]
    return value


def _tools(asked: Asked, seen: Asked, target: Target, dropped: Collection[str]) -> Iterator[str]:
    wanted, given = asked.functions, seen.functions
    if asked.choice == "none" and not given:
        return
    chosen = asked.choice.removeprefix("named:")
    if asked.choice != chosen and [each.name for each in given] == [chosen] and seen.choice == "required":
        wanted = [each for each in wanted if each.name == chosen]
        seen.choice = asked.choice
    if not wanted and not asked.others:
        called = {name for segment in asked.segments for name, _ in segment.calls}
        given = [each for each in given if each.name not in called]  # who called a tool must have been offered it
    if [each.name for each in given] != [each.name for each in wanted]:
        if "tools" not in dropped:
            yield f"tools: {[each.name for each in given]} instead of {[each.name for each in wanted]}"
        return
    for ours, theirs in zip(wanted, given, strict=True):
        yield from _function(ours, theirs, target, dropped)
    if wanted and seen.choice != asked.choice and "tool_choice" not in dropped:
        yield f"tool_choice: {seen.choice} instead of {asked.choice}"
    lost = [name for name in asked.strict if name not in seen.strict]
    keeps_to_schemas = target.dialect == "google.generate" and seen.choice != "auto"
    if lost and not keeps_to_schemas and not _told(_NAMES["strict"], dropped):
        yield f"strict: lost without a word for {lost}"


def _function(wanted: Function, seen: Function, target: Target, dropped: Collection[str]) -> Iterator[str]:
    if wanted.description.strip() and not seen.description.strip().startswith(wanted.description.strip()):
        yield f"description of `{wanted.name}`: {short(seen.description)} instead of {short(wanted.description)}"
    if any("parameters" in name or "schema" in name for name in dropped):
        return
    lost = schemas.lost(wanted.schema, seen.schema, without=schemas.HINTS.get(target.dialect, frozenset()))
    if lost:
        yield f"schema of `{wanted.name}` lost {lost[:4]}"


def _params(asked: Asked, seen: Asked, target: Target, dropped: Collection[str]) -> Iterator[str]:
    thinks = [name for name in _THINKING if asked.params.get(name) not in {None, "none", "disabled"}]
    if thinks and not any(name in seen.params for name in _THINKING) and not _told(_NAMES["effort"], dropped):
        yield f"{thinks} was asked for and is lost without a word"
    for name, value in asked.params.items():
        if name in _THINKING or (name == "safety_identifier" and seen.params.get("user") == value):
            continue
        got = seen.params.get(name)
        if name == "schema":
            lost = schemas.lost(members(value), members(got), without=_structured(target)) if got else ["all of it"]
            if lost and not _told(_NAMES["schema"], dropped):
                yield f"response schema lost {lost[:4]}"
        elif name == "json":
            if not got and not _told(_NAMES["json"], dropped) and target.dialect != "anthropic.messages":
                yield "JSON mode is lost"
        elif name == "temperature" and value == 1 and got is None and ORIGINS.get(target.name) == "claude":
            continue  # Claude's own default, which it may be left at
        elif not _same(name, value, got, asked) and not _told(_NAMES.get(name, (name,)), dropped):
            yield f"{name}: {short(got)} instead of {short(value)}"


_NAMES: dict[str, tuple[str, ...]] = {
    "effort": ("reasoning", "thinking"),
    "schema": ("response_format", "schema"),
    "json": ("response_format",),
    "max_tokens": ("max_tokens", "max_completion_tokens"),
    "strict": ("strict", "functionCallingConfig.mode"),
    "parallel": ("parallel_tool_calls",),
    "previous_response_id": ("previous_response_id",),
    "media_resolution": ("mediaResolution", "generationConfig"),
    "speech": ("speechConfig", "generationConfig"),
    "modalities": ("responseModalities", "modalities", "generationConfig"),
}


def _told(names: tuple[str, ...], dropped: Collection[str]) -> bool:
    return any(name in held for name in names for held in dropped)


def _structured(target: Target) -> frozenset[str]:
    """Keywords that a vendor's structured output is known not to take."""
    return frozenset(
        {"default", "format", "minimum", "maximum", "minLength", "maxLength", "pattern", "minItems", "maxItems"}
    )


def _same(name: str, wanted: Any, got: Any, asked: Asked) -> bool:
    if name == "max_tokens" and got is not None:
        return int(got) == int(wanted) or (any(each in asked.params for each in _THINKING) and int(got) >= int(wanted))
    if isinstance(wanted, int | float) and isinstance(got, int | float) and not isinstance(wanted, bool):
        return float(got) == float(wanted)
    if name in {"temperature", "top_p", "top_k", "seed"} and got is not None:
        return float(got) == float(wanted)
    return bool(got == wanted)
