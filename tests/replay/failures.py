"""Errors of vendors: recorded ones, and ones in each vendor's words where none is recorded, whole and in the middle of a stream.

Envelopes: https://platform.openai.com/docs/guides/error-codes, https://platform.claude.com/docs/en/api/errors,
https://ai.google.dev/gemini-api/docs/troubleshooting, the exceptions of
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html,
https://docs.cohere.com/reference/errors and https://docs.ollama.com/api/errors.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from tests.replay import clients
from tests.replay.corpus import Recording
from tests.replay.judge import short
from tests.replay.neutral import Question
from tests.replay.reading import Json, events_of, members, objects, parse
from tests.replay.targets import canned
from tests.replay.vendors import KEY, dialect_of, model_of

from headgate.testing import Client, Recorded, ReplayUpstream

MESSAGE = "the vendor's own words, number 4711"
_CLASSES = (
    frozenset({400, 413, 422}),
    frozenset({401, 403}),
    frozenset({402}),
    frozenset({404}),
    frozenset({429}),
    frozenset({408, 500, 502, 503, 504, 529}),
)
"""Statuses that tell a client to do the same thing."""
_RUNNING = frozenset({200})
_CORRECTED = {
    ("anthropic", 529): 503,
    ("cohere", 498): 401,
    ("cohere", 499): 502,
    ("bedrock", 424): 502,
    ("groq", 498): 503,
}
"""Odd statuses, and what a client should be told instead."""
_GOOGLE_STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"} | {
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_ANTHROPIC_TYPE = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error"} | {
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


@dataclass(frozen=True)
class Failure:
    """One way a vendor fails. `expected` are the statuses that are right for the client, `message` is what must be told."""

    name: str
    vendor: str
    shape: str
    answer: Recorded
    expected: frozenset[int]
    message: str
    model: str
    stream: bool = False


def expected_of(vendor: str, status: int) -> frozenset[int]:
    """The statuses that are right for a client where the vendor says this one."""
    corrected = _CORRECTED.get((vendor, status), status)
    return next((held for held in _CLASSES if corrected in held), frozenset({corrected}))


def recorded_failure(recording: Recording) -> Failure:
    """A recorded error answer."""
    data = parse(recording.body)
    held = members(data[0] if isinstance(data, list) else data)
    error: Any = held.get("error", held)
    message = str(members(error).get("message") or error)
    reasons = [str(each.get("reason")) for each in objects(members(error).get("details"))]
    if members(error).get("code") == "model_not_found":
        return _failure(recording, frozenset({400, 404}), message)  # 400 on Responses, 404 on chat completions
    expected = frozenset({401}) if "API_KEY_INVALID" in reasons else expected_of(recording.vendor, recording.status)
    return _failure(recording, expected, message)


def _failure(recording: Recording, expected: frozenset[int], message: str) -> Failure:
    answer = Recorded(
        status=recording.status,
        headers=tuple({"content-type": "application/json", **recording.headers}.items()),
        body=recording.body,
    )
    return Failure(
        recording.id,
        recording.vendor,
        recording.shape,
        answer,
        expected,
        message,
        model_of(recording),
        recording.stream,
    )


def made_failures(vendor: str, shape: str) -> list[Failure]:
    """Error answers in the words of a vendor's API; the last of them names the key that was sent."""
    made: list[Failure] = []
    odd = [status for (who, status) in _CORRECTED if who == vendor]
    for status in (400, 401, 403, 404, 429, 500, 503, *odd):
        for message in (MESSAGE, f"{MESSAGE}: {KEY}") if status == 401 else (MESSAGE,):
            headers = (("content-type", "application/json"), ("retry-after", "7")) if status == 429 else _JSON
            if shape == "converse":
                headers = (
                    *headers,
                    ("x-amzn-errortype", f"{_AWS.get(status, 'ModelErrorException')}:http://internal/"),
                )
            answer = Recorded(
                status=status, headers=headers, body=msgspec.json.encode(_envelope(shape, status, message))
            )
            name = f"{vendor}-{status}{'-key' if KEY in message else ''}"
            made.append(Failure(name, vendor, shape, answer, expected_of(vendor, status), MESSAGE, _model(shape)))
    return made


def broken_streams(vendor: str, shape: str) -> list[Failure]:
    """Streams that break off with an error of the vendor's own, first thing and after text, and streams that are cut."""
    whole = canned(_DIALECTS[shape], stream=True)
    frames = _frames(shape, whole.body)
    error = _error_frame(shape)
    body = b"".join(frames[: _TEXT_AT[shape]])
    late = whole.varied(body=body + error, sizes=(len(body), len(error)), framing="chunked")
    answers = [
        ("first", whole.varied(body=error), _CLASSES[-1] | _CLASSES[-2], MESSAGE),
        ("late", late, _RUNNING, MESSAGE),
        ("cut-chunked", whole.varied(body=body, cut_at=len(body), framing="chunked"), _RUNNING, ""),
        ("cut-close", whole.varied(body=body, cut_at=len(body), framing="close"), _RUNNING, ""),
    ]
    torn = whole.varied(body=b"".join(frames), cut_at=len(body) + 9, sizes=(len(body), 4), framing="chunked")
    answers.append(("torn", torn, _RUNNING, ""))
    return [
        Failure(f"{vendor}-{name}", vendor, shape, answer, expected, message, _model(shape), stream=True)
        for name, answer, expected, message in answers
    ]


async def failure_faults(client: Client, upstream: ReplayUpstream, failure: Failure, dialect: str) -> list[str]:
    """Let the vendor fail so, and judge what the client is told."""
    question = Question(failure.model, failure.stream)
    upstream.answer("*", failure.answer)
    reply = await client.post(clients.path_of(dialect, question), json=clients.body_of(dialect, question))
    body = reply.content
    where = f"{failure.name} to {dialect}"
    if dialect == dialect_of(failure.shape) and reply.status_code == failure.answer.status >= 400:
        found = (
            []
            if body == failure.answer.body.replace(KEY.encode(), b"") or KEY.encode() in failure.answer.body
            else ["changed"]
        )
    else:
        found = list(_of_whole(failure, dialect, reply.status_code, body, reply.headers.get("retry-after")))
    if reply.status_code == 200 and failure.stream and 200 in failure.expected:
        found = list(_of_stream(failure, dialect, body))
    if KEY.encode() in body or KEY in str(dict(reply.headers)):
        found.append("the key is told")
    return [f"{where}: {each}" for each in found]


def _of_whole(failure: Failure, dialect: str, status: int, body: bytes, retry: str | None) -> Iterator[str]:
    if status not in failure.expected:
        yield f"status {status} instead of {sorted(failure.expected)}: {short(body[:200])}"
        return
    if status == 200:
        return
    try:
        data = members(parse(body))
    except ValueError:
        yield f"no JSON: {short(body[:200])}"
        return
    error = members(data.get("error"))
    if failure.message not in str(error.get("message")):
        yield f"the message is {short(error.get('message'))}"
    if failure.answer.status == 429 and "retry-after" in dict(failure.answer.headers) and retry != "7":
        yield f"retry-after is {retry}"
    yield from _ENVELOPES[dialect](data, error, status)


def _openai_envelope(_: Json, error: Json, __: int) -> Iterator[str]:
    if not {"message", "type", "param", "code"} <= set(error):
        yield f"OpenAI's envelope has not {sorted(error)}"


def _anthropic_envelope(data: Json, error: Json, status: int) -> Iterator[str]:
    if data.get("type") != "error" or error.get("type") != _ANTHROPIC_TYPE.get(status, error.get("type")):
        yield f"Anthropic's envelope for {status} has types {data.get('type')!r}, {error.get('type')!r}"


def _google_envelope(_: Json, error: Json, status: int) -> Iterator[str]:
    if error.get("code") != status or error.get("status") != _GOOGLE_STATUS.get(status, error.get("status")):
        yield f"Google's envelope for {status} says {error.get('code')}, {error.get('status')}"


_ENVELOPES: Mapping[str, Callable[[Json, Json, int], Iterator[str]]] = {
    "openai.chat": _openai_envelope,
    "openai.responses": _openai_envelope,
    "anthropic.messages": _anthropic_envelope,
    "google.generate": _google_envelope,
}


def _of_stream(failure: Failure, dialect: str, body: bytes) -> Iterator[str]:
    """An error event that tells, after what was said before; nothing that looks like an end."""
    events = list(events_of(body))
    if not events:
        yield "nothing at all is told"
        return
    reading = clients.read(dialect, body, stream=True)
    if reading.error is None or failure.message not in reading.error:
        yield f"the stream's error is {short(reading.error)}"
    if "Hello" not in body.decode():
        yield "what was said before is gone"
    kinds = [event.data if event.data == "[DONE]" else str(event.json.get("type")) for event in events]
    ends = {"[DONE]", "message_stop", "message_delta", "response.completed", "response.incomplete"} & set(kinds)
    if ends:
        yield f"behind an error there is {sorted(ends)}"
    if any(answer.finish not in {None, "error"} for answer in reading.answers):
        yield f"a finish is made up: {[answer.finish for answer in reading.answers]}"


_JSON = (("content-type", "application/json"),)
_AWS = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_DIALECTS = {
    "chat": "openai.chat",
    "responses": "openai.responses",
    "messages": "anthropic.messages",
    "generateContent": "google.generate",
    "converse": "bedrock.converse",
    "cohere-chat": "cohere.chat",
    "ollama-chat": "ollama.chat",
}
_TEXT_AT = {
    "chat": 1,
    "responses": 3,
    "messages": 3,
    "generateContent": 1,
    "converse": 2,
    "cohere-chat": 3,
    "ollama-chat": 1,
}
"""How many frames of the canned stream go by until text has been said, and no finish."""


def _model(shape: str) -> str:
    return {"messages": "claude-sonnet-4-5", "generateContent": "gemini-2.5-flash"}.get(shape, "some-model")


def _envelope(shape: str, status: int, message: str) -> Json:
    match shape:
        case "messages":
            kind = _ANTHROPIC_TYPE.get(status, "api_error")
            return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
        case "generateContent":
            return {"error": {"code": status, "message": message, "status": _GOOGLE_STATUS.get(status, "INTERNAL")}}
        case "converse":
            return {"message": message}
        case "cohere-chat":
            return {"id": "e1", "message": message}
        case "ollama-chat":
            return {"error": message}
        case _:
            return {"error": {"message": message, "type": "some_error", "param": None, "code": "some_code"}}


def _frames(shape: str, body: bytes) -> list[bytes]:
    if shape == "converse":
        frames: list[bytes] = []
        while body:
            (size,) = struct.unpack("!I", body[:4])
            frames.append(body[:size])
            body = body[size:]
        return frames
    if shape == "ollama-chat":
        return [line + b"\n" for line in body.split(b"\n") if line]
    frames = [event + b"\n\n" for event in body.split(b"\n\n") if event]
    if shape == "generateContent":  # the canned chunk says the finish too
        data = frames[0].replace(b'"finishReason":"STOP",', b"")
        return [data, *frames]
    return frames


def _error_frame(shape: str) -> bytes:
    match shape:
        case "messages":
            data = {"type": "error", "error": {"type": "overloaded_error", "message": MESSAGE}}
            return b"event: error\ndata: " + msgspec.json.encode(data) + b"\n\n"
        case "responses":
            data = {"type": "error", "sequence_number": 9, "code": "server_error", "message": MESSAGE, "param": None}
            return b"event: error\ndata: " + msgspec.json.encode(data) + b"\n\n"
        case "generateContent":
            data = {"error": {"code": 503, "message": MESSAGE, "status": "UNAVAILABLE"}}
            return b"data: " + msgspec.json.encode(data) + b"\n\n"
        case "converse":
            return _exception("serviceUnavailableException", {"message": MESSAGE})
        case "cohere-chat":
            data = {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": MESSAGE}}
            return b"event: message-end\ndata: " + msgspec.json.encode(data) + b"\n\n"
        case "ollama-chat":
            return msgspec.json.encode({"error": MESSAGE}) + b"\n"
        case _:
            data = {"error": {"message": MESSAGE, "type": "server_error", "param": None, "code": None}}
            return b"data: " + msgspec.json.encode(data) + b"\n\n"


def _exception(kind: str, data: Json) -> bytes:
    headers = b"".join(
        struct.pack("!B", len(name)) + name + struct.pack("!BH", 7, len(value)) + value
        for name, value in (
            (b":message-type", b"exception"),
            (b":exception-type", kind.encode()),
            (b":content-type", b"application/json"),
        )
    )
    payload = msgspec.json.encode(data)
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    start = prelude + struct.pack("!I", zlib.crc32(prelude))
    return start + headers + payload + struct.pack("!I", zlib.crc32(start + headers + payload))
