"""Tools for the tests of plugins, providers and stores: a gateway without a socket, vendors that replay, contracts.

::

    async with gateway(SpendCap(SpendCap.Config(limit=0))) as client:
        reply = await client.post("/v1/chat/completions", json=chat_request("Hello"))
    assert reply.status_code == 412

Names are imported when they are first used, because pytest imports this package in every run: its pytest plugin is
`headgate.testing.fixtures`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headgate.testing.canned import Canned
    from headgate.testing.hostility import Hostile, hostile, request_hooks
    from headgate.testing.mock import MockUpstream, Received
    from headgate.testing.providers import ProviderContract
    from headgate.testing.recorded import Recorded
    from headgate.testing.replay import ReplayResponse, ReplayUpstream
    from headgate.testing.running import Client, OpenGateway, gateway, load
    from headgate.testing.samples import chat_request
    from headgate.testing.stores import StateStoreContract
    from headgate.testing.transport import AppTransport
    from headgate.testing.waiting import eventually

__all__ = [
    "AppTransport",
    "Canned",
    "Client",
    "Hostile",
    "MockUpstream",
    "OpenGateway",
    "ProviderContract",
    "Received",
    "Recorded",
    "ReplayResponse",
    "ReplayUpstream",
    "StateStoreContract",
    "chat_request",
    "eventually",
    "gateway",
    "hostile",
    "load",
    "request_hooks",
]

_HOMES = {
    "canned": ("Canned",),
    "hostility": ("Hostile", "hostile", "request_hooks"),
    "mock": ("MockUpstream", "Received"),
    "providers": ("ProviderContract",),
    "recorded": ("Recorded",),
    "replay": ("ReplayResponse", "ReplayUpstream"),
    "running": ("Client", "OpenGateway", "gateway", "load"),
    "samples": ("chat_request",),
    "stores": ("StateStoreContract",),
    "transport": ("AppTransport",),
    "waiting": ("eventually",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"headgate.testing.{home}"), name)
    raise AttributeError(f"module `headgate.testing` has no `{name}`")
