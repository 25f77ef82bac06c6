"""Conditions of routing: every operator, and what is said of a bad query."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate_router_standard.conditions import MAX_LEVELS, Facts, Predicate, compile_query

FACTS = Facts(
    metadata={"plan": "paid", "age": "17", "empty": ""},
    params={"model": "gpt-4o", "temperature": 0.5, "n": 1, "stream": True, "tool": {"name": "f"}, "none": None},
    pathname="/v1/chat/completions",
)


def compiled(query: object) -> Predicate:
    """The predicate of a query that must be right."""
    problems: list[str] = []
    predicate = compile_query(query, lambda at, what: problems.append(f"{at} {what}"))
    assert problems == []
    return predicate


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"metadata.plan": "paid"}, True),
        ({"metadata.plan": {"$eq": "paid"}}, True),
        ({"metadata.plan": {"$eq": "Paid"}}, False),
        ({"metadata.absent": {"$eq": "x"}}, False),
        ({"metadata.plan": {"$ne": "free"}}, True),
        ({"metadata.absent": {"$ne": "free"}}, True),
        ({"metadata.age": {"$gt": 16}}, True),
        ({"metadata.age": {"$gt": 17}}, False),
        ({"metadata.age": {"$gte": 17, "$lt": 18}}, True),
        ({"metadata.plan": {"$lt": 10}}, False),
        ({"metadata.absent": {"$lte": 10}}, False),
        ({"metadata.empty": {"$gte": 0}}, False),
        ({"metadata.plan": {"$in": ["free", "paid"]}}, True),
        ({"metadata.plan": {"$nin": ["free", "paid"]}}, False),
        ({"metadata.absent": {"$nin": ["free"]}}, True),
        ({"metadata.absent": {"$in": ["free"]}}, False),
        ({"params.model": {"$regex": "^gpt-4"}}, True),
        ({"params.model": {"$regex": "^gpt-4", "$ne": "gpt-4o"}}, False),
        ({"params.temperature": {"$lte": 0.5}}, True),
        ({"params.temperature": {"$regex": "0"}}, False),
        ({"params.stream": True}, True),
        ({"params.stream": 1}, False),
        ({"params.n": 1.0}, True),
        ({"params.n": True}, False),
        ({"params.tool.name": "f"}, True),
        ({"params.tool.name.more": "f"}, False),
        ({"params.none": None}, True),
        ({"params.absent": None}, False),
        ({"url.pathname": {"$regex": "/chat/"}}, True),
        ({"$or": [{"metadata.plan": "free"}, {"params.model": "gpt-4o"}]}, True),
        ({"$and": [{"metadata.plan": "paid"}, {"params.model": "gpt-5"}]}, False),
        ({"$or": [{"metadata.plan": "paid"}], "params.model": "gpt-5"}, False),
        ({"metadata.plan": "paid", "params.model": "gpt-4o"}, True),
    ],
)
def test_operators(query: object, expected: bool) -> None:
    """Each operator, alone and beside others: all members of a mapping must hold."""
    assert compiled(query)(FACTS) is expected


def nested(levels: int) -> Any:
    """A query of so many levels."""
    query: Any = {"metadata.a": "b"}
    for _ in range(levels - 1):
        query = {"$and": [query]}
    return query


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({}, " must be a mapping"),
        ("paid", " must be a mapping"),
        ({"plan": "paid"}, ".plan is no condition: use `metadata.KEY`"),
        ({"url.host": "x"}, ".url.host is no condition"),
        ({"metadata.plan": {}}, ".metadata.plan needs an operator"),
        ({"metadata.plan": {"$is": "x"}}, ".metadata.plan.$is is not known"),
        ({"metadata.plan": {"$gt": "many"}}, ".metadata.plan.$gt takes no such value"),
        ({"metadata.plan": {"$in": "paid"}}, ".metadata.plan.$in takes no such value"),
        ({"metadata.plan": {"$regex": "("}}, ".metadata.plan.$regex is no pattern of RE2"),
        ({"metadata.plan": {"$regex": "(?=a)"}}, ".metadata.plan.$regex is no pattern of RE2"),
        ({"metadata.plan": {"$regex": 4}}, ".metadata.plan.$regex must be a string"),
        ({"metadata.plan": {"$regex": "a" * 600}}, ".metadata.plan.$regex is longer than 512"),
        ({"$or": {"metadata.plan": "x"}}, ".$or must be a list"),
        ({"$or": [{"plan": "x"}]}, ".$or[0].plan is no condition"),
        (nested(MAX_LEVELS + 1), "is nested deeper than"),
    ],
)
def test_bad_queries_are_named(query: object, problem: str) -> None:
    """What is wrong is said at its place, and such a query holds for nothing."""
    problems: list[str] = []
    compile_query(query, lambda at, what: problems.append(f"{at} {what}"))
    assert len(problems) == 1
    assert problem in problems[0]


def test_a_pattern_that_would_explode_does_not() -> None:
    """RE2 takes linear time where a backtracking engine would take years."""
    query = {"metadata.plan": {"$regex": "(a+)+$"}}
    facts = Facts(metadata={"plan": "a" * 5000 + "b"})
    assert compiled(query)(facts) is False


# any query, against an evaluator of few words


def _both(members: dict[str, Any], joined: dict[str, Any]) -> dict[str, Any]:
    return {**members, **joined}


VALUES: st.SearchStrategy[Any] = st.sampled_from(
    ["paid", "free", "17", "1", "", "gpt-4o", 1, 0.5, 17, True, False, None]
)
KEYS: st.SearchStrategy[Any] = st.sampled_from(
    [
        "metadata.plan",
        "metadata.age",
        "metadata.absent",
        "params.model",
        "params.n",
        "params.stream",
        "params.tool.name",
    ]
)
NUMBERS: st.SearchStrategy[Any] = st.sampled_from([0, 1, 0.5, 17, "17", "1"])
OPERATIONS: st.SearchStrategy[Any] = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$ne"]), VALUES),
    st.tuples(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), NUMBERS),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(VALUES, max_size=3)),
    st.tuples(st.just("$regex"), st.sampled_from(["^p", "a", "^$", "4o$", r"\d"])),
)
COMPARISONS: st.SearchStrategy[Any] = st.one_of(VALUES, st.lists(OPERATIONS, min_size=1, max_size=3).map(dict))
PLAIN: st.SearchStrategy[Any] = st.dictionaries(KEYS, COMPARISONS, min_size=1, max_size=3)
QUERIES: st.SearchStrategy[Any] = st.recursive(
    PLAIN,
    lambda inner: st.builds(
        _both,
        PLAIN,
        st.dictionaries(
            st.sampled_from(["$and", "$or"]), st.lists(inner, min_size=1, max_size=3), min_size=1, max_size=2
        ),
    ),
    max_leaves=8,
)


def _with_tool(held: dict[str, Any]) -> dict[str, Any]:
    return {**held, "tool": {"name": "f"}}


GIVEN_FACTS = st.builds(
    Facts,
    st.dictionaries(st.sampled_from(["plan", "age"]), st.sampled_from(["paid", "free", "17", "1", ""])),
    st.dictionaries(st.sampled_from(["model", "n", "stream"]), VALUES).map(_with_tool),
    st.just("/v1/chat/completions"),
)
_ABSENT = object()


def _equal(value: Any, wanted: Any) -> bool:
    return (type(value) is type(wanted) and value == wanted) or (
        _is_number(value) and _is_number(wanted) and value == wanted
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_number(value: Any) -> float | None:
    try:
        return float(value) if _is_number(value) or isinstance(value, str) else None
    except ValueError:
        return None


def _holds(operator: str, value: Any, wanted: Any) -> bool:
    """One operator, as https://portkey.ai/docs/product/ai-gateway/conditional-routing describes it."""
    number, bound = _as_number(value), _as_number(wanted)
    if operator in {"$gt", "$gte", "$lt", "$lte"}:
        if number is None or bound is None:
            return False
        return {"$gt": number > bound, "$gte": number >= bound, "$lt": number < bound, "$lte": number <= bound}[
            operator
        ]
    if operator == "$regex":
        return isinstance(value, str) and re.search(wanted, value) is not None
    if operator in {"$in", "$nin"}:
        return any(_equal(value, one) for one in wanted) is (operator == "$in")
    return _equal(value, wanted) is (operator == "$eq")


def reference(query: Any, facts: Facts) -> bool:
    """What a query says, member by member."""
    verdicts: list[bool] = []
    for name, wanted in query.items():
        if name in {"$and", "$or"}:
            parts = [reference(part, facts) for part in wanted]
            verdicts.append(all(parts) if name == "$and" else any(parts))
            continue
        root, *way = name.split(".")
        held: Any = {"metadata": facts.metadata, "params": facts.params}[root]
        for step in way:
            held = cast("dict[str, Any]", held).get(step, _ABSENT) if isinstance(held, dict) else _ABSENT
        operators: dict[str, Any] = cast("dict[str, Any]", wanted) if isinstance(wanted, dict) else {"$eq": wanted}
        verdicts.append(all(_holds(operator, held, one) for operator, one in operators.items()))
    return all(verdicts)


@given(QUERIES, GIVEN_FACTS)
def test_any_query_means_what_it_says(query: Any, facts: Facts) -> None:
    """A compiled query holds exactly where its members do, whatever is nested in it."""
    assert compiled(query)(facts) is reference(query, facts)
