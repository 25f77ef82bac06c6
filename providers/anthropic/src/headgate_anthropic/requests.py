"""The requests of a new batch of OpenAI's clients, each of which is translated into Messages as a single one would be.

Source: https://platform.claude.com/docs/en/api/messages/batches/create and, for lines of requests,
https://platform.openai.com/docs/api-reference/batch/request-input
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from headgate.chat import ChatRequest
from headgate.dialects import AnthropicMessages, ChatDialect, Gaps, Policy
from headgate.dialects.jobs import Asked, endpoint_of
from headgate.dialects.openai.members import Members
from headgate.errors import InvalidRequest
from headgate.provider import Provider
from headgate.translation import write
from headgate_anthropic.marks import CLIENTS, Mark

Json = dict[str, Any]

_MESSAGES = AnthropicMessages()


class Lines(Struct, frozen=True):
    """What the requests of one batch share: who carries them out, what becomes of what cannot be said, and their endpoint.

    `deployment` is a prefix that models may have, `model` that of requests which name none.
    """

    provider: Provider
    policy: Policy
    endpoint: str
    deployment: str
    model: str

    async def translate(self, line: Members, gaps: Gaps) -> Json:
        """One request in the vendor's shape. Raises InvalidRequest and UnsupportedField, which name the request."""
        custom_id = line.need("custom_id", str)
        client = CLIENTS[self.endpoint]
        own = Gaps(gaps.target, self.policy, client.hints, _MESSAGES.name)
        try:
            body = self._body_of(line, own)
            is_own = client.name == _MESSAGES.name
            mark, params = (Mark(self.endpoint), body) if is_own else await self._write(body, client, own)
        except InvalidRequest as error:
            place = error.param or line.place
            param = place if place.startswith(line.place) else line.at(place)
            raise type(error)(
                f"the request `{custom_id}`: {error.message}", code=error.error_code, param=param
            ) from None
        for name in own.dropped:
            gaps.skip(f"requests[].{name}")
        return {"custom_id": mark.put_before(custom_id, line.at("custom_id")), "params": params}

    def _body_of(self, line: Members, own: Gaps) -> Json:
        """The body of a line, which may say beside it, as OpenAI's do, what it is for."""
        for name, known in (("method", "POST"), ("url", self.endpoint)):
            if line.find(name, str) not in {None, known}:
                raise InvalidRequest(f"`{name}` must be `{known}`, as the batch has it", param=name)
        body = line.need("body", Json)
        own.extra(line.rest())
        model = body.get("model") or self.model
        if not isinstance(model, str) or not model:
            raise InvalidRequest("`body.model` is missing", param="body.model", code="missing_model")
        if body.get("stream"):
            own.refuse("body.stream", "the answers of a batch come whole")
        body.pop("stream", None)
        return {**body, "model": model.removeprefix(f"{self.deployment}/")}

    async def _write(self, body: Json, client: ChatDialect, own: Gaps) -> tuple[Mark, Any]:
        """A request of OpenAI's. What its answer would need and cannot have is refused."""
        inner = Gaps(own.target, self.policy, client.hints, _MESSAGES.name)
        try:
            asked = client.decode_request(msgspec.json.encode(body))
            written = await write(asked, self.provider, _MESSAGES, inner)
            if written.called:
                inner.refuse("tools", "an answer of a batch can call functions alone, not tools of other kinds")
            self._check_names(written.request, inner)
        except InvalidRequest as error:
            raise type(error)(
                error.message, code=error.error_code, param=f"body.{error.param}" if error.param else "body"
            ) from None
        for name in inner.dropped:
            own.skip(f"body.{name}")
        return Mark.of(self.endpoint, asked), Raw(written.body)

    def _check_names(self, request: ChatRequest, inner: Gaps) -> None:
        renamed = {*_MESSAGES.names_back(request).values()}
        name = next((tool.name for tool in request.tools if tool.name in renamed), None)
        if name is not None:
            inner.refuse("tools", f"`{name}` is no name of a tool there, and an answer of a batch cannot name it back")


async def with_params(asked: Asked, provider: Provider, deployment: str, policy: Policy, gaps: Gaps) -> Asked:
    """What asks for a new batch, its requests as the vendor takes them. Raises as `Lines.translate` does."""
    held = Members(asked.body)
    requests = held.listed("requests")
    if not requests or held.peek("input_file_id"):
        return asked  # which its dialect refuses
    endpoint = endpoint_of(held, [*CLIENTS], gaps.target)
    lines = Lines(provider, policy, endpoint, deployment, held.find("model", str) or "")
    told: list[Json] = []
    for line in requests:
        told.append(await lines.translate(line, gaps))
        await asyncio.sleep(0)  # others are served between any two of them
    return replace(asked, body={**asked.body, "requests": told})
