"""The engines there are, each imported only when it is the one that is used."""

from __future__ import annotations

from typing import Literal

from headgate.upstream.interface import Upstream

EngineName = Literal["h1", "aiohttp"]


def create_engine(name: EngineName = "h1") -> Upstream:
    """An engine by name. Call it inside a running loop."""
    if name == "aiohttp":
        from headgate.upstream.aiohttp_engine import AiohttpUpstream  # costs 10 MB and is the exception

        return AiohttpUpstream()
    from headgate.upstream.h1_engine import H1Upstream

    return H1Upstream()
