"""Batches of Vercel's AI Gateway for OpenAI's clients. They hold their requests themselves, in the AI SDK's words for prompts.

The batch is its own `output_file_id`, and what failed is the content of the file of that id with `-errors` behind it.
Sources: https://vercel.com/docs/ai-gateway/models-and-providers/batch-processing, and `gateway-batch.ts` of the package
`@ai-sdk/gateway` 4.0 (https://github.com/vercel/ai/tree/main/packages/gateway/src). They are in beta there. No list of batches
is told of, nor when one ended.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import ChatRequest
from headgate.dialects import Gaps, OpenAIChat, Policy
from headgate.dialects.jobs import (
    DAY,
    UNDONE,
    Action,
    Asked,
    JobDialect,
    VendorCall,
    as_object,
    batch,
    endpoint_of,
    no_file,
    own_members,
    seconds_of,
    within_a_day,
)
from headgate.dialects.openai.members import Json, Members
from headgate.dialects.openai.members import as_object as as_member
from headgate.errors import ErrorWords, InvalidRequest, ProviderFailed, UnsupportedField
from headgate.exchange import Exchange
from headgate.operations import FILES
from headgate.provider import Provider
from headgate.translation import Marks, error_reply, fit
from headgate_compatible.vendors.vercel_prompts import NAME, decode_result, encode_prompt

ROOT = "/v4/ai"
"""Where the AI SDK's API is, beside the one in OpenAI's shape."""
_CHAT = "/v1/chat/completions"
_MOST = 1000
"""How many requests a batch may have."""
_ERRORS = "-errors"
_CONTENT = re.compile(r"/v1/files/[^/]+/content")
_STATUS: Mapping[str, str] = {"pending": "in_progress", "completed": "completed", "failed": "failed"}
_NATIVE: Mapping[tuple[str, str], str] = {
    ("pending", "validating"): "validating",
    ("pending", "finalizing"): "finalizing",
    ("pending", "cancelling"): "cancelling",
    ("pending", "canceling"): "cancelling",
    ("failed", "expired"): "expired",
    ("failed", "cancelled"): "cancelled",
    ("failed", "canceled"): "cancelled",
}
"""Statuses by the vendor's word and that of who runs the batch, where both together say more."""
_CLIENT = OpenAIChat()
_ASKED = ChatRequest("", ())
"""As much of a request as its answer needs."""


def asks_for_results(ex: Exchange) -> bool:
    """Whether a client asks for the content of a file: there are none but the results of batches."""
    return ex.operation is FILES and _CONTENT.fullmatch(ex.path) is not None


class VercelBatches(JobDialect):
    """Batches of Vercel. Requests come here in the AI SDK's words (see `requests`); `account` is whose thoughts results hold."""

    name = NAME
    operation = "batches"
    thing = "batch"
    path = "/batch"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {
        "create": ("POST", "/start"),
        "retrieve": ("POST", "/status"),
        "cancel": ("POST", "/cancel"),
        "content": ("POST", "/results"),
    }

    def __init__(self, account: str = "") -> None:
        self._account = account

    @override
    def encode_call(self, asked: Asked, gaps: Gaps) -> VendorCall:
        call = super().encode_call(asked, gaps)
        if asked.action == "create":
            return call
        known = asked.id.removesuffix(_ERRORS) if asked.action == "content" else asked.id
        return VendorCall(call.method, call.path, body={"batchId": known}, has_lines=asked.action == "content")

    @override
    def _retrieval(self, known: str) -> VendorCall:
        return replace(super()._retrieval(known), body={"batchId": known})

    @override
    def encode_job(self, asked: Members, gaps: Gaps) -> Json:
        no_file(asked, gaps.target)
        endpoint_of(asked, [_CHAT], gaps.target)
        within_a_day(asked)
        asked.take("model")  # it stands in the requests that named none
        requests = asked.take("requests")
        if requests is None:
            raise InvalidRequest(
                "`requests` is missing: write the requests of the batch into it, a list of `custom_id` and `body`",
                param="requests",
                code="missing_requests",
            )
        return {"requests": requests, **own_members(asked, ("callbackUrl", "providerOptions"))}

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        known = str(said.get("batchId") or "") if asked.action == "create" else asked.id
        counts = as_object(said.get("requestCounts") or {})
        done, failed = counts.get("completed"), counts.get("failed")
        native, raw = str(said.get("status")), said.get("rawStatus")
        status = _NATIVE.get((native, str(raw)), _STATUS.get(native, "in_progress"))
        is_over = native in {"completed", "failed"}
        total = counts.get("total")
        error = said.get("error")
        told: Json = {
            "id": known,
            "endpoint": _CHAT,
            "input_file_id": "",
            "completion_window": DAY,
            "output_file_id": known if is_over and done != 0 else None,
            "error_file_id": known + _ERRORS if is_over and (total is None or done is None or done < total) else None,
            "created_at": seconds_of(said.get("createdAt")) or 0,
            "expires_at": seconds_of(said.get("expiresAt")),
            "request_counts": {"total": int(total or 0), "completed": int(done or 0), "failed": int(failed or 0)}
            if counts
            else None,
            **{name: said[name] for name in ("providerMetadata", "warnings") if said.get(name)},
        }
        errors = [{"message": "", **as_object(error)}] if error is not None else []
        return batch(told, status, raw or native, None, errors)

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return ()

    # results

    @override
    def decode_line(self, line: bytes, asked: Asked, before: Sequence[Any]) -> Json | None:
        try:
            said = decode_object(line)
        except InvalidRequest:
            raise ProviderFailed("the provider answered with no result of a batch", code="upstream_bad_reply") from None
        status, known = said.get("status"), str(said.get("id") or "")
        if (status == "succeeded") == asked.id.endswith(_ERRORS):
            return None
        told: Json = {"id": f"batch_req_{known}", "custom_id": known, "response": None, "error": None}
        if status == "succeeded":
            try:
                return {**told, "response": self._answer(as_object(said.get("result")))}
            except (ProviderFailed, InvalidRequest) as error:
                return {**told, "error": {"code": error.error_code, "message": error.message}}
        usual = UNDONE.get(str(status), ("failed", "no answer was told"))
        error = _error_in(said)
        code, message = error.get("code") or error.get("type") or usual[0], error.get("message") or usual[1]
        if not isinstance(error.get("statusCode"), int):
            return {**told, "error": {"code": str(code), "message": str(message)}}
        words = ErrorWords(error["statusCode"], str(message), str(error.get("type") or ""), str(code))
        reply = error_reply(_CLIENT, words, (), ())
        return {**told, "response": {"status_code": reply.status, "request_id": "", "body": Raw(reply.body)}}

    def _answer(self, result: Json) -> Json:
        """An answer as the chat completion that a single request would have got."""
        reply = Marks("", "", 0, self._account, {}).on_reply(decode_result(result))
        body = Raw(_CLIENT.encode_reply(reply, _ASKED))
        return {"status_code": 200, "request_id": reply.id, "body": body}


def _error_in(said: Json) -> Json:
    """The error of a line, of which more than a few words may be missing."""
    error = said.get("error")
    return {"message": error} if isinstance(error, str) else as_member(error) or {}


class Lines(Struct, frozen=True):
    """What the requests of one batch share: who carries them out, what becomes of what cannot be said, a prefix that models may
    have, and the model of requests which name none.
    """

    provider: Provider
    policy: Policy
    deployment: str
    model: str

    async def translate(self, line: Members, gaps: Gaps) -> Json:
        """One request in the AI SDK's words. Raises InvalidRequest and UnsupportedField, which name the request."""
        known = line.need("custom_id", str)
        if not known:
            raise InvalidRequest("`custom_id` must not be empty", param=line.at("custom_id"))
        own = Gaps(gaps.target, self.policy, _CLIENT.hints, NAME)
        try:
            told = await self._written(Members(line.rest()), own)
        except InvalidRequest as error:
            param = line.at(error.param) if error.param else line.place
            raise type(error)(f"the request `{known}`: {error.message}", code=error.error_code, param=param) from None
        for name in own.dropped:
            gaps.skip(f"requests[].body.{name}")
        return {"id": known, **told}

    async def _written(self, line: Members, own: Gaps) -> Json:
        for name, usual in (("method", "POST"), ("url", _CHAT)):
            if line.find(name, str) not in {None, usual}:
                raise InvalidRequest(f"`{name}` must be `{usual}`, as the batch has it", param=name)
        body = line.need("body", Json)
        own.extra(line.rest())
        model = body.get("model") or self.model
        if not isinstance(model, str) or not model:
            raise InvalidRequest("`body.model` is missing", param="body.model", code="missing_model")
        model = model.removeprefix(f"{self.deployment}/")
        try:
            asked = _CLIENT.decode_request(msgspec.json.encode({**body, "model": model}))
            request = (await fit(asked, self.provider, own)).request
            options = encode_prompt(request, own)
        except InvalidRequest as error:
            param = f"body.{error.param}" if error.param else "body"
            raise type(error)(error.message, code=error.error_code, param=param) from None
        if not request.messages:
            raise InvalidRequest("there is nothing to send: the request holds no messages", param="body.messages")
        return {"type": "text", "modelId": model, "options": options}


async def with_prompts(asked: Asked, provider: Provider, deployment: str, policy: Policy, gaps: Gaps) -> Asked:
    """What asks for a new batch, its requests as the vendor takes them. Raises as `Lines.translate` does."""
    held = Members(asked.body)
    requests = held.listed("requests")
    if not requests or held.peek("input_file_id"):
        return asked  # which its dialect refuses
    if len(requests) > _MOST:
        raise InvalidRequest(f"a batch has at most {_MOST} requests there", param="requests")
    endpoint_of(held, [_CHAT], gaps.target)
    lines = Lines(provider, policy, deployment, held.find("model", str) or "")
    told: list[Json] = []
    for line in requests:
        told.append(await lines.translate(line, gaps))
        await asyncio.sleep(0)  # others are served between any two of them
    if len({each["id"] for each in told}) < len(told):
        raise InvalidRequest("each request needs a `custom_id` of its own", param="requests")
    if len({each["modelId"] for each in told}) > 1:
        raise UnsupportedField("all requests of a batch are for one model there", param="model")
    return replace(asked, body={**asked.body, "requests": told})


class _Sent(Struct):
    modelId: str = ""  # noqa: N815 - the AI SDK's name


class _Start(Struct):
    requests: list[_Sent] = []


_start = msgspec.json.Decoder(_Start)


def model_of(body: bytes) -> str:
    """The model that the body of a call for a new batch names; empty for another call."""
    requests = _start.decode(body).requests if body else []
    return requests[0].modelId if requests else ""
