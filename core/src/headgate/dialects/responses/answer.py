"""Responses replies to the canonical model. Pure functions; InvalidRequest names the place of a wrong shape.

Source: https://platform.openai.com/docs/api-reference/responses/object and the types of the official SDK (3.52).
"""

from __future__ import annotations

from typing import Any, cast

from headgate.body import decode_object
from headgate.chat import ChatReply, Choice, FinishReason, Message, Part, Reasoning, ToolCall
from headgate.dialects.openai.members import Members, objects, typed
from headgate.dialects.responses.items import NAME, decode_item, given, is_asked, kind_of
from headgate.dialects.responses.usage import decode_usage
from headgate.errors import InvalidRequest, ProviderFailed

Json = dict[str, Any]

ECHOES = frozenset(
    {
        "access_programs",
        "background",
        "billing",
        "completed_at",
        "conversation",
        "error",
        "frequency_penalty",
        "image",
        "incomplete_details",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "object",
        "output_text",
        "parallel_tool_calls",
        "presence_penalty",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "status",
        "store",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    }
)
"""Members of a reply that only repeat the request, or that the canonical reply says otherwise."""
_CUT: dict[str, FinishReason] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "max_messages": "length",
    "content_filter": "content_filter",
    "steered": "stop",
    "incomplete": "stop",
}
"""Why a reply is incomplete; any other reason, as a time that ran out, is an error of the vendor's."""

_OVER = frozenset({"completed", "incomplete"})
"""Statuses of a reply that has come, if only with `null` for its items."""


def decode_reply(encoded: bytes) -> ChatReply:
    """A whole reply. Raises ProviderFailed when it says that it failed, else InvalidRequest or ValueError."""
    data = decode_object(encoded)
    body = Members(data)
    output = body.take("output")
    if output is None:
        _raise_failure(data)
        if data.get("status") not in _OVER:
            raise InvalidRequest("`output` is missing")
    usage, message = body.find("usage", Json), decode_output([] if output is None else output, "output")
    finish, raw = decode_finish(data, has_calls=any(isinstance(part, ToolCall) for part in message.parts))
    choice = Choice(message, finish, raw, logprobs=_logprobs_of(data))
    return ChatReply(
        id=str(body.take("id") or ""),
        model=str(body.take("model") or ""),
        choices=(choice,),
        created=seconds(body.take("created_at")),
        usage=decode_usage(usage) if usage else None,
        service_tier=body.find("service_tier", str),
        dialect=NAME,
        extra=news(body.rest()),
    )


def decode_finish(data: Json, *, has_calls: bool) -> tuple[FinishReason, str]:
    """Why a reply ended, and the vendor's word for it. Raises ProviderFailed when it failed or is not over."""
    status = data.get("status")
    if status == "incomplete":
        details: Any = data.get("incomplete_details")
        reason = str(cast("Json", details).get("reason") or status) if isinstance(details, dict) else "incomplete"
        finish = _CUT.get(reason, "error")
        return ("tool_calls" if has_calls and finish in {"stop", "error"} else finish), reason
    _raise_failure(data)
    return ("tool_calls" if has_calls else "stop"), str(status or "completed")


def decode_output(value: object, place: str) -> Message:
    """The items of a reply as one message. Empty thinking says nothing and is left out."""
    parts: list[Part] = []
    extra: Json = {}
    for at, item in enumerate(typed(value, list[Json], place)):
        if is_asked(item):
            continue
        calls = sum(isinstance(part, ToolCall) for part in parts)
        parts += [
            part
            for part in decode_item(item, f"{place}[{at}]", calls)
            if not isinstance(part, Reasoning) or part.text or part.opaque is not None
        ]
        extra |= message_extra(item)
    return Message("assistant", tuple(parts), extra=extra)


def message_extra(item: Json) -> Json:
    """What an item that is a message says about itself."""
    if kind_of(item) != "message":
        return {}
    return given({name: held for name, held in item.items() if name not in {"type", "role", "content"}})


def news(members: Json) -> Json:
    """What a reply says beyond the canonical model, without what it only repeats."""
    return {name: value for name, value in given(members).items() if name not in ECHOES}


def seconds(value: object) -> int:
    """A time in whole seconds; absent or odd counts as 0."""
    return int(value) if isinstance(value, int | float) else 0


def _raise_failure(data: Json) -> None:
    error, status = data.get("error"), data.get("status")
    if error or status in {"failed", "cancelled"}:
        words = cast("Json", error) if isinstance(error, dict) else {}
        code = words.get("code")
        message = str(words.get("message") or f"the provider's reply is `{status}`")
        raise ProviderFailed(message, code=str(code) if code else None)
    if status in {"queued", "in_progress"}:
        raise ProviderFailed(f"the provider's reply is not complete: it is `{status}`", code="upstream_bad_reply")


def _logprobs_of(data: Json) -> Json | None:
    """The log probabilities of all texts, in the form of a chat completion."""
    found: list[Any] = []
    for item in objects(data.get("output")):
        for part in objects(item.get("content")):
            found += objects(part.get("logprobs"))
    return {"content": found, "refusal": None} if found else None
