"""Pictures, voices, moderations, files and jobs through a whole gateway: which operation they are, and what is sent."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from core.tests.media import FORM, KEY, VOICE, Noting, field, file, form, serving

from headgate.operations import BATCHES, FILES, FINE_TUNING, FIXED, OPERATIONS, UPLOADS, find_tree
from headgate.testing import Recorded


def test_names_and_paths_are_clear() -> None:
    """Every operation has a name and a path of its own, and no tree stands above another operation's path."""
    names = [each.name for each in OPERATIONS]
    paths = [path for each in OPERATIONS for path in (each.path, *each.aliases)]
    assert len(set(names)) == len(names)
    assert len(set(paths)) == len(paths)
    assert [path for path in paths if find_tree(path) is not None] == []


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
def test_both_paths_of_a_ranking(path: str) -> None:
    """An operation may be known at further paths, which cost no more to find."""
    assert FIXED[path].name == "rerank"
    assert FIXED[path].takes("POST")


@pytest.mark.parametrize("path", [path for path, each in FIXED.items() if each.takes("POST") and path[:2] != "//"])
async def test_a_slash_at_the_end(path: str) -> None:
    """A path with a slash too many is the same operation."""
    noting = Noting()
    async with serving(Recorded.from_json({}), noting) as (client, _):
        await client.post(f"{path}/", headers={"x-headgate-provider": "acme"}, json={})
    assert noting.last.operation.name == FIXED[path].name


OPENAI_TREES = (FILES, UPLOADS, BATCHES, FINE_TUNING)


@pytest.mark.parametrize("operation", OPENAI_TREES, ids=lambda each: each.name)
async def test_a_tree_takes_what_stands_below_it(operation: Any) -> None:
    """Lists, single things and what they hold are one operation; path and query reach the provider as they were."""
    noting = Noting()
    below = [("GET", ""), ("GET", "?limit=2"), ("POST", "/id-1/cancel"), ("GET", "/id-1/content"), ("DELETE", "/a%2Fb")]
    async with serving(Recorded.from_json({"object": "list"}), noting) as (client, upstream):
        for method, rest in below:
            reply = await client.request(method, operation.path + rest, headers={"x-headgate-provider": "acme"})
            assert reply.status_code == 200
        refused = await client.patch(operation.path + "/id-1", headers={"x-headgate-provider": "acme"})
        seen = [(received.method, received.path) for received in upstream.requests]
    assert seen == [(method, operation.path + rest) for method, rest in below]
    assert {ex.operation.name for ex in noting.exchanges} == {operation.name}
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, POST, DELETE")


@pytest.mark.parametrize(
    "path", ["/v1/files-of-mine", "/v1/file", "/v1/vector_stores", "/v1/batch", "/v1/fine_tuning/alpha"]
)
async def test_what_is_in_no_tree_passes_through(path: str) -> None:
    """A path beside a tree is no part of it."""
    noting = Noting()
    async with serving(Recorded.from_json({}), noting) as (client, _):
        assert (await client.get(path, headers={"x-headgate-provider": "acme"})).status_code == 200
    assert noting.last.operation.name == "passthrough"


@pytest.mark.parametrize(
    "rest", ["/%2e%2e", "/%2e%2e/x", "/a/%2E%2e%2fx", "/a%5c..%5cx", "/a/%2e", "/a%2F..%2fb", "/x\\..\\y"]
)
@pytest.mark.parametrize("path", ["/v1/files", "/v1/vector_stores"])
async def test_paths_do_not_climb(path: str, rest: str) -> None:
    """No way of writing `..` leads out of the API, below a tree as anywhere."""
    async with serving(Recorded.from_json({})) as (client, upstream):
        url = httpx2.URL("http://gateway.test", raw_path=(path + rest).encode())
        reply = await client.get(url, headers={"x-headgate-provider": "acme"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_path")
    assert upstream.requests == []


# requests


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/images/generations", {"prompt": "a cat"}),
        ("/v1/audio/speech", {"input": "hello", "voice": "alloy"}),
        ("/v1/moderations", {"input": "some words"}),
        ("/v1/fine_tuning/jobs", {"training_file": "file-1"}),
    ],
)
async def test_a_json_body_is_routed_by_its_model(path: str, body: dict[str, Any]) -> None:
    """The model's name is replaced and nothing else; a key's models hold."""
    noting = Noting("m")
    async with serving(Recorded.from_json({"ok": True}), noting) as (client, upstream):
        reply = await client.post(path, content=json.dumps({"model": "m", **body}))
        forbidden = await client.post(path, content=json.dumps({"model": "acme/other", **body}))
        (received,) = upstream.requests
    assert (reply.status_code, reply.json()) == (200, {"ok": True})
    assert received.body == json.dumps({"model": "deployed-model", **body}).encode()
    assert (received.path, received.header("authorization")) == (path, f"Bearer {KEY}")
    assert (forbidden.status_code, forbidden.json()["error"]["code"]) == (403, "model_not_allowed")
    assert noting.exchanges[0].model == "m"


@pytest.mark.parametrize("path", ["/v1/images/generations", "/v1/moderations", "/v1/fine_tuning/jobs"])
async def test_a_body_may_lack_a_model(path: str) -> None:
    """Where the vendor has a default the body goes without a model to the deployment that is named, and nothing is put in."""
    body = b'{"prompt": "a cat",  "input": "a cat"}'
    async with serving(Recorded.from_json({})) as (client, upstream):
        named = await client.post(path, content=body, headers={"x-headgate-provider": "acme"})
        headed = await client.post(path, content=body, headers={"x-headgate-model": "m"})
        refused = await client.post(path, content=body)
        bodies = [json.loads(received.body) for received in upstream.requests]
        assert upstream.requests[0].body == body
    assert (named.status_code, headed.status_code) == (200, 200)
    assert bodies[1] == {**bodies[0], "model": "deployed-model"}
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "missing_model")


async def test_speech_needs_a_model() -> None:
    """Where the vendor has none by default a body without a model is refused, and a header does not help."""
    async with serving(VOICE) as (client, upstream):
        reply = await client.post("/v1/audio/speech", json={"input": "a"}, headers={"x-headgate-provider": "acme"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "missing_model")
    assert upstream.requests == []


async def test_a_provider_without_the_operation() -> None:
    """What a provider does not have is refused by name."""
    async with serving(Recorded.from_json({})) as (client, upstream):
        body = form(field("model", "m"), file(b"x"))
        reply = await client.post("/v1/audio/translations", content=body, headers=FORM)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "unsupported_operation")
    assert "audio.translations" in reply.json()["error"]["message"]
    assert upstream.requests == []


@pytest.mark.parametrize("size", [0, 100, 300_000])
async def test_a_file_is_sent_on_as_it_is(size: int) -> None:
    """An upload of files keeps its content type, boundary and every byte, whatever is in it."""
    noting = Noting()
    body = form(field("purpose", "batch"), field("model", "not a model"), file(b"\x00\xff" * (size // 2)))
    headers = {**FORM, "x-headgate-provider": "acme"}
    async with serving(Recorded.from_json({"id": "file-1"}), noting) as (client, upstream):
        reply = await client.post("/v1/files", content=body, headers=headers)
        (received,) = upstream.requests
    assert reply.json() == {"id": "file-1"}
    assert received.body == body
    assert (received.header("content-type"), received.header("content-length")) == (
        FORM["content-type"],
        str(len(body)),
    )
    assert (noting.last.operation.name, noting.last.request_bytes) == ("files", len(body))


async def test_a_small_file_can_go_out_again() -> None:
    """A small body of any kind is read whole, a large one is not."""
    noting = Noting()
    headers = {**FORM, "x-headgate-provider": "acme"}
    async with serving(Recorded.from_json({}), noting) as (client, _):
        for size in (60_000, 70_000):
            await client.post("/v1/uploads/upload_1/parts", content=form(file(b"a" * size)), headers=headers)
    assert [ex.can_repeat for ex in noting.exchanges] == [True, False]
