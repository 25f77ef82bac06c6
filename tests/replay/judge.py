"""Whether what a client reads is what the vendor said, by the semantic rules of translation.

1. Text is one per channel. 2. Calls are names with parsed arguments; ids are free but unique. 7. Finish by one table.
8. Usage adds up. What a client's dialect has no place for is named here, with what takes its place.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any

from tests.replay.reading import Answer, Call, Reading, Usage, members

ONE_CHOICE = frozenset({"anthropic.messages", "openai.responses"})
"""Dialects whose answers hold a single choice."""
NO_REFUSAL = frozenset({"anthropic.messages", "google.generate"})
"""Dialects without words of refusal: they are text there."""
BREAK = "\n\n"
"""What may stand between two parts of thinking that become one text."""
NO_CACHE_WRITE = frozenset({"google.generate"})
"""Dialects whose usage does not tell what was written to a cache."""


def differences(truth: Reading, seen: Reading, client: str) -> Iterator[str]:
    """Everything in which a client's answer differs from the vendor's."""
    wanted = truth.answers[:1] if client in ONE_CHOICE else truth.answers
    if len(wanted) != len(seen.answers):
        yield f"choices: {len(seen.answers)} instead of {len(wanted)}"
    for number, (theirs, ours) in enumerate(zip(wanted, seen.answers, strict=False)):
        for found in _of_answer(theirs, ours, client):
            yield f"choice {number}: {found}" if number else found
    yield from _of_usage(truth.usage, seen.usage, client)


def _of_answer(truth: Answer, seen: Answer, client: str) -> Iterator[str]:
    text, refusal = truth.text, truth.refusal
    if client in NO_REFUSAL:
        text, refusal = text + refusal, ""
    if seen.text != text:
        yield f"text: {short(seen.text)} instead of {short(text)}"
    if seen.refusal != refusal:
        yield f"refusal: {short(seen.refusal)} instead of {short(refusal)}"
    if seen.reasoning.replace(BREAK, "") != truth.reasoning.replace(BREAK, ""):
        yield f"reasoning: {short(seen.reasoning)} instead of {short(truth.reasoning)}"
    yield from _of_calls(truth.calls, seen.calls)
    declined = {"stop", "content_filter"} if truth.refusal and client in NO_REFUSAL else set[str | None]()
    if client == "openai.responses" and truth.finish is None:
        declined = {
            "stop"
        }  # who says nothing about the end of a whole answer has ended it, and a response has a status
    if seen.finish not in {truth.finish, *declined}:
        yield f"finish: {seen.finish} instead of {truth.finish}"
    if client == "openai.chat" and seen.items != truth.items:
        yield f"blocks of the vendor's own: {seen.items} instead of {truth.items}"
    if client == "anthropic.messages" and seen.stop != truth.stop:
        yield f"stop sequence: {seen.stop} instead of {truth.stop}"


def _of_calls(truth: tuple[Call, ...], seen: tuple[Call, ...]) -> Iterator[str]:
    if [call.name for call in seen] != [call.name for call in truth]:
        yield f"calls: {[call.name for call in seen]} instead of {[call.name for call in truth]}"
        return
    for theirs, ours in zip(truth, seen, strict=True):
        if theirs.is_custom and not ours.is_custom:
            if theirs.arguments not in members(ours.arguments).values():
                yield f"input of `{theirs.name}`: {short(ours.arguments)} does not hold {short(theirs.arguments)}"
        elif ours.arguments != theirs.arguments:
            yield f"arguments of `{theirs.name}`: {short(ours.arguments)} instead of {short(theirs.arguments)}"
    ids = [call.id for call in seen]
    if len(set(ids)) != len(ids) or not all(ids):
        yield f"ids of calls: {ids}"


def _of_usage(truth: Usage | None, seen: Usage | None, client: str) -> Iterator[str]:
    if truth is None:
        if seen is not None and (seen.prompt or seen.completion):
            yield f"usage: {seen} where the vendor says nothing"
        return
    if seen is None:
        yield "usage: none"
        return
    if (seen.prompt, seen.completion) != (truth.prompt, truth.completion):
        yield f"usage: {seen.prompt}+{seen.completion} instead of {truth.prompt}+{truth.completion}"
    if seen.cached != truth.cached:
        yield f"cached: {seen.cached} instead of {truth.cached}"
    if client not in NO_CACHE_WRITE and seen.cache_write != truth.cache_write:
        yield f"cache_write: {seen.cache_write} instead of {truth.cache_write}"
    if seen.reasoning != truth.reasoning:
        yield f"reasoning tokens: {seen.reasoning} instead of {truth.reasoning}"


def lost(truth: Reading, body: bytes, client: str) -> list[str]:
    """What a vendor said beside its words that stands nowhere in a client's answer: signatures, pictures, sources."""
    answers = truth.answers[:1] if client in ONE_CHOICE else truth.answers
    text = body.decode("utf-8", "replace").replace("\\/", "/")
    found: list[str] = []
    for answer in answers:
        found += [
            f"signature {short(item)}" for item in answer.opaque if item not in text and not _is_wrapped(item, text)
        ]
        found += [
            f"source {short(url)}" for url in answer.sources if json.dumps(url)[1:-1] not in text and url not in text
        ]
        found += [f"picture {short(data)}" for data in answer.images if data not in text]
    return found


def _is_wrapped(item: str, text: str) -> bool:
    """Whether an item stands in a base64 string of the text behind a prefix, which shifts its own base64."""
    for piece in text.replace("\\/", "/").split('"'):
        if len(piece) >= len(item):
            try:
                decoded = base64.b64decode(piece + "=" * (-len(piece) % 4))
            except (binascii.Error, ValueError):
                continue
            if item.encode() in decoded:
                return True
    return False


def short(value: Any) -> str:
    """A value as a message shows it."""
    shown = repr(value)
    return shown if len(shown) <= 120 else f"{shown[:80]}…{shown[-30:]} ({len(shown)})"
