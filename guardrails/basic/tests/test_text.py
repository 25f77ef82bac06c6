"""Reading text and finding the way back: pieces read alone give the same as the whole, spans cover what was matched."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate_guard_basic.groups import Group
from headgate_guard_basic.rule import Rule, longest_match
from headgate_guard_basic.text import locate, read, replace, settled

ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.text(
    "ae\u0301\u0316\u200b\uff21\u1100\u1161\u11a8\u3131\u314f\uff76\uff9e\u09c7\u09be\ufb01\u33a0\U000e0061",
    max_size=30,
)


@given(ANY)
def test_all_of_a_text_is_found_where_it_stands(text: str) -> None:
    """Matches of every single character, taken together, cover every character that is read at all."""
    spans = locate(text, Rule("(?s)."))
    assert replace(text, spans, "") == "" or read(replace(text, spans, "")) == ""


@given(ANY, ANY)
def test_what_is_settled_stays(text: str, more: str) -> None:
    """Whatever follows, a text reads the same up to its last base character."""
    seen = read(text)
    kept = settled(seen)
    assert read(text + more)[:kept] == seen[:kept]


@given(ANY)
def test_replacing_leaves_no_match(text: str) -> None:
    """After replacing, the rule finds nothing, however the text was written."""
    rule = Rule("[aA]|\uac00|\u30ac")
    assert not rule.matches(read(replace(text, locate(text, rule), "#")))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x\uff41\u200by", "x#y"),
        ("\u200ba", "\u200b#"),
        ("\u33a9", "#"),
        ("a\u0301 a", "a\u0301 #"),
        ("", ""),
    ],
)
def test_a_span_covers_what_was_read(text: str, expected: str) -> None:
    """A match takes whole written characters, with the hidden ones behind them; accents make another letter."""
    assert replace(text, locate(text, Rule("a")), "#") == expected


def test_overlapping_spans_are_replaced_once() -> None:
    """Spans that overlap, as two readings of a text may give them, are one."""
    assert replace("abcdef", [(1, 3), (2, 4), (4, 5)], "#") == "a##f"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("abc", 3),
        ("a|bcd|", 3),
        (r"\d{3}-\d{2}-\d{4}", 11),
        (r"(?i)\bkey[-_]?(?:[a-f]{2,4}|\w)\b", 8),
        ("(?P<name>ab){0,3}?", 6),
        ("(?<name>ab)", 2),
        ("((a|bc){2}d){3}", 15),
        (r"a{0}b", 1),
        ("t\u00e9", 5),
        ("a.", 5),
        ("[^a]", 4),
        (r"[a-z\d\-]", 1),
        (r"[\Wa]", 4),
        ("[[:alpha:]]{2}", 8),
        ("[]a]b", 5),
        (r"\pL\p{Greek}\x{e9}\xe9", 16),
        (r"\.\n\(", 3),
        ("a*", None),
        ("a+?", None),
        ("a{2,}", None),
        ("^a", None),
        ("a$", None),
        (r"\Aa\z", None),
        (r"\Qa.b\E", None),
        ("a{,3}", None),
        ("(?i:a)", None),
        ("[a[b]", None),
        ("", 0),
    ],
)
def test_longest_match(rule: str, expected: int | None) -> None:
    """The longest match is known for rules without `*`, `+` and the like; what is not understood counts as unbounded."""
    assert longest_match(rule) == expected
    assert Rule(rule).longest == expected


PIECES = st.sampled_from(["a", "b", ".", r"\d", "[ab]", "[^a]", "\u00e9", r"\w", r"\b", r"\."])


def _grown(rules: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return (
        st.tuples(rules, rules).map("".join)
        | st.tuples(rules, rules).map("|".join)
        | st.tuples(rules, st.sampled_from(["?", "{2}", "{0,3}", "{1,2}?"])).map(lambda pair: f"(?:{pair[0]}){pair[1]}")
    )


@given(st.recursive(PIECES, _grown, max_leaves=8), st.text("ab1.\u00e9e\u0301 ", max_size=40))
def test_no_match_is_longer(rule: str, text: str) -> None:
    """No match of a rule takes more characters than its bound."""
    compiled = Rule(rule)
    assert compiled.longest is not None
    spans = list(compiled.spans(read(text)))
    assert all(len(unicodedata.normalize("NFD", read(text)[start:end])) <= compiled.longest for start, end in spans)


@given(st.lists(st.text("ab", max_size=3), min_size=1, max_size=5), st.text("abc", max_size=12))
def test_a_group_is_replaced_as_one(texts: list[str], text: str) -> None:
    """Whatever the parts were, joined they say the new text, and their number stays."""
    group = Group(("messages", 0, "content"))
    group.texts = list(texts)
    group.replace(text)
    assert (group.text, len(group.texts)) == (text, len(texts))
