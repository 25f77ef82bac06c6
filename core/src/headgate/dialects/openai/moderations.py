"""OpenAI moderations: bodies are relayed, and guardrails see what is to be judged.

Source: https://platform.openai.com/docs/api-reference/moderations
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from typing_extensions import override

from headgate.dialects.interface import TextPlace, WordlessDialect
from headgate.dialects.openai.text import strings_in

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
