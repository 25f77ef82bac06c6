"""Guardrails on a stream: held until judged, judged as the whole would be, and not a byte changed that need not be."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from headgate.dialects import Dialect, OpenAIChat, OpenAICompletions
from headgate.dialects.sse import DONE, data_event, data_of, events_of
from headgate.errors import Blocked, HookFailed, ProviderFailed
from headgate.exchange import Exchange, Reply
from headgate.guarding import StreamGuard
from headgate.hooks import Hooks, Window, hookimpl
from headgate.operations import CHAT, COMPLETIONS
from headgate.plan import Plan, Plugin, Registry, compile_plan

SECRET = "project-x"
Judge = Callable[[Exchange, Window], Awaitable[str | None]]
brief = settings(max_examples=60, deadline=None)


class Chunked(Hooks):
    """Asks `judge` about every window, and notes them."""

    def __init__(self, judge: Judge, hold: int = 0, on_error: Literal["deny", "allow"] = "deny") -> None:
        self._judge = judge
        self.hold_chars = hold
        self.on_error = on_error
        self.windows: list[Window] = []

    @override
    @hookimpl
    async def guard_chunk(self, ex: Exchange, window: Window) -> str | None:
        self.windows.append(window)
        return await self._judge(ex, window)


class Whole(Hooks):
    """Judges whole replies alone, so that every stream is held for it."""

    def __init__(self, judge: Callable[[str], str | None]) -> None:
        self._judge = judge
        self.seen: list[str] = []

    @override
    @hookimpl
    async def guard_reply(self, ex: Exchange) -> None:
        changes = [(place, self._judge(place.text)) for place in ex.reply_texts()]
        self.seen += [place.text for place, _ in changes]
        ex.replace_reply_texts([(place, text) for place, text in changes if text is not None])


async def passing(_: Exchange, __: Window) -> str | None:
    return None


async def blocking(_: Exchange, window: Window) -> str | None:
    """Refuses the secret, wherever it stands in what is known of the channel."""
    if SECRET in window.before + window.text:
        raise Blocked("it holds a secret")
    return None


def replacing(old: str, new: str) -> Judge:
    async def judge(_: Exchange, window: Window) -> str | None:
        return window.text.replace(old, new) if old in window.text else None

    return judge


def plan_of(*plugins: Hooks) -> Plan:
    return compile_plan([Plugin(f"p{at}", plugin) for at, plugin in enumerate(plugins)], Registry(), {}, {})


def chunk(text: str, index: int = 0, **delta: Any) -> bytes:
    choice = {"index": index, "delta": {"content": text, **delta}, "finish_reason": None}
    return b"data: " + json.dumps({"id": "x", "n": 1.0, "choices": [choice]}, ensure_ascii=False).encode() + b"\n\n"


def tool(arguments: str, call: int = 0) -> bytes:
    delta = {"tool_calls": [{"index": call, "function": {"arguments": arguments}}]}
    return data_event(json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode())


FINISH = data_event(b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')


async def given_out(
    plugins: Sequence[Hooks], slices: Sequence[bytes], dialect: Dialect | None = None
) -> AsyncIterator[bytes]:
    async def chunks() -> AsyncIterator[bytes]:
        for piece in slices:
            yield piece

    held = dialect or OpenAIChat()
    ex = Exchange(CHAT if held.operation == "chat" else COMPLETIONS, {}, request_id="r", trace_id="t", dialect=held)
    ex.reply = Reply(200, chunks=chunks())
    async for piece in StreamGuard(plan_of(*plugins), ex, held).run(chunks()):
        yield piece
    assert ex.reply.chunks is not None


async def guarded(plugins: Sequence[Hooks], slices: Sequence[bytes], dialect: Dialect | None = None) -> bytes:
    return b"".join([piece async for piece in given_out(plugins, slices, dialect)])


async def until_blocked(plugins: Sequence[Hooks], slices: Sequence[bytes]) -> tuple[bytes, Exception | None]:
    out: list[bytes] = []
    try:
        async for piece in given_out(plugins, slices):
            out.append(piece)  # noqa: PERF401 - what came before the error counts
    except (Blocked, HookFailed) as error:
        return b"".join(out), error
    return b"".join(out), None


def texts(stream: bytes, dialect: Dialect | None = None) -> dict[str, str]:
    """What a client reads, by channel."""
    found: dict[str, str] = {}
    for event in events_of(stream):
        data = data_of(event)
        if data and data != b"[DONE]":
            for place in (dialect or OpenAIChat()).event_texts(json.loads(data)):
                found[place.channel] = found.get(place.channel, "") + place.text
    return found


def cut(text: str, sizes: Sequence[int]) -> list[str]:
    pieces: list[str] = []
    for size in sizes:
        pieces.append(text[:size])
        text = text[size:]
    return [*pieces, text]


STREAM = (b": hello\n\n", chunk("Hel"), chunk("lo é\u2028"), tool('{"a":'), tool("1}"), FINISH, DONE)

# bytes


@pytest.mark.parametrize("hold", [0, 1, 3, 100])
@pytest.mark.parametrize("together", [True, False])
async def test_a_stream_that_passes_keeps_every_byte(hold: int, together: bool) -> None:
    """Judged and let pass, the stream is the provider's, comments, spacing and number forms included."""
    slices = [b"".join(STREAM)] if together else STREAM
    assert await guarded([Chunked(passing, hold)], slices) == b"".join(STREAM)


@pytest.mark.parametrize(
    "stream",
    [
        b"data: {}\n\n\ndata: {}\n\n",
        b"\n\ndata: {}\n\n",
        b"data: {}\r\n\r\ndata: [DONE]\r\n\r\n",
        b"event: e\nid: 4\ndata: {}\n\n",
        b"data: {}\n\ndata: [DONE]",
        b": a\n\n: b\n\n",
        b"retry: 3\n\n",
    ],
)
async def test_odd_framing_is_kept(stream: bytes) -> None:
    """Blank lines, CRLF, other fields and a missing end come out as they went in."""
    assert await guarded([Chunked(passing)], [stream]) == stream
    assert await guarded([Whole(lambda _: None)], [stream]) == stream


async def test_only_what_is_replaced_changes() -> None:
    """Of an event whose text is replaced the other members stay; other events keep their bytes."""
    slices = [chunk("my name"), chunk("is Bond", logprobs=None), FINISH, DONE]
    out = events_of(await guarded([Chunked(replacing("Bond", "***"))], slices))
    assert out[0] == slices[0]
    assert out[2:] == slices[2:]
    before, after = (json.loads(data_of(event)) for event in (slices[1], out[1]))
    assert after["choices"][0]["delta"].pop("content") == "is ***"
    before["choices"][0]["delta"].pop("content")
    assert list(after) == list(before)
    assert after == before


async def test_an_event_keeps_its_fields_when_its_text_is_replaced() -> None:
    """`event:` and `id:` lines belong to the event, whatever becomes of its data."""
    event = b"event: delta\nid: 7\n" + chunk("Bond")
    out = await guarded([Chunked(replacing("Bond", "***"))], [event])
    assert out.startswith(b"event: delta\nid: 7\ndata: ")
    assert texts(out) == {"0.content": "***"}


# holding


@pytest.mark.parametrize("hold", [0, 1, 4, 9])
async def test_what_is_held_back_is_just_enough(hold: int) -> None:
    """An event goes out once `hold` characters of its channel stand behind it, not later and not earlier."""
    slices = [chunk(letter) for letter in "abcdefghijkl"]
    guard = Chunked(passing, hold)
    sent = [len(guard.windows) async for _ in given_out([guard], slices)]
    assert sent[:-1] == list(range(hold + 1, 13))[: len(sent) - 1]
    assert all(len(window.text) <= hold + 1 for window in guard.windows)


async def test_a_window_says_what_was_sent_before() -> None:
    """`before` and `text` join to the end of the channel; `before` is at most `hold` characters."""
    guard = Chunked(passing, 3)
    await guarded([guard], [chunk(letter) for letter in "abcdefgh"])
    assert [(window.before, window.text, window.is_last) for window in guard.windows] == [
        ("", "a", False),
        ("", "ab", False),
        ("", "abc", False),
        ("", "abcd", False),
        ("a", "bcde", False),
        ("ab", "cdef", False),
        ("abc", "defg", False),
        ("bcd", "efgh", False),
        ("cde", "fgh", True),
    ]


async def test_channels_are_judged_apart() -> None:
    """Choices, tool calls and reasoning do not mix, and each ends with a last window."""
    guard = Chunked(passing, 2)
    slices = [chunk("ab"), chunk("xy", 1), tool("{"), tool("[", 1), chunk("cd"), tool("}"), chunk("", reasoning="hm")]
    await guarded([guard], slices)
    last = {window.channel: window.before + window.text for window in guard.windows if window.is_last}
    assert last == {
        "0.content": "abcd",
        "1.content": "xy",
        "0.tool.0.arguments": "{}",
        "0.tool.1.arguments": "[",
        "0.reasoning": "hm",
    }


@brief
@given(st.integers(0, 12), st.lists(st.integers(0, 6), max_size=12), st.booleans())
async def test_a_blocked_text_is_never_sent(hold: int, sizes: list[int], together: bool) -> None:
    """However the text is cut, with enough held back the verdict is that of the whole, and no letter of it gets out."""
    text = f"tell me about {SECRET} and more"
    events = [chunk(piece) for piece in cut(text, sizes)] + [FINISH, DONE]
    slices = [b"".join(events)] if together else events
    out, error = await until_blocked([Chunked(blocking, len(SECRET) + hold)], slices)
    assert isinstance(error, Blocked)
    sent = texts(out).get("0.content", "")
    assert text.startswith(sent)
    assert len(sent) <= text.index(SECRET)
    assert DONE not in out


@brief
@given(st.lists(st.integers(0, 6), max_size=12), st.sampled_from(["", "y", "a much longer text", SECRET[:4]]))
async def test_a_replacement_reads_as_if_made_on_the_whole(sizes: list[int], new: str) -> None:
    """However the text is cut, with enough held back the client reads what replacing in the whole text gives."""
    text = f"tell {SECRET} and {SECRET}{SECRET} again"
    slices = [chunk(piece) for piece in cut(text, sizes)] + [FINISH, DONE]
    out = await guarded([Chunked(replacing(SECRET, new), len(SECRET))], slices)
    assert texts(out) == {"0.content": text.replace(SECRET, new)}
    assert out.endswith(FINISH + DONE)


@brief
@given(st.lists(st.integers(1, 6), max_size=12), st.integers(0, 20), st.data())
async def test_any_replacement_is_what_the_client_reads(sizes: list[int], hold: int, data: st.DataObject) -> None:
    """Whatever a guard answers with is what is sent, no more and no less."""
    text = "the quick brown fox jumps"
    expected = ""
    pending = ""

    async def judge(_: Exchange, window: Window) -> str | None:
        nonlocal pending
        if not window.text:
            return None
        pending = data.draw(
            st.sampled_from([window.text, window.text.upper(), window.text[::-1], f"{window.text}!", "x"])
        )
        return pending

    guard = Chunked(judge, hold)
    slices = [chunk(piece) for piece in cut(text, sizes)]
    out: list[bytes] = []
    async for piece in given_out([guard], slices):
        got = texts(piece).get("0.content", "")
        assert pending.startswith(got)
        pending = pending[len(got) :]
        expected += got
        out.append(piece)
    assert pending == ""
    assert texts(b"".join(out)).get("0.content", "") == expected


@pytest.mark.parametrize("between", [tool("{}"), chunk("", reasoning="hm"), chunk("", refusal="no"), chunk("b", 1)])
async def test_a_text_interrupted_by_another_channel_is_judged_as_one(between: bytes) -> None:
    """A model that speaks in two channels in turn does not get half a secret out between them."""
    half, rest = SECRET[:5], SECRET[5:]
    slices = [chunk(half), between, chunk(rest), FINISH, DONE]
    out, error = await until_blocked([Chunked(blocking, len(SECRET))], slices)
    assert isinstance(error, Blocked)
    assert "0.content" not in texts(out)
    out = await guarded([Chunked(replacing(SECRET, "***"), len(SECRET))], slices)
    assert texts(out)["0.content"] == "***"


@pytest.mark.parametrize("hold", [0, 2, 50])
async def test_text_may_be_added_at_the_end(hold: int) -> None:
    """A guard that answers with the window and something behind it gets both sent."""

    async def judge(_: Exchange, window: Window) -> str | None:
        return f"{window.text}!" if window.text.endswith("o") else None

    out = await guarded([Chunked(judge, hold)], [chunk("Hel"), chunk("lo"), FINISH, DONE])
    assert texts(out)["0.content"] == "Hello!"


async def test_several_guards_see_each_others_words() -> None:
    """In reverse order of plugins, each judges what the one after it made of the text."""
    first, second = Chunked(replacing("b", "c"), 9), Chunked(replacing("a", "b"), 9)
    assert texts(await guarded([first, second], [chunk("a")])) == {"0.content": "c"}
    assert second.windows[0].text == "a"
    assert first.windows[0].text == "b"


class Settling(Chunked):
    """Needs only what comes after the last space, as a guard of words would."""

    @override
    def holds(self, text: str) -> int:
        return len(text) - text.rfind(" ") - 1


PIECES = st.lists(
    st.sampled_from([" ", "ab ", "ab", f"{SECRET} ", "a b", "", "{", "}", "\u00e9 "]).map(chunk)
    | st.sampled_from([chunk("x ", 1), tool("a "), tool("a"), chunk("", reasoning="hm "), FINISH, b": hi\n\n", DONE]),
    max_size=12,
)


@brief
@given(PIECES, st.integers(0, 12), st.sampled_from([passing, replacing(SECRET, ""), replacing("ab", "abc "), blocking]))
async def test_the_short_way_is_the_long_way(slices: list[bytes], hold: int, judge: Judge) -> None:
    """Events that stand alone in plain framing are judged, sent and changed as those that take the general way."""
    outcomes: list[Any] = []
    for prefix in (b"", b"id: 1\n"):
        guard = Settling(judge, hold)
        out, error = await until_blocked([guard], [prefix + piece for piece in slices])
        outcomes.append((out.replace(b"id: 1\n", b""), type(error), guard.windows))
    assert outcomes[0] == outcomes[1]


async def test_an_empty_text_is_sent_from_behind_held_ones() -> None:
    """An event with an empty text of a channel that never spoke waits in its turn, and only that."""
    slices = [chunk("a"), chunk("", 1), chunk("b "), chunk("c"), FINISH, DONE]
    assert await guarded([Settling(passing, 2)], slices) == b"".join(slices)


async def test_what_is_held_is_counted_anew() -> None:
    """Many events that each had to wait for a moment do not add up to a stream that is too large."""
    slices = [chunk(piece) for _ in range(20) for piece in ("a", " ", "b ", "c ")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headgate.guarding.MAX_HELD_BYTES", 4 * len(slices[0]))
        assert await guarded([Settling(passing, 4)], slices) == b"".join(slices)


# failing guards


@pytest.mark.parametrize("answer", [5, b"x", True, ["x"]])
async def test_a_wrong_answer_follows_the_guards_rule(answer: Any) -> None:
    """Anything but text or None is a failure: denied, or logged and let pass, as the guard declares."""

    async def judge(_: Exchange, __: Window) -> Any:
        return answer

    _, error = await until_blocked([Chunked(judge)], STREAM)
    assert isinstance(error, HookFailed)
    assert await guarded([Chunked(judge, 0, "allow")], STREAM) == b"".join(STREAM)


async def test_a_guard_that_raises_follows_its_rule() -> None:
    """As above, for an exception of its own; Blocked is always obeyed."""

    async def judge(_: Exchange, __: Window) -> str | None:
        raise RuntimeError("broken")

    assert isinstance((await until_blocked([Chunked(judge)], STREAM))[1], HookFailed)
    assert await guarded([Chunked(judge, 0, "allow")], STREAM) == b"".join(STREAM)
    out, error = await until_blocked([Chunked(blocking, 9, "allow")], [chunk(SECRET)])
    assert (out, type(error)) == (b"", Blocked)


@pytest.mark.parametrize("event", [b"data: {\n\n", b"data: [1]\n\n", b"data: x\n\n"])
async def test_what_cannot_be_read_is_not_let_through(event: bytes) -> None:
    """An event a guard cannot see into is the provider's failure."""
    with pytest.raises(ProviderFailed):
        await guarded([Chunked(passing)], [chunk("a"), event])


async def test_a_stream_too_large_to_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held is bounded; the bound is made small here."""
    monkeypatch.setattr("headgate.guarding.MAX_HELD_BYTES", 1000)
    with pytest.raises(ProviderFailed, match="too large"):
        await guarded([Chunked(passing, 10_000)], [chunk("a" * 100) for _ in range(20)])
    assert await guarded([Chunked(passing)], [chunk("a" * 100) for _ in range(20)])


async def test_a_broken_stream_gives_out_nothing_unjudged() -> None:
    """When the provider breaks off, what was held for a last judgement is not sent."""

    async def chunks() -> AsyncIterator[bytes]:
        yield chunk("ab")
        yield chunk("cd")
        raise ProviderFailed("cut", code="upstream_cut")

    ex = Exchange(CHAT, {}, request_id="r", trace_id="t", dialect=OpenAIChat())
    running = StreamGuard(plan_of(Chunked(passing, 3)), ex, OpenAIChat()).run(chunks())
    with pytest.raises(ProviderFailed):
        await anext(running)


# whole replies


async def test_a_guard_of_whole_replies_holds_everything() -> None:
    """Nothing is sent before its verdict, and it sees each channel whole."""
    guard = Whole(lambda _: None)
    out = [piece async for piece in given_out([guard], STREAM)]
    assert out == [b"".join(STREAM)]
    assert sorted(guard.seen) == ["Hello é\u2028", '{"a":1}']


async def test_a_guard_of_whole_replies_blocks_all_of_it() -> None:
    """Refused, nothing at all was sent."""

    class Blocking(Hooks):
        @override
        @hookimpl
        async def guard_reply(self, ex: Exchange) -> None:
            if any(SECRET in place.text for place in ex.reply_texts()):
                raise Blocked("no")

    out, error = await until_blocked([Blocking()], [chunk(letter) for letter in SECRET])
    assert (out, type(error)) == (b"", Blocked)


@brief
@given(st.lists(st.integers(0, 6), max_size=12), st.sampled_from(["", "y", "a much longer text", f"{SECRET}!"]))
async def test_a_guard_of_whole_replies_replaces(sizes: list[int], new: str) -> None:
    """What it makes of the whole text is what the client reads."""
    text = f"tell {SECRET} and {SECRET}"
    slices = [*(chunk(piece) for piece in cut(text, sizes)), tool("{}"), FINISH, DONE]
    out = await guarded([Whole(lambda held: held.replace(SECRET, new))], slices)
    assert texts(out) == {"0.content": text.replace(SECRET, new), "0.tool.0.arguments": "{}"}


async def test_guards_of_both_kinds_work_together() -> None:
    """One that judges pieces and one that needs the whole: both are asked, and the reply is put back."""
    pieces, whole = Chunked(replacing("a", "b"), 4), Whole(lambda text: text.replace("b", "c"))
    assert texts(await guarded([pieces, whole], [chunk("a"), chunk("a")])) == {"0.content": "cc"}
    assert whole.seen == ["bb"]


async def test_completions_are_guarded_as_chats_are() -> None:
    """The legacy dialect's texts are judged, whole and in pieces."""
    dialect = OpenAICompletions()
    events = [data_event(json.dumps({"choices": [{"text": text, "index": 0}]}).encode()) for text in ("ab", "ac")]
    for plugin in (Chunked(replacing("a", "z"), 5), Whole(lambda text: text.replace("a", "z"))):
        out = await guarded([plugin], events, dialect)
        assert texts(out, dialect) == {"0.text": "zbzc"}
