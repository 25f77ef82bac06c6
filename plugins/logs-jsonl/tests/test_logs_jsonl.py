"""What a record says of an exchange, and that nothing in an exchange can break the log or put a secret into it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate import (
    Attempt,
    Closing,
    Context,
    Exchange,
    HookFailed,
    Principal,
    Provider,
    RateLimited,
    Reply,
    RequestError,
    Secret,
    StartupError,
    Target,
)
from headgate.chat import Usage
from headgate.operations import CHAT
from headgate.testing import chat_request, gateway
from headgate_logs_jsonl import LogsJsonl, LogsJsonlConfig, Record, encode, record_of

SECRET = "sk-planted-4711"


class Somebody:
    """As much of a provider as a record looks at."""

    name = "vendor"
    deployment = "main"


def attempt(model: str = "m-1", **fields: Any) -> Attempt:
    target = Target(path="config.targets[1]", deployment="main", model=model)
    return Attempt(target, cast("Provider", Somebody()), model, 10.0, **fields)


def exchange(headers: Mapping[bytes, bytes] | None = None) -> Exchange:
    return Exchange(CHAT, headers or {}, request_id="req_1", trace_id="t")


def decoded(ex: Exchange, content_bytes: int = 0) -> dict[str, Any]:
    line = encode(record_of(ex, content_bytes))
    assert line.endswith(b"\n")
    return json.loads(line)


def test_a_whole_exchange() -> None:
    """Every field of a record, for an exchange that had everything."""
    ex = exchange()
    ex.started_at = 1_750_000_000.25
    ex.principal = Principal("k", user="u", workspace="w", organisation="o", credential=Secret(SECRET))
    ex.model, ex.stream, ex.metadata = "fast", True, {"team": "x"}
    failed = attempt("m-0", status=503, error="upstream_failed", ended=10.5, retries=2)
    ex.attempt = attempt(status=200, ended=11.0)
    ex.attempts = [failed, ex.attempt]
    ex.reply = Reply(200, usage=Usage(prompt=9, completion=3, cached=4, reasoning=1, raw={"x": 1}))
    ex.request_bytes, ex.reply_bytes, ex.ttft_s = 100, 200, 0.0125
    ex.outcome, ex.cache_status = "complete", "MISS"
    ex.cost_microusd, ex.cost_source = 1_234, "genai-prices"
    found = decoded(ex)
    assert found.pop("total_ms") >= 0
    assert found == {
        "time": "2025-06-15T15:06:40.250000Z",
        "request_id": "req_1",
        "trace_id": "t",
        "operation": "chat",
        "method": "POST",
        "path": "/v1/chat/completions",
        "principal": {"key": "k", "user": "u", "workspace": "w", "organisation": "o"},
        "model": "fast",
        "provider": "vendor",
        "deployment": "main",
        "called": "m-1",
        "status": 200,
        "outcome": "complete",
        "error": "",
        "stream": True,
        "attempts": [
            {
                "deployment": "main",
                "model": "m-0",
                "status": 503,
                "error": "upstream_failed",
                "ms": 500.0,
                "retries": 2,
                "path": "config.targets[1]",
                "cost_usd": None,
                "tries": [],
            },
            {
                "deployment": "main",
                "model": "m-1",
                "status": 200,
                "error": "",
                "ms": 1000.0,
                "retries": 0,
                "path": "config.targets[1]",
                "cost_usd": None,
                "tries": [],
            },
        ],
        "cache": "MISS",
        "usage": {"prompt": 9, "completion": 3, "cached": 4, "cache_write": 0, "reasoning": 1, "total": 12},
        "cost_usd": 0.001234,
        "cost_source": "genai-prices",
        "ttft_ms": 12.5,
        "request_bytes": 100,
        "reply_bytes": 200,
        "metadata": {"team": "x"},
        "request": None,
        "reply": None,
        "closed_by": "",
        "shadow_of": "",
        "close_code": None,
    }


@pytest.mark.parametrize(("micro", "usd"), [(None, None), (0, 0), (1, 0.000001), (12_345_678, 12.345678)])
def test_cost(micro: int | None, usd: float | None) -> None:
    """A cost is in USD to the millionth; one that nobody knows is null, and not 0."""
    ex = exchange()
    ex.cost_microusd = micro
    found = decoded(ex)
    assert (found["cost_usd"], found["cost_source"]) == (usd, "")
    assert (found["cost_usd"] is None) is (micro is None)


@pytest.mark.parametrize(
    ("outcome", "error", "reply", "status"),
    [
        ("error", RateLimited("x"), None, 429),
        ("error", HookFailed("x"), Reply(200), 503),
        ("cut", HookFailed("x"), Reply(200), 200),
        ("complete", None, Reply(404), 404),
        ("client_gone", None, None, 0),
    ],
)
def test_status(outcome: Any, error: RequestError | None, reply: Reply | None, status: int) -> None:
    """The status is the one that was sent, 0 when none was."""
    ex = exchange()
    ex.outcome, ex.error, ex.reply = outcome, error, reply
    found = decoded(ex)
    assert (found["status"], found["outcome"]) == (status, outcome)
    assert found["error"] == (error.error_code if error else "")
    assert found["principal"] is None
    assert found["attempts"] == []


@given(seconds=st.floats(0, 10**6))
def test_times_are_to_the_microsecond(seconds: float) -> None:
    """Times are milliseconds with at most three decimals, the nearest there are."""
    ex = exchange()
    ex.ttft_s = seconds
    found = decoded(ex)["ttft_ms"]
    assert found == round(found, 3)
    assert abs(found - seconds * 1000) <= 0.0005 + seconds * 1e-9


def test_the_end_of_a_session() -> None:
    """Who closed a WebSocket session, and with which code."""
    ex = exchange()
    ex.reply = Reply(101, closing=Closing("provider", 1011, "secret words"))
    line = decoded(ex)
    assert (line["status"], line["closed_by"], line["close_code"]) == (101, "provider", 1011)
    assert "secret words" not in str(line)


def test_a_shadow_names_what_it_repeats() -> None:
    """Two records of one request can be laid side by side."""
    ex = exchange()
    ex.shadow_of = "req_0"
    assert decoded(ex)["shadow_of"] == "req_0"


def test_no_header_and_no_query_is_logged() -> None:
    """Whatever stands in headers, query or the caller's credential stays out, with content logged too."""
    ex = exchange({b"authorization": f"Bearer {SECRET}".encode(), b"x-api-key": SECRET.encode()})
    ex.query = f"key={SECRET}".encode()
    ex.principal = Principal("k", credential=Secret(SECRET))
    ex.body = b"{}"
    assert SECRET.encode() not in encode(record_of(ex, 1000))


TEXT = st.text(st.characters(), max_size=30) | st.sampled_from(
    ["\n{}", "\r\n", "\x85", "\u2028", "\u2029", "\x7f", "\x9b2J", "\x1b[2J", '"}', "\x00", "\ud800", "…", "🙂"]
)


@given(text=st.lists(TEXT, max_size=4).map("".join), body=st.binary(max_size=50))
def test_any_content_is_one_line(text: str, body: bytes) -> None:
    """No content ends a line for any reader, steers a terminal, or stops a record from being read back."""
    ex = exchange()
    ex.model, ex.path, ex.metadata, ex.body = text, text, {text: text}, body + text.encode("utf-8", "surrogatepass")
    ex.principal = Principal(text, user=text, workspace=text, organisation=text)
    ex.attempt = attempt(text)
    ex.attempts = [ex.attempt]
    line = encode(record_of(ex, 1000))
    assert line.decode().splitlines() == [line.decode()[:-1]]
    assert all(character.isprintable() or not character.isascii() for character in line.decode()[:-1])
    assert "\x9b" not in line.decode()
    assert json.loads(line)["model"] == text.encode("utf-8", "replace").decode()


def test_long_texts_are_cut() -> None:
    """One request cannot make a line large: what the caller chooses freely is cut."""
    ex = exchange()
    ex.model, ex.path = "m" * 10**6, "/" + "p" * 10**6
    ex.metadata = {f"{at}" * 1000: "v" * 10**5 for at in range(1000)}
    assert len(encode(record_of(ex))) < 100_000


async def _chunks() -> AsyncGenerator[bytes]:
    yield b""


@pytest.mark.parametrize(
    ("reply", "collected", "error", "expected"),
    [
        (Reply(200, body="Grüße".encode()), None, None, "Gr\ufffd"),
        (Reply(200, chunks=_chunks()), b"data: x", None, "dat"),
        (Reply(200, chunks=_chunks()), None, None, ""),
        (Reply(200, body=b"secret"), None, HookFailed("x"), '{"e'),
        (None, None, None, ""),
    ],
)
def test_content(reply: Reply | None, collected: bytes | None, error: RequestError | None, expected: str) -> None:
    """Bodies are logged up to the limit: the reply that was sent, not one that was withheld."""
    ex = exchange()
    ex.body, ex.reply, ex.reply_body, ex.error = b"request", reply, collected, error
    ex.outcome = "error" if error else "complete"
    found = decoded(ex, 3)
    assert (found["request"], found["reply"]) == ("req", expected)


def test_every_field_is_told_in_the_readme() -> None:
    """The README names every field of a line."""
    text = (Path(__file__).parents[1] / "README.md").read_text()
    assert [name for name in Record.__struct_fields__ if f"`{name}`" not in text] == []


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def context(folder: Path) -> Context:
    return Context(cast("Any", None), folder, "http://gateway.test")


async def test_hook_start_and_stop(tmp_path: Path) -> None:
    """The file is made at start in the state folder; at stop all records are in it."""
    plugin = LogsJsonl(LogsJsonlConfig(flush_s=3600))
    await plugin.record(exchange())
    await plugin.start(context(tmp_path / "state"))
    assert lines_of(tmp_path / "state" / "requests.jsonl") == []
    await asyncio.gather(*(plugin.record(exchange()) for _ in range(100)))
    await plugin.stop()
    assert len(lines_of(tmp_path / "state" / "requests.jsonl")) == 100


async def test_hook_stop_before_start() -> None:
    """A plugin that never started can be stopped."""
    await LogsJsonl(LogsJsonlConfig()).stop()


async def test_a_file_that_cannot_be_opened_stops_the_start(tmp_path: Path) -> None:
    """A log nobody can write is told at start, not found missing later."""
    with pytest.raises(StartupError, match="cannot be written to"):
        await LogsJsonl(LogsJsonlConfig(path=str(tmp_path))).start(context(tmp_path))


@pytest.mark.parametrize("content", [False, True])
async def test_hook_admit(content: bool) -> None:
    """The bytes of streams are collected only when content is logged."""
    ex = exchange()
    await LogsJsonl(LogsJsonlConfig(content=content)).admit(ex)
    assert ex.collect is content


async def test_hook_record(tmp_path: Path) -> None:
    """Through a whole gateway: whole replies, streams with their content, and refused requests are all recorded."""
    path = tmp_path / "log.jsonl"
    async with gateway(LogsJsonl(LogsJsonlConfig(path=str(path), content=True))) as client:
        for body in (chat_request("one"), chat_request("two", stream=True), chat_request("three", "nobody/x")):
            await client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {SECRET}"})
    whole, stream, refused = lines_of(path)
    assert (whole["status"], whole["outcome"], whole["deployment"], whole["called"]) == (
        200,
        "complete",
        "demo",
        "echo",
    )
    assert whole["usage"]["total"] > 0
    assert json.loads(whole["request"])["messages"][0]["content"] == "one"
    assert json.loads(whole["reply"])["object"] == "chat.completion"
    assert stream["stream"]
    assert stream["ttft_ms"] <= stream["total_ms"]
    assert stream["reply"].startswith("data: ")
    assert stream["reply_bytes"] == len(stream["reply"].encode())
    assert (refused["status"], refused["error"], refused["attempts"]) == (404, "model_not_found", [])
    assert SECRET not in path.read_text()


@pytest.mark.parametrize("name", ["x-headgate-debug", "x-portkey-debug"])
async def test_a_caller_can_keep_its_bodies_out(tmp_path: Path, name: str) -> None:
    """`debug: false` leaves the record without bodies, whole and streamed; other requests keep theirs."""
    path = tmp_path / "log.jsonl"
    async with gateway(LogsJsonl(LogsJsonlConfig(path=str(path), content=True))) as client:
        for body in (chat_request("one"), chat_request("two", stream=True)):
            await client.post("/v1/chat/completions", json=body, headers={name: "false"})
        await client.post("/v1/chat/completions", json=chat_request("three"), headers={name: "true"})
    whole, stream, kept = lines_of(path)
    assert [(line["request"], line["reply"]) for line in (whole, stream)] == [(None, None)] * 2
    assert json.loads(kept["request"])["messages"][0]["content"] == "three"
