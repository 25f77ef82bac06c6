"""Thinking in OpenAI-shaped messages: text, details and signatures, out and back again."""

from __future__ import annotations

from typing import Any

import pytest
from core.tests.openai_samples import Json
from hypothesis import given
from hypothesis import strategies as st

from headgate.chat import Opaque, Reasoning
from headgate.dialects.openai.members import Members
from headgate.dialects.openai.reasoning import encode_reasoning, encode_signature, take_reasoning, take_signature


def taken(**fields: Any) -> list[Reasoning]:
    return take_reasoning(Members(fields))


def text(said: str, **members: Any) -> Json:
    return {"type": "reasoning.text", "text": said, "index": 0, **members}


WORDS = st.text(min_size=1, max_size=5)
OPAQUES = st.builds(Opaque, WORDS, WORDS, st.text(max_size=3))
SIGNED = st.one_of(
    st.builds(Reasoning, st.text(max_size=5), OPAQUES, item_id=st.none() | WORDS),
    st.builds(Reasoning, st.just(""), OPAQUES, st.just(True), item_id=st.none() | WORDS),
    st.builds(Reasoning, WORDS, OPAQUES, is_summary=st.just(True), item_id=st.none() | WORDS),
    st.builds(Reasoning, WORDS, item_id=WORDS),
)


@given(st.lists(SIGNED, max_size=4))
def test_signed_blocks_come_back_as_they_were(parts: list[Reasoning]) -> None:
    """Each block is one detail, whatever its kind, with its origin, its account and its id."""
    assert taken(**encode_reasoning(parts)) == parts


@given(st.lists(WORDS, max_size=3))
def test_unsigned_thinking_is_one_text(texts: list[str]) -> None:
    """There is nothing to keep apart."""
    whole = "".join(texts)
    assert taken(**encode_reasoning([Reasoning(said) for said in texts])) == ([Reasoning(whole)] if whole else [])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"reasoning_content": "a"}, [Reasoning("a")]),
        ({"reasoning": "a", "reasoning_content": None}, [Reasoning("a")]),
        ({"reasoning": "a", "reasoning_content": "a"}, [Reasoning("a")]),
        ({"reasoning": None, "reasoning_details": None}, []),
        ({"reasoning": "a", "reasoning_details": []}, [Reasoning("a")]),
        ({"reasoning_details": [text("a"), text("b", signature="s", format="f")]}, [Reasoning("ab", Opaque("f", "s"))]),
        (
            {"reasoning_details": [text("a", signature="s"), text("b", signature="t")]},
            [Reasoning("a", Opaque("unknown", "s")), Reasoning("b", Opaque("unknown", "t"))],
        ),
        (
            {"reasoning": "xyz", "reasoning_details": [text("y", signature="s")]},
            [Reasoning("x"), Reasoning("y", Opaque("unknown", "s")), Reasoning("z")],
        ),
        (
            {"reasoning": "no such text", "reasoning_details": [text("yes", signature="s")]},
            [Reasoning("yes", Opaque("unknown", "s"))],
        ),
        (
            {"reasoning": "a", "reasoning_details": [{"type": "reasoning.encrypted", "data": "e", "format": "f"}]},
            [Reasoning("a"), Reasoning("", Opaque("f", "e"), is_redacted=True)],
        ),
    ],
    ids=[
        "content",
        "reasoning",
        "both",
        "nulls",
        "no details",
        "pieces",
        "two blocks",
        "between",
        "other words",
        "encrypted",
    ],
)
def test_text_and_details(fields: Json, expected: list[Reasoning]) -> None:
    """What stands in both is said once; what only the text has stands between the blocks."""
    assert taken(**fields) == expected


def test_what_is_not_understood_stays() -> None:
    """Details of other kinds, thinking of another shape and a second wording are kept by name."""
    other = {"type": "reasoning.server_tool_call", "id": "x"}
    fields = Members(
        {"reasoning_content": "a", "reasoning": "b", "reasoning_details": [other, text("a", signature="s")]}
    )
    assert take_reasoning(fields) == [Reasoning("a", Opaque("unknown", "s"))]
    assert fields.rest() == {"reasoning": "b", "reasoning_details": [other]}
    odd = Members({"reasoning": {"a": 1}, "reasoning_details": ["x"]})
    assert take_reasoning(odd) == []
    assert odd.rest() == {"reasoning": {"a": 1}, "reasoning_details": ["x"]}


@given(OPAQUES)
def test_signatures_come_back(opaque: Opaque) -> None:
    """Under the name of their origin."""
    assert take_signature(Members(encode_signature(opaque))) == opaque


def test_members_beside_a_signature_stay() -> None:
    """Whatever else a vendor says there."""
    fields = Members({"extra_content": {"x": 1, "google": {"thought_signature": "s", "y": 2}}})
    assert take_signature(fields) == Opaque("google", "s")
    assert fields.rest() == {"extra_content": {"x": 1, "google": {"y": 2}}}
    assert take_signature(Members({"extra_content": "s"})) is None
