"""Jobs at vendors whose API for them is their own: what a path asks, pages, times, and how calls are carried out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace
from typing_extensions import override

from headgate import Provider
from headgate.dialects import Dialect, Gaps
from headgate.dialects.jobs import (
    USUAL_ACTIONS,
    Action,
    Asked,
    JobDialect,
    VendorCall,
    asked_for,
    batch,
    objects_in,
    seconds_of,
    usage_of,
)
from headgate.dialects.openai.members import Json, Members
from headgate.errors import ProviderFailed
from headgate.exchange import Exchange
from headgate.forms import Part, boundary_of, parts_of
from headgate.testing import Recorded, ReplayUpstream, gateway

KEY = "sk-vendor-0f1e2d3c4b5a"
HEADERS = {"x-headgate-provider": "acme"}


class AcmeTuning(JobDialect):
    """Jobs of a vendor whose lists are whole."""

    name = "acme.fine_tuning"
    operation = "fine_tuning.jobs"
    path = "/trainings"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {
        **USUAL_ACTIONS,
        "create": ("PUT", ""),
        "cancel": ("DELETE", "/{id}"),
    }

    @override
    def encode_job(self, asked: Members, gaps: Gaps) -> Json:
        return {"base": asked.need("model", str), "data": asked.need("training_file", str), "n": asked.take("n")}

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        return {"id": said.get("key"), "status": said.get("state")}

    @override
    def refusal_in(self, said: Any) -> tuple[int, bytes] | None:
        return (409, b'{"error": {"message": "no"}}') if "wrong" in said else None

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(said)


class Acme(Provider):
    """A vendor with jobs of its own kind."""

    name = "acme"
    base_url = "https://acme.example/api"
    dialects: ClassVar[Mapping[str, str]] = {"fine_tuning.jobs": AcmeTuning.name, "passthrough": ""}
    codecs: ClassVar[Mapping[str, Dialect]] = {AcmeTuning.name: AcmeTuning()}


class LinedTuning(AcmeTuning):
    """Jobs whose content is told in lines, once the job itself was asked for."""

    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {**AcmeTuning.actions, "content": ("GET", "/{id}")}

    @override
    def following(self, asked: Asked, said: Sequence[Any]) -> VendorCall | None:
        return VendorCall("GET", f"{self.path}/{asked.id}/lines", has_lines=True) if asked.action == "content" else None

    @override
    def decode_line(self, line: bytes, asked: Asked, before: Sequence[Any]) -> Json | None:
        held = json.loads(line)
        return {"of": before[0]["key"], **held} if held["n"] else None


class Lined(Acme):
    """A vendor whose jobs are told in lines, and named by the deployment where the client names none."""

    name = "lined"
    codecs: ClassVar[Mapping[str, Dialect]] = {LinedTuning.name: LinedTuning()}

    @override
    async def complete_asked(self, ex: Exchange, asked: Asked, gaps: Gaps) -> Asked:
        if asked.action != "create":
            return asked
        gaps.skip("n")
        return replace(asked, body={**asked.body, "n": self.deployment})


DEPLOYED: Json = {"acme": {"provider": "acme", "api_key": KEY, "headers": {"x-team": "lab"}}}


@pytest.mark.parametrize(
    ("method", "parts", "action"),
    [
        ("POST", (), "create"),
        ("GET", (), "list"),
        ("GET", ("j",), "retrieve"),
        ("POST", ("j", "cancel"), "cancel"),
        ("POST", ("j", "pause"), "pause"),
        ("POST", ("j", "resume"), "resume"),
        ("GET", ("j", "events"), "events"),
        ("GET", ("j", "checkpoints"), "checkpoints"),
        ("DELETE", ("j",), "delete"),
        ("GET", ("j", "content"), "content"),
        ("DELETE", (), None),
        ("POST", ("j",), None),
        ("GET", ("j", "cancel"), None),
        ("GET", ("j", "events", "1"), None),
        ("GET", ("",), None),
    ],
)
def test_what_a_path_asks(method: str, parts: tuple[str, ...], action: str | None) -> None:
    """Method and path together say what is asked; others ask nothing that there is."""
    asked = asked_for(method, parts, {}, {})
    assert (asked.action if asked is not None else None) == action
    assert asked is None or asked.id == (parts[0] if parts else "")


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (1700000000, 1700000000),
        (1700000000.9, 1700000000),
        ("2026-01-01T00:00:00Z", 1767225600),
        ("2026-01-01T00:00:00.123456789Z", 1767225600),
        ("2026-01-01T01:00:00+01:00", 1767225600),
        ("2026-01-01T00:00:00", 1767225600),
        ("yesterday", None),
        ("", None),
        (None, None),
        (True, None),
    ],
)
def test_times(told: object, seconds: int | None) -> None:
    """Unix times and RFC 3339, with or without a zone, are whole seconds; anything else is no time."""
    assert seconds_of(told) == seconds


def test_the_end_of_a_batch() -> None:
    """A batch that has ended says when, in the member of its status, and what went wrong."""
    told = batch({"id": "b"}, "failed", "DEAD", 7, [{"message": "no"}])
    assert told == {
        "object": "batch",
        "id": "b",
        "status": "failed",
        "errors": {"object": "list", "data": [{"message": "no"}]},
        "failed_at": 7,
        "native_status": "DEAD",
    }
    assert "completed_at" not in batch({"id": "b"}, "in_progress", "RUNNING", 7)


def test_usage() -> None:
    """Tokens may come as digits; without both numbers there is no usage."""
    told = usage_of("70", 5)
    assert told is not None
    assert (told["input_tokens"], told["output_tokens"], told["total_tokens"]) == (70, 5, 75)
    assert usage_of(None, 5) is None
    assert usage_of("many", 5) is None
    assert usage_of("²", 5) is None


@pytest.mark.parametrize("said", [None, {"jobs": {"a": 1}}, {"jobs": [1]}, [1], "text"])
def test_lists_that_are_none(said: object) -> None:
    """What holds no list of objects is the provider's failure."""
    with pytest.raises(ProviderFailed):
        objects_in(said, "jobs")


async def test_a_job_is_made() -> None:
    """Method, path, headers and body are the vendor's; the model and the overrides are those of the target."""
    upstream = ReplayUpstream({"*": Recorded.from_json({"key": "j1", "state": "on", "secret": KEY})})
    config = {
        "targets": [{"provider": "acme", "override_params": {"n": 3, "model": "other"}}],
        "strategy": {"mode": "single"},
    }
    async with gateway(Acme, providers=DEPLOYED, upstream=upstream, config={"plugins": ["router-standard"]}) as client:
        asked = {"model": "acme/base", "training_file": "f"}
        reply = await client.post("/v1/fine_tuning/jobs", json=asked)
        await client.post(
            "/v1/fine_tuning/jobs", json={**asked, "model": "m"}, headers={"x-headgate-config": json.dumps(config)}
        )
    first, second = upstream.requests
    assert reply.json() == {"id": "j1", "status": "on"}
    assert (first.method, first.url) == ("PUT", "https://acme.example/api/trainings")
    assert json.loads(first.body) == {"base": "base", "data": "f", "n": None}
    held = dict(first.headers)
    assert (held[b"content-type"], held[b"x-team"]) == (b"application/json", b"lab")
    assert first.credential is not None
    assert first.credential.secret.reveal() == KEY
    assert json.loads(second.body) == {"base": "other", "data": "f", "n": 3}


class Listed(AcmeTuning):
    """Jobs that are listed at a path of their own, in pages, and whose clients name them."""

    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {**USUAL_ACTIONS, "list": ("GET", "/all")}

    @override
    def encode_new(self, asked: Members, fresh: str, gaps: Gaps) -> VendorCall:
        call = super().encode_new(asked, fresh, gaps)
        return VendorCall("PUT", f"{call.path}/{fresh}", body=call.body)

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        return {"page": "2"} if len(said) == 1 else None


class Formed(AcmeTuning):
    """Jobs that are made by a form."""

    @override
    def encode_new(self, asked: Members, fresh: str, gaps: Gaps) -> VendorCall:
        call = super().encode_new(asked, fresh, gaps)
        parts = (Part("base", "", b"m"), Part("data", "application/jsonl", b"{}", "a.jsonl"))
        return VendorCall("POST", call.path, form=parts)


async def test_jobs_that_a_form_makes() -> None:
    """The parts are the body, under a boundary of the gateway's own, and no JSON is sent."""
    upstream = ReplayUpstream({"*": Recorded.from_json({"key": "j1", "state": "on"})})
    codecs = {AcmeTuning.name: Formed()}
    kind = type("Forming", (Acme,), {"codecs": codecs})
    async with gateway(kind, providers=DEPLOYED, upstream=upstream) as client:
        reply = await client.post("/v1/fine_tuning/jobs", json={"model": "acme/base", "training_file": "f"})
    [call] = upstream.requests
    assert (reply.status_code, call.method, call.url) == (200, "POST", "https://acme.example/api/trainings")
    [content_type] = [value for name, value in call.headers if name == b"content-type"]
    parts = parts_of(call.body, boundary_of(content_type))
    assert [(each.name, each.content) for each in parts] == [("base", b"m"), ("data", b"{}")]


async def test_jobs_that_their_client_names() -> None:
    """A new job has a random id for those; a list that stands elsewhere is there on every page."""
    kind = type("Other", (Acme,), {"codecs": {Listed.name: Listed()}})
    upstream = ReplayUpstream({"*": Recorded.from_json({"key": "j", "state": "on"})})
    async with gateway(kind, providers=DEPLOYED, upstream=upstream) as client:
        for _ in range(2):
            await client.post("/v1/fine_tuning/jobs", json={"model": "acme/base", "training_file": "f"})
        upstream.answer("*", Recorded.from_json([{"key": "a"}]), Recorded.from_json([{"key": "b"}]))
        listed = await client.get("/v1/fine_tuning/jobs", headers=HEADERS)
    first, second, *pages = [call.url.removeprefix("https://acme.example/api/trainings/") for call in upstream.requests]
    assert re.fullmatch(r"[0-9a-f]{32}", first)
    assert first != second
    assert pages == ["all", "all?page=2"]
    assert [each["id"] for each in listed.json()["data"]] == ["a", "b"]


async def test_ids_and_queries() -> None:
    """An id is one segment of the vendor's path, whatever it holds; the gateway's own key is no part of the query."""
    upstream = ReplayUpstream({"*": Recorded.from_json({"key": "j", "state": "on"})})
    async with gateway(Acme, providers=DEPLOYED, upstream=upstream) as client:
        await client.get("/v1/fine_tuning/jobs/a%2Fb%3Fc?key=sk-mine", headers=HEADERS)
        refused = await client.get("/v1/fine_tuning/jobs/%2e%2e?x=1", headers=HEADERS)
    assert [call.url for call in upstream.requests] == ["https://acme.example/api/trainings/a%2Fb%3Fc"]
    assert refused.status_code == 400


async def test_a_change_that_is_answered_with_nothing() -> None:
    """The job is asked for behind it, once; an error there is the answer."""
    upstream = ReplayUpstream({"*": [Recorded(status=204), Recorded.from_json({"key": "j", "state": "off"})]})
    async with gateway(Acme, providers=DEPLOYED, upstream=upstream) as client:
        reply = await client.post("/v1/fine_tuning/jobs/j/cancel", headers=HEADERS)
        assert reply.json() == {"id": "j", "status": "off"}
        assert [call.method for call in upstream.requests] == ["DELETE", "GET"]
        upstream.answer("*", Recorded(status=204), Recorded(status=404, body=b'{"error": {"message": "gone"}}'))
        gone = await client.post("/v1/fine_tuning/jobs/j/cancel", headers=HEADERS)
        assert (gone.status_code, gone.json()["error"]["message"]) == (404, "gone")
        upstream.answer("*", Recorded(status=204))
        empty = await client.post("/v1/fine_tuning/jobs/j/cancel", headers=HEADERS)
        assert (empty.status_code, len(upstream.requests)) == (502, 6)


async def test_bodies_that_nobody_reads() -> None:
    """What stands in the body of a request that needs none is refused by name."""
    async with gateway(Acme, providers=DEPLOYED, upstream=ReplayUpstream()) as client:
        reply = await client.post("/v1/fine_tuning/jobs/j/cancel", json={"reason": "late"}, headers=HEADERS)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "reason")


@pytest.mark.parametrize(
    ("error", "code"),
    [({"code": 404, "message": "gone", "status": "NOT_FOUND"}, "NOT_FOUND"), ({"code": 7, "message": "gone"}, "7")],
)
async def test_errors_in_an_envelope_of_the_vendors(error: object, code: str) -> None:
    """An error with a number for its code is told in OpenAI's words, whose client asked; the status stays."""
    upstream = ReplayUpstream({"*": Recorded.from_json({"error": error}, 404)})
    async with gateway(Acme, providers=DEPLOYED, upstream=upstream) as client:
        reply = await client.get("/v1/fine_tuning/jobs/j", headers=HEADERS)
    told = {"message": "gone", "type": "upstream_error", "param": None, "code": code}
    assert (reply.status_code, reply.json()) == (404, {"error": told})


async def test_an_error_with_a_good_status() -> None:
    """What a vendor says is an error is one, with the status that it means, and nothing follows it."""
    upstream = ReplayUpstream({"*": Recorded.from_json({"wrong": 1})})
    async with gateway(Acme, providers=DEPLOYED, upstream=upstream) as client:
        reply = await client.get("/v1/fine_tuning/jobs", headers=HEADERS)
    assert (reply.status_code, reply.json()["error"]["message"], len(upstream.requests)) == (409, "no", 1)


@pytest.mark.parametrize("size", [1, 5, 1000])
async def test_content_in_lines(size: int) -> None:
    """Lines are told one by one however they come, the last one without its line feed too, without the deployment's key."""
    lines = Recorded(body=b'{"n": 1}\n{"n": 0}\n\n{"n": 2, "key": "%b"}' % KEY.encode(), sizes=(size,))
    answers = {"/api/trainings/j": Recorded.from_json({"key": "j"}), "/api/trainings/j/lines": lines}
    upstream = ReplayUpstream(answers)
    async with gateway(
        Lined, providers={"acme": {**DEPLOYED["acme"], "provider": "lined"}}, upstream=upstream
    ) as client:
        reply = await client.get("/v1/fine_tuning/jobs/j/content", headers=HEADERS)
    first, second = reply.content.splitlines()
    assert (reply.status_code, json.loads(first)) == (200, {"of": "j", "n": 1})
    assert (json.loads(second)["n"], KEY in reply.text) == (2, False)


async def test_content_in_lines_that_is_not_there() -> None:
    """An error in the place of lines is the answer."""
    answers = [Recorded.from_json({"key": "j"}), Recorded.from_json({"error": {"message": "gone"}}, 410)]
    upstream = ReplayUpstream({"*": answers})
    async with gateway(
        Lined, providers={"acme": {**DEPLOYED["acme"], "provider": "lined"}}, upstream=upstream
    ) as client:
        reply = await client.get("/v1/fine_tuning/jobs/j/content", headers=HEADERS)
    assert (reply.status_code, reply.json()["error"]["message"]) == (410, "gone")


async def test_what_a_provider_completes() -> None:
    """What a provider makes of what is asked is what its dialect says; what it left out is named."""
    upstream = ReplayUpstream({"*": Recorded.from_json({"key": "j", "state": "new"})})
    async with gateway(
        Lined, providers={"acme": {**DEPLOYED["acme"], "provider": "lined"}}, upstream=upstream
    ) as client:
        asked = {"model": "acme/m", "training_file": "f", "n": 3}
        reply = await client.post("/v1/fine_tuning/jobs", json=asked, headers=HEADERS)
    assert reply.headers["x-headgate-dropped"] == "n"
    assert json.loads(upstream.requests[0].body) == {"base": "m", "data": "f", "n": "acme"}
