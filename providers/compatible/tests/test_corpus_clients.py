"""What real vendors answered means the same to clients of every other dialect."""

from __future__ import annotations

import json
from typing import Any, cast

import msgspec
import pytest
from providers.compatible.tests.calls import BY_NAME, DIALECTS, body_of, exchange
from providers.compatible.tests.recordings import NEEDED, Record, answer_of, deploy_recorded, records

from headgate.chat import ChatReply, Reasoning, ToolCall, collect
from headgate.dialects import ChatDialect
from headgate.testing import ReplayUpstream

VENDORS = {"groq": 18, "mistral": 33, "deepseek": 11, "xai": 4, "openrouter": 8, "perplexity": 4, "together": 9}
"""How many recorded chat exchanges each vendor has."""
NEUTRAL: dict[str, Record] = {
    "messages": {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "hello"}]},
    "responses": {"model": "m", "input": "hello"},
    "generate": {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]},
}

pytestmark = NEEDED


def decoded(dialect: ChatDialect, body: bytes, *, stream: bool, size: int = 0) -> ChatReply:
    """A whole reply, or a stream put together; `size` is that of the pieces it comes in."""
    if not stream:
        return dialect.decode_reply(body)
    framer, decoder = dialect.framer(), dialect.stream_decoder()
    pieces = [body[at : at + size] for at in range(0, len(body), size)] if size else [body]
    frames = [frame for piece in pieces for frame in framer.feed(piece)] + list(framer.end())
    return collect([event for frame in frames for event in decoder.feed(frame)] + list(decoder.end()))


def meaning(reply: ChatReply) -> Any:
    """What every client must get: text, thinking, calls, why it ended, and what it used."""
    choice = reply.choices[0]
    parts = choice.message.parts
    calls = [(part.name, json.loads(part.arguments or "{}")) for part in parts if isinstance(part, ToolCall)]
    thought = "".join(part.text for part in parts if isinstance(part, Reasoning))
    usage = reply.usage and (reply.usage.prompt, reply.usage.completion, reply.usage.cached)
    return choice.message.text, thought, calls, choice.finish, usage


def in_chat(record: Record) -> bytes:
    return cast("bytes", record["resp_text"].encode())


@pytest.mark.parametrize("vendor", VENDORS)
async def test_recorded_answers_decode(vendor: str) -> None:
    """Every recorded answer decodes, in pieces of any size to the same, and its usage adds up."""
    chat = cast("ChatDialect", DIALECTS["openai.chat"])
    count = 0
    for record in records(vendor, "chat"):
        count += 1
        if record["status"] != 200:
            words = chat.decode_error(record["status"], in_chat(record))
            assert (words.status, bool(words.message)) == (record["status"], True)
            continue
        stream = bool(record["stream"])
        whole = decoded(chat, in_chat(record), stream=stream)
        assert whole.choices
        for size in (1, 7, 64) if stream else ():
            assert decoded(chat, in_chat(record), stream=True, size=size) == whole
        if whole.usage is not None:
            assert whole.usage.reasoning <= whole.usage.completion
            assert whole.usage.cached + whole.usage.cache_write <= whole.usage.prompt
            assert (whole.usage.raw or {}).get("total_tokens") == whole.usage.total
    assert count == VENDORS[vendor]


@pytest.mark.parametrize("client", NEUTRAL)
@pytest.mark.parametrize("vendor", VENDORS)
async def test_recorded_answers_reach_other_clients(vendor: str, client: str) -> None:
    """A client of another dialect gets what the vendor said; an error keeps its status."""
    chat = cast("ChatDialect", DIALECTS["openai.chat"])
    own = cast("ChatDialect", DIALECTS[BY_NAME[client].dialect])
    count = 0
    for record in records(vendor, "chat"):
        count += 1
        stream = bool(record["stream"])
        asked = {**NEUTRAL[client], **({"stream": True} if stream and client != "generate" else {})}
        provider = deploy_recorded(vendor, ReplayUpstream({"*": answer_of(record, count)}))
        ex = exchange(provider, msgspec.json.encode(asked), client, asked="chat")
        ex.stream = stream
        reply = await provider.call(ex)
        body = await body_of(reply)
        assert reply.status == record["status"]
        if reply.is_ok:
            assert reply.usage == decoded(chat, in_chat(record), stream=stream).usage
            said = meaning(decoded(chat, in_chat(record), stream=stream))
            got = meaning(decoded(own, body, stream=stream))
            stated = [at for at, value in enumerate(said) if value is not None]  # one answer did not say why it ended
            assert [got[at] for at in stated] == [said[at] for at in stated], record["id"]
    print(f"{vendor} for {client}: {count} answers")
