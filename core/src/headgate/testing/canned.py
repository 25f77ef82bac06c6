"""A provider without a network, for gateways in tests: it says what the last message said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import msgspec
from typing_extensions import override

from headgate.chat import Usage
from headgate.exchange import Exchange, Reply
from headgate.provider import Provider
from headgate.testing.recorded import Recorded
from headgate.testing.samples import USAGE, chat_chunk, chat_reply, usage_chunk

_JSON = (b"content-type", b"application/json")
_EVENTS = (b"content-type", b"text/event-stream")


class Canned(Provider):
    """Answers a chat request with the text of its last message; a stream gives one word after another. Added in 0.1."""

    name = "canned"
    is_keyless = True
    dialects: ClassVar[Mapping[str, str]] = {"chat": "openai.chat"}
    models = ("echo",)

    @override
    async def call(self, ex: Exchange) -> Reply:
        text = _last_text(ex.json)
        usage = Usage(*USAGE)
        if ex.stream:
            return Reply(200, (_EVENTS,), chunks=_stream(text), usage=usage)
        return Reply(200, (_JSON,), msgspec.json.encode(chat_reply({"content": text})), usage=usage)


def _last_text(body: Mapping[str, Any]) -> str:
    messages: list[Any] = body.get("messages") or [{}]
    content = messages[-1].get("content")
    return content if isinstance(content, str) else ""


async def _stream(text: str) -> AsyncIterator[bytes]:
    words = text.split(" ")
    pieces = [word + " " for word in words[:-1]] + words[-1:]
    chunks = [chat_chunk({"role": "assistant", "content": ""}), *(chat_chunk({"content": piece}) for piece in pieces)]
    recorded = Recorded.from_events(*chunks, chat_chunk({}, "stop"), usage_chunk())
    for event in recorded.body.split(b"\n\n")[:-1]:
        await asyncio.sleep(0)
        yield event + b"\n\n"
