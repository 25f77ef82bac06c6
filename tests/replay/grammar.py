"""The order of events that a client's stream must keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.replay.reading import Event, Json, count, events_of, members, objects


def misordered(dialect: str, body: bytes) -> list[str]:
    """What is wrong with the order of a complete stream."""
    events = list(events_of(body))
    if not events:
        return ["the stream is empty"]
    return _GRAMMARS[dialect](events)


def _chat(events: list[Event]) -> list[str]:
    """One role first, dense indices of calls, one finish, nothing but usage behind it, one [DONE]."""
    wrong: list[str] = []
    if [event.data for event in events].count("[DONE]") != 1 or events[-1].data != "[DONE]":
        wrong.append("`[DONE]` does not stand once, at the end")
    roles: dict[int, int] = {}
    finished: set[int] = set()
    calls: dict[int, int] = {}
    ids = {event.json.get("id") for event in events if event.data != "[DONE]"}
    if len(ids) != 1:
        wrong.append(f"the chunks have {len(ids)} ids")
    for event in events:
        if event.data == "[DONE]":
            continue
        for choice in objects(event.json.get("choices")):
            index, delta = count(choice.get("index")), members(choice.get("delta"))
            if index in finished and (delta or choice.get("finish_reason")):
                wrong.append("something stands behind the finish")
            if "role" in delta:
                roles[index] = roles.get(index, 0) + 1
            elif index not in roles:
                wrong.append("the first delta has no role")
            for call in objects(delta.get("tool_calls")):
                at = call.get("index")
                if not isinstance(at, int) or at > calls.get(index, 0):
                    wrong.append(f"a call has index {at} where {calls.get(index, 0)} is next")
                    continue
                if at == calls.get(index, 0):
                    calls[index] = at + 1
                    if not call.get("id") or not members(call.get("function") or call.get("custom")).get("name"):
                        wrong.append("a call begins without an id or a name")
            if choice.get("finish_reason"):
                finished.add(index)
    if any(times != 1 for times in roles.values()):
        wrong.append("a choice has not one role")
    if finished != set(roles):
        wrong.append("a choice has no finish")
    if not any(event.data != "[DONE]" and event.json.get("usage") for event in events):
        wrong.append("usage was asked for and did not come")
    return wrong


def _messages(events: list[Event]) -> list[str]:
    """Start, then blocks one after the other with rising indices, then one message_delta and one message_stop."""
    wrong: list[str] = []
    kinds = [str(event.json.get("type")) for event in events]
    if any(event.name != kind for event, kind in zip(events, kinds, strict=True)):
        wrong.append("an event's name is not its type")
    kinds = [kind for kind in kinds if kind != "ping"]
    if kinds[:1] != ["message_start"] or kinds.count("message_start") != 1:
        wrong.append("message_start does not stand once, at the start")
    if kinds[-2:] != ["message_delta", "message_stop"] or kinds.count("message_delta") != 1:
        wrong.append(f"the end is {kinds[-2:]}")
    following, is_open = 0, False
    for event in events:
        data = event.json
        match data.get("type"):
            case "content_block_start":
                if is_open or data.get("index") != following:
                    wrong.append(f"block {data.get('index')} begins where {following} is next, open: {is_open}")
                is_open, following = True, following + 1
            case "content_block_delta":
                if not is_open or data.get("index") != following - 1:
                    wrong.append("a delta stands outside its block")
            case "content_block_stop":
                if not is_open or data.get("index") != following - 1:
                    wrong.append("a block ends that is not open")
                is_open = False
            case _:
                pass
    if is_open:
        wrong.append("a block is never closed")
    return wrong


def _responses(events: list[Event]) -> list[str]:
    """Rising numbers; created, in_progress, items, and an end that holds what the events said."""
    wrong: list[str] = []
    datas = [event.json for event in events if event.data != "[DONE]"]
    kinds = [str(data.get("type")) for data in datas]
    if any(event.name != kind for event, kind in zip(events, kinds, strict=False)):
        wrong.append("an event's name is not its type")
    numbers = [data.get("sequence_number") for data in datas]
    if numbers != list(range(len(datas))):
        wrong.append("`sequence_number` does not count up from 0")
    if kinds[:2] != ["response.created", "response.in_progress"]:
        wrong.append(f"the start is {kinds[:2]}")
    if kinds[-1] not in {"response.completed", "response.incomplete", "response.failed"}:
        wrong.append(f"the end is {kinds[-1]}")
    sums: dict[tuple[Any, ...], str] = {}
    added: list[Any] = []
    done: dict[int, Json] = {}
    for data in datas:
        kind = str(data.get("type"))
        place = (
            data.get("output_index"),
            data.get("content_index"),
            data.get("summary_index"),
            kind.rpartition(".")[0],
        )
        if kind == "response.output_item.added":
            added.append(data.get("output_index"))
        elif kind == "response.output_item.done":
            done[count(data.get("output_index"))] = members(data.get("item"))
        elif kind.endswith(".delta"):
            if data.get("output_index") not in added:
                wrong.append("a delta stands before its item")
            sums[place] = sums.get(place, "") + str(data.get("delta"))
        elif kind.endswith(".done"):
            whole = next((data[name] for name in ("text", "arguments", "refusal", "input") if name in data), None)
            if whole is not None and whole != sums.get(place, ""):
                wrong.append(f"`{kind}` says another text than its deltas")
    if added != list(range(len(added))) or len(done) != len(added):
        wrong.append(f"{len(added)} items were added, {len(done)} are done")
    last = objects(members(datas[-1].get("response")).get("output"))
    if [item.get("id") for item in last] != [done[at].get("id") for at in sorted(done)]:
        wrong.append("the last event holds other items than were done")
    return wrong


def _generate(events: list[Event]) -> list[str]:
    """One finish per candidate, in its last chunk; usage at the end."""
    wrong: list[str] = []
    finished: set[int] = set()
    for event in events:
        for candidate in objects(event.json.get("candidates")):
            index = count(candidate.get("index"))
            if index in finished:
                wrong.append("something stands behind the finish")
            if candidate.get("finishReason"):
                finished.add(index)
    if not finished and not members(events[-1].json.get("promptFeedback")):
        wrong.append("no candidate has a finish")
    if any(event.data == "[DONE]" for event in events):
        wrong.append("Gemini's streams have no `[DONE]`")
    return wrong


_GRAMMARS: Mapping[str, Callable[[list[Event]], list[str]]] = {
    "openai.chat": _chat,
    "openai.responses": _responses,
    "anthropic.messages": _messages,
    "google.generate": _generate,
}
