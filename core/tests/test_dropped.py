"""`x-headgate-dropped`: what was left out is told in a header that proxies and clients take."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.testing import Recorded, ReplayUpstream, gateway, samples

USER: dict[str, Any] = {"role": "user", "content": "hi"}
LEFT = {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]}
SAID = {"role": "assistant", "content": "so"}


async def dropped(**body: Any) -> str:
    """The header's value, for a request that goes to OpenAI."""
    upstream = ReplayUpstream({"*": Recorded.from_json(samples.chat_reply({"content": "x"}))})
    providers = {"openai": {"provider": "openai", "api_key": "sk-x", "unsupported": "drop"}}
    async with gateway(providers=providers, upstream=upstream) as client:
        reply = await client.post("/v1/messages", json={"model": "openai/m", "max_tokens": 9, **body})
        assert reply.status_code == 200, reply.content
        return reply.headers["x-headgate-dropped"]


async def test_few_names_stand_in_full() -> None:
    """Each with its place."""
    assert await dropped(messages=[LEFT, SAID, LEFT], top_k=3) == (
        "top_k, messages[0].content[0].cache_control, messages[2].content[0].cache_control"
    )


async def test_long_conversations_name_each_kind_once() -> None:
    """A head stays within what a proxy in front takes, 4 KiB by nginx' default, however many turns there are."""
    assert await dropped(messages=[LEFT, SAID] * 400 + [USER], top_k=3) == "top_k, messages[*].content[*].cache_control"


async def test_what_is_still_too_much_is_counted() -> None:
    """Names of a client's own making have no end."""
    value = await dropped(messages=[USER], **{f"member_{number:04}": 1 for number in range(2_000)})
    assert value.startswith("member_0000, member_0001, ")
    assert value.endswith(f", and {2_000 - value.count('member')} more")
    assert 1_000 < len(value) < 1_100
    assert await dropped(messages=[USER], **{"x" * 5_000: 1}) == "and 1 more"


@pytest.mark.parametrize("name", ["a\r\nset-cookie: b", "a\x00b", "a\x7fb", "a\u2028b"])
async def test_names_cannot_break_the_head(name: str) -> None:
    """What a header cannot hold is shown as a question mark, and the header is there all the same."""
    value = await dropped(messages=[USER], **{name: 1})
    assert value.isprintable()
    assert value.startswith("a?")
