"""Server-side state of the Responses API: replies of providers that keep none are kept here, told again and gone on from.

What a provider keeps itself stays with it: the gateway remembers which deployment made it, and sends what concerns it there.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import Awaitable, Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import parse_qs

import msgspec
from msgspec import Meta, Raw, Struct
from typing_extensions import override

from headgate import (
    Attempt,
    Call,
    Context,
    Exchange,
    Hooks,
    InvalidRequest,
    Provider,
    ProviderError,
    Reply,
    RequestError,
    Target,
    hookimpl,
)
from headgate.operations import PASSTHROUGH, RESPONSES
from headgate_responses.items import NOTHING, continued, items_of, list_page
from headgate_responses.shelf import MADE, Held, Kept, Lost, Shelf, unavailable
from headgate_responses.telling import Bounds, peek, tell, whole_response

__all__ = ["Held", "Kept", "Lost", "Responses", "ResponsesConfig", "Shelf"]

NAME = "responses"
PREVIOUS = "previous_response_id"

_JSON = (b"content-type", b"application/json")
_PATH = re.compile(r"/v1/responses/([A-Za-z0-9_.:~-]{1,256})(/input_items|/cancel)?")
_ASKS = {("GET", ""): "get", ("DELETE", ""): "delete", ("GET", "/input_items"): "items", ("POST", "/cancel"): "cancel"}
_EVENT_BYTES = 4096
"""What an event takes beside the response in it, at most."""
_UNKNOWN = (
    "it was deleted, has expired or went because the store was full, its stream was cut,"
    " or this key's tenant did not make it"
)
_GONE = "and is not in the configuration any more"
_NOT_KEPT = "the gateway did not keep it: {}"
_ROUTED = ("provider", "virtual-key", "config")
"""Options with which a caller says where a call goes."""

Seconds = Annotated[float, Meta(gt=0)]
Size = Annotated[int, Meta(ge=1)]
Ask = Literal["get", "delete", "items", "cancel"]


class ResponsesConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How long and how much is kept.

    `ttl_s` is how long after it was made a response can be asked for; `max_bytes` bounds one response with its whole
    conversation, and what is larger is not kept, which its reply and later errors say. `keep_native` also keeps what a
    provider that speaks Responses does not say it has stored, though it was not asked to leave that out.
    """

    ttl_s: Seconds = 30 * 86_400.0
    max_bytes: Size = 8 * 1024 * 1024
    keep_native: bool = False


class ResponseNotFound(RequestError):
    """There is no such response, or none of this tenant's. In OpenAI's words."""

    status = 404
    type = "invalid_request_error"
    code = "response_not_found"


COMING_S = 1.0
"""How long a request waits for a response that is still under way; longer would hold up one that asks too early."""


class HeldElsewhere(ProviderError):
    """The response to go on from is kept by another deployment. A fallback may go on to that one."""

    status = 400
    type = "invalid_request_error"
    code = "previous_response_not_found"
    retryable = False


class _Asked(Struct):
    """What of a request matters here."""

    input: Raw = NOTHING
    previous_response_id: Any = None
    store: Any = None


class _Turn(Struct):
    """A request for a response: what it goes on from, and under which id the reply is kept.

    `previous` is the id it named; `is_continued` says that the conversation was put in its place; otherwise `held` says
    who keeps it, where that is known. `items_bytes` is the size of the conversation.
    """

    is_stored: bool
    items_bytes: int
    previous: str = ""
    is_continued: bool = False
    held: Held | None = None
    response_id: str = ""


class _Answer(Struct):
    """The reply to a request about a kept response. With `removed` that response is forgotten first."""

    reply: Reply
    removed: str = ""


class _Sought(Struct):
    """A request about a response that a provider keeps."""

    response_id: str
    held: Held


_asked = msgspec.json.Decoder(_Asked)


class Responses(Hooks):
    """Keeps responses by tenant, in the gateway's StateStore."""

    Config = ResponsesConfig
    operations = frozenset({RESPONSES.name, PASSTHROUGH.name})
    budgets: ClassVar[Mapping[str, float]] = {"admit": 2.0, "lookup": 1.0}

    def __init__(self, config: ResponsesConfig, shelf: Shelf | None = None) -> None:
        self._config = config
        self._shelf = shelf or Shelf(config.ttl_s)
        self._coming: dict[tuple[str, str], asyncio.Event] = {}
        """Responses under a vendor's id whose client may know them already, while they are not kept yet."""
        self._ctx: Context

    @override
    @hookimpl
    def configure(self, ctx: Context) -> None:
        self._ctx = ctx
        self._shelf.state = ctx.state

    @override
    @hookimpl
    async def admit(self, ex: Exchange) -> None:
        if ex.operation is RESPONSES:
            await self._continue(ex)
        elif ex.operation is PASSTHROUGH:
            await self._seek(ex)

    @override
    @hookimpl
    async def lookup(self, ex: Exchange) -> Reply | None:
        answer = ex.data.get(NAME)
        if not isinstance(answer, _Answer):
            return None
        if answer.removed and not await self._shelf.remove(_tenant(ex), answer.removed):
            return None
        return answer.reply

    @override
    @hookimpl
    async def route(self, ex: Exchange) -> Target | None:
        found = ex.data.get(NAME)
        if isinstance(found, _Sought):
            return Target(deployment=found.held.deployment)
        if isinstance(found, _Answer):
            raise unavailable()  # `lookup` could not give it
        return None

    @override
    @hookimpl
    def wrap_call(self, call: Call) -> Call:
        def carry(ex: Exchange) -> Awaitable[Reply]:
            found = ex.data.get(NAME)
            if isinstance(found, _Turn) and ex.attempt is not None:
                return self._respond(call, ex, found, ex.attempt)
            return self._pass_on(call, ex, found) if isinstance(found, _Sought) else call(ex)

        return carry

    @override
    @hookimpl
    async def store(self, ex: Exchange) -> None:
        turn, reply = ex.data.get(NAME), ex.reply
        if isinstance(turn, _Turn) and turn.response_id and reply is not None:
            body = ex.reply_body if ex.reply_body is not None else ex.reply_tail or b""
            response = whole_response(body, is_stream=reply.chunks is not None)
            await self._shelf.put(_tenant(ex), turn.response_id, self._entry(ex, response))
            self._came(ex, turn)

    @override
    @hookimpl
    async def record(self, ex: Exchange) -> None:
        """However it ended, nobody need wait for it any longer."""
        turn = ex.data.get(NAME)
        if isinstance(turn, _Turn):
            self._came(ex, turn)

    def _came(self, ex: Exchange, turn: _Turn) -> None:
        event = self._coming.pop((_tenant(ex), turn.response_id), None)
        if event is not None:
            event.set()

    async def _find(self, ex: Exchange, response_id: str) -> Kept | Held | Lost | None:
        """What is known of a response. One whose last byte the client has just had is waited for until it is kept."""
        tenant = _tenant(ex)
        entry = await self._shelf.find(tenant, response_id)
        event = self._coming.get((tenant, response_id)) if entry is None else None
        if event is None:
            return entry
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COMING_S):
                await event.wait()
        return await self._shelf.find(tenant, response_id)

    def _entry(self, ex: Exchange, response: bytes | None) -> Kept | Lost:
        """What to keep of an exchange: its response, or why there is none."""
        if response is None:
            return Lost("it failed, or did not come to its end")
        items = msgspec.json.encode(items_of(_asked.decode(ex.body).input))
        size, most = len(response) + len(items), self._config.max_bytes
        if size <= most:
            return Kept(response, items)
        self._shelf.complain("a response was not kept: it is larger than `max_bytes`", size_bytes=size)
        return Lost(f"with its conversation it has {size} bytes, and more than {most} are not kept (`max_bytes`)")

    # requests for a response

    async def _continue(self, ex: Exchange) -> None:
        """Put the conversation in the place of an id that is kept here, and find out who keeps any other."""
        asked = _asked.decode(ex.body)
        turn = ex.data[NAME] = _Turn(is_stored=asked.store is not False, items_bytes=len(bytes(asked.input)))
        previous: object = asked.previous_response_id
        if not isinstance(previous, str) or not previous:
            return
        turn.previous = previous
        entry = await self._find(ex, previous)
        if isinstance(entry, Kept):
            ex.replace_body(continued(ex.body, entry))
            turn.items_bytes = len(bytes(_asked.decode(ex.body).input))
            turn.is_continued = True
        elif isinstance(entry, Held):
            turn.held, ex.pinned = entry, partial(_is_held_by, entry)
        elif entry is not None or previous.startswith(MADE):
            raise _no_previous(previous, _UNKNOWN if entry is None else _NOT_KEPT.format(entry.why))

    async def _respond(self, call: Call, ex: Exchange, turn: _Turn, attempt: Attempt) -> Reply:
        """Carry out an attempt, and see to it that what it makes can be gone on from."""
        is_forwarded = bool(turn.previous) and not turn.is_continued
        if is_forwarded:
            self._check(turn, attempt)
        reply = await call(ex)
        if not reply.is_ok:
            return reply
        echo: dict[str, Any] = {PREVIOUS: turn.previous} if turn.is_continued else {}
        is_kept_there = attempt.dialect is None and attempt.provider.keeps_responses
        if turn.is_stored and not is_kept_there and not is_forwarded:
            turn.response_id = MADE + secrets.token_hex(24)
            echo |= {"id": turn.response_id, "store": True}
        elif turn.is_stored:
            echo |= {"store": True} if attempt.dialect is not None else {}
            turn.response_id = await self._remember(ex, attempt, reply, is_forwarded=is_forwarded)
        if turn.response_id:
            if not turn.response_id.startswith(MADE):  # of its own ids the shelf knows that they may be coming
                self._coming[_tenant(ex), turn.response_id] = asyncio.Event()
            ex.collect, ex.tail_bytes = True, self._config.max_bytes + _EVENT_BYTES
        if echo:
            room = self._config.max_bytes - turn.items_bytes if turn.response_id else None
            tell(reply, echo, None if room is None else Bounds(room, {**echo, "store": False}))
        return reply

    def _check(self, turn: _Turn, attempt: Attempt) -> None:
        """Refuse an attempt that could not go on from the response that the request names, rather than lose it silently."""
        held = turn.held
        speaks = attempt.operation == RESPONSES.name and attempt.provider.keeps_responses
        if held is None:
            if speaks:
                return  # the provider may know it
            raise _no_previous(turn.previous, _UNKNOWN)
        if speaks and _is_held_by(held, attempt.provider):
            return
        is_here = held.deployment in self._ctx.deployments
        what_now = f"name a model of `{held.deployment}`, or send" if is_here else _GONE + "; send"
        error = HeldElsewhere(
            f"Previous response with id '{turn.previous}' not found by deployment `{attempt.target.deployment}`:"
            f" `{held.deployment}` made it and keeps it{'; ' if is_here else ', '}{what_now}"
            " the whole conversation as `input`",
            provider=attempt.provider.name,
            deployment=attempt.target.deployment,
        )
        error.param = PREVIOUS
        raise error

    async def _remember(self, ex: Exchange, attempt: Attempt, reply: Reply, *, is_forwarded: bool) -> str:
        """Note which deployment keeps a response. The id to keep it under, where the provider says that it does not."""
        said = await peek(reply)
        if said is None or not said.id:
            return ""
        if attempt.dialect is None and said.store is not True:
            if self._config.keep_native and not is_forwarded:
                return said.id
            if said.store is False:
                return ""
        held = Held(attempt.target.deployment, attempt.provider.account)
        await self._shelf.put(_tenant(ex), said.id, held)
        return ""

    # requests about a response

    async def _seek(self, ex: Exchange) -> None:
        """Find the response that a path names, and make the answer where it is kept here."""
        match = _PATH.fullmatch(ex.path)
        ask = _ASKS.get((ex.scope_method, match[2] or "")) if match is not None else None
        if match is None or ask is None:
            return
        response_id = match[1]
        entry = await self._find(ex, response_id)
        is_routed = any(ex.option(name) for name in _ROUTED)
        match entry:
            case Kept():
                ex.data[NAME] = _answer(ask, response_id, entry, ex.query)
            case Held() if entry.deployment in self._ctx.deployments:
                ex.data[NAME] = _Sought(response_id, entry)
            case Held() if not is_routed:
                where = f"deployment `{entry.deployment}` made it and keeps it, {_GONE}"
                raise ResponseNotFound(f"Response with id '{response_id}' not found: {where}.")
            case Lost():
                raise ResponseNotFound(f"Response with id '{response_id}' not found: {_NOT_KEPT.format(entry.why)}.")
            case _ if not is_routed:
                raise ResponseNotFound(f"Response with id '{response_id}' not found.")
            case _:
                pass  # the provider that the caller names may know it

    async def _pass_on(self, call: Call, ex: Exchange, sought: _Sought) -> Reply:
        reply = await call(ex)
        if ex.scope_method == "DELETE" and reply.is_ok:
            await self._shelf.remove(_tenant(ex), sought.response_id)
        return reply


def _answer(ask: str, response_id: str, kept: Kept, query: bytes) -> _Answer:
    """What a request about a kept response gets. Raises InvalidRequest for what only a running one can do, as OpenAI says it."""
    match ask:
        case "items":
            return _Answer(Reply(200, (_JSON,), list_page(kept, response_id, query)))
        case "delete":
            body = msgspec.json.encode({"id": response_id, "object": "response", "deleted": True})
            return _Answer(Reply(200, (_JSON,), body), removed=response_id)
        case "cancel":
            raise InvalidRequest("Cannot cancel a synchronous response.")
        case _:
            if parse_qs(query.decode("latin-1")).get("stream", [""])[-1].lower() in {"true", "1"}:
                raise InvalidRequest(
                    "This response cannot be streamed because it was not created with background=true.", param="stream"
                )
            return _Answer(Reply(200, (_JSON,), kept.response))


def _is_held_by(held: Held, provider: Provider) -> bool:
    """Whether a provider has what was made: it is the deployment that did, or another one of the same account."""
    return provider.deployment == held.deployment or (bool(held.account) and provider.account == held.account)


def _no_previous(response_id: str, why: str) -> InvalidRequest:
    """There is nothing to go on from. In OpenAI's words, and with the reason."""
    return InvalidRequest(
        f"Previous response with id '{response_id}' not found: {why}; send the whole conversation as `input`",
        param=PREVIOUS,
        code=HeldElsewhere.code,
    )


def _tenant(ex: Exchange) -> str:
    return ex.principal.tenant if ex.principal is not None else ""
