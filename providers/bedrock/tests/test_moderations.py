"""Moderations by Bedrock's checks for clients of OpenAI's: what is asked, what is flagged, and what cannot be judged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_bedrock import Bedrock

Json = dict[str, Any]

CATEGORIES = ("HATE", "INSULTS", "MISCONDUCT", "SEXUAL", "VIOLENCE")
DEPLOYED: Json = {
    "provider": "bedrock",
    "region": "us-west-2",
    "access_key_id": "AKIDEXAMPLE",
    "secret_access_key": "wJalrXUtnFEMI",
}
CALM: Json = {
    "results": {"contentFilter": {"results": [{"category": each, "severityScore": 0.0} for each in CATEGORIES]}},
    "usage": {"contentFilter": {"textUnits": 1}},
}
VIOLENT: Json = {
    "results": {
        "contentFilter": {
            "results": [{"category": "VIOLENCE", "severityScore": 0.8}, {"category": "HATE", "severityScore": 0.2}]
        }
    },
    "usage": {"contentFilter": {"textUnits": 1}},
}
"""The scores of the vendor's example."""


async def asked(
    said: object, *answers: Json, settings: Json | None = None, status: int = 200, **body: Any
) -> tuple[Any, ReplayUpstream]:
    """A client's reply, and what Bedrock was asked."""
    upstream = ReplayUpstream()
    upstream.answer("*", *(Recorded.from_json(answer, status) for answer in answers or (CALM,)))
    async with gateway(Bedrock, providers={"aws": {**DEPLOYED, **(settings or {})}}, upstream=upstream) as client:
        request = {"model": "aws/guardrail-checks", "input": said, **body}
        return await client.post("/v1/moderations", json=request), upstream


def texts_in(upstream: ReplayUpstream) -> list[list[list[str]]]:
    """The texts of each call, by message."""
    bodies: list[Json] = [json.loads(each.body) for each in upstream.requests]
    return [[[part["text"] for part in each["content"]] for each in body["messages"]] for body in bodies]


async def test_a_text_is_judged() -> None:
    """A text is a message of a signed call with all categories, and what is severe enough is flagged by OpenAI's names."""
    reply, upstream = await asked("some text", VIOLENT)
    told = reply.json()
    assert told["id"].startswith("modr-")
    assert (told["model"], told["results"]) == (
        "guardrail-checks",
        [
            {
                "flagged": True,
                "categories": {"violence": True, "hate": False},
                "category_scores": {"violence": 0.8, "hate": 0.2},
                "category_applied_input_types": {"violence": ["text"], "hate": ["text"]},
            }
        ],
    )
    request = upstream.requests[-1]
    assert request.url == "https://bedrock-runtime.us-west-2.amazonaws.com/guardrail-checks/invoke"
    assert json.loads(request.body) == {
        "messages": [{"role": "user", "content": [{"text": "some text"}]}],
        "checks": {"contentFilter": {"categories": [{"category": each} for each in CATEGORIES]}},
    }
    assert b"/us-west-2/bedrock/aws4_request" in dict(request.headers)[b"authorization"]


@pytest.mark.parametrize(("flag_at", "is_flagged"), [(0.8, True), (0.81, False), (0.2, True)])
async def test_what_is_severe_is_the_deployments_to_say(flag_at: float, *, is_flagged: bool) -> None:
    """The vendor gives scores alone; from which on a text is flagged stands in the configuration."""
    reply, _ = await asked("some text", VIOLENT, settings={"flag_at": flag_at})
    assert reply.json()["results"][0]["flagged"] is is_flagged


async def test_several_texts() -> None:
    """Each text is a call and a result of its own, in the order of the texts."""
    reply, upstream = await asked(["one", "two"], VIOLENT, CALM)
    assert sorted(texts_in(upstream)) == [[["one"]], [["two"]]]
    results = reply.json()["results"]
    assert [each["flagged"] for each in results] == [True, False]
    assert set(results[1]["categories"]) == {"hate", "harassment", "illicit", "sexual", "violence"}


async def test_parts_are_judged_together() -> None:
    """Texts in parts have one result; a message holds ten of them at most."""
    parts = [{"type": "text", "text": str(at)} for at in range(12)]
    reply, upstream = await asked(parts)
    assert texts_in(upstream) == [[[str(at) for at in range(10)], ["10", "11"]]]
    assert len(reply.json()["results"]) == 1


@pytest.mark.parametrize(
    "said",
    [
        [],
        "",
        None,
        ["one", ""],
        ["one", {"type": "text", "text": "two"}],
        [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}],
        [7],
    ],
)
async def test_what_cannot_be_judged(said: object) -> None:
    """Pictures and what is no text are refused by name before anything is sent."""
    refused, upstream = await asked(said)
    assert (refused.status_code, refused.json()["error"]["param"], upstream.requests) == (400, "input", [])


async def test_a_member_that_is_not_known() -> None:
    """A member that there are no words for is refused by name."""
    refused, upstream = await asked("some text", strictness="high")
    assert (refused.status_code, refused.json()["error"]["param"], upstream.requests) == (400, "strictness", [])


@pytest.mark.parametrize("answer", [{}, {"results": {}}, {"results": {"contentFilter": {"results": []}}}])
async def test_no_judgement(answer: Mapping[str, Any]) -> None:
    """An answer without scores is the provider's error."""
    reply, _ = await asked("some text", dict(answer))
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")


async def test_an_error_of_one_call_is_the_answer() -> None:
    """An error keeps its status and message, whichever text it is about."""
    reply, _ = await asked(["one", "two"], {"message": "not authorized"}, status=403)
    assert (reply.status_code, reply.json()["error"]["message"]) == (403, "not authorized")
