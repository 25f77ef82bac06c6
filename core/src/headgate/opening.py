"""From a provider's answer to a WebSocket handshake to a reply: an open session, or the provider's refusal as any other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl, urlencode

import msgspec
from websockets.frames import Frame, Opcode

from headgate.errors import InvalidRequest, ProviderError, UnsupportedField
from headgate.exchange import Exchange, Reply
from headgate.relay import Origin, passed_headers, relayed_error
from headgate.upstream import Connecting, Upstream, UpstreamRequest

_GATEWAY_KEY = "key"


async def open_session(
    ex: Exchange,
    upstream: Upstream,
    request: UpstreamRequest,
    origin: Origin,
    authorize: Callable[[UpstreamRequest], Awaitable[UpstreamRequest]],
) -> Reply:
    """Open a WebSocket to the provider, and send the body of `request`, if it has one, as the first message.

    The reply of an open one holds it as `socket`; a refusal is an error reply.

    Raises ProviderError, and InvalidRequest where the engine has no WebSockets.
    """
    if not isinstance(upstream, Connecting):
        raise InvalidRequest("this engine opens no WebSockets", code="unsupported_operation")
    try:
        request = await authorize(request)
        first, request = request.body, msgspec.structs.replace(request, body=b"")
        own = (request.credential.secret.reveal_bytes(),) if request.credential else ()
        secrets = (*own, *origin.secrets)
        answer = await upstream.connect(request)
        if answer.socket is None:
            return relayed_error(ex, answer.status, passed_headers(answer.headers, secrets), answer.body, secrets)
        headers = tuple(pair for pair in passed_headers(answer.headers, secrets) if not _is_handshake(pair[0]))
        answer.socket.secrets = secrets
        if first:
            answer.socket.send(Frame(Opcode.TEXT, first))
        return Reply(200, headers, socket=answer.socket)
    except ProviderError as error:
        error.blame(origin.provider, origin.deployment)
        raise


def socket_request(ex: Exchange, request: UpstreamRequest, own: Mapping[str, str]) -> UpstreamRequest:
    """`request` for a handshake: its address says `own` and what else the client's did, but for the gateway's key.

    Raises UnsupportedField for overrides: what they would change is said in messages, which nobody here changes.
    """
    attempt = ex.attempt
    if attempt is not None and attempt.target.override_params:
        name = next(iter(attempt.target.override_params))
        raise UnsupportedField(f"`override_params.{name}` cannot be put into `{ex.operation.name}`", param=name)
    base, _, said = request.url.partition("?")
    kept = [(name, value) for name, value in parse_qsl(said, keep_blank_values=True) if name not in own]
    taken = {_GATEWAY_KEY, "model", *own, *(name for name, _ in kept)}
    given = parse_qsl(ex.query.decode("latin-1"), keep_blank_values=True)
    rest = [(name, value) for name, value in given if name not in taken]
    query = urlencode([*own.items(), *kept, *rest])
    headers = tuple(pair for pair in request.headers if pair[0] != b"content-type")
    return msgspec.structs.replace(request, url=f"{base}?{query}" if query else base, headers=headers)


def _is_handshake(name: bytes) -> bool:
    return name.startswith(b"sec-websocket-") or name == b"content-type"
