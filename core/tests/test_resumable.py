"""Addresses of uploads that go on in later requests: what they carry, for how long, and what is made of any other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest

from headgate.exchange import Attempt, Exchange, Principal, Reply, Target
from headgate.operations import GENERATE_UPLOADS
from headgate.provider import DeploymentConfig, Provider
from headgate.resumable import ADDRESS, TTL_S, Resumable, UploadUnknown, session_url
from headgate.secret import GatewaySecret, Secret
from headgate.testing import Recorded, ReplayUpstream, gateway

THEIRS = "https://vendor.example/upload/v1beta/files?upload_id=u1&upload_protocol=resumable"
WHO = Principal(
    "app",
    user="ann",
    workspace="w",
    organisation="o",
    scopes=("s",),
    models=("m*",),
    metadata={"team": "x"},
    priority=3,
)


class Vendor(Provider):
    """A vendor that takes uploads."""

    name = "vendor"
    base_url = "https://vendor.example/v1beta"
    dialects: ClassVar[Mapping[str, str]] = {GENERATE_UPLOADS.name: ""}


def exchange(path: str = "/upload/v1/files", headers: dict[bytes, bytes] | None = None) -> Exchange:
    split = urlsplit(path)
    given = {b"host": b"gateway.test", **(headers or {})}
    return Exchange(GENERATE_UPLOADS, given, request_id="r", trace_id="t", path=split.path, query=split.query.encode())


async def begun(hooks: Resumable, headers: dict[bytes, bytes] | None = None) -> str:
    """The address that a client is told of a session that `WHO` began at the deployment `main`."""
    ex = exchange(headers=headers)
    ex.principal = WHO
    provider = Vendor("main", DeploymentConfig(provider="vendor", api_key=Secret("k" * 9)), ReplayUpstream())
    ex.attempt = Attempt(Target(deployment="main"), provider, "", 0.0)

    async def call(_: Exchange) -> Reply:
        return Reply(200, ((b"x-other", b"1"), (ADDRESS, THEIRS.encode())))

    reply = await hooks.wrap_call(call)(ex)
    told = dict(reply.headers)
    assert told[b"x-other"] == b"1"
    return told[ADDRESS].decode()


def hooks_at(folder: Path, now: list[float]) -> Resumable:
    return Resumable(GatewaySecret(folder).digest, lambda: now[0])


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        ({}, "http://gateway.test"),
        ({b"x-forwarded-proto": b"https"}, "https://gateway.test"),
        ({b"x-forwarded-proto": b"https, http", b"x-forwarded-host": b"ai.example, b"}, "https://ai.example"),
        ({b"x-forwarded-proto": b"javascript"}, "http://gateway.test"),
    ],
)
async def test_a_session_is_found_again(tmp_path: Path, headers: dict[bytes, bytes], origin: str) -> None:
    """Its address leads to the gateway as the client reached it; by it any process with the same secret finds it again."""
    now = [1000.0]
    address = await begun(hooks_at(tmp_path, now), headers)
    assert address.startswith(f"{origin}/upload/v1/files?session=")
    now[0] += TTL_S - 1
    other, ex = hooks_at(tmp_path, now), exchange(address.removeprefix(origin))
    assert await other.authenticate(ex) == WHO
    assert await other.route(ex) == Target(deployment="main")
    assert session_url(ex) == THEIRS


async def test_what_is_no_session(tmp_path: Path) -> None:
    """One of another gateway, one whose time is over and one that was changed are unknown; no session is nobody's."""
    now = [1000.0]
    hooks = hooks_at(tmp_path, now)
    address = (await begun(hooks)).removeprefix("http://gateway.test")
    plain = exchange("/upload/v1/files?uploadType=multipart")
    assert (await hooks.authenticate(plain), await hooks.route(plain), session_url(plain)) == (None, None, "")
    with pytest.raises(UploadUnknown, match="has not made the address"):
        await hooks_at(tmp_path / "other", now).authenticate(exchange(address))
    with pytest.raises(UploadUnknown, match="has not made the address"):
        await hooks.authenticate(exchange(address.replace("session=", "session=W")))
    now[0] += TTL_S + 1
    with pytest.raises(UploadUnknown, match="more than 24 hours ago"):
        await hooks.authenticate(exchange(address))


async def test_a_host_of_the_callers_choice() -> None:
    """What such a host calls an address of an upload is nothing that the gateway would ever go to."""
    started = Recorded(headers=(("x-goog-upload-url", "http://10.0.0.1/x"),), body=b"")
    config: Any = {"auth": {"mode": "passthrough"}}
    async with gateway(upstream=ReplayUpstream({"*": started}), config=config) as client:
        headers = {"x-goog-api-key": "sk-own", "x-headgate-provider": "google"}
        headers["x-headgate-custom-host"] = "https://own.example/v1beta"
        reply = await client.post("/upload/v1beta/files", json={"file": {}}, headers=headers)
    assert (reply.status_code, reply.headers["x-goog-upload-url"]) == (200, "http://10.0.0.1/x")


@pytest.mark.parametrize("mode", ["open", "passthrough"])
async def test_modes_without_keys(mode: str) -> None:
    """Whatever the auth mode, the pieces of an upload need nothing but its address; the caller's key does not stand in that."""
    started = Recorded(headers=(("x-goog-upload-url", THEIRS), ("x-goog-upload-status", "active")), body=b"")
    ended = Recorded(headers=(("x-goog-upload-status", "final"),), body=b"{}")
    upstream = ReplayUpstream({"*": started})
    config: Any = {"auth": {"mode": mode}}
    deployed = {"g": {"provider": "google", "api_key": "sk-deployment"}}
    async with gateway(providers=deployed, upstream=upstream, config=config) as client:
        headers = {"x-goog-api-key": "sk-callers-own", "x-headgate-provider": "g"}
        reply = await client.post("/upload/v1beta/files", json={"file": {}}, headers=headers)
        address = reply.headers["x-goog-upload-url"]
        upstream.answer("*", ended)
        assert address.startswith("http://gateway.test/upload/v1beta/files?session=")
        final = await client.post(address, content=b"hello", headers={"x-goog-upload-offset": "0"})
        unnamed = await client.post("/upload/v1beta/files", json={"file": {}}, headers={"x-goog-api-key": "sk-x"})
    assert final.status_code == 200, final.text
    assert (final.status_code, final.headers["x-goog-upload-status"], final.content) == (200, "final", b"{}")
    first, last = upstream.requests
    assert (first.url, last.url, last.body) == (
        "https://generativelanguage.googleapis.com/upload/v1beta/files",
        THEIRS,
        b"hello",
    )
    assert "callers" not in address
    assert unnamed.json()["error"]["details"][0]["reason"] == "missing_provider"
