"""Batches whose results no file holds: those of xAI and OpenRouter, which tell them in answers of their API.

For OpenAI's clients the batch itself is its `output_file_id`, and `files.content` of that has a line for each result.
Sources, xAI: https://docs.x.ai/developers/advanced-api-usage/batch-api,
https://github.com/xai-org/xai-proto/blob/main/proto/xai/api/v1/batch.proto and, for batches made of a file and the JSON around
results, its clients: https://batchwork.dev/providers/xai, https://docs.litellm.ai/docs/providers/xai_batches.
OpenRouter: https://openrouter.ai/docs/batch-quickstart and
https://github.com/OpenRouterTeam/python-sdk/blob/main/docs/sdks/batch/README.mdx.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

from msgspec.structs import replace
from typing_extensions import override

from headgate.dialects import Gaps
from headgate.dialects.jobs import (
    DAY,
    USUAL_ACTIONS,
    Action,
    Asked,
    JobDialect,
    VendorCall,
    as_object,
    batch,
    endpoint_of,
    needed,
    no_file,
    objects_in,
    own_members,
    seconds_of,
    usage_of,
)
from headgate.dialects.openai.members import Json, Members, given
from headgate.errors import InvalidRequest
from headgate.exchange import Exchange
from headgate.operations import FILES

_RESULTS = re.compile(r"/v1/files/batch[-_][^/]+/content")
"""The content of a file whose id is that of a batch."""


def asks_for_results(ex: Exchange) -> bool:
    """Whether a client asks for the results of a batch as the content of a file."""
    return ex.operation is FILES and _RESULTS.fullmatch(ex.path) is not None


class XAIBatches(JobDialect):
    """Batches of xAI: a name and a file, counts in the place of a status, and results in pages.

    Each line of the file names its endpoint and model itself. Its own member `name` passes; else a batch is called as its file.
    """

    name = "xai.batches"
    operation = "batches"
    path = "/batches"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {
        **USUAL_ACTIONS,
        "cancel": ("POST", "/{id}:cancel"),
        "content": ("GET", "/{id}/results"),
    }
    _PAGE: ClassVar[Mapping[str, str]] = {"limit": "100"}
    _RESULTS_PAGE: ClassVar[Mapping[str, str]] = {"limit": "1000"}

    @override
    def encode_job(self, asked: Members, gaps: Gaps) -> Json:
        file = asked.need("input_file_id", str)
        asked.need("endpoint", str)
        if asked.find("completion_window", str) is not None:
            gaps.skip("completion_window")
        return {"name": asked.find("name", str) or file, "input_file_id": file}

    @override
    def encode_call(self, asked: Asked, gaps: Gaps) -> VendorCall:
        call = super().encode_call(asked, gaps)
        return replace(call, query=self._RESULTS_PAGE) if asked.action == "content" else call

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        state: Json = said.get("state") or {}
        counts = {name: int(state.get(f"num_{name}") or 0) for name in ("requests", "pending", "success", "error")}
        trouble = said.get("cancel_by_xai_message")
        status = _status_of(counts, is_cancelled=bool(said.get("cancel_time")), is_by_vendor=bool(trouble))
        known = said.get("batch_id")
        told: Json = {
            "id": known,
            "endpoint": asked.body.get("endpoint") or "",
            "input_file_id": said.get("input_file_id") or asked.body.get("input_file_id") or "",
            "completion_window": asked.body.get("completion_window") or "",
            "output_file_id": known if status in {"completed", "cancelled"} else None,
            "created_at": seconds_of(said.get("create_time")) or 0,
            "expires_at": seconds_of(said.get("expire_time")),
            "name": said.get("name"),
            "request_counts": {
                "total": counts["requests"],
                "completed": counts["success"],
                "failed": counts["error"],
            },
            **given(cost_breakdown=said.get("cost_breakdown")),
        }
        errors = [{"message": trouble}] if trouble else []
        return batch(told, status, state or None, seconds_of(said.get("cancel_time")), errors)

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(said, "batches")

    @override
    def first_page(self) -> Mapping[str, str]:
        return self._PAGE

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        token = as_object(said[-1]).get("pagination_token")
        return {**self._PAGE, "pagination_token": str(token)} if token else None

    @override
    def lines_in(self, said: Json, asked: Asked) -> Sequence[Json]:
        return [_line_of(each) for each in objects_in(said, "results")]

    @override
    def next_lines(self, said: Json, asked: Asked) -> VendorCall | None:
        token = said.get("pagination_token")
        path = f"{self.path}/{quote(asked.id, safe='')}/results"
        return VendorCall("GET", path, {**self._RESULTS_PAGE, "pagination_token": str(token)}) if token else None


class OpenRouterBatches(JobDialect):
    """Batches of OpenRouter, which hold their requests themselves: `requests` in the place of `input_file_id`.

    A file cannot be read for them, for what is uploaded there is given back to nobody. There is no way to cancel. Its own
    members `callback_url` and `provider` pass.
    """

    name = "openrouter.batches"
    operation = "batches"
    path = "/batches"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {
        **{name: way for name, way in USUAL_ACTIONS.items() if name != "cancel"},
        "content": ("GET", "/{id}"),
    }
    _ENDPOINTS = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings")
    _STATUSES = frozenset(
        {"validating", "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"}
    )
    _PAGE: ClassVar[Mapping[str, str]] = {"limit": "100"}

    @override
    def encode_job(self, asked: Members, gaps: Gaps) -> Json:
        no_file(asked, gaps.target)
        # by its page the list must come last
        return {
            "endpoint": endpoint_of(asked, self._ENDPOINTS, gaps.target),
            "model": needed(asked, "model", "a batch has one model there; write it beside `requests`"),
            **given(completion_window=asked.find("completion_window", str)),
            **own_members(asked, ("callback_url", "provider")),
            "requests": asked.need("requests", list[Json]),
        }

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        native = str(said.get("status") or "")
        status = native if native in self._STATUSES else "in_progress"
        usage: Json = said.get("usage") or {}
        read: Json = usage.get("prompt_tokens_details") or {}
        trouble: Json | None = said.get("error")
        told: Json = {
            "id": said.get("id"),
            "endpoint": said.get("endpoint") or "",
            "model": said.get("model"),
            "input_file_id": "",
            "completion_window": said.get("completion_window") or DAY,
            "output_file_id": said.get("id") if status == "completed" else None,
            "created_at": seconds_of(said.get("created_at")) or 0,
            "expires_at": seconds_of(said.get("expires_at")),
            "request_counts": said.get("request_counts"),
            "usage": usage_of(
                usage.get("prompt_tokens"), usage.get("completion_tokens"), read.get("cached_tokens") or 0
            ),
            **given(cost=usage.get("cost"), results=said.get("results")),
        }
        errors = [trouble] if trouble else []
        return batch(told, status, native, seconds_of(said.get("finalized_at")), errors)

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(said, "data")

    @override
    def first_page(self) -> Mapping[str, str]:
        return self._PAGE

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        page = as_object(said[-1])
        last = page.get("last_id") if page.get("has_more") else None
        return {**self._PAGE, "after": str(last)} if last else None

    @override
    def lines_in(self, said: Json, asked: Asked) -> Sequence[Json]:
        if said.get("results") is None:
            raise InvalidRequest(
                f"the results of `{asked.id}` are not there: its status is `{said.get('status')}`",
                param="file_id",
                code="no_content",
            )
        return objects_in(said, "results")


def _status_of(counts: Mapping[str, int], *, is_cancelled: bool, is_by_vendor: bool) -> str:
    """The status of a batch of xAI, which counts instead; nothing is counted until its file has been read."""
    if is_cancelled:
        return "failed" if is_by_vendor else "cancelled"
    if not counts["requests"]:
        return "validating"
    return "in_progress" if counts["pending"] else "completed"


def _line_of(result: Json) -> Json:
    """A result of xAI as a line of OpenAI's. The answer stands in the one member of `response`, named by its endpoint."""
    known = result.get("batch_request_id")
    held: Json = result.get("batch_result") or {}
    answers: Json = held.get("response") or {}
    body: Any = next(iter(answers.values()), None)
    line: Json = {"id": f"batch_req_{known}", "custom_id": known, "response": None, "error": None}
    if body is not None:
        answer = as_object(body)
        return {**line, "response": {"status_code": 200, "request_id": str(answer.get("id") or ""), "body": answer}}
    error: Json = held.get("error") or {}
    message = error.get("message") or result.get("error_message") or "no answer was told"
    return {**line, "error": {"code": str(error.get("code") or "failed"), "message": message}}
