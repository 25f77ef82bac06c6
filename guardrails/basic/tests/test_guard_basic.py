"""The plugin: what it reads, what it refuses, what it changes, and that a stream is judged as a whole reply is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from headgate.builtin import Core
from headgate.context import Context
from headgate.dialects import Dialect, OpenAIChat, OpenAICompletions, OpenAIEmbeddings
from headgate.dialects.sse import DONE, data_event, data_of, events_of
from headgate.errors import Blocked, HookFailed, InvalidRequest, RequestError, StartupError
from headgate.exchange import Exchange, Reply
from headgate.folds import every
from headgate.guarding import StreamGuard
from headgate.hooks import Check, CheckFactory, Hooks, Verdict, hookimpl
from headgate.operations import CHAT, COMPLETIONS, EMBEDDINGS, OPERATIONS, PASSTHROUGH, Operation
from headgate.plan import Plan, Plugin, collect, compile_plan, narrowed
from headgate.routing import Known
from headgate.upstream import Upstream, UpstreamRequest, UpstreamResponse
from headgate_guard_basic import CheckConfig, GuardBasic, GuardBasicConfig
from headgate_guard_basic.text import hides

On = Literal["request", "reply"]
DIALECTS: Mapping[str, Dialect] = {
    "chat": OpenAIChat(),
    "completions": OpenAICompletions(),
    "embeddings": OpenAIEmbeddings(),
}


class NoUpstream:
    """An upstream nobody may call."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        raise AssertionError(f"nothing may be sent, and {request.url} was")

    async def close(self) -> None:
        """Nothing is open."""


class Shouting:
    """A check of another package: shouts in capitals, fails on `bad`, says `error` on `ill` and breaks on `broken`."""

    def __init__(self, hold_chars: int) -> None:
        self.hold_chars = hold_chars

    async def judge(self, text: str) -> Verdict:
        if "broken" in text:
            raise ConnectionError("the service is away")
        if "ill" in text:
            return Verdict("error", "the service is ill")
        if "bad" in text:
            return Verdict("fail", data={"quoted": text})
        return Verdict("transformed", text=text.upper())


class Others(Hooks):
    """Another guardrail package."""

    @override
    @hookimpl
    def checks(self) -> Mapping[str, CheckFactory]:
        def shout(parameters: Mapping[str, Any]) -> Check:
            return Shouting(parameters.get("hold", 10))

        return {"others.shout": shout}


def plan_of(*checks: CheckConfig, passthrough: Literal["refuse", "allow"] = "refuse") -> Plan:
    """A plan with the plugin configured as the gateway does it."""
    guard = GuardBasic(GuardBasicConfig(list(checks), passthrough))
    plugins = [Plugin("guard-basic", guard), Plugin("others", Others()), Plugin("core", Core())]
    registry = collect(plugins)
    upstream: Upstream = NoUpstream()
    ctx = Context(upstream, Path(), "")
    ctx.known = Known((), {}, checks=registry.checks)
    guard.configure(ctx)
    return compile_plan(plugins, registry, {}, {})


def forbid(*words: str, on: Sequence[On] = ("request", "reply"), **settings: Any) -> CheckConfig:
    parameters = {"words": list(words), "operator": "none", **settings.pop("parameters", {})}
    return CheckConfig("contains", list(on), parameters, **settings)


def rule(text: str, on: Sequence[On] = ("request", "reply"), **parameters: Any) -> CheckConfig:
    return CheckConfig("regexMatch", list(on), {"rule": text, **parameters})


def not_matching(text: str) -> CheckConfig:
    return CheckConfig("regexMatch", ["request", "reply"], {"rule": text, "not": True})


def exchange(body: Any, operation: Operation = CHAT) -> Exchange:
    ex = Exchange(operation, {}, request_id="r", trace_id="t", dialect=DIALECTS.get(operation.name))
    ex.body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ex


def said(content: Any, role: str = "user", **members: Any) -> Exchange:
    return exchange({"messages": [{"role": role, "content": content, **members}]})


async def ask(plan: Plan, ex: Exchange) -> Exchange:
    await every(plan.guard_request, ex)
    return ex


async def whole(plan: Plan, message: Mapping[str, Any]) -> str:
    """Guard a whole reply; the content that is left of it."""
    ex = exchange({})
    ex.reply = Reply(200, body=json.dumps({"choices": [{"index": 0, "message": dict(message)}]}).encode())
    await every(plan.guard_reply, ex)
    return json.loads(ex.reply.body)["choices"][0]["message"]["content"]


class Streamed:
    """A stream that went through the guard: what came out of it before it ended or was cut by `error`."""

    def __init__(self) -> None:
        self.bytes = b""
        self.error: RequestError | None = None

    @property
    def text(self) -> str:
        chunks = [json.loads(data_of(event)) for event in events_of(self.bytes) if data_of(event) != b"[DONE]"]
        return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


def events_for(pieces: Sequence[str]) -> list[bytes]:
    deltas: list[dict[str, Any]] = [{"role": "assistant"}, *({"content": piece} for piece in pieces)]
    events = [data_event(json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode()) for delta in deltas]
    return [*events, data_event(b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'), DONE]


async def stream(plan: Plan, slices: Sequence[bytes]) -> Streamed:
    """Send slices of events through a StreamGuard."""

    async def chunks() -> AsyncGenerator[bytes, None]:
        for piece in slices:
            yield piece

    ex, result = exchange({}), Streamed()
    ex.reply = Reply(200, chunks=chunks())
    try:
        async for chunk in StreamGuard(plan, ex, DIALECTS["chat"]).run(chunks()):
            result.bytes += chunk
    except RequestError as error:
        result.error = error
    return result


# requests


@pytest.mark.parametrize(
    "ex",
    [
        said("my secret"),
        said("my SECRET", "system"),
        said([{"type": "text", "text": "a secret"}]),
        said(
            [
                {"type": "text", "text": "sec"},
                {"type": "image_url", "image_url": {"url": "x"}},
                {"type": "text", "text": "ret"},
            ]
        ),
        said(
            None,
            "assistant",
            tool_calls=[{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"q":"secret"}'}}],
        ),
        said("secret", "tool", tool_call_id="1"),
        exchange({"messages": [{"role": "user", "content": "secret"}, {"role": "user", "content": "fine"}]}),
        exchange({"messages": [], "tools": [{"type": "function", "function": {"name": "f", "description": "secret"}}]}),
        exchange({"prompt": ["fine", "secret"]}, COMPLETIONS),
        exchange({"prompt": "fine", "suffix": "secret"}, COMPLETIONS),
        exchange({"input": "secret"}, EMBEDDINGS),
    ],
)
async def test_hook_guard_request(ex: Exchange) -> None:
    """Every text of every operation is judged, whatever its role, its place, and however its parts are cut."""
    with pytest.raises(Blocked):
        await ask(plan_of(forbid("secret")), ex)


async def test_what_passes_is_left_alone() -> None:
    """A request without the words goes on byte for byte, and nothing is noted."""
    ex = said("s e c r e t")
    body = ex.body
    assert (await ask(plan_of(forbid("secret")), ex)).body is body
    assert ex.is_changed is False
    notes = ex.data["guard-basic"]
    assert (notes.before_request_hooks, notes.after_request_hooks) == ([], [])


async def test_the_refusal_has_portkeys_shape() -> None:
    """A block says which check failed and where, never what the text or the list was."""
    plan = plan_of(not_matching("x"), forbid("secret"))
    with pytest.raises(Blocked) as caught:
        await ask(plan, said("a secret"))
    body = json.loads(caught.value.envelope())
    hook = body["hook_results"]["before_request_hooks"][0]
    times = [check.pop("execution_time") for check in hook["checks"]] + [hook.pop("execution_time")]
    assert all(isinstance(time, int) for time in times)
    assert body == {
        "error": {
            "message": "the request was refused by the guardrail check `default.contains`",
            "type": "hooks_failed",
            "param": None,
            "code": "guardrail_blocked",
        },
        "hook_results": {"before_request_hooks": [hook], "after_request_hooks": []},
    }
    assert hook == {
        "id": "guard-basic",
        "type": "guardrail",
        "verdict": False,
        "transformed": False,
        "deny": True,
        "async": False,
        "checks": [
            {"id": "default.regexMatch", "verdict": True, "transformed": False},
            {
                "id": "default.contains",
                "verdict": False,
                "transformed": False,
                "data": {"explanation": "a word of the list occurs, in `messages[0].content`"},
            },
        ],
    }
    assert "secret" not in caught.value.envelope().decode()


async def test_without_deny_a_failure_is_noted() -> None:
    """`deny: false` lets the text pass and keeps the result for those who record it."""
    ex = await ask(plan_of(forbid("secret", deny=False)), said("a secret"))
    (hook,) = ex.data["guard-basic"].before_request_hooks
    assert (hook["verdict"], hook["deny"], hook["checks"][0]["verdict"]) == (False, False, False)


async def test_roles_limit_a_check() -> None:
    """With `roles` only texts of these roles are judged."""
    plan = plan_of(forbid("secret", roles=["user", "tool_definition"]))
    await ask(plan, said("a secret", "system"))
    with pytest.raises(Blocked):
        await ask(plan, said("a secret"))


async def test_a_required_word_may_stand_in_any_part() -> None:
    """A check that requires something judges the joined parts of a message, not each part."""
    plan = plan_of(CheckConfig("contains", ["request"], {"words": ["please"]}))
    await ask(
        plan,
        said([{"type": "text", "text": "do it, ple"}, {"type": "text", "text": "ase"}, {"type": "text", "text": "!"}]),
    )
    with pytest.raises(Blocked):
        await ask(plan, said("do it"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("id 123-45-6789.", "id [ssn]."),
        ("\uff11\uff12\uff13-45\u200b-6789\u0301 x", "[ssn] x"),
        (
            [{"text": "a 123-45-6789"}, {"text": "b"}, {"text": "123-45-6789 c"}],
            [{"text": "a [ssn]"}, {"text": "b"}, {"text": "[ssn] c"}],
        ),
        (
            [{"text": "a"}, {"text": "b 123-"}, {"text": "45-"}, {"text": "6789 c"}, {"text": "d"}],
            [{"text": "a"}, {"text": ""}, {"text": ""}, {"text": "b [ssn] c"}, {"text": "d"}],
        ),
    ],
)
async def test_replaced_text_is_what_is_sent(content: Any, expected: Any) -> None:
    """`replace` changes exactly what matched, in place where it stands in one part, across parts where it does not."""
    ex = await ask(plan_of(rule(r"\d{3}-\d{2}-\d{4}", replace="[ssn]")), said(content))
    assert (ex.json["messages"][0]["content"], ex.is_changed) == (expected, True)
    assert ex.data["guard-basic"].before_request_hooks[0]["transformed"] is True


async def test_a_request_is_changed_once() -> None:
    """The second attempt of a fallback sends what the first sent, though the rule matches its own replacement."""
    plan = plan_of(rule("a", replace="aa"))
    ex = await ask(plan, said("a"))
    assert (await ask(plan, ex)).json["messages"][0]["content"] == "aa"


async def test_a_refused_request_is_refused_again() -> None:
    """A fallback that leaves 446 meets the guardrail at its next target too."""
    plan, ex = plan_of(forbid("secret")), said("secret")
    for _ in range(2):
        with pytest.raises(Blocked):
            await ask(plan, ex)


@pytest.mark.parametrize(
    "ex",
    [
        exchange(b"\x00opaque", PASSTHROUGH),
        exchange({"input": [1, 2, 3]}, EMBEDDINGS),
        exchange({"input": [[1, 2], [3]]}, EMBEDDINGS),
        exchange({"prompt": ["fine", 5]}, COMPLETIONS),
    ],
)
async def test_what_cannot_be_read_is_refused(ex: Exchange) -> None:
    """Opaque bodies and token lists are refused by naming the setting, unless `passthrough: allow` lets them through."""
    with pytest.raises(InvalidRequest, match="`passthrough: allow` of plugin `guard-basic`"):
        await ask(plan_of(forbid("secret")), ex)
    await ask(plan_of(forbid("secret"), passthrough="allow"), ex)


def test_sessions_over_a_websocket() -> None:
    """Nothing of them can be read: they are guarded, which the core refuses, unless `passthrough: allow` lets them by."""
    for on in ("request", "reply"):
        guarded = narrowed(plan_of(forbid("secret", on=[on])), "realtime")
        assert [*guarded.guard_request, *guarded.guard_chunk, *guarded.guard_reply] != []
    allowed = plan_of(forbid("secret"), passthrough="allow")
    free = narrowed(allowed, "realtime")
    assert (free.guard_request, free.guard_chunk, free.guard_reply) == ((), (), ())
    for operation in OPERATIONS:
        if not operation.is_socket:
            assert len(narrowed(allowed, operation.name).guard_request) == 1


async def test_a_passthrough_without_a_body_has_nothing_to_read() -> None:
    """Checks of requests do not stop a passthrough without a body; checks of replies do, as its reply is opaque."""
    await ask(plan_of(forbid("secret", on=["request"])), exchange(b"", PASSTHROUGH))
    with pytest.raises(InvalidRequest):
        await ask(plan_of(forbid("secret", on=["reply"])), exchange(b"", PASSTHROUGH))
    await ask(plan_of(), exchange(b"x", PASSTHROUGH))


# configuration


def test_hook_configure() -> None:
    """All problems are reported at once: unknown checks and roles, wrong parameters, a check that runs nowhere."""
    with pytest.raises(StartupError) as caught:
        plan_of(
            CheckConfig("contain", ["request"], {"words": ["x"]}),
            CheckConfig("contains", ["request"], {"words": []}),
            CheckConfig("contains", ["request"], {"words": ["x"], "operators": "none"}),
            CheckConfig("regexMatch", ["request"], {"rule": "(?=x)"}),
            CheckConfig("contains", [], {"words": ["x"]}, roles=["usr"]),
        )
    problems = [str(problem) for problem in caught.value.problems]
    assert [problem.partition(":")[0] for problem in problems] == [
        "`checks[0]`",
        "`checks[1]`",
        "`checks[2]`",
        "`checks[3]`",
        "`checks[4].roles`",
        "`checks[4].on` must name `request`, `reply` or both",
    ]
    assert "did you mean `default.contains`" in problems[0]
    assert "(?=" in problems[3]


def test_hook_checks() -> None:
    """Other guardrails find the checks by their ids."""
    assert set(plan_of().registry.checks) == {"default.contains", "default.regexMatch", "others.shout"}


@pytest.mark.parametrize(
    ("checks", "on_error"),
    [
        ([forbid("x", on_error="allow")], "allow"),
        ([forbid("x", on_error="allow"), forbid("y")], "deny"),
    ],
)
def test_on_error_of_the_plugin(checks: list[CheckConfig], on_error: str) -> None:
    """The plugin denies on error as soon as one of its checks does."""
    assert GuardBasic(GuardBasicConfig(checks)).on_error == on_error


# checks of other packages


def shout(on_error: Literal["deny", "allow"] = "deny", **parameters: Any) -> CheckConfig:
    return CheckConfig("others.shout", ["request", "reply"], parameters, on_error=on_error)


async def test_checks_of_other_packages() -> None:
    """Any installed check runs by its id; what it quotes is not passed on."""
    assert (await ask(plan_of(shout()), said("hi"))).json["messages"][0]["content"] == "HI"
    with pytest.raises(Blocked) as caught:
        await ask(plan_of(shout()), said("bad words"))
    assert b"words" not in caught.value.envelope()


@pytest.mark.parametrize("text", ["ill", "broken"])
async def test_an_error_of_a_check(text: str) -> None:
    """`on_error: deny` ends the exchange, `allow` notes the error and goes on, even beside a check that denies."""
    with pytest.raises(HookFailed):
        await ask(plan_of(shout()), said(text))
    ex = await ask(plan_of(shout("allow"), forbid("x")), said(text))
    (hook,) = ex.data["guard-basic"].before_request_hooks
    assert (hook["verdict"], "in the check" in hook["checks"][0]["data"]["explanation"]) == (True, True)


async def test_other_checks_on_streams() -> None:
    """A check that knows no windows sees what it asked for, and its changes arrive."""
    result = await stream(plan_of(shout(hold=1)), events_for(["hello ", "world"]))
    assert (result.text, result.error) == ("HELLO WORLD", None)
    result = await stream(plan_of(shout(hold=3)), events_for(["so ", "bad"]))
    assert isinstance(result.error, Blocked)
    assert result.text == ""


@pytest.mark.parametrize("pieces", [["a"], ["x", "a"], ["a", "x"], ["xa", "ax"]])
async def test_replacements_may_grow(pieces: list[str]) -> None:
    """A replacement that begins as what it replaces arrives whole, at the end of a stream too."""
    plan = plan_of(rule("a", replace="abc"))
    result = await stream(plan, events_for(pieces))
    assert (result.text, result.error) == ("".join(pieces).replace("a", "abc"), None)


# replies


async def test_hook_guard_reply() -> None:
    """A whole reply is refused or changed as a request is."""
    with pytest.raises(Blocked) as caught:
        await whole(plan_of(forbid("secret")), {"content": "my secret"})
    results = json.loads(caught.value.envelope())["hook_results"]
    assert (results["before_request_hooks"], len(results["after_request_hooks"])) == ([], 1)
    assert await whole(plan_of(rule("a+", replace="b")), {"content": "caat"}) == "cbt"


async def test_roles_do_not_limit_a_check_of_replies() -> None:
    """`roles` is about requests: a reply, which is always the assistant's, is judged all the same."""
    with pytest.raises(Blocked):
        await whole(plan_of(forbid("secret", roles=["user"])), {"content": "my secret"})


@pytest.mark.parametrize(
    ("contents", "is_refused"),
    [
        (["fine", "my sec", "ret"], False),
        (["fine", "my secret", "x"], True),
        (["secret", "fine"], True),
        ([[{"type": "text", "text": "sec"}, {"type": "text", "text": "ret"}], "fine"], True),
        (["fine", "s\u0065\u200bcret"], True),
    ],
)
async def test_many_messages_are_judged_each(contents: list[Any], is_refused: bool) -> None:
    """Messages do not read on into the next, the parts of one do, and what is seen at a glance hides nothing."""
    ex = exchange({"messages": [{"role": "user", "content": content} for content in contents]})
    plan = plan_of(forbid("secret"))
    if is_refused:
        with pytest.raises(Blocked):
            await every(plan.guard_request, ex)
    else:
        await every(plan.guard_request, ex)


async def test_a_reply_keeps_one_result() -> None:
    """However many checks ran, a reply has one hook result with all of them."""
    plan = plan_of(forbid("a", deny=False), forbid("b", deny=False))
    ex = exchange({})
    ex.reply = Reply(200, body=b'{"choices":[{"message":{"content":"ab"}}]}')
    await every(plan.guard_reply, ex)
    (hook,) = ex.data["guard-basic"].after_request_hooks
    assert [check["verdict"] for check in hook["checks"]] == [False, False]


async def test_hook_guard_chunk() -> None:
    """A stream is cut before the first letter of a forbidden word, with an error that says so, and not before."""
    start = "x" * 200
    result = await stream(plan_of(forbid("secret")), events_for([*start, "se", "cr", "et", " and more"]))
    assert isinstance(result.error, Blocked)
    assert result.error.extra is not None
    assert result.error.extra["hook_results"]["after_request_hooks"][0]["checks"][0]["verdict"] is False
    assert result.text == start  # `x` is no letter of the word: nothing of it is held


async def test_a_good_stream_passes_byte_for_byte() -> None:
    """Nothing is rewritten where nothing is replaced."""
    events = events_for(["fine ", "words"])
    result = await stream(plan_of(forbid("secret")), events)
    assert (result.bytes, result.error) == (b"".join(events), None)


async def test_tool_arguments_of_a_stream() -> None:
    """Tool arguments are a channel like any other."""
    calls = [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in ('{"q":"se', 'cret"}')]
    events = [data_event(json.dumps({"choices": [{"index": 0, "delta": call}]}).encode()) for call in calls]
    result = await stream(plan_of(forbid("secret")), [*events, DONE])
    assert (type(result.error), result.bytes) == (Blocked, b"")


async def test_a_noted_failure_of_a_stream_is_noted_once() -> None:
    """`deny: false` lets the stream pass and notes the failure once, however many windows show it."""
    ex = exchange({})

    async def chunks() -> AsyncGenerator[bytes, None]:
        for event in events_for(["secret", " and", " more", " to", " come"]):
            yield event

    guard = StreamGuard(plan_of(forbid("secret", deny=False)), ex, DIALECTS["chat"])
    assert b"".join([chunk async for chunk in guard.run(chunks())]).count(b"secret") == 1
    assert len(ex.data["guard-basic"].after_request_hooks) == 1


# streams and whole replies agree

# composed and not, full width, folding to more letters or other ones, Hangul in parts, tags, ligatures, marks
LETTERS = (
    *("a", "b", "ab", "1", "a1b", "e", "k", "-", " ", "e\u0301", "\u00e9", "\uff21", "\uff42", "\u00df", "\u0130"),
    *("\u1100", "\u1161", "\u11a8", "\uac00", "\U000e0061", "\ufb01", "\u0301", "\u0316\u0301"),
)
TEXTS = st.lists(
    st.sampled_from(LETTERS)
    | st.sampled_from([1, 30, 69, 75, 150]).map(lambda size: "x" * size)
    | st.sampled_from([1, 2, 16, 31, 33, 80, 150]).map(lambda size: "\u200b" * size)
    | st.sampled_from([2, 15, 30, 31]).map(lambda size: "\u0301" * size),
    min_size=1,
    max_size=14,
).map("".join)
WORDS = st.text("abe\u00e91-", min_size=1, max_size=3)


@st.composite
def cuts(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """A text, and the slices of a stream that says it: letter by letter, or cut and put together anyhow."""
    text = draw(TEXTS)
    if draw(st.booleans()):
        return text, events_for(list(text))
    bounds = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    pieces = [text[start:end] for start, end in zip([0, *bounds], [*bounds, len(text)], strict=True)]
    slices: list[bytes] = []
    for event in events_for(pieces):
        if slices and draw(st.booleans()):
            slices[-1] += event
        else:
            slices.append(event)
    return text, slices


def outcome(plan: Plan, text: str) -> tuple[bool, str]:
    """Whether a whole reply is refused, and what it says if not."""
    try:
        return False, asyncio.run(whole(plan, {"content": text}))
    except Blocked:
        return True, ""


def agree(plan: Plan, text: str, slices: Sequence[bytes]) -> None:
    """The stream is refused when the whole reply is, says the same when not, and has kept back all that is forbidden.

    Of too many invisible characters it may have let some go before they were too many.
    """
    is_blocked, left = outcome(plan, text)
    streamed = asyncio.run(stream(plan, slices))
    assert isinstance(streamed.error, Blocked) is is_blocked
    if not is_blocked:
        assert (streamed.text, streamed.error) == (left, None)
        return
    assert text.startswith(streamed.text)
    assert hides(text, plan.hold_chars) or outcome(plan, text[len(streamed.text) :])[0]


@given(cuts(), st.lists(WORDS, min_size=1, max_size=2), st.booleans(), st.booleans())
def test_streams_agree_on_words(cut: tuple[str, list[bytes]], words: list[str], case: bool, is_whole: bool) -> None:
    """Forbidden words are found in any stream that holds them, and not a letter of them leaves."""
    agree(plan_of(forbid(*words, parameters={"case_sensitive": case, "whole_words": is_whole})), *cut)


RULES = [
    r"ab",
    r"\ba\b",
    r"a.b",
    r"[^x]{2}b",
    r"(?i)[a-e]\d?",
    r"\x{e9}|1-1",
    r"\pM",
    r"a(?:b|1){1,3}\B",
    r"a+b",
    r"^x",
    r"b$",
    r"a{0}",
]


@given(cuts(), st.sampled_from(RULES))
def test_streams_agree_on_forbidden_rules(cut: tuple[str, list[bytes]], text: str) -> None:
    """A rule that must not match is judged alike, whether it can be judged by windows or needs the whole stream."""
    agree(plan_of(not_matching(text)), *cut)


@given(cuts(), st.sampled_from(RULES), st.booleans())
def test_streams_agree_on_what_is_required(cut: tuple[str, list[bytes]], text: str, by_word: bool) -> None:
    """What must occur is judged at the end, and nothing leaves before."""
    check = CheckConfig("contains", ["reply"], {"words": ["a", "b"], "operator": "all"}) if by_word else rule(text)
    plan = plan_of(check)
    agree(plan, *cut)
    streamed = asyncio.run(stream(plan, cut[1]))
    assert streamed.error is None or streamed.text == ""


@given(cuts(), st.sampled_from(RULES), st.sampled_from(["", "#", "b", "a1", "[\u0301x]"]))
def test_streams_agree_on_replaced_text(cut: tuple[str, list[bytes]], text: str, replacement: str) -> None:
    """A stream says what the whole reply would say after replacing, whatever the rule and the cuts."""
    agree(plan_of(rule(text, replace=replacement)), *cut)


@given(cuts(), st.permutations([forbid("ba"), rule("[ab]1", replace="a"), forbid("aa", deny=False)]))
def test_streams_agree_on_several_checks(cut: tuple[str, list[bytes]], checks: list[CheckConfig]) -> None:
    """Checks see what those before them left, in streams as in whole replies."""
    is_blocked, left = outcome(plan_of(*checks), cut[0])
    streamed = asyncio.run(stream(plan_of(*checks), cut[1]))
    assert (isinstance(streamed.error, Blocked), "" if is_blocked else streamed.text) == (is_blocked, left)
