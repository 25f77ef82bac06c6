"""The input of a language model on Replicate to the canonical model: each of the model's inputs by what it means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, cast

from headgate.body import decode_object
from headgate.chat import ChatRequest, Image, Message, Sampling, Text, Thinking
from headgate.dialects.openai.members import Json, Members
from headgate.errors import InvalidRequest
from headgate_replicate.encode import NAME, SWITCH
from headgate_replicate.inputs import NAMES, Inputs

_NUMBERS = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
_COUNTS = ("top_k", "seed", "max_tokens")
_DATA, _BASE64 = "data:", ";base64,"


def decode_request(body: bytes, inputs: Inputs) -> ChatRequest:
    """The body of a call that begins a prediction. What the model's schema does not name stays as `extra`."""
    held = Members(decode_object(body))
    told = held.inner("input")
    stream, version = held.find("stream", bool), held.find("version", str)
    messages = [_turn(turn) for turn in told.listed("messages")] or list(_single(told))
    verbosity = inputs.find("verbosity")
    return ChatRequest(
        f":{version}" if version else "",
        tuple(messages),
        _sampling(told, inputs),
        thinking=_thinking(told, inputs),
        verbosity=told.find_if(verbosity.name, str) if verbosity else None,
        stream=bool(stream),
        dialect=NAME,
        extra=told.rest(),
    )


def _turn(turn: Members) -> Message:
    role = turn.need("role", str)
    text = turn.find("content", str) or ""
    if role not in {"system", "user", "assistant"}:
        raise InvalidRequest(f"`{turn.at('role')}` must be system, user or assistant", param=turn.at("role"))
    return Message(cast('Literal["system", "user", "assistant"]', role), (Text(text),), extra=turn.rest())


def _single(told: Members) -> Iterator[Message]:
    for name in NAMES["system"]:
        system = told.find(name, str)
        if system:
            yield Message("system", (Text(system),))
    pictures: list[str] = []
    for name in NAMES["images"]:
        held: Any = told.take(name)
        pictures += [held] if isinstance(held, str) else held or []
    prompt = told.find("prompt", str)
    if prompt is not None or pictures:
        said = (Text(prompt or ""),) if prompt or not pictures else ()
        yield Message("user", (*said, *map(_picture, pictures)))


def _picture(url: str) -> Image:
    head, found, data = url.partition(_BASE64)
    if head.startswith(_DATA) and found:
        return Image(data=data, media_type=head.removeprefix(_DATA))
    return Image(url)


def _sampling(told: Members, inputs: Inputs) -> Sampling:
    held: Json = {}
    for kind, names in ((float, _NUMBERS), (int, _COUNTS)):
        for name in names:
            field = inputs.find(name)
            if field is not None:
                held[name] = told.find(field.name, kind)
    stop = inputs.find("stop")
    said: Any = told.take(stop.name) if stop is not None else None
    texts = said.split(",") if isinstance(said, str) and said else said or ()
    return Sampling(**held, stop=tuple(texts))


def _thinking(told: Members, inputs: Inputs) -> Thinking | None:
    effort, budget = inputs.find("effort"), inputs.find("budget")
    switch = told.find_if(SWITCH, bool) if SWITCH in inputs.fields else None
    word = told.find_if(effort.name, str) if effort is not None else None
    tokens = told.find_if(budget.name, int) if budget is not None else None
    if word is None and tokens is None and switch is None:
        return None
    if switch is False or tokens == 0:
        return Thinking(mode="disabled")
    return Thinking(word, tokens, "enabled" if switch else None)
