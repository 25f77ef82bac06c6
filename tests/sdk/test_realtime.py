"""Realtime sessions with the `openai` package, and with a client such as a browser's, through a gateway with keys and logs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import openai
import pytest
from aiohttp import ClientSession, WSMsgType
from openai import AsyncOpenAI, OpenAI
from tests.conftest import StartGateway
from tests.door.upstream import Call, Upstream, json_response, reply_with, response
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
HEARD = {"type": "tokens", "total_tokens": 22, "input_tokens": 13, "output_tokens": 9}
PROVIDER = {"x-headgate-provider": "mock"}
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n"


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
            case "input_audio_buffer.commit":
                item = {"item_id": "i", "content_index": 0, "transcript": "hi", "usage": HEARD}
                return [{"type": "conversation.item.input_audio_transcription.completed", "event_id": "e4", **item}]
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


async def test_the_official_client_of_the_beta(vendor: Vendor, keyed: Gateway) -> None:
    """`client.beta.realtime.connect` works likewise; what was transcribed counts beside the answer."""
    base = f"{keyed.url}/v1"  # whose scheme this client, other than the newer one, does not take over
    client = AsyncOpenAI(
        base_url=base, websocket_base_url=base.replace("http", "ws"), api_key=GATEWAY_KEY, max_retries=0
    )
    said: list[str] = []
    async with client.beta.realtime.connect(model="m") as session:
        await session.session.update(session={"input_audio_transcription": {"model": "whisper-1"}})
        await session.input_audio_buffer.append(audio="AAAA")
        await session.input_audio_buffer.commit()
        await session.response.create()
        async for event in session:
            said.append(event.type)
            if event.type == "response.done":
                break
    await client.close()
    heard = "conversation.item.input_audio_transcription.completed"
    assert said == ["session.created", "session.updated", heard, "response.output_text.delta", "response.done"]
    assert vendor.heads[0]["openai-beta"] == "realtime=v1"
    assert vendor.heads[0]["authorization"] == f"Bearer {CANARY}"
    usage = (await last_record(keyed))["usage"]
    assert (usage["prompt"], usage["completion"], usage["total"]) == (132 + 13, 121 + 9, 253 + 22)


async def test_a_client_of_aiohttp(vendor: Vendor, keyed: Gateway) -> None:
    """The WebSocket client of aiohttp, which offers compression and pings by itself, talks to the vendor."""
    headers = {"Authorization": f"Bearer {GATEWAY_KEY}"}
    async with (
        ClientSession() as http,
        http.ws_connect(
            f"{keyed.url}/v1/realtime?model=m", headers=headers, compress=15, heartbeat=0.05, protocols=("realtime",)
        ) as session,
    ):
        assert session.protocol == "realtime"
        assert (await session.receive_json(timeout=10))["type"] == "session.created"
        await session.send_json({"type": "response.create"})
        types = [(await session.receive_json(timeout=10))["type"] for _ in range(2)]
        assert types == ["response.output_text.delta", "response.done"]
        await session.close(code=4000, message=b"enough")
        assert (await session.receive()).type is WSMsgType.CLOSED
    await eventually(lambda: vendor.closes == [4000], "the vendor was told")
    assert (await last_record(keyed))["close_code"] == 4000


# beside the socket


@pytest.fixture
async def client(keyed: Gateway) -> AsyncIterator[AsyncOpenAI]:
    """The official client, which names the deployment: what it asks here names no model where the gateway looks."""
    async with AsyncOpenAI(
        base_url=f"{keyed.url}/v1", api_key=GATEWAY_KEY, max_retries=0, timeout=10, default_headers=PROVIDER
    ) as held:
        yield held


def has_the_right_key(call: Call) -> bool:
    """Whether the vendor was shown the deployment's key, and nothing of the gateway's."""
    return call.header("authorization") == f"Bearer {CANARY}" and GATEWAY_KEY not in f"{call.headers}{call.body!r}"


async def test_client_secrets(client: AsyncOpenAI, upstream: Upstream) -> None:
    """A client secret is made with the deployment's key; it is the vendor's, and comes as the vendor wrote it."""
    session = {"type": "realtime", "model": "gpt-realtime"}
    made = {"value": "ek_secret", "expires_at": 1, "session": {**session, "id": "sess_1", "object": "realtime.session"}}
    upstream.script = reply_with(json_response(made))
    secret = await client.realtime.client_secrets.create(session={"type": "realtime", "model": "gpt-realtime"})
    assert (secret.value, secret.session.id) == ("ek_secret", "sess_1")
    call = await upstream.call()
    assert (call.method, call.target, call.json) == ("POST", "/v1/realtime/client_secrets", {"session": session})
    assert has_the_right_key(call)


async def test_sessions_of_the_beta(client: AsyncOpenAI, upstream: Upstream) -> None:
    """The beta's way to a client secret passes too, with the header that the vendor knows it by."""
    upstream.script = reply_with(json_response({"client_secret": {"value": "ek_secret", "expires_at": 1}}))
    made = await client.beta.realtime.sessions.create(model="gpt-4o-realtime-preview")
    assert made.client_secret.value == "ek_secret"
    call = await upstream.call()
    assert (call.target, call.json) == ("/v1/realtime/sessions", {"model": "gpt-4o-realtime-preview"})
    assert call.header("openai-beta") == "assistants=v2"
    assert has_the_right_key(call)


async def test_calls(client: AsyncOpenAI, upstream: Upstream) -> None:
    """A WebRTC call is begun with the form as the client wrote it; the answer says where the call is."""
    headers = b"content-type: application/sdp\r\nlocation: /v1/realtime/calls/rtc_1\r\n"
    upstream.script = reply_with(response(SDP.encode(), "201 Created", headers))
    begun = await client.realtime.calls.create(sdp=SDP, session={"type": "realtime", "model": "gpt-realtime"})
    assert begun.text == SDP
    assert begun.response.headers["location"] == "/v1/realtime/calls/rtc_1"
    call = await upstream.call()
    assert call.target == "/v1/realtime/calls"
    assert call.header("accept") == "application/sdp"
    assert (call.header("content-type") or "").startswith("multipart/form-data; boundary=")
    assert SDP.encode() in call.body
    assert has_the_right_key(call)


async def test_a_running_call(client: AsyncOpenAI, upstream: Upstream) -> None:
    """What is done to a call by its id reaches the vendor."""
    upstream.script = reply_with(response(b""))
    await client.realtime.calls.hangup("rtc_1")
    call = await upstream.call()
    assert (call.method, call.target) == ("POST", "/v1/realtime/calls/rtc_1/hangup")
    assert has_the_right_key(call)


async def test_the_side_channel_of_a_call(vendor: Vendor, keyed: Gateway) -> None:
    """A session that is told a call's id instead of a model listens in on it, so that its usage is recorded."""
    client = AsyncOpenAI(base_url=f"{keyed.url}/v1", api_key=GATEWAY_KEY, max_retries=0)
    async with client.realtime.connect(call_id="rtc_1", extra_headers=PROVIDER) as session:
        assert (await session.recv()).type == "session.created"
    await client.close()
    assert vendor.paths == ["/v1/realtime?call_id=rtc_1"]
    assert vendor.heads[0]["authorization"] == f"Bearer {CANARY}"


async def test_a_post_is_told_of_the_ways_in(client: AsyncOpenAI, upstream: Upstream) -> None:
    """`POST /v1/realtime`, where the beta's WebRTC calls began, gets 426 and the paths that there are."""
    with pytest.raises(openai.APIStatusError) as refused:
        await client.post("/realtime", body={}, cast_to=object)
    assert refused.value.status_code == 426
    assert refused.value.response.headers["upgrade"] == "websocket"
    assert refused.value.code == "upgrade_required"
    assert "`POST /v1/realtime/calls`" in refused.value.message
    assert upstream.calls == []


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
