"""Reads answers of Ollama's own chat. https://docs.ollama.com/api/chat"""

from __future__ import annotations

from tests.replay.reading import Answer, Call, Json, Reading, Usage, count, members, objects, parse, settled

FINISH = {"stop": "stop", "length": "length"}


def read_whole(body: bytes) -> Reading:
    """An answer."""
    return _reading([members(parse(body))])


def read_stream(body: bytes) -> Reading:
    """Lines of JSON, the last of which says what was used."""
    return _reading([members(parse(line)) for line in body.split(b"\n") if line.strip()])


def _reading(lines: list[Json]) -> Reading:
    text, thought = "", ""
    calls: list[Call] = []
    for line in lines:
        message = members(line.get("message"))
        text += str(message.get("content") or "")
        thought += str(message.get("thinking") or "")
        for call in objects(message.get("tool_calls")):
            function = members(call.get("function"))
            calls.append(Call(str(function.get("name")), function.get("arguments") or {}, str(call.get("id") or "")))
    last = lines[-1] if lines else {}
    reason = last.get("done_reason")
    answer = Answer(text, thought, calls=tuple(calls), finish=FINISH.get(str(reason)))
    error = next((str(line["error"]) for line in lines if "error" in line), None)
    return Reading((settled(answer),), _usage(last), str(last.get("model") or ""), error)


def _usage(last: Json) -> Usage | None:
    if "eval_count" not in last and "prompt_eval_count" not in last:
        return None
    return Usage(count(last.get("prompt_eval_count")), count(last.get("eval_count")))
