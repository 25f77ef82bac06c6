"""Realtime sessions with the `openai` package, and with a client such as a browser's, through a gateway with keys and logs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI
from tests.conftest import StartGateway
from tests.harness import CANARY, GATEWAY_KEY, Gateway, eventually
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidStatus
from websockets.typing import Subprotocol

TEXT = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
USAGE = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {"text_tokens": 119, "audio_tokens": 13, "cached_tokens": 64},
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}


class Vendor:
    """As much of OpenAI's Realtime API as a client needs: a session, an answer to `response.create`, an error to the rest."""

    def __init__(self) -> None:
        self.heads: list[Mapping[str, str]] = []
        self.paths: list[str] = []
        self.closes: list[int | None] = []

    async def __call__(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.heads.append({name.lower(): value for name, value in connection.request.headers.raw_items()})
        self.paths.append(connection.request.path)
        await connection.send(
            json.dumps({"type": "session.created", "event_id": "e0", "session": {"type": "realtime"}})
        )
        try:
            async for message in connection:
                for event in self._answers(json.loads(message)):
                    await connection.send(json.dumps(event))
        except ConnectionClosed:
            pass
        self.closes.append(connection.close_code)

    def _answers(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        match event["type"]:
            case "session.update":
                return [{"type": "session.updated", "event_id": "e1", "session": event["session"]}]
            case "response.create":
                delta = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0, "delta": "Hello"}
                response = {"id": "r", "object": "realtime.response", "status": "completed", "usage": USAGE}
                return [
                    {"type": "response.output_text.delta", "event_id": "e2", **delta},
                    {"type": "response.done", "event_id": "e3", "response": response},
                ]
            case _:
                return []


@pytest.fixture
async def vendor(upstream_port: int) -> AsyncIterator[Vendor]:
    """The vendor behind the deployment `mock`."""
    held = Vendor()
    async with serve(held, "127.0.0.1", upstream_port, reuse_port=True):
        yield held


@pytest.fixture
def keyed(start_gateway: StartGateway) -> Gateway:
    """A gateway with one key and a log."""
    plugins = [{"keys": {"keys": [{"name": "app", "key": GATEWAY_KEY}]}}, {"logs-jsonl": {"flush_s": 0}}]
    return start_gateway({"auth": {"mode": "keys"}, "plugins": plugins})


async def last_record(gateway: Gateway) -> dict[str, Any]:
    """The only line of the log, as soon as it is there."""
    path = gateway.folder / ".headgate" / "requests.jsonl"
    await eventually(lambda: path.exists() and path.read_bytes().endswith(b"\n"), "the session was logged")
    (line,) = path.read_text("utf-8").splitlines()
    return json.loads(line)


async def test_the_official_client(vendor: Vendor, keyed: Gateway) -> None:
    """`client.realtime.connect` talks to the vendor through the gateway, and the log has what it used and how it ended."""
    client = AsyncOpenAI(base_url=f"{keyed.url}/v1", api_key=GATEWAY_KEY, max_retries=0)
    said = ""
    async with client.realtime.connect(model="m") as session:
        await session.session.update(session={"type": "realtime", "instructions": "be brief"})
        await session.conversation.item.create(item={**TEXT})  # pyright: ignore[reportArgumentType] - a plain dictionary
        for _ in range(2):
            await session.response.create()
            async for event in session:
                if event.type == "response.output_text.delta":
                    said += event.delta
                if event.type == "response.done":
                    break
    await client.close()
    assert said == "HelloHello"
    assert vendor.paths == ["/v1/realtime?model=some-model"]
    assert vendor.heads[0]["authorization"] == f"Bearer {CANARY}"
    assert GATEWAY_KEY not in str(vendor.heads)
    record = await last_record(keyed)
    assert (record["operation"], record["status"], record["outcome"]) == ("realtime", 101, "complete")
    assert (record["principal"]["key"], record["model"], record["called"]) == ("app", "m", "some-model")
    assert (record["closed_by"], record["close_code"]) == ("client", 1000)
    assert record["usage"] == {
        "prompt": 264,
        "completion": 242,
        "cached": 128,
        "cache_write": 0,
        "reasoning": 0,
        "total": 506,
    }
    assert record["total_ms"] > record["ttft_ms"] > 0


@pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager")  # the package does otherwise
async def test_the_official_synchronous_client(vendor: Vendor, keyed: Gateway) -> None:
    """The synchronous client, and a header of its caller's that the vendor documents."""

    def talk() -> str:
        client = OpenAI(base_url=f"{keyed.url}/v1", api_key=GATEWAY_KEY, max_retries=0)
        headers = {"OpenAI-Beta": "realtime=v1"}
        with client.realtime.connect(model="m", extra_headers=headers) as session:
            first = session.recv().type
        client.close()
        return first

    assert await asyncio.to_thread(talk) == "session.created"
    assert vendor.heads[0]["openai-beta"] == "realtime=v1"


async def test_a_browser(vendor: Vendor, keyed: Gateway) -> None:
    """A client that can say its key in a subprotocol alone is let in by it, and the vendor does not hear of it."""
    address = f"{keyed.url}/v1/realtime?model=m".replace("http:", "ws:")
    async with connect(
        address,
        subprotocols=[Subprotocol("realtime"), Subprotocol(f"openai-insecure-api-key.{GATEWAY_KEY}")],
        proxy=None,
    ) as client:
        assert client.subprotocol == "realtime"
        assert json.loads(await client.recv())["type"] == "session.created"
    assert GATEWAY_KEY not in str(vendor.heads)


@pytest.mark.parametrize(("model", "is_known", "status"), [("m", False, 401), ("nothing", True, 404)])
async def test_refusals(vendor: Vendor, keyed: Gateway, model: str, is_known: bool, status: int) -> None:
    """The client meets an HTTP status before anything is opened."""
    client = AsyncOpenAI(base_url=f"{keyed.url}/v1", api_key=GATEWAY_KEY if is_known else "hg-unknown", max_retries=0)
    with pytest.raises(InvalidStatus) as refused:
        async with client.realtime.connect(model=model):
            pass
    await client.close()
    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body)["error"]["message"]
    assert vendor.heads == []


async def test_sigterm(vendor: Vendor, keyed: Gateway) -> None:
    """When the process is told to end, sessions get 1001 and it ends long before its deadline."""
    address = f"{keyed.url}/v1/realtime?model=m".replace("http:", "ws:")
    async with connect(address, additional_headers={"Authorization": f"Bearer {GATEWAY_KEY}"}, proxy=None) as client:
        await client.recv()
        keyed.terminate()
        with pytest.raises(ConnectionClosedOK):
            await asyncio.wait_for(client.recv(), 5)
        assert (client.close_code, client.close_reason) == (1001, "the gateway is shutting down")
    await eventually(lambda: keyed.process.poll() is not None, "the process has ended", 4)
    await eventually(lambda: vendor.closes == [1001], "the vendor was told")
    assert (await last_record(keyed))["outcome"] == "cut"
