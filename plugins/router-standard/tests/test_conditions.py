"""Conditions of routing: every operator, and what is said of a bad query."""

from __future__ import annotations

from typing import Any

import pytest

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
