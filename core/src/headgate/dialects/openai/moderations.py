"""OpenAI moderations: bodies are relayed, and guardrails see what is to be judged.

Source: https://platform.openai.com/docs/api-reference/moderations
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from typing_extensions import override

from headgate.dialects.interface import TextPlace, WordlessDialect
from headgate.dialects.openai.text import strings_in
from headgate.errors import InvalidRequest

Json = dict[str, Any]


class OpenAIModerations(WordlessDialect):
    """The `openai.moderations` dialect."""

    name = "openai.moderations"
    operation = "moderations"

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        places = list(strings_in(body, "input"))
        held: Any = body.get("input")
        for at, item in enumerate(cast("list[Any]", held) if isinstance(held, list) else []):
            if isinstance(item, dict) and isinstance(cast("Json", item).get("text"), str):
                places.append(TextPlace(("input", at, "text"), cast("Json", item)["text"], "user"))
        return places


def judged_in(given: object) -> tuple[list[str], list[Json]]:
    """The texts of an `input`, or its parts, for vendors that are asked in words of their own. Added in 0.1.

    Raises InvalidRequest for nothing, for both at once and for what is neither.
    """
    listed = cast("list[object]", given) if isinstance(given, list) else [given]
    texts = [each for each in listed if isinstance(each, str) and each]
    parts = [cast("Json", each) for each in listed if isinstance(each, dict)]
    if not listed or len(texts) + len(parts) != len(listed) or (texts and parts):
        raise InvalidRequest("`input` must be a text, several texts, or parts, none of them empty", param="input")
    return texts, parts


def result(scores: Mapping[str, float], flag_at: float, kinds: Sequence[str]) -> Json:
    """One result, whose categories are flagged from a score on. `kinds` is what was judged: `text`, `image`. Added in 0.1."""
    flags = {name: score >= flag_at for name, score in scores.items()}
    return {
        "flagged": any(flags.values()),
        "categories": flags,
        "category_scores": scores,
        "category_applied_input_types": {name: list(kinds) for name in scores},
    }


def moderation(model: str, results: Sequence[Json]) -> bytes:
    """The body of an answer, which has an id of the gateway's. Added in 0.1."""
    return msgspec.json.encode({"id": f"modr-{uuid.uuid4().hex}", "model": model, "results": results})
