"""Message batches: as they are for Anthropic's own clients, and the dialect `anthropic.batches` for those of OpenAI.

Anthropic's clients ask for the results wherever a batch says that they are. For OpenAI's a batch holds its requests, and its
results are the content of two files: that of the batch's own id has those that came, that of the id with `-errors` the others.
Source: https://platform.claude.com/docs/en/api/messages/batches and
https://platform.claude.com/docs/en/build-with-claude/batch-processing
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct
from typing_extensions import override

from headgate.body import reply_object
from headgate.caller import own_url
from headgate.dialects import AnthropicMessages, Gaps
from headgate.dialects.anthropic.errors import STATUSES
from headgate.dialects.jobs import (
    DAY,
    UNDONE,
    USUAL_ACTIONS,
    Action,
    Asked,
    JobDialect,
    VendorCall,
    as_object,
    batch,
    endpoint_of,
    no_file,
    objects_in,
    seconds_of,
    within_a_day,
)
from headgate.dialects.openai.members import Json, Members
from headgate.dialects.responses.reply import echo
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import Exchange
from headgate.operations import FILES, MESSAGES_BATCHES
from headgate.translation import Marks, error_reply
from headgate_anthropic.marks import CLIENTS, Mark, read_mark

RESULTS = "/results"
"""Where the results of a batch are, behind its own path."""
_ERRORS = "-errors"
_WHY = {"canceled": "cancelled"}
"""What the vendor spells otherwise than OpenAI."""
_FILES = re.compile(rf"/v1/files/msgbatch_[^/]+?(?:{_ERRORS})?/content")
_PAGE = {"limit": "1000"}
"""As large as pages can be."""
_MESSAGES = AnthropicMessages()
_NEEDED = frozenset({"parallel_tool_calls", "tool_choice", "tools"})
"""What a response repeats of its request and must have by its type."""


class _Result(Struct):
    type: str = ""
    message: Raw = Raw()
    error: Raw = Raw()


class _Line(Struct):
    custom_id: str
    result: _Result


_line = msgspec.json.Decoder(_Line)


def asks_for_results(ex: Exchange) -> bool:
    """Whether a client of OpenAI's asks for the results of a batch as the content of a file."""
    return ex.operation is FILES and b"anthropic-version" not in ex.headers and _FILES.fullmatch(ex.path) is not None


class AnthropicBatches(JobDialect):
    """Batches of Anthropic. Requests come here in the vendor's shape (see `requests`); `account` is whose thoughts they hold."""

    name = "anthropic.batches"
    operation = "batches"
    thing = "batch"
    path = MESSAGES_BATCHES.path.removeprefix("/v1")
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {**USUAL_ACTIONS, "content": ("GET", "/{id}")}

    def __init__(self, account: str = "") -> None:
        self._account = account

    @override
    def encode_job(self, asked: Members, gaps: Gaps) -> Json:
        no_file(asked, gaps.target)
        endpoint_of(asked, [*CLIENTS], gaps.target)
        within_a_day(asked)
        asked.take("model")  # it stands in the requests that named none
        requests = asked.take("requests")
        if requests is None:
            raise InvalidRequest(
                "`requests` is missing: write the requests of the batch into it, a list of `custom_id` and `body`",
                param="requests",
                code="missing_requests",
            )
        return {"requests": requests}

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        counts = {name: int(count or 0) for name, count in as_object(said.get("request_counts") or {}).items()}
        done, total = counts.get("succeeded", 0), sum(counts.values())
        failed = total - done - counts.get("processing", 0)
        native, known = said.get("processing_status"), said.get("id")
        status = _status_of(str(native), counts)
        is_there = bool(said.get("results_url"))
        told: Json = {
            "id": known,
            "endpoint": asked.body.get("endpoint") or "",
            "input_file_id": "",
            "completion_window": DAY,
            "output_file_id": known if is_there and done else None,
            "error_file_id": f"{known}{_ERRORS}" if is_there and failed else None,
            "created_at": seconds_of(said.get("created_at")) or 0,
            "expires_at": seconds_of(said.get("expires_at")),
            "cancelling_at": seconds_of(said.get("cancel_initiated_at")),
            "request_counts": {"total": total, "completed": done, "failed": failed},
        }
        ended = seconds_of(said.get("cancel_initiated_at" if status == "cancelling" else "ended_at"))
        return batch(told, status, native, ended)

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(said, "data")

    @override
    def first_page(self) -> Mapping[str, str]:
        return _PAGE

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        page = as_object(said[-1])
        last = page.get("last_id") if page.get("has_more") else None
        return {**_PAGE, "after_id": str(last)} if last else None

    # results

    @override
    def encode_call(self, asked: Asked, gaps: Gaps) -> VendorCall:
        if asked.action == "content":
            return self._retrieval(_batch_of(asked))
        return super().encode_call(asked, gaps)

    @override
    def following(self, asked: Asked, said: Sequence[Any]) -> VendorCall | None:
        if asked.action != "content":
            return super().following(asked, said)
        held = as_object(said[-1])
        if not held.get("results_url"):
            why = "they are archived" if held.get("archived_at") else f"its status is `{held.get('processing_status')}`"
            raise InvalidRequest(
                f"the results of `{_batch_of(asked)}` are not there: {why}", param="file_id", code="no_content"
            )
        return VendorCall("GET", f"{self.path}/{quote(_batch_of(asked), safe='')}{RESULTS}", has_lines=True)

    @override
    def decode_line(self, line: bytes, asked: Asked, before: Sequence[Any]) -> Json | None:
        try:
            said = _line.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ProviderFailed("the provider answered with no result of a batch", code="upstream_bad_reply") from None
        is_done = said.result.type == "succeeded"
        if is_done == asked.id.endswith(_ERRORS):
            return None
        mark, custom_id = read_mark(said.custom_id)
        told: Json = {"id": f"batch_req_{custom_id}", "custom_id": custom_id, "response": None, "error": None}
        if not is_done and said.result.type != "errored":
            code, message = UNDONE.get(
                _WHY.get(said.result.type, said.result.type), (said.result.type, "no answer was told")
            )
            return {**told, "error": {"code": code, "message": message}}
        try:
            if not is_done:
                return {**told, "response": _failure(said.result, mark)}
            return {**told, "response": self._answer(said.result.message, mark, as_object(before[0]))}
        except ProviderFailed as error:
            return {**told, "error": {"code": error.error_code, "message": error.message}}

    def _answer(self, message: Raw, mark: Mark, held: Json) -> Json:
        """An answer in the client's words. When each of them came is not told, so it is the end of the batch."""
        if mark.client.name == _MESSAGES.name:
            return {"status_code": 200, "request_id": "", "body": message}
        reply = _MESSAGES.decode_reply(bytes(message))
        marks = Marks("", "", seconds_of(held.get("ended_at")) or 0, self._account, {})
        reply = marks.on_reply(reply)
        body = mark.client.encode_reply(reply, mark.request)
        if mark.endpoint == "/v1/responses":
            unknown = echo(mark.request).keys() - _NEEDED
            members = reply_object(body)
            body = msgspec.json.encode({name: value for name, value in members.items() if name not in unknown})
        return {"status_code": 200, "request_id": reply.id, "body": Raw(body)}


def _batch_of(asked: Asked) -> str:
    return asked.id.removesuffix(_ERRORS)


def _status_of(native: str, counts: Mapping[str, int]) -> str:
    """The status of a batch, which ends in one way whatever became of its requests."""
    if native != "ended":
        return "cancelling" if native == "canceling" else "in_progress"
    return "cancelled" if counts.get("canceled") else "expired" if counts.get("expired") else "completed"


def _failure(result: _Result, mark: Mark) -> Json:
    """An error as the answer that a single request would have got."""
    said = reply_object(bytes(result.error))
    error = as_object(said.get("error") or {})
    words = _MESSAGES.decode_error(STATUSES.get(str(error.get("type")), 500), bytes(result.error))
    reply = error_reply(mark.client, words, (), ())
    return {"status_code": reply.status, "request_id": str(said.get("request_id") or ""), "body": Raw(reply.body)}


def with_results_here(ex: Exchange, body: bytes) -> bytes:
    """A batch, or a list of them, with this gateway's address of the results: clients send it the key that they have.

    Raises ProviderFailed for what is no JSON object.
    """
    held = reply_object(body)
    listed = held.get("data")
    for each in [held, *(cast("list[Any]", listed) if isinstance(listed, list) else [])]:
        _move(ex, each)
    return msgspec.json.encode(held)


def _move(ex: Exchange, told: Any) -> None:
    if isinstance(told, dict):
        said = cast("dict[str, Any]", told)
        if said.get("results_url"):
            said["results_url"] = own_url(ex, f"{MESSAGES_BATCHES.path}/{said.get('id')}{RESULTS}")
