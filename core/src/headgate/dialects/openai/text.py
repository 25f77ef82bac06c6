"""OpenAI completions: an operation whose bodies are relayed, and whose texts guardrails still see.

Source: https://platform.openai.com/docs/api-reference/completions
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from typing_extensions import override

from headgate.dialects.interface import Dialect, TextPlace
from headgate.dialects.sse import Ending, data_event, ending_of
from headgate.errors import RequestError

Json = dict[str, Any]


class OpenAICompletions(Dialect):
    """The legacy `openai.completions` dialect."""

    name = "openai.completions"
    operation = "completions"

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return [*strings_in(body, "prompt"), *strings_in(body, "suffix")]

    @override
    def reply_texts(self, body: Json) -> Sequence[TextPlace]:
        return self.event_texts(body)

    @override
    def event_texts(self, data: Json) -> Sequence[TextPlace]:
        places: list[TextPlace] = []
        choices = data.get("choices")
        for at, choice in enumerate(cast("list[Any]", choices) if isinstance(choices, list) else []):
            if isinstance(choice, dict) and isinstance(cast("Json", choice).get("text"), str):
                index = cast("Json", choice).get("index", at)
                path = ("choices", at, "text")
                places.append(TextPlace(path, cast("Json", choice)["text"], "assistant", f"{index}.text"))
        return places

    @override
    def ending(self, tail: Sequence[bytes], *, is_broken: bool = False) -> Ending:
        return ending_of(tail, is_broken=is_broken)

    @override
    def error_event(self, error: RequestError) -> bytes:
        return data_event(error.envelope())


def strings_in(body: Json, field: str) -> Iterator[TextPlace]:
    """The strings of a field that is one string or a list of them; token lists are not text."""
    value = body.get(field)
    if isinstance(value, str):
        yield TextPlace((field,), value, "user")
    elif isinstance(value, list):
        for at, item in enumerate(cast("list[object]", value)):
            if isinstance(item, str):
                yield TextPlace((field, at), item, "user")
