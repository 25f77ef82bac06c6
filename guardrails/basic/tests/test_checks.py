"""The two checks: what passes them, what trivial hiding does not help, and windows against whole texts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.hooks import Check, Window
from headgate_guard_basic.checks import Forbids, contains, regex_match
from headgate_guard_basic.rule import Rule
from headgate_guard_basic.text import MAX_HIDDEN, MAX_MARKS, SLACK, WHOLE, hides

NONE: Mapping[str, Any] = {"operator": "none"}


def judged(check: Check, text: str) -> str:
    return asyncio.run(_outcome(check, text))


async def _outcome(check: Check, text: str) -> str:
    verdict = await check.judge(text)
    return verdict.outcome if verdict.text is None else verdict.text


@pytest.mark.parametrize(
    ("parameters", "text", "expected"),
    [
        ({}, "has one", "pass"),
        ({}, "has three", "fail"),
        ({"operator": "all"}, "one and two", "pass"),
        ({"operator": "all"}, "only one", "fail"),
        (NONE, "neither", "pass"),
        (NONE, "and TWO", "fail"),
        ({**NONE, "case_sensitive": True}, "and TWO", "pass"),
        ({**NONE, "case_sensitive": True}, "and two", "fail"),
        ({**NONE, "whole_words": True}, "money twofold", "pass"),
        ({**NONE, "whole_words": True}, "money, (one)", "fail"),
        ({**NONE, "whole_words": True}, "one_two \u00e9one one\u0301", "pass"),
        ({"whole_words": True}, "anyone", "fail"),
    ],
)
def test_contains(parameters: Mapping[str, Any], text: str, expected: str) -> None:
    """`any`, `all` and `none` mean what they say; case and word borders count only where asked."""
    assert judged(contains({"words": ["one", "two"], **parameters}), text) == expected


@pytest.mark.parametrize(
    ("parameters", "text", "expected"),
    [
        ({"rule": "^a+$"}, "aaa", "pass"),
        ({"rule": "^a+$"}, "aab", "fail"),
        ({"rule": "^a+$", "not": True}, "aab", "pass"),
        ({"rule": "^a+$", "not": True}, "aaa", "fail"),
        ({"rule": r"\d+", "replace": r"\0"}, "a1b22", r"a\0b\0"),
        ({"rule": r"\d*", "replace": "#"}, "ab", "pass"),
    ],
)
def test_regex_match(parameters: Mapping[str, Any], text: str, expected: str) -> None:
    """A rule must match, must not with `not`, and with `replace` what matches is replaced by the text as it stands."""
    assert judged(regex_match(parameters), text) == expected


@pytest.mark.parametrize(
    "hidden",
    [
        "SECRT",
        "s\u200be\u200bc\u2060r\ufefft",
        "se\u00adc\u180er\u034ft",
        "\uff53\uff45\uff43\uff52\uff54",
        "s\U000e0078e\U000e007fcrt",
        "\U000e0073\U000e0065\U000e0063\U000e0072\U000e0074",
        "\u017fecrt",
    ],
)
def test_trivial_hiding_fails(hidden: str) -> None:
    """Case, invisible characters, full width and tag characters hide nothing, and replacing takes them away with the word."""
    assert judged(contains({"words": ["secrt"], **NONE}), f"a {hidden}.") == "fail"
    assert judged(regex_match({"rule": "(?i)secrt", "not": True}), f"a {hidden}.") == "fail"
    assert (
        judged(regex_match({"rule": "(?i)secrt", "replace": "#"}), f"a {hidden}.").replace("\U000e007f", "") == "a #."
    )


def test_hidden_tags_do_not_satisfy() -> None:
    """What must occur must occur visibly."""
    assert judged(contains({"words": ["ok"]}), "\U000e006f\U000e006b") == "fail"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\u200b" * MAX_HIDDEN, "pass"),
        ("\u200b" * (MAX_HIDDEN + 1), "fail"),
        ("a" + "\u0301" * MAX_MARKS, "pass"),
        ("a" + "\u0301" * (MAX_MARKS + 1), "fail"),
        ("".join(f"{'word ' * 8}\u2764\ufe0f" for _ in range(100)), "pass"),
    ],
)
def test_text_that_cannot_be_judged_fails(text: str, expected: str) -> None:
    """Invisible characters and marks pass in the numbers of real text; masses of them fail whatever the check is."""
    assert judged(contains({"words": ["x"], **NONE}), text) == expected
    assert judged(regex_match({"rule": "x", "not": True}), text) == expected
    if expected == "fail":
        assert judged(contains({"words": ["\u200b a", "a"]}), text) == "fail"


@pytest.mark.parametrize(
    ("make", "parameters", "words"),
    [
        (contains, {"words": []}, "`words`"),
        (contains, {"words": [""]}, "`words`"),
        (contains, {"words": ["\u200b"]}, "`words`"),
        (contains, {"words": "x"}, "expected `array`"),
        (contains, {"words": ["x"], "operator": "no"}, "operator"),
        (contains, {"words": ["x"], "case": True}, "case"),
        (contains, {}, "words"),
        (regex_match, {"rule": "(?=x)"}, r"invalid perl operator: \(\?="),
        (regex_match, {"rule": r"(a)\1"}, "invalid escape sequence"),
        (regex_match, {"rule": "a++"}, "bad repetition operator"),
        (regex_match, {"rule": "x", "not": True, "replace": ""}, "exclude each other"),
    ],
)
def test_wrong_parameters(make: Any, parameters: Mapping[str, Any], words: str) -> None:
    """Wrong parameters are a ValueError that names them, unsupported syntax one that names it."""
    with pytest.raises(ValueError, match=words):
        make(parameters)


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (contains({"words": ["four", "\u00e9t\u00e9"], **NONE}), 9 + SLACK),
        (contains({"words": ["x"]}), WHOLE),
        (regex_match({"rule": r"\bsk-[a-z0-9]{20,48}\b", "not": True}), 51 + SLACK),
        (regex_match({"rule": "a+", "not": True}), WHOLE),
        (regex_match({"rule": "a"}), WHOLE),
        (regex_match({"rule": "a", "replace": "b"}), WHOLE),
    ],
)
def test_hold_chars(check: Check, expected: int) -> None:
    """A check that forbids something of bounded length holds back that length; the others need the whole stream."""
    assert check.hold_chars == expected


LETTERS = (
    *(
        "a",
        "b",
        "ab",
        "1",
        "a1b",
        "e",
        "i",
        "-",
        " ",
        "e\u0301",
        "\u00e9",
        "\uff21",
        "\u00df",
        "\u0130",
        "\u1fb4",
        "\u0345",
    ),
    *("\u1100", "\u1161", "\u11a8", "\uac00", "c\u0327\u0301", "\U000e0061", "\ufb01", "\u0316\u0301", "\u1e9b\u0323"),
)
CHECKS = [
    {"words": ["a"], "whole_words": True},
    {"words": ["ab", "e"], "case_sensitive": True},
    {"words": ["\u00e9", "i1"]},
    *(
        {"rule": rule, "not": True}
        for rule in (r"\ba\b", r"[^x]{2}b", r"a(?:b|1){1,3}\B", r"[^x]\b", r"\be\b", r".{3}1")
    ),
]
TEXTS = st.lists(
    st.sampled_from(LETTERS)
    | st.sampled_from([1, 69, 75, 150]).map(lambda size: "x" * size)
    | st.sampled_from([1, 16, 31, 33, 150]).map(lambda size: "\u200b" * size)
    | st.sampled_from([2, 15, 30, 31]).map(lambda size: "\u0301" * size),
    max_size=14,
).map("".join)


@given(
    TEXTS, st.sampled_from(CHECKS), st.sampled_from([0, 1, 200]), st.lists(st.integers(1, 40), min_size=1, max_size=4)
)
def test_windows_agree_with_the_whole(text: str, parameters: dict[str, Any], extra: int, steps: Sequence[int]) -> None:
    """However a text is cut into windows, and however much more is held, it fails when the whole does, in time."""
    check = regex_match(parameters) if "rule" in parameters else contains({**parameters, **NONE})
    assert isinstance(check, Forbids)
    hold = check.hold_chars + extra
    sent = end = number = 0
    outcome = "pass"
    while outcome == "pass" and end < len(text):
        end, number = min(len(text), end + steps[number % len(steps)]), number + 1
        outcome = check.judge_window(Window("0", text[sent:end], text[max(0, sent - hold) : sent])).outcome
        sent = max(sent, end - hold) if outcome == "pass" else sent
    if outcome == "pass":
        window = Window("0", text[sent:], text[max(0, sent - hold) : sent], is_last=True)
        outcome = check.judge_window(window).outcome
    assert outcome == judged(check, text)
    assert outcome == "pass" or judged(check, text[sent:]) == "fail"


@given(TEXTS, st.sampled_from(CHECKS), st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_held_text_is_enough(text: str, parameters: dict[str, Any], steps: Sequence[int]) -> None:
    """Holding no more than a check asks for, text by text, it fails when the whole does, and what fails was not sent."""
    check = regex_match(parameters) if "rule" in parameters else contains({**parameters, **NONE})
    assert isinstance(check, Forbids)
    sent = end = number = 0
    outcome = "pass"
    while outcome == "pass" and end < len(text):
        end, number = min(len(text), end + steps[number % len(steps)]), number + 1
        before = text[max(0, sent - check.hold_chars) : sent]
        outcome = check.judge_window(Window("0", text[sent:end], before, is_last=end == len(text))).outcome
        sent = max(sent, end - check.holds(text[sent:end])) if outcome == "pass" else sent
    assert outcome == judged(check, text)
    if outcome == "fail" and not hides(text, check.hold_chars):
        assert judged(check, text[sent:]) == "fail"


@pytest.mark.parametrize(
    ("parameters", "text", "expected"),
    [
        ({"rule": r"\b\d{3}-\d{2}\b", "not": True}, "call 12", 2),
        ({"rule": r"\b\d{3}-\d{2}\b", "not": True}, "call 12.", 3),
        ({"rule": r"\b\d{3}-\d{2}\b", "not": True}, "call me", 0),
        ({"rule": r"\b\d{3}-\d{2}\b", "not": True}, "k", 1),
        ({"rule": r"\b\d{3}-\d{2}\b", "not": True}, "ok \u200b1\u0301", 3),
        ({"rule": r"(?i)key", "not": True}, "the KE", 2),
        ({"words": ["secret"], **NONE}, "a SECR", 4),
        ({"words": ["secret"], **NONE}, "quiz", 0),
    ],
)
def test_holds(parameters: dict[str, Any], text: str, expected: int) -> None:
    """Of a text no more is held than could go on to be an occurrence."""
    check = regex_match(parameters) if "rule" in parameters else contains(parameters)
    assert isinstance(check, Forbids)
    assert check.holds(text) == expected


RULES = st.recursive(
    st.sampled_from(["a", "b", "-", "1", " ", r"\.", r"\d", r"\-", r"\n", "[ab]", "[a]", ".", "é", r"\b"]),
    lambda part: st.one_of(
        st.tuples(part, part).map("".join),
        st.tuples(part, part).map("|".join),
        st.tuples(part, part).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(part, st.sampled_from(["?", "{0}", "{2}", "{0,2}", "{1,2}?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
        part.map(lambda one: f"{one}?" if one[-1].isalnum() else one),
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(RULES, st.sampled_from(["", "(?i)", "(?s)"]), st.text("abAB-1 .é\n", max_size=12))
def test_a_rule_matches_where_its_matches_end(text: str, flags: str, where: str) -> None:
    """Whatever a rule is made of, asking whether it matches at all never says less than looking for its matches."""
    try:
        rule = Rule(flags + text)
    except ValueError:
        return
    assert rule.matches(where) == (next(rule.ends(where), None) is not None)


@pytest.mark.parametrize(
    "text",
    ["a" * 3_000_000, "a" + "\u0301\u0316" * 500_000, "\u200b" * 1_000_000, "a\u200b" * 300_000, "\u00e9a" * 500_000],
)
def test_hostile_text_takes_linear_time(text: str) -> None:
    """Megabytes of anything are judged in the time that megabytes take: no rule and no normalisation blows up."""
    started = time.perf_counter()
    judged(contains({"words": ["secret"], **NONE}), text)
    judged(regex_match({"rule": "(a*)*b", "not": True}), text)
    judged(regex_match({"rule": "(a|aa)+b", "replace": "#"}), text)
    assert time.perf_counter() - started < 10
