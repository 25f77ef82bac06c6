"""Completions and embeddings: operations without a canonical model, answered in OpenAI's own shape."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Iterator
from typing import Any, cast

import msgspec
from msgspec import Struct

from headgate.chat import Usage
from headgate.dialects.sse import DONE, data_event
from headgate.errors import InvalidRequest
from headgate_demo.knobs import Knobs
from headgate_demo.text import CREATED, MOST_CHOICES, MOST_TOKENS, Spoken, at_least_one, count, cut, pieces, say

Json = dict[str, Any]
Prompt = str | list[int]

DIMENSIONS = 256
_MOST_DIMENSIONS = 4096
_MOST_INPUTS = 2048
_MOST_NUMBERS = 1_000_000


class Completion(Struct, frozen=True):
    """An answered completion: one spoken text per choice."""

    id: str
    model: str
    spoken: tuple[Spoken, ...]
    usage: Usage

    def encode(self) -> bytes:
        """The whole reply."""
        choices = [_choice(at, said.text, said.finish) for at, said in enumerate(self.spoken)]
        return msgspec.json.encode({**self._head(), "choices": choices, "usage": self._usage()})

    def events(self, size_bytes: int | None, *, include_usage: bool) -> Iterator[bytes]:
        """The reply as a stream, usage in an event of its own where it was asked for."""
        for at, said in enumerate(self.spoken):
            for piece in pieces(said.text, size_bytes):
                yield self._event([_choice(at, piece, None)])
            yield self._event([_choice(at, "", said.finish)])
        if include_usage:
            yield self._event([], usage=self._usage())
        yield DONE

    def _head(self) -> Json:
        return {"id": self.id, "object": "text_completion", "created": CREATED, "model": self.model}

    def _usage(self) -> Json:
        used = self.usage
        return {"prompt_tokens": used.prompt, "completion_tokens": used.completion, "total_tokens": used.total}

    def _event(self, choices: list[Json], **more: Json) -> bytes:
        return data_event(msgspec.json.encode({**self._head(), "choices": choices, **more}))


def answer_completion(asked: Json, knobs: Knobs, name: str) -> Completion:
    """The answer to a completions request. Raises InvalidRequest naming the field it cannot read."""
    prompts = _inputs(asked, "prompt", MOST_CHOICES)
    wanted = asked.get("n")
    each = 1 if wanted is None else at_least_one("n", wanted, MOST_CHOICES // len(prompts))
    if each * len(prompts) * (knobs.tokens or 0) > MOST_TOKENS:
        raise InvalidRequest(f"`demo.tokens` for all choices is more than {MOST_TOKENS}", param="demo.tokens")
    stop: object = asked.get("stop")
    stops = cast("list[object]", stop) if isinstance(stop, list) else [stop]
    spoken: list[Spoken] = []
    for prompt in prompts:
        said = prompt if isinstance(prompt, str) else f"{len(prompt)} tokens"
        for index in range(each):
            answer = cut(say(said, index, knobs.tokens), asked.get("max_tokens"), stops)
            spoken.append(Spoken(said + answer.text, answer.finish) if asked.get("echo") else answer)
    usage = Usage(sum(map(_size, prompts)), sum(count(said.text) for said in spoken))
    return Completion(f"cmpl-{name[:24]}", str(asked.get("model")), tuple(spoken), usage)


def answer_embeddings(asked: Json) -> tuple[bytes, Usage]:
    """A unit vector for each input, made of a digest of it, and what that used."""
    inputs = _inputs(asked, "input", _MOST_INPUTS)
    wanted = asked.get("dimensions")
    dimensions = DIMENSIONS if wanted is None else at_least_one("dimensions", wanted, _MOST_DIMENSIONS)
    if dimensions * len(inputs) > _MOST_NUMBERS:
        raise InvalidRequest(f"`input` asks for more than {_MOST_NUMBERS} numbers: send fewer at once", param="input")
    form = asked.get("encoding_format") or "float"
    if form not in ("float", "base64"):
        raise InvalidRequest("`encoding_format` must be `float` or `base64`", param="encoding_format")
    data = [
        {"object": "embedding", "index": at, "embedding": _encoded(_vector(item, dimensions), form)}
        for at, item in enumerate(inputs)
    ]
    tokens = sum(map(_size, inputs))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    body = {"object": "list", "data": data, "model": asked.get("model"), "usage": usage}
    return msgspec.json.encode(body), Usage(tokens, raw=dict(usage))


def _vector(item: Prompt, dimensions: int) -> bytes:
    """Little-endian 32-bit floats of length 1, as OpenAI's base64 form holds them."""
    data = item.encode("utf-8", "surrogatepass") if isinstance(item, str) else msgspec.json.encode(item)
    numbers = struct.unpack(f"<{dimensions}i", hashlib.shake_256(data).digest(4 * dimensions))
    length = math.hypot(*numbers) or 1.0
    return struct.pack(f"<{dimensions}f", *(number / length for number in numbers))


def _encoded(vector: bytes, form: str) -> str | list[float]:
    if form == "base64":
        return base64.b64encode(vector).decode()
    return list(struct.unpack(f"<{len(vector) // 4}f", vector))


def _inputs(asked: Json, field: str, most: int) -> list[Prompt]:
    """A text, a list of texts, a list of tokens, or a list of those, as a list."""
    value: Any = asked.get(field)
    if isinstance(value, str) or (isinstance(value, list) and value and _is_tokens(cast("object", value))):
        value = [value]
    items = cast("list[Any]", value) if isinstance(value, list) else []
    if not 0 < len(items) <= most or not all(isinstance(item, str) or _is_tokens(item) for item in items):
        raise InvalidRequest(f"`{field}` must be a text, tokens, or a list of 1 to {most} of them", param=field)
    return items


def _is_tokens(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, int) and not isinstance(item, bool) for item in cast("list[object]", value)
    )


def _size(item: Prompt) -> int:
    return count(item) if isinstance(item, str) else len(item)


def _choice(index: int, text: str, finish: str | None) -> Json:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}
