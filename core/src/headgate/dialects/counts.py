"""How vendors are asked for the number of tokens of a chat request: the request in their dialect, without what is not counted."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import msgspec
from msgspec import Raw
from typing_extensions import override

from headgate.body import decode_object
from headgate.dialects.anthropic.messages import AnthropicMessages
from headgate.dialects.gaps import Gaps
from headgate.dialects.google.generate import GoogleGenerate
from headgate.dialects.interface import ChatDialect, TextPlace, WordlessDialect
from headgate.dialects.openai.members import as_object
from headgate.dialects.responses.dialect import OpenAIResponses
from headgate.errors import ProviderFailed

_Members = dict[str, Raw]
_members = msgspec.json.Decoder(_Members)
_object = msgspec.json.Decoder(dict[str, Any])
_WRAPPED = "generateContentRequest"


class CountDialect(WordlessDialect):
    """A vendor's way to count. `chat` is the dialect of what is counted, `number` where its answer holds the number."""

    operation: ClassVar[str] = "count_tokens"
    chat: ClassVar[ChatDialect]
    number: ClassVar[tuple[str, ...]]

    @override
    def request_texts(self, body: dict[str, Any]) -> Sequence[TextPlace]:
        return ()

    @abstractmethod
    def count_body(self, members: Mapping[str, Raw], model: str) -> Mapping[str, Any]:
        """The request that counts, of the members of a chat request for `model`."""

    def encode_count(self, body: bytes, model: str) -> bytes:
        """The request that counts the tokens of `body`, which is a chat request of the dialect `chat`."""
        return msgspec.json.encode(self.count_body(_members.decode(body), model))

    def decode_count(self, body: bytes) -> int:
        """The number in a vendor's answer. Raises ProviderFailed (code `upstream_bad_reply`) when there is none."""
        try:
            held: Any = _object.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            held = None
        for name in self.number:
            held = cast("dict[str, Any]", held).get(name) if isinstance(held, dict) else None
        if not isinstance(held, int) or isinstance(held, bool) or held < 0:
            raise ProviderFailed(f"the reply says no `{'.'.join(self.number)}`", code="upstream_bad_reply")
        return held


class AnthropicCount(CountDialect):
    """https://platform.claude.com/docs/en/api/messages/count_tokens"""

    name = "anthropic.count"
    chat = AnthropicMessages()
    number = ("input_tokens",)
    counted: ClassVar[frozenset[str]] = frozenset(
        {"messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"}
    )

    @override
    def count_body(self, members: Mapping[str, Raw], model: str) -> Mapping[str, Any]:
        return {"model": model, **only(members, self.counted)}


class GoogleCount(CountDialect):
    """https://ai.google.dev/api/tokens#method:-models.counttokens"""

    name = "google.count"
    chat = GoogleGenerate()
    number = ("totalTokens",)

    @override
    def count_body(self, members: Mapping[str, Raw], model: str) -> Mapping[str, Any]:
        return {
            _WRAPPED: {"model": _resource(model), **{name: value for name, value in members.items() if name != "model"}}
        }

    def reshape(self, body: bytes, model: str, gaps: Gaps) -> bytes:  # noqa: ARG002 - for vendors that cannot count it all
        """What a client of Google's asks, as this vendor takes it: what is more than contents stands one level deeper.

        The same bytes where it is as it is taken. Clients of Vertex AI put all at the top. `gaps` is told of what is counted
        and cannot be said. Raises InvalidRequest for no JSON object. Added in 0.1.
        """
        held, resource = decode_object(body), _resource(model)
        name = wrapper_in(held)
        if not name:
            return body if held.keys() <= {"contents"} else self.encode_count(body, model)
        inner = as_object(held[name]) or {}
        if inner.get("model", resource) == resource:
            return body
        return msgspec.json.encode({**held, name: {**inner, "model": resource}})


class ResponsesCount(CountDialect):
    """https://platform.openai.com/docs/api-reference/responses/input-tokens"""

    name = "openai.count"
    chat = OpenAIResponses()
    number = ("input_tokens",)
    counted: ClassVar[frozenset[str]] = frozenset(
        {"input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "truncation"}
    )

    @override
    def count_body(self, members: Mapping[str, Raw], model: str) -> Mapping[str, Any]:
        return {"model": model, **only(members, self.counted)}


def wrapper_in(held: Mapping[str, Any]) -> str:
    """The member of a body of Google's clients that holds a whole request, in either spelling; empty where none does."""
    return next((name for name in (_WRAPPED, "generate_content_request") if name in held), "")


def _resource(model: str) -> str:
    return model if "/" in model else f"models/{model}"


def only(members: Mapping[str, Raw], names: frozenset[str]) -> dict[str, Raw]:
    """The members that a vendor counts, in their order."""
    return {name: value for name, value in members.items() if name in names}
