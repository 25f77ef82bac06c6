"""The plugin: what it reads, what it refuses, what it changes, and that a stream is judged as a whole reply is."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any, Literal

import pytest
from guardrails.basic.tests.judging import (
    DIALECTS,
    ask,
    events_for,
    exchange,
    forbid,
    not_matching,
    plan_of,
    rule,
    said,
    stream,
    whole,
)

from headgate.dialects.sse import DONE, data_event
from headgate.errors import Blocked, HookFailed, InvalidRequest, StartupError
from headgate.exchange import Exchange, Reply
from headgate.folds import every
from headgate.guarding import StreamGuard
from headgate.operations import COMPLETIONS, EMBEDDINGS, OPERATIONS, PASSTHROUGH
from headgate.plan import narrowed
from headgate_guard_basic import CheckConfig, GuardBasic, GuardBasicConfig

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
