"""The Litestar application: inference as bare ASGI routes, everything about the gateway itself as typed handlers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from litestar import HttpMethod, Litestar, MediaType, Request, Response, asgi, route
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException

from headgate.errors import InvalidRequest, MethodNotAllowed, RequestError, RouteNotFound
from headgate.gateway import Gateway
from headgate.ids import IdSource
from headgate.operations import (
    FIXED,
    PASSTHROUGH,
    ROOTS,
    client_dialect,
    find_listing,
    find_named,
    find_tree,
)
from headgate.server.handler import Handler
from headgate.version import VERSION

_ids = IdSource()
_READS = [HttpMethod.GET, HttpMethod.HEAD]

log = structlog.get_logger("headgate")


class Application:
    """The ASGI application: Litestar, and before it a short way to the operations whose path is known by a look.

    Litestar knows the same routes, so that nothing else can claim them; a request that needs its routing gets it.
    """

    def __init__(self, routed: Litestar, handler: Handler) -> None:
        self.routed = routed
        self._serve = handler.serve

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """ASGI 3, without a coroutine of its own."""
        if scope["type"] != "http":
            return self.routed(scope, receive, send)
        operation = FIXED.get(scope["path"])
        if operation is None:
            named = find_named(scope["path"])
            operation = named.operation if named is not None else find_tree(scope["path"])
            operation = operation or find_listing(scope["path"])
            if operation is None:
                return self.routed(scope, receive, send)
        return self._serve(operation, scope, receive, send)


def build_app(gateway: Gateway, handler: Handler) -> Application:
    """The application for a started gateway. Routes of plugins are added as they are."""
    return Application(_routed(gateway, handler), handler)


def _routed(gateway: Gateway, handler: Handler) -> Litestar:
    def refused(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
        return _http_error(gateway, request, error)

    return Litestar(
        route_handlers=[
            _operations(handler),
            *(_passthrough(handler, root) for root in ROOTS),
            _health(),
            _ready(gateway),
            _index(),
            *gateway.plan.registry.routes,
        ],
        exception_handlers={HTTPException: refused, Exception: _server_error},
        openapi_config=None,
        logging_config=None,
        lifespan=[_close_with(gateway)],
    )


def _operations(handler: Handler) -> Any:
    """One handler for every fixed path, since Litestar examines each handler anew."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await handler.serve(FIXED[scope["path_template"]], scope, receive, send)

    paths = [path for path in FIXED if path[:2] != "//"]
    return asgi(paths, name="operations", copy_scope=False)(serve)


def _passthrough(handler: Handler, root: str) -> Any:
    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await handler.serve(PASSTHROUGH, scope, receive, send)

    return asgi(root, name=f"passthrough.{root[1:]}", is_mount=True, copy_scope=False)(serve)


def _health() -> Any:
    @route("/v1/health", http_method=_READS, name="health", sync_to_thread=False)
    def health() -> Response[dict[str, str]]:
        """Whether the process answers; says nothing about what it depends on."""
        return _plain({"status": "ok", "version": VERSION})

    return health


def _ready(gateway: Gateway) -> Any:
    @route("/v1/ready", http_method=_READS, name="ready", sync_to_thread=False)
    def ready() -> Response[dict[str, Any]]:
        """Whether new requests are welcome: 503 while draining. `config_error` says why the last reload was refused."""
        return _plain(dict(gateway.status()), 503 if gateway.is_draining else 200)

    return ready


def _index() -> Any:
    @route(["/", "/api/hello"], http_method=_READS, name="index", sync_to_thread=False)
    def index() -> Response[dict[str, str]]:
        """What this is, for somebody who opens it in a browser. Claude Code opens its connections with a HEAD of either path."""
        return _plain({"name": "headgate", "version": VERSION, "models": "/v1/models", "ready": "/v1/ready"})

    return index


def _plain(content: Any, status: int = 200) -> Response[Any]:
    return Response(content, status_code=status, media_type=MediaType.JSON, headers=_id_headers())


def _id_headers() -> dict[str, str]:
    request_id, trace_id = _ids.request_id(), _ids.random()
    return {
        "x-headgate-request-id": request_id,
        "x-request-id": request_id,
        "x-headgate-trace-id": trace_id,
        "x-portkey-trace-id": trace_id,
    }


def _http_error(gateway: Gateway, request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """The server's own errors, in the same envelopes as all others."""
    path = request.url.path
    held: RequestError
    match error:
        case NotFoundException():
            held = RouteNotFound(f"there is nothing at `{path}`")
        case MethodNotAllowedException():
            held = MethodNotAllowed(f"`{path}` does not take {request.method}")
        case _:
            held = InvalidRequest(error.detail or "the request is not valid")
    status = held.status if not isinstance(held, InvalidRequest) else error.status_code
    headers = {**_id_headers(), **{name: value for name, value in (error.headers or {}).items() if name == "allow"}}
    dialect = gateway.plan.registry.dialects.get(client_dialect(path, dict(request.scope["headers"])))
    body = held.envelope() if dialect is None else dialect.encode_error(held.words())
    return Response(body, status_code=status, media_type=MediaType.JSON, headers=headers)


def _server_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    log.error("the server failed", path=request.url.path, exc_info=error)
    held = RequestError("the gateway failed; its log has the reason")
    return Response(held.envelope(), status_code=500, media_type=MediaType.JSON, headers=_id_headers())


def _close_with(gateway: Gateway) -> Callable[[Litestar], Any]:
    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await gateway.close()

    return lifespan
