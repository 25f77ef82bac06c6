"""The hooks that an exchange passes, one test each, through a whole gateway."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from core.tests.asking import CANNED, CHAT, JSON, Keeping, Noting, ask, said

from headgate import (
    Blocked,
    Call,
    Exchange,
    Hooks,
    Principal,
    RateLimited,
    Reply,
    Target,
    Unauthenticated,
    Window,
    hookimpl,
    override,
)
from headgate.hooks import STAGES
from headgate.testing import chat_request, gateway, hostile, samples

# auth


async def test_hook_authenticate() -> None:
    """The first plugin that knows the caller wins, before the body is read; a wrong credential is refused."""
    bodies: list[bytes] = []

    class Words(Hooks):
        def __init__(self, word: str) -> None:
            self.word = word

        @override
        @hookimpl
        async def authenticate(self, ex: Exchange) -> Principal | None:
            bodies.append(ex.body)
            if ex.header("x-word") == "wrong":
                raise Unauthenticated("that is not the word")
            return Principal(self.word) if ex.header("x-word") == self.word else None

    noting = Noting()
    async with gateway(Words("one"), Words("two"), noting, **CANNED) as client:
        body = chat_request(model="m")
        replies = [await client.post(CHAT, json=body, headers={"x-word": word}) for word in ("two", "wrong", "")]
    assert [reply.status_code for reply in replies] == [200, 401, 401]
    assert [reply.json()["error"]["code"] for reply in replies[1:]] == ["invalid_api_key", "missing_api_key"]
    assert [ex.principal and ex.principal.key for ex in noting.recorded] == ["two", None, None]
    assert set(bodies) == {b""}


async def test_hook_admit() -> None:
    """A known caller can still be refused, with the body at hand."""

    class Short(Hooks):
        @override
        @hookimpl
        async def admit(self, ex: Exchange) -> None:
            if len(ex.body) > 200:
                raise RateLimited(f"`{ex.model}` is busy", retry_after_s=2.5)

    async with gateway(Short(), **CANNED) as client:
        admitted, refused = await ask(client, "a"), await ask(client, "a" * 200)
    assert (admitted.status_code, refused.status_code, refused.headers["retry-after"]) == (200, 429, "3")
    assert refused.json()["error"]["message"] == "`m` is busy"


# cache


async def test_hook_lookup() -> None:
    """A stored reply ends the exchange: nothing is routed or called, and the reply says where it is from."""
    held = Reply(200, JSON, samples.REPLY.body)
    noting = Noting()
    async with gateway(Keeping(held), noting, **CANNED) as client:
        reply = await ask(client)
    assert (reply.content, reply.headers["x-headgate-cache-status"]) == (samples.REPLY.body, "HIT")
    assert (noting.recorded[0].attempts, noting.recorded[0].target) == ([], None)


async def test_hook_store() -> None:
    """A good reply is handed over whole, a stream too; what failed or came from a cache is not."""
    keeping = Keeping()
    async with gateway(keeping, hostile("raises", "guard_reply"), **CANNED) as client:
        assert (await ask(client)).status_code == 503
        assert keeping.stored == []
    async with gateway(keeping, **CANNED) as client:
        replies = [await ask(client), await ask(client, stream=True)]
        assert keeping.stored == [reply.content for reply in replies]
        keeping.held = Reply(200, JSON, b"{}")
        await ask(client)
        assert len(keeping.stored) == 2


# route


async def test_hook_route() -> None:
    """A plugin may send a request anywhere; where it has no opinion the core resolves the model."""

    class Detour(Hooks):
        @override
        @hookimpl
        async def route(self, ex: Exchange) -> Target | None:
            return Target(path="detour", deployment="canned", model="x") if ex.model == "anything" else None

    async with gateway(Detour(), **CANNED) as client:
        paths = [
            (await ask(client, model=model)).headers["x-headgate-last-used-option-index"] for model in ("anything", "m")
        ]
        unknown = await ask(client, model="nothing")
    assert paths == ["detour", "config"]
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")


# guardrail


class Masking(Hooks):
    """Replaces one word in requests, replies and streams."""

    hold_chars = 10

    def __init__(self, word: str, mask: str) -> None:
        self.word = word
        self.mask = mask

    def masked(self, text: str) -> str:
        return text.replace(self.word, self.mask)


async def test_hook_guard_request() -> None:
    """Text is changed on its way to the provider, for each attempt, or the request is refused."""

    class Out(Masking):
        @override
        @hookimpl
        async def guard_request(self, ex: Exchange) -> None:
            assert ex.attempt is not None
            if any("forbidden" in place.text for place in ex.texts()):
                raise Blocked("`forbidden` is forbidden")
            ex.replace_texts([(place, self.masked(place.text)) for place in ex.texts()])

    async with gateway(Out("Jane", "NAME"), **CANNED) as client:
        masked, refused = await ask(client, "I am Jane"), await ask(client, "forbidden")
    assert said(masked) == "I am NAME"
    assert (refused.status_code, refused.json()["error"]["type"]) == (446, "hooks_failed")


async def test_hook_guard_chunk() -> None:
    """A running stream is changed across its pieces, the last plugin first, or cut with an error event."""

    class In(Masking):
        @override
        @hookimpl
        async def guard_chunk(self, ex: Exchange, window: Window) -> str | None:
            if "forbidden" in window.text:
                raise Blocked("`forbidden` is forbidden")
            return self.masked(window.text)

    async with gateway(In("2", "3"), In("1", "2"), **CANNED) as client:
        changed = await ask(client, "1 and 2 and no more", stream=True)
        cut = await ask(client, "it is forbidden to say so", stream=True)
    assert said(changed) == "3 and 3 and no more"
    assert changed.content.endswith(b"data: [DONE]\n\n")
    assert cut.status_code == 200
    assert b'"code":"guardrail_blocked"' in cut.content.split(b"\n\n")[-2]
    assert "forbidden" not in said(cut)


async def test_hook_guard_reply() -> None:
    """A whole reply is changed, the last plugin first; a stream is held until it can be judged whole."""

    class In(Masking):
        @override
        @hookimpl
        async def guard_reply(self, ex: Exchange) -> None:
            ex.replace_reply_texts([(place, self.masked(place.text)) for place in ex.reply_texts()])

    async with gateway(In("2", "3"), In("1", "2"), **CANNED) as client:
        replies = [await ask(client, "1 and 2", stream=stream) for stream in (False, True)]
    assert [said(reply) for reply in replies] == ["3 and 3", "3 and 3"]


# call


async def test_hook_wrap_call() -> None:
    """A wrapper made at start-up sees every attempt, may call again, and answers in the provider's place."""

    class Twice(Hooks):
        calls: ClassVar[list[str]] = []
        wraps = 0

        @override
        @hookimpl
        def wrap_call(self, call: Call) -> Call:
            self.wraps += 1

            async def wrapped(ex: Exchange) -> Reply:
                self.calls.append(ex.model)
                await call(ex)
                reply = await call(ex)
                return Reply(203, reply.headers, reply.body)

            return wrapped

    twice = Twice()
    async with gateway(twice, **CANNED) as client:
        statuses = [(await ask(client)).status_code for _ in range(2)]
    assert (statuses, twice.calls, twice.wraps) == ([203, 203], ["m", "m"], 1)


# log


async def test_hook_settle() -> None:
    """Whoever was let in is settled, however it ended; whoever was not, is not."""
    noting = Noting()
    async with gateway(noting, hostile("raises", "route"), **CANNED) as client:
        await ask(client)
    assert [ex.outcome for ex in noting.settled] == ["error"]
    async with gateway(noting, config={"auth": {"mode": "passthrough"}}, **CANNED) as client:
        await ask(client)
    assert len(noting.settled) == 1


async def test_hook_record() -> None:
    """Every exchange is recorded with what came of it, refused ones and streams included."""
    noting = Noting()
    async with gateway(noting, **CANNED) as client:
        await ask(client)
        await ask(client, stream=True)
        await ask(client, model="nothing")
        await client.post(CHAT, content=b"no json")
    assert [ex.outcome for ex in noting.recorded] == ["complete", "complete", "error", "error"]
    assert [ex.error and ex.error.error_code for ex in noting.recorded[2:]] == ["model_not_found", "invalid_json"]
    assert [ex.reply and ex.reply.usage and ex.reply.usage.total for ex in noting.recorded[:2]] == [12, 12]


def test_every_hook_has_a_test() -> None:
    """No hook is without a test of its own, and no test is of a hook that is gone."""
    text = "".join(
        (Path(__file__).parent / file).read_text("utf-8") for file in ("test_hooks_startup.py", "test_hooks.py")
    )
    assert re.findall(r"^(?:async )?def test_hook_(\w+)\(", text, re.MULTILINE) == list(STAGES)
