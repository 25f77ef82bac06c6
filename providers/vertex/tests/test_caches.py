"""Cached contents: what the Gemini API's clients call `cachedContents/c` has a project and a location before it here."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from providers.vertex.tests.vertex_wire import CLAUDE, GEMINI, PLACE, REGION, TOKEN, deploy, exchange

from headgate.errors import InvalidRequest, ProviderFailed
from headgate.operations import GENERATE, GENERATE_CACHES
from headgate.secret import Secret
from headgate.testing import Recorded, ReplayUpstream
from headgate_vertex import Vertex, caches

FULL = PLACE.removeprefix("/")
MODEL = f"{FULL}/publishers/google/models/{GEMINI}"
KEPT = {
    "name": "projects/1234/locations/europe-west4/cachedContents/987",
    "model": MODEL,
    "createTime": "2026-11-22T07:00:00Z",
    "expireTime": "2026-11-22T08:00:00Z",
    "usageMetadata": {"totalTokenCount": 43125, "textCount": 12},
}
TOLD = {**KEPT, "name": "cachedContents/987", "model": f"models/{GEMINI}"}


def kept(answer: Any, status: int = 200) -> Vertex:
    """A deployment whose vendor answers so about cached contents."""
    said = Recorded.from_json(answer, status)
    return deploy(ReplayUpstream({"/token": TOKEN, f"/v1{PLACE}/cachedContents": said}))


@pytest.mark.parametrize(
    ("path", "method", "query", "wanted"),
    [
        ("/v1beta/cachedContents", "POST", b"", "/cachedContents"),
        ("/v1/cachedContents", "GET", b"pageSize=5", "/cachedContents?pageSize=5"),
        ("/v1beta/cachedContents/987", "PATCH", b"updateMask=ttl", "/cachedContents/987?updateMask=ttl"),
        ("/v1beta/cachedContents/987", "DELETE", b"", "/cachedContents/987"),
    ],
)
def test_where_they_are(path: str, method: str, query: bytes, wanted: str) -> None:
    """Below the deployment's project and location."""
    ex = exchange(None, GENERATE_CACHES, model="", body=b"", path=path, method=method, query=query)
    assert deploy().url_for(ex) == REGION + PLACE + wanted


def test_a_new_one() -> None:
    """It is for the model that the gateway's keys allowed, by its full name; a change of one stays as it is."""
    body = msgspec.json.encode({"model": "models/other", "contents": [{"role": "user"}], "ttl": "300s"})
    sent = json.loads(deploy().body_for(exchange(None, GENERATE_CACHES, body=body)))
    assert sent == {"model": MODEL, "contents": [{"role": "user"}], "ttl": "300s"}
    change = b'{"ttl":  "600s"}'
    assert deploy().body_for(exchange(None, GENERATE_CACHES, model="", body=change, method="PATCH")) == change


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (KEPT, TOLD),
        (
            {"cachedContents": [KEPT, KEPT], "nextPageToken": "n"},
            {"cachedContents": [TOLD, TOLD], "nextPageToken": "n"},
        ),
        ({}, {}),
    ],
)
async def test_what_is_told(answer: Any, told: Any) -> None:
    """Names are those of the Gemini API; everything else arrives as it is."""
    provider = kept(answer)
    reply = await provider.call(exchange(provider, GENERATE_CACHES, model="", body=b"", method="GET"))
    assert json.loads(reply.body) == told


async def test_an_error_stays_one() -> None:
    """The vendor's own words and status."""
    provider = kept({"error": {"code": 404, "message": "Not found: cached content", "status": "NOT_FOUND"}}, 404)
    reply = await provider.call(exchange(provider, GENERATE_CACHES, model="", body=b"", method="GET"))
    assert reply.status == 404
    assert b"Not found: cached content" in reply.body


def test_an_answer_that_is_none() -> None:
    """What is no JSON object is the provider's failure."""
    with pytest.raises(ProviderFailed, match="no cached content"):
        caches.decode((), b"[]")


@pytest.mark.parametrize(
    ("named", "sent"),
    [
        ("cachedContents/987", f"{FULL}/cachedContents/987"),
        (f"{FULL}/cachedContents/987", f"{FULL}/cachedContents/987"),
    ],
)
def test_what_generates_names_it_in_full(named: str, sent: str) -> None:
    """A request with a cached content names it as its own vendor does; without one the bytes stay the same."""
    body = msgspec.json.encode({"contents": [], "cachedContent": named})
    assert json.loads(deploy().body_for(exchange(None, GENERATE, body=body))) == {"contents": [], "cachedContent": sent}
    bare = b'{"contents":  []}'
    assert deploy().body_for(exchange(None, GENERATE, body=bare)) == bare


def test_who_has_none() -> None:
    """Models of others cannot, and express mode has no place for them."""
    assert deploy().spoken(exchange(None, GENERATE_CACHES), CLAUDE) is None
    assert deploy().spoken(exchange(None, GENERATE_CACHES), GEMINI) == ("generate.caches", "")
    assert deploy().spoken(exchange(None, GENERATE_CACHES), "") == ("generate.caches", "")
    express = deploy(project="", credentials=None, api_key=Secret("AIza-express"))
    with pytest.raises(InvalidRequest, match="`project`"):
        express.url_for(exchange(express, GENERATE_CACHES, model="", path="/v1beta/cachedContents"))
