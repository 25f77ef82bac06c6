"""What dialects cannot say: the one table of what a request or a reply may lose or change on its way, each with its reason.

A slot of the meaning may differ where the gateway said so by one of the names in `TOLD`, or where a row of a table holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

from msgspec import Struct

from headgate.chat import ChatRequest

Json = dict[str, Any]

_PLACE = r"messages\[\d+\](\.content(\[\d+\])?)*"
TOLD: dict[str, str] = {
    "media": rf"{_PLACE}$",
    "marks": rf"(({_PLACE}|tools\[\d+\])\.)?cache_control(\.ttl)?",
    "speakers": r"messages\[\d+\]\.name",
    "details": rf"{_PLACE}(\.image_url\.detail|\.detail|)",
    "filenames": rf"{_PLACE}(\.filename|\.title|)",
    "thoughts": r"messages\[\d+\]\.(reasoning|reasoning_content)",
    "signatures": r"messages\[\d+\]\.(reasoning|reasoning_content|signature)",
    "turns": r"messages\[\d+\]\.role|response_format",
    "words": r"response_format",
    "failed": rf"{_PLACE}\.is_error",
    "must_call": "tool_choice",
    "tools": "tool_choice",
    "strict": r"tools\[\d+\](\.function)?\.strict",
    "format": "response_format",
    "schema_description": r"response_format\.json_schema\.description",
    "logprobs": "logprobs|top_logprobs",
    "max_tokens": "max_tokens|max_completion_tokens",
    "thinks": "reasoning_effort|thinking",
    "effort": r"reasoning_effort|thinking|thinking\.budget_tokens",
    "budget": r"reasoning_effort|thinking|thinking\.budget_tokens",
    "shown": "reasoning_effort|thinking",
    "summary": r"reasoning_effort|thinking|reasoning\.summary",
    "cache_key": "prompt_cache_key",
}
"""By which names in `x-headgate-dropped` a slot is told; every other slot has the name of its own."""

Holds = Callable[[Any, Any], bool]


class Row(Struct, frozen=True):
    """`slot` of a request to `dialect` differs because of `why`, and does so only in the way that `holds`, if it says which.

    `holds` gets the slot before and after, and `is_read` says of the decoded request where it stands instead.
    """

    dialect: str
    slot: str
    why: str
    holds: Holds = lambda _before, _after: True
    is_read: Callable[[ChatRequest], bool] = lambda _request: True


def lost(before: Any, after: Any) -> bool:
    """The slot says nothing any more."""
    return before not in (None, [], False) and after in (None, [], False)


def made(before: Any, after: Any) -> bool:
    """The slot says something that nobody asked for."""
    return before is None and after is not None


def shrunk(before: list[Any], after: list[Any]) -> bool:
    """Of each answer the slot says no more than before, and nothing else."""
    return all(not now or set(map(repr, now)) <= set(map(repr, then)) for then, now in zip(before, after, strict=True))


def grown(before: list[Any], after: list[Any]) -> bool:
    """The slot says all that it said, and more."""
    return len(before) < len(after) and all(each in after for each in before)


def is_switched(request: ChatRequest) -> bool:
    """Whether Claude's own `tool_choice` stands among the additional fields of a request to Bedrock."""
    return "tool_choice" in request.extra.get("additionalModelRequestFields", {})


ANTHROPIC, BEDROCK, COHERE, GOOGLE = "anthropic.messages", "bedrock.converse", "cohere.chat", "google.generate"
OLLAMA, CHAT, RESPONSES = "ollama.chat", "openai.chat", "openai.responses"
REPLICATE = "replicate.prediction"
_TEXT = "it has no part for a refusal: the words stand as text"
_LABEL = "a schema has no name there"
_STRICT = "a schema is always held to"
_ASKED = "whether thoughts are shown is decided on the way back"
_URL = "where the call goes says it"
_SWITCH = "there is a switch alone"
_VENDOR = "no client speaks it, and the vendor itself has no word for it"
_HIDING = "only of thoughts that there are can it be said that they are not shown"
_UNASKED = "the model decides unless it is told"

WHOLE: dict[str, dict[str, str]] = {
    REPLICATE: {
        "tools": "tools",
        "parameters": "tools",
        "descriptions": "tools",
        "strict": "tools",
        "calls": r"messages\[\d+\]\.tool_calls",
        "results": r"messages\[\d+\]\.content",
        "failed": r"messages\[\d+\]\.content",
        "schema": "response_format",
        "schema_name": "response_format",
        "schema_description": "response_format",
        "schema_strict": "response_format",
        "marks": rf"tools|messages\[\d+\]\.tool_calls|{_PLACE}|{TOLD['marks']}",
    },
    GOOGLE: {
        "json": "response_format",
        "schema": "response_format",
        "schema_name": "response_format",
        "schema_description": "response_format",
        "schema_strict": "response_format",
    },
}
"""Where a dialect has no place for the whole of something, its name tells of the parts as well."""

REQUESTS = (
    Row(ANTHROPIC, "max_tokens", "the API demands one", made),
    Row(ANTHROPIC, "refusals", _TEXT, lost),
    Row(ANTHROPIC, "safety_identifier", "there is one id of the user", lost),
    Row(ANTHROPIC, "user", "there is one id of the user", made),
    Row(ANTHROPIC, "schema_description", "it stands in the schema", lost),
    Row(
        ANTHROPIC,
        "schema",
        "the description stands in it",
        lambda before, after: after == {**before, "description": "a card"},
    ),
    Row(ANTHROPIC, "schema_name", _LABEL, lost),
    Row(ANTHROPIC, "schema_strict", _STRICT, lost),
    Row(ANTHROPIC, "shown", _HIDING, lambda before, after: before is False and after is None),
    Row(BEDROCK, "shown", _HIDING, lambda before, after: before is False and after is None),
    Row(BEDROCK, "refusals", _TEXT, lost),
    Row(
        BEDROCK, "filenames", "a document must have a name of letters, digits and hyphens", lambda _, after: all(after)
    ),
    Row(BEDROCK, "max_tokens", "a budget must be below a limit", made),
    Row(BEDROCK, "must_call", "Claude's own field says it", lost, is_switched),
    Row(
        BEDROCK,
        "parallel_tool_calls",
        "Claude's own field says it",
        lambda before, after: after and not before,
        is_switched,
    ),
    Row(BEDROCK, "tools", "Claude's own field says which may be called", grown, is_switched),
    Row(BEDROCK, "parameters", "as `tools`", grown, is_switched),
    Row(BEDROCK, "marks", "as `tools`", lambda before, after: before < after, is_switched),
    Row(BEDROCK, "descriptions", "as `tools`", grown, is_switched),
    Row(BEDROCK, "schema_strict", _STRICT, lost),
    Row(BEDROCK, "stream", _URL, lost),
    Row(COHERE, "refusals", _TEXT, lost),
    Row(COHERE, "schema_name", _LABEL, lost),
    Row(COHERE, "schema_strict", _STRICT, lost),
    Row(COHERE, "shown", _ASKED, lambda _, after: after is None),
    Row(COHERE, "top_p", "its highest is 0.99", lambda before, after: before is None and after == 0.99),
    Row(COHERE, "thinks", _SWITCH, lambda before, after: before == "adaptive"),
    Row(GOOGLE, "refusals", _TEXT, lost),
    Row(GOOGLE, "schema_description", "it stands in the schema", lost),
    Row(
        GOOGLE,
        "schema",
        "the description stands in it",
        lambda before, after: after == {**before, "description": "a card"},
    ),
    Row(GOOGLE, "schema_name", _LABEL, lost),
    Row(GOOGLE, "schema_strict", _STRICT, lost),
    Row(GOOGLE, "service_tier", "it is the default", lambda before, after: before == "auto" and after is None),
    Row(
        GOOGLE,
        "shown",
        "whoever asks for thinking gets to see it",
        lambda before, after: after is (True if before is None else None),
    ),
    Row(GOOGLE, "stream", _URL, lost),
    Row(GOOGLE, "strict", "a mode of all calls holds them to their schemas", lost),
    Row(GOOGLE, "thinks", _UNASKED, lambda before, after: before == "adaptive"),
    Row(OLLAMA, "refusals", _TEXT, lost),
    Row(OLLAMA, "media", "it looks at the bytes", lambda before, after: _bytes(before) == _bytes(after)),
    Row(OLLAMA, "schema_name", _LABEL, lost),
    Row(OLLAMA, "schema_strict", _STRICT, lost),
    Row(OLLAMA, "shown", _ASKED, lambda _, after: after is None),
    Row(OLLAMA, "thinks", _SWITCH, lambda before, after: before == "adaptive"),
    Row(CHAT, "filenames", "bytes must have a name", lambda _, after: all(after)),
    Row(CHAT, "schema_name", "a schema must have a name", made),
    Row(CHAT, "shown", _ASKED, lambda _, after: after is None),
    Row(CHAT, "thinks", _UNASKED, lambda before, after: before == "adaptive"),
    Row(REPLICATE, "budget", "a budget is an effort for a model with efforts", lost),
    Row(REPLICATE, "effort", "a budget is an effort for a model with efforts", made),
    Row(REPLICATE, "refusals", _TEXT, lost),
    Row(REPLICATE, "shown", _ASKED, lambda _, after: after is None),
    Row(RESPONSES, "filenames", "bytes must have a name", lambda _, after: all(after)),
    Row(RESPONSES, "schema_name", "a schema must have a name", made),
    Row(RESPONSES, "shown", "thoughts are shown as a summary, which is asked for or not", lambda _, after: not after),
    Row(RESPONSES, "thinks", _UNASKED, lambda before, after: before == "adaptive"),
)


_LATE = "a source that comes behind the end of its text stands beside the message"
_BESIDE = "it stands beside the message, for the client to read and to send back"

_VENDORS_OWN = {
    BEDROCK: "created id items model reasoning_tokens signed signed_calls sources",
    COHERE: "cache_write created items model pictures reasoning_tokens service_tier signed signed_calls sources stop",
    OLLAMA: "cache_write cached id items reasoning_tokens service_tier signed signed_calls sources stop",
    REPLICATE: "cache_write cached items pictures reasoning_tokens service_tier signed signed_calls sources stop thought",
}
"""What replies of dialects that no client speaks have no word for, slot by slot."""

REPLIES = (
    *(Row(dialect, slot, _VENDOR) for dialect, slots in _VENDORS_OWN.items() for slot in slots.split()),
    Row(ANTHROPIC, "created", "a message has no time", lost),
    Row(ANTHROPIC, "finish", "a refusal is a reason to stop", lambda _, after: after == ["content_filter"]),
    Row(ANTHROPIC, "items", _BESIDE, shrunk),
    Row(ANTHROPIC, "pictures", _BESIDE, shrunk),
    Row(ANTHROPIC, "refusal", _TEXT, shrunk),
    Row(ANTHROPIC, "sources", "a source must have an address", shrunk),
    Row(BEDROCK, "refusal", _TEXT, shrunk),
    Row(COHERE, "finish", _VENDOR, lambda before, after: before == ["content_filter"] and after == ["error"]),
    Row(COHERE, "refusal", _TEXT, shrunk),
    Row(GOOGLE, "cache_write", "it is counted with the prompt", lambda _, after: after == 0),
    Row(GOOGLE, "refusal", _TEXT, shrunk),
    Row(GOOGLE, "stop", "it stands in the message about the end, which is for people", shrunk),
    Row(OLLAMA, "finish", _VENDOR, lambda before, after: before == ["content_filter"] and after == ["stop"]),
    Row(OLLAMA, "refusal", _TEXT, shrunk),
    Row(REPLICATE, "calls", _VENDOR, shrunk),
    Row(REPLICATE, "finish", "a prediction succeeds or fails", lambda _, after: after == ["stop"]),
    Row(REPLICATE, "refusal", _TEXT, shrunk),
    Row(RESPONSES, "id", "ids have a form of their own", lambda before, after: str(before) in after),
    Row(RESPONSES, "items", _BESIDE, shrunk),
    Row(RESPONSES, "sources", _BESIDE, shrunk),
    Row(RESPONSES, "stop", _BESIDE, shrunk),
)
"""What replies lose. No client speaks the dialects of one vendor alone: there the encoder only stands in for the vendor."""

STREAMS = (
    Row(ANTHROPIC, "sources", _LATE, shrunk),
    Row(RESPONSES, "sources", _LATE, shrunk),
    Row(BEDROCK, "items", _VENDOR),
    Row(BEDROCK, "sources", _VENDOR),
    Row(COHERE, "items", _VENDOR),
)
"""What streams lose that whole replies do not."""


def differing(
    rows: tuple[Row, ...], dialect: str, before: Json, after: Json, used: set[tuple[str, str]]
) -> Iterator[str]:
    """What differs of a reply without a reason; `used` notes the slots of rows."""
    for slot, value in before.items():
        if after.get(slot) == value:
            continue
        row = next((row for row in rows if row.dialect == dialect and row.slot == slot), None)
        if row is not None and row.holds(value, after.get(slot)):
            used.add((dialect, slot))
        else:
            yield f"{slot}: {value!r} became {after.get(slot)!r}"


def unexplained(
    dialect: str, before: Json, after: Json, dropped: Collection[str], request: ChatRequest, used: set[tuple[str, str]]
) -> Iterator[str]:
    """What differs without a word and without a reason; `request` is what was read again, `used` notes the slots of rows."""
    for slot, value in before.items():
        if after[slot] == value:
            continue
        row = next((row for row in REQUESTS if row.dialect == dialect and row.slot == slot), None)
        if row is not None and row.holds(value, after[slot]) and row.is_read(request):
            used.add((dialect, slot))
        elif not any(re.fullmatch(_told(dialect, slot), name) for name in dropped):
            yield f"{slot}: {value!r} became {after[slot]!r}"


def _bytes(media: list[str]) -> list[str]:
    return sorted(held.rpartition(" ")[2] for held in media)


def _told(dialect: str, slot: str) -> str:
    return WHOLE.get(dialect, {}).get(slot) or TOLD.get(slot, slot)
