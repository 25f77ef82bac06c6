"""Recorded exchanges with Bedrock: every reply and stream is read, every request goes round, every error has its words.

Recordings hold no chunk timing, so streams are cut at several sizes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from headgate.chat import ChatReply, ChatRequest, Finish, Start, StreamEvent, UsageEvent, collect
from headgate.dialects import Gaps
from headgate_bedrock import BedrockConverse
from headgate_bedrock.frames import decode_frame
from headgate_bedrock.models import find_model
from headgate_bedrock.policy import settle_format, settle_thinking

Json = dict[str, Any]
Recorded = Callable[[str, str], Iterator[Json]]
Judge = Callable[[bytes], list[str]]
DIALECT = BedrockConverse()
SIZES = (1, 7, 64, 1 << 30)
OWN = {"guardrailConfig", "additionalModelRequestFields"}


def model_of(record: Json) -> str:
    return str(record["path"]).removeprefix("/model/").rpartition("/")[0]


def streamed(data: bytes, size: int) -> list[StreamEvent]:
    framer, decoder, events = DIALECT.framer(), DIALECT.stream_decoder(), list[StreamEvent]()
    for at in range(0, len(data), size):
        for frame in framer.feed(data[at : at + size]):
            events += decoder.feed(frame)
    assert list(framer.end()) == []
    return [*events, *decoder.end()]


def check_usage(reply: ChatReply, record: Json) -> None:
    """The law of every recorded answer: the total is the sum of its four parts."""
    usage = reply.usage
    if usage is None or usage.raw is None or "totalTokens" not in usage.raw:
        return
    assert usage.prompt + usage.completion == usage.raw["totalTokens"], record["id"]
    assert 0 <= usage.cached + usage.cache_write <= usage.prompt


def test_whole_replies(recorded: Recorded) -> None:
    """Every whole reply decodes: its text, its calls, its end and its usage are those that were sent."""
    count = 0
    for record in recorded("bedrock", "converse"):
        if record["status"] != 200:
            continue
        sent = json.loads(record["resp_text"])
        reply = DIALECT.decode_reply(record["resp_text"].encode())
        blocks = sent["output"]["message"]["content"]
        message = reply.choices[0].message
        assert message.text == "".join(block.get("text", "") for block in blocks), record["id"]
        assert reply.choices[0].finish_raw == sent["stopReason"]
        check_usage(reply, record)
        count += 1
    assert count == 74


def test_streams(recorded: Recorded) -> None:
    """Every stream gives the same events however it is cut, in their order, and adds up to a whole reply."""
    count = 0
    for record in recorded("bedrock", "converse-stream"):
        if record["status"] != 200:
            continue
        data = base64.b64decode(record["resp_b64"])
        events = streamed(data, SIZES[0])
        assert all(streamed(data, size) == events for size in SIZES[1:]), record["id"]
        kinds = [type(event) for event in events]
        assert (kinds.count(Start), kinds[0], kinds.count(Finish)) == (1, Start, 1), record["id"]
        assert set(kinds[kinds.index(Finish) + 1 :]) <= {UsageEvent}
        check_usage(collect(events), record)
        count += 1
    assert count == 44


def test_frames_of_invoked_streams(recorded: Recorded) -> None:
    """Streams of InvokeModel, which are passed on as they are, are cut into the same messages."""
    count = 0
    for record in recorded("bedrock", "invoke-stream"):
        if record["status"] != 200 or not record.get("resp_b64"):
            continue
        data = base64.b64decode(record["resp_b64"])
        for size in SIZES:
            framer = DIALECT.framer()
            frames = [frame for at in range(0, len(data), size) for frame in framer.feed(data[at : at + size])]
            assert b"".join(frames) == data
            assert list(framer.end()) == []
        assert all(decode_frame(frame).headers for frame in frames)  # pyright: ignore[reportPossiblyUnboundVariable]
        count += 1
    assert count > 0


def plain(value: Any) -> Any:
    """A request without what asks for nothing: empty objects and lists, the kind of a call; neighbours of a role are one."""
    if isinstance(value, list):
        return [plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(value, dict):
        return value
    held: Json = {name: plain(item) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if "toolUseId" in held:
        held.pop("type", None)
    if "messages" in held:
        turns: list[Json] = []
        for turn in held["messages"]:
            if turns and turns[-1]["role"] == turn["role"]:
                turns[-1]["content"] += turn["content"]
            else:
                turns.append(turn)
        held["messages"] = turns
    for name in ("inferenceConfig", "additionalModelRequestFields", "stopSequences"):
        if held.get(name) in ({}, []):
            del held[name]
    return held


def repaired(value: Any) -> Any:
    """One recorder wrote bytes as an object of numbers: here they are base64 again, as they were sent."""
    if isinstance(value, list):
        return [repaired(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(value, dict):
        return value
    held: Json = dict(value)  # pyright: ignore[reportUnknownArgumentType]
    if held and all(name.isdigit() for name in held):
        return base64.b64encode(bytes(held[str(at)] for at in range(len(held)))).decode()
    return {name: repaired(item) for name, item in held.items()}


@pytest.mark.parametrize("operation", ["converse", "converse-stream"])
def test_requests_go_round(recorded: Recorded, problems: Judge, operation: str) -> None:
    """Every request decodes and comes out as it was; AWS's model accepts what comes out."""
    count = 0
    for record in recorded("bedrock", operation):
        if record["req_json"] is None:
            continue
        sent = repaired(record["req_json"])
        gaps = Gaps("bedrock")
        body = DIALECT.encode_request(DIALECT.decode_request(json.dumps(sent).encode()), gaps)
        assert plain(json.loads(body)) == plain(sent), record["id"]
        assert gaps.dropped == []
        assert problems(body) == [], record["id"]
        count += 1
    assert count == {"converse": 65, "converse-stream": 33}[operation]


def test_requests_of_another_client(recorded: Recorded, problems: Judge) -> None:
    """The same requests as if they came in another dialect: nothing is refused but guards and settings of Bedrock's own."""
    for record in recorded("bedrock", "converse"):
        if record["req_json"] is None:
            continue
        request = DIALECT.decode_request(json.dumps(repaired(record["req_json"])).encode())
        foreign = replace(request, model=model_of(record), dialect="openai.chat")
        gaps = Gaps("bedrock", "drop")
        model = find_model(foreign.model)
        settled = settle_format(settle_thinking(foreign, model, gaps), model, gaps)
        assert problems(DIALECT.encode_request(settled, gaps)) == [], record["id"]
        assert all(name.partition(".")[0] in OWN or "guardContent" in name for name in gaps.dropped), gaps.dropped


def test_second_turns(recorded: Recorded) -> None:
    """The answer of a first turn, put into the history with its results, is what the recorded second turn sent."""
    count = 0
    turns = {(record["file"], record["turn"]): record for record in recorded("bedrock", "converse")}
    for (file, number), second in turns.items():
        first = turns.get((file, number - 1))
        if first is None or first["status"] != 200 or not second["req_json"] or not first["req_json"]:
            continue
        history = second["req_json"]["messages"]
        if len(history) < 3 or history[: len(first["req_json"]["messages"])] != first["req_json"]["messages"]:
            continue
        said = DIALECT.decode_reply(first["resp_text"].encode()).choices[0].message
        ours = DIALECT.encode_request(ChatRequest("anthropic.claude", (said,)), Gaps("bedrock"))
        blocks = [block for block in json.loads(ours)["messages"][0]["content"] if "toolUse" in block]
        theirs = [block for block in plain(history[-2]["content"]) if "toolUse" in block]
        assert blocks == theirs, second["id"]
        count += bool(theirs)
    assert count >= 3


def test_errors(recorded: Recorded) -> None:
    """Every error keeps its words; with the header it is named, without it a key that is not good is told all the same."""
    count = 0
    for operation in ("converse", "converse-stream", "invoke", "invoke-stream"):
        for record in recorded("bedrock", operation):
            if record["status"] < 400:
                continue
            body = (record["resp_text"] or "").encode()
            headers = [(name.encode(), value.encode()) for name, value in record["resp_headers"].items()]
            named, bare = (
                DIALECT.decode_error(record["status"], body, headers),
                DIALECT.decode_error(record["status"], body),
            )
            assert named.message == bare.message == json.loads(body)["message"]
            assert named.status == bare.status == (401 if "token" in named.message else record["status"])
            assert (named.code or "").endswith("Exception")
            count += 1
    assert count == 7
