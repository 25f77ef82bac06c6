"""The four kinds of clients: what they send, how their answer is read, and whether the official SDK takes it.

Types: https://github.com/openai/openai-python, https://github.com/anthropics/anthropic-sdk-python and
https://github.com/googleapis/python-genai, in the versions of the lock file.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, cast

import anthropic.types
import openai.types.chat
import openai.types.responses
from google.genai import types as google_types
from pydantic import TypeAdapter, ValidationError
from tests.replay import read_anthropic, read_google, read_openai, read_responses
from tests.replay.neutral import TEXT, Question
from tests.replay.reading import Json, Reading, events_of
from tests.replay.vendors import DEPLOYMENT

DIALECTS = ("openai.chat", "openai.responses", "anthropic.messages", "google.generate")
_READERS = {
    "openai.chat": read_openai,
    "openai.responses": read_responses,
    "anthropic.messages": read_anthropic,
    "google.generate": read_google,
}


def read(dialect: str, body: bytes, *, stream: bool) -> Reading:
    """What a client of this dialect gets to know."""
    reader = _READERS[dialect]
    return reader.read_stream(body) if stream else reader.read_whole(body)


def path_of(dialect: str, question: Question) -> str:
    """Where a client of this dialect sends its question."""
    if dialect == "google.generate":
        method = "streamGenerateContent?alt=sse" if question.stream else "generateContent"
        return f"/v1beta/models/{DEPLOYMENT}/{question.model}:{method}"
    return {
        "openai.chat": "/v1/chat/completions",
        "openai.responses": "/v1/responses",
        "anthropic.messages": "/v1/messages",
    }[dialect]


def body_of(dialect: str, question: Question) -> Json:
    """The question as a client of this dialect writes it."""
    return _WRITERS[dialect](question)


def _chat(question: Question) -> Json:
    body: Json = {"messages": [{"role": "user", "content": TEXT}]}
    if question.functions:
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": each.name, "description": each.description, "parameters": each.schema},
            }
            for each in question.functions
        ]
    if question.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return {"model": f"{DEPLOYMENT}/{question.model}", **body}


def _responses(question: Question) -> Json:
    body: Json = {"input": TEXT}
    if question.functions:
        body["tools"] = [
            {
                "type": "function",
                "name": each.name,
                "description": each.description,
                "parameters": each.schema,
                "strict": False,
            }
            for each in question.functions
        ]
    if question.stream:
        body["stream"] = True
    return {"model": f"{DEPLOYMENT}/{question.model}", **body}


def _messages(question: Question) -> Json:
    body: Json = {"max_tokens": 2048, "messages": [{"role": "user", "content": TEXT}]}
    if question.functions:
        body["tools"] = [
            {"name": each.name, "description": each.description, "input_schema": each.schema}
            for each in question.functions
        ]
    if question.stream:
        body["stream"] = True
    return {"model": f"{DEPLOYMENT}/{question.model}", **body}


def _generate(question: Question) -> Json:
    body: Json = {"contents": [{"role": "user", "parts": [{"text": TEXT}]}]}
    if question.functions:
        declared = [
            {"name": each.name, "description": each.description, "parametersJsonSchema": each.schema}
            for each in question.functions
        ]
        body["tools"] = [{"functionDeclarations": declared}]
    return body


_WRITERS: Mapping[str, Callable[[Question], Json]] = {
    "openai.chat": _chat,
    "openai.responses": _responses,
    "anthropic.messages": _messages,
    "google.generate": _generate,
}


def rejected(dialect: str, body: bytes, *, stream: bool) -> list[str]:
    """Why the official SDK's types do not take this answer, each reason once."""
    kind = "stream" if stream else "whole"
    pieces = [event.data for event in events_of(body) if event.data != "[DONE]"] if stream else [body.decode()]
    reasons: list[str] = []
    for piece in pieces:
        try:
            if dialect == "google.generate":
                _take_google(piece)
            else:
                _adapter(dialect, kind).validate_json(piece)
        except ValidationError as error:
            for found in error.errors()[:2]:
                reason = f"{'.'.join(str(step) for step in found['loc'])}: {found['msg']}"
                if reason not in reasons:
                    reasons.append(reason)
    return reasons


@cache
def _adapter(dialect: str, kind: str) -> TypeAdapter[Any]:
    types: Mapping[tuple[str, str], Any] = {
        ("openai.chat", "whole"): openai.types.chat.ChatCompletion,
        ("openai.chat", "stream"): openai.types.chat.ChatCompletionChunk,
        ("openai.responses", "whole"): openai.types.responses.Response,
        ("openai.responses", "stream"): openai.types.responses.ResponseStreamEvent,
        ("anthropic.messages", "whole"): anthropic.types.Message,
        ("anthropic.messages", "stream"): anthropic.types.RawMessageStreamEvent,
    }
    return TypeAdapter(types[dialect, kind])


def _take_google(piece: str) -> None:
    """As the SDK does it: members it does not know are taken out at every depth, the rest must be right."""
    data = copy.deepcopy(json.loads(piece))
    cast("Any", google_types.GenerateContentResponse)._from_response(response=data, kwargs={})
