"""Reads predictions of a language model on Replicate, and the input with which one is begun.

https://replicate.com/docs/reference/http#predictions.get and https://replicate.com/docs/topics/predictions/streaming; the
inputs are those of https://replicate.com/openai/gpt-5/api/schema.
"""

from __future__ import annotations

from tests.replay.asked import Asked
from tests.replay.reading import Answer, Json, Reading, Usage, count, each, events_of, members, objects, parse


def read_whole(body: bytes) -> Reading:
    """A prediction: its output is pieces of text."""
    data = members(parse(body))
    finish = {"succeeded": "stop"}.get(str(data.get("status")))
    answer = Answer("".join(map(str, each(data.get("output")))), finish=finish)
    return Reading((answer,), _usage(data), str(data.get("model") or ""))


def read_stream(body: bytes) -> Reading:
    """The events of a stream. They say nothing of usage, which stands in an event `prediction` where somebody put it behind."""
    text, finish, usage = "", None, None
    for event in events_of(body):
        if event.name == "output":
            text += event.data
        elif event.name == "done":
            finish = "stop"
        elif event.name == "prediction":
            usage = _usage(event.json) or usage
    return Reading((Answer(text, finish=finish),), usage)


def read_input(body: Json) -> Asked:
    """The input of a prediction."""
    asked, told = Asked(), members(body.get("input"))
    if told.get("system_prompt"):
        asked.say("system", str(told["system_prompt"]))
    for turn in objects(told.get("messages")):
        asked.say(str(turn.get("role")), str(turn.get("content")))
    if told.get("prompt"):
        asked.say("user", str(told["prompt"]))
    for url in each(told.get("image_input")):
        asked.show_url("user", str(url))
    asked.put("max_tokens", told.get("max_completion_tokens"))
    asked.put("effort", told.get("reasoning_effort"))
    return asked.tidy()


def _usage(data: Json) -> Usage | None:
    metrics = members(data.get("metrics"))
    if "output_token_count" not in metrics:
        return None
    return Usage(count(metrics.get("input_token_count")), count(metrics["output_token_count"]))
