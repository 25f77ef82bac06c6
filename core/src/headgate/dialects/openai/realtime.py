"""OpenAI's Realtime dialect: events over a WebSocket, of which the gateway reads what they used and nothing else.

Source: https://platform.openai.com/docs/api-reference/realtime-server-events/response/done
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from typing_extensions import override

from headgate.chat import Usage, add_usage
from headgate.dialects.interface import Dialect, TextPlace
from headgate.dialects.responses.usage import decode_usage as input_usage
from headgate.dialects.sse import Ending
from headgate.errors import RequestError

Json = dict[str, Any]


class _Response(Struct):
    usage: Any = None


class _Event(Struct):
    type: Any = None
    response: Any = None


_event = msgspec.json.Decoder(_Event)


class OpenAIRealtime(Dialect):
    """The `openai.realtime` dialect. What is said is not shown to anybody: where guardrails judge, sessions are refused."""

    name = "openai.realtime"
    operation = "realtime"
    reads_replies = False

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return ()

    @override
    def reply_texts(self, body: Json) -> Sequence[TextPlace]:
        return ()

    @override
    def event_texts(self, data: Json) -> Sequence[TextPlace]:
        return ()

    @override
    def ending(self, tail: Sequence[bytes], *, is_broken: bool = False) -> Ending:
        return "cut" if is_broken else "complete"

    @override
    def error_event(self, error: RequestError) -> bytes:
        held = {"type": error.type, "code": error.error_code, "message": error.message, "param": error.param}
        return msgspec.json.encode({"type": "error", "error": held})

    @override
    def tail_usage(self, tail: Sequence[bytes]) -> Usage | None:
        """What the messages together say they used: each `response.done` states its own."""
        total: Usage | None = None
        for message in tail:
            usage = _usage_of(message)
            total = add_usage(total, usage) if usage is not None else total
        return total


def _usage_of(message: bytes) -> Usage | None:
    try:
        event = _event.decode(message)
        if event.type != "response.done":
            return None
        found: object = msgspec.convert(event.response, _Response).usage
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(found, Mapping) or not found:
        return None
    raw = cast("Mapping[str, Any]", found)
    details = {
        "input_tokens_details": raw.get("input_token_details"),
        "output_tokens_details": raw.get("output_token_details"),
    }
    return replace(input_usage({**raw, **details}), raw=dict(raw))
