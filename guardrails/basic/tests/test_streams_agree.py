"""A stream is judged as the whole reply is, however it is cut: words, rules and replacements, by property."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from guardrails.basic.tests.judging import (
    events_for,
    forbid,
    not_matching,
    plan_of,
    rule,
    stream,
    whole,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.errors import Blocked
from headgate.plan import Plan
from headgate_guard_basic import CheckConfig
from headgate_guard_basic.text import hides

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


@settings(deadline=None)
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


@settings(deadline=None)
@given(cuts(), st.sampled_from(RULES))
def test_streams_agree_on_forbidden_rules(cut: tuple[str, list[bytes]], text: str) -> None:
    """A rule that must not match is judged alike, whether it can be judged by windows or needs the whole stream."""
    agree(plan_of(not_matching(text)), *cut)


@settings(deadline=None)
@given(cuts(), st.sampled_from(RULES), st.booleans())
def test_streams_agree_on_what_is_required(cut: tuple[str, list[bytes]], text: str, by_word: bool) -> None:
    """What must occur is judged at the end, and nothing leaves before."""
    check = CheckConfig("contains", ["reply"], {"words": ["a", "b"], "operator": "all"}) if by_word else rule(text)
    plan = plan_of(check)
    agree(plan, *cut)
    streamed = asyncio.run(stream(plan, cut[1]))
    assert streamed.error is None or streamed.text == ""


@settings(deadline=None)
@given(cuts(), st.sampled_from(RULES), st.sampled_from(["", "#", "b", "a1", "[\u0301x]"]))
def test_streams_agree_on_replaced_text(cut: tuple[str, list[bytes]], text: str, replacement: str) -> None:
    """A stream says what the whole reply would say after replacing, whatever the rule and the cuts."""
    agree(plan_of(rule(text, replace=replacement)), *cut)


@settings(deadline=None)
@given(cuts(), st.permutations([forbid("ba"), rule("[ab]1", replace="a"), forbid("aa", deny=False)]))
def test_streams_agree_on_several_checks(cut: tuple[str, list[bytes]], checks: list[CheckConfig]) -> None:
    """Checks see what those before them left, in streams as in whole replies."""
    is_blocked, left = outcome(plan_of(*checks), cut[0])
    streamed = asyncio.run(stream(plan_of(*checks), cut[1]))
    assert (isinstance(streamed.error, Blocked), "" if is_blocked else streamed.text) == (is_blocked, left)
