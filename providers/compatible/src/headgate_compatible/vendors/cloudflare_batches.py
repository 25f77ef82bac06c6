"""Batches of Workers AI: requests of one model, which its own address takes and tells of. They hold their requests themselves.

Sources: https://developers.cloudflare.com/workers-ai/features/batch-api/rest-api and
https://developers.cloudflare.com/workers-ai/features/batch-api/workers-binding. A batch is asked for at its model, so an id
holds that beside the vendor's own. No list of batches, no times and no way to cancel are told of there.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from msgspec import Struct
from typing_extensions import override

from headgate.dialects import Gaps
from headgate.dialects.jobs import (
    DAY,
    Action,
    Asked,
    KeptDialect,
    VendorCall,
    as_object,
    batch,
    endpoint_of,
    needed,
    no_file,
    objects_in,
    usage_of,
)
from headgate.dialects.openai.members import Json, Members
from headgate.errors import InvalidRequest
from headgate_compatible.vendors.places import path_of

_START = "batch_"
_QUEUED: Mapping[str, str] = {"queueRequest": "true"}
_ENDPOINTS = ("/v1/chat/completions", "/v1/embeddings", "/v1/rerank")
_STATUS: Mapping[str, str] = {"queued": "validating", "running": "in_progress"}


class _Known(Struct, frozen=True):
    """What an id says: what the lines are for, whose they are, and the vendor's own id."""

    endpoint: str
    model: str
    request: str

    @property
    def id(self) -> str:
        """The id of a batch, as clients have it."""
        told = f"{self.endpoint}\n{self.model}\n{self.request}".encode()
        return _START + urlsafe_b64encode(told).decode().rstrip("=")

    @property
    def call(self) -> VendorCall:
        """The call that asks how far the batch is."""
        return VendorCall("POST", f"/run/{path_of(self.model)}", _QUEUED, {"request_id": self.request})


class CloudflareBatches(KeptDialect):
    """Batches of Workers AI. The bodies of requests are in the words of their model, and so are results.

    The batch is its own `output_file_id`.
    """

    name = "cloudflare.batches"
    operation = "batches"
    path = "/run"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {
        "create": ("POST", ""),
        "retrieve": ("POST", "/{id}"),
        "content": ("POST", "/{id}"),
    }

    @override
    def encode_call(self, asked: Asked, gaps: Gaps) -> VendorCall:
        call = super().encode_call(asked, gaps)
        return call if asked.action == "create" else _known_by(asked.id).call

    @override
    def encode_new(self, asked: Members, fresh: str, gaps: Gaps) -> VendorCall:
        no_file(asked, gaps.target)
        endpoint = endpoint_of(asked, _ENDPOINTS, gaps.target)
        if asked.find("completion_window", str) is not None:
            gaps.skip("completion_window")
        model = needed(asked, "model", "a batch has one model there; write it beside `requests`")
        lines = asked.need("requests", list[Json])
        requests = [
            _request_of(Members(line, f"requests[{at}]"), model, endpoint, gaps) for at, line in enumerate(lines)
        ]
        return VendorCall("POST", f"/run/{path_of(model)}", _QUEUED, {"requests": requests})

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        result: Json = as_object(said.get("result") or {})
        if asked.action == "create":
            model = str(result.get("model") or asked.body.get("model") or "")
            request = str(result.get("request_id") or "")
            known = _Known(str(asked.body.get("endpoint") or ""), model, request)
        else:
            known = _known_by(asked.id)
        answers = objects_in(result, "responses") if result.get("responses") is not None else None
        native = str(result.get("status") or "")
        status = "completed" if answers is not None else _STATUS.get(native, "in_progress")
        usage: Json = result.get("usage") or {}
        told: Json = {
            "id": known.id if known.request else "",
            "endpoint": known.endpoint,
            "model": known.model,
            "input_file_id": "",
            "completion_window": DAY,
            "output_file_id": known.id if answers is not None else None,
            "created_at": 0,
            "request_counts": None if answers is None else _counted(answers),
            "usage": usage_of(usage.get("prompt_tokens"), usage.get("completion_tokens")),
        }
        return batch(told, status, native or None, None)

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return ()

    @override
    def lines_in(self, said: Json, asked: Asked) -> Sequence[Json]:
        result: Json = as_object(said.get("result") or {})
        if result.get("responses") is None:
            raise InvalidRequest(
                f"the results of `{asked.id}` are not there: its status is `{result.get('status')}`",
                param="file_id",
                code="no_content",
            )
        return [_line_of(at, each) for at, each in enumerate(objects_in(result, "responses"))]


def _known_by(given: str) -> _Known:
    """What an id says. Raises InvalidRequest for one that no batch has."""
    try:
        held = given.removeprefix(_START).encode("ascii")
        parts = urlsafe_b64decode(held + b"=" * (-len(held) % 4)).decode().split("\n")
    except ValueError:
        parts = []
    if not given.startswith(_START) or len(parts) != 3 or not all(parts[1:]):
        raise InvalidRequest(f"`{given}` is the id of no batch", param="batch_id")
    return _Known(*parts)


def _request_of(line: Members, model: str, endpoint: str, gaps: Gaps) -> Json:
    """A request as the vendor has it. Raises InvalidRequest for one of another model or endpoint."""
    for name, known in (("method", "POST"), ("url", endpoint)):
        if line.find(name, str) not in {None, known}:
            place = line.at(name)
            raise InvalidRequest(f"`{place}` must be `{known}`, as the batch has it", param=place)
    body = line.need("body", dict[str, Any])
    other = body.pop("model", model)
    if other not in {model, None}:
        place = line.at("body")
        raise InvalidRequest(f"`{place}.model` is another than the batch's", param=f"{place}.model")
    told = {**body, "external_reference": line.need("custom_id", str)}
    gaps.extra(line.rest(), line.place)
    return told


def _counted(answers: Sequence[Json]) -> Json:
    good = sum(1 for each in answers if each.get("success"))
    return {"total": len(answers), "completed": good, "failed": len(answers) - good}


def _line_of(at: int, answer: Json) -> Json:
    """An answer as a line of OpenAI's."""
    line: Json = {
        "id": f"batch_req_{answer.get('id', at)}",
        "custom_id": answer.get("external_reference"),
        "response": None,
        "error": None,
    }
    if answer.get("success"):
        return {**line, "response": {"status_code": 200, "request_id": "", "body": answer.get("result")}}
    error: Any = answer.get("error")
    held: Json = as_object(error) if isinstance(error, dict) else {"message": error}
    message = held.get("message") or "no answer was told"
    return {**line, "error": {"code": str(held.get("code") or "failed"), "message": str(message)}}
