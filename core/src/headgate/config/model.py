"""What `headgate.yaml` may hold. Every Struct refuses unknown keys; the docstrings are the reference."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from headgate.operations import KIB, MIB, OPERATIONS

MAX_S = 365 * 24 * 3600

Count = Annotated[int, Meta(ge=1)]
Duration = Annotated[float, Meta(gt=0, le=MAX_S)]
Delay = Annotated[float, Meta(ge=0, le=MAX_S)]


class Server(Struct, frozen=True, forbid_unknown_fields=True):
    """Where and how to serve.

    `drain_s`: seconds that running replies get after SIGTERM. `drain_delay_s`: seconds that readiness fails before
    the listener closes, so that a load balancer looks away first. `timing`: put the time of each stage into the reply
    header `server-timing`. `engine`: what carries calls to providers, `h1` or the slower reference `aiohttp`; like
    `host`, `port` and `workers` it changes only with a restart.
    """

    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8787
    workers: Count = 1
    drain_s: Delay = 30.0
    drain_delay_s: Delay = 0.0
    timing: bool = False
    engine: Literal["h1", "aiohttp"] = "h1"


class Auth(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may call. `keys`: a plugin authenticates. `open`: everybody. `passthrough`: the caller brings the provider's key."""

    mode: Literal["keys", "open", "passthrough"] = "keys"


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """What one client, and all of them together, may take.

    `body_bytes` by operation name. `header_s` to send the request head, `body_stall_s` between two pieces of a body,
    `reader_stall_s` that a client may leave a reply unread; `keepalive_s` a connection may idle. `in_flight` exchanges
    and `inflight_bytes` of request bodies at one time; more is answered with 503. Memory peaks at about four times
    `inflight_bytes`, when all bodies are whole and are being sent on. Forms are sent on as they come: `form_bytes` is how
    much of one is held while its field `model` is looked for. For sessions (`realtime`, `generate.live`)
    `body_bytes` is the size of one message.
    `state_bytes` is what the store `memory` may hold; it changes only with a restart.
    """

    body_bytes: dict[str, Count] = {}
    header_bytes: Count = 64 * KIB
    header_s: Duration = 10.0
    body_stall_s: Duration = 30.0
    reader_stall_s: Duration = 60.0
    keepalive_s: Duration = 75.0
    connections: Count = 20_000
    in_flight: Count = 8_192
    inflight_bytes: Count = 256 * MIB
    form_bytes: Count = 32 * MIB
    state_bytes: Count = 256 * MIB

    def body_limit(self, operation: str) -> int:
        """The largest body of an operation, in bytes."""
        default = next((entry.body_bytes for entry in OPERATIONS if entry.name == operation), MIB)
        return self.body_bytes.get(operation, default)


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file.

    `plugins`: enabled plugins in the order they run, each a name or `name: {settings}`. `providers`: deployments by
    name. `models`: public aliases, each `deployment/model` or a routing config; the alias `*` takes every other model.
    `configs`: routing configs by the name under which a request (`x-headgate-config: NAME`) or a key asks for them.
    `budgets`: seconds by `plugin.hook`. `state`: the store for shared state. `state_dir`: where the gateway keeps
    small files of its own, relative to this file.
    """

    server: Server = Server()
    auth: Auth = Auth()
    plugins: list[str | dict[str, Any]] = []
    providers: dict[str, dict[str, Any]] = {}
    models: dict[str, str | dict[str, Any]] = {}
    configs: dict[str, dict[str, Any]] = {}
    limits: Limits = Limits()
    budgets: dict[str, Duration] = {}
    state: str = "memory"
    state_dir: str = ".headgate"
