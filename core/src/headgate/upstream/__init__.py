"""Reaching providers: the one outbound path of the product.

Everything that leaves the gateway (model calls, webhooks, key sets, prices) goes through an `Upstream`. It vets every
address it connects to, follows no redirect, sends a credential only to the origins it is bound to, and bounds what it
decompresses.
"""

from headgate.upstream.interface import (
    Connecting,
    Credential,
    Opening,
    Pieces,
    Pouring,
    Timeouts,
    Tls,
    Upstream,
    UpstreamRequest,
    UpstreamResponse,
    origin_of,
)
from headgate.upstream.whole import WholeResponse

__all__ = [
    "Connecting",
    "Credential",
    "Opening",
    "Pieces",
    "Pouring",
    "Timeouts",
    "Tls",
    "Upstream",
    "UpstreamRequest",
    "UpstreamResponse",
    "WholeResponse",
    "origin_of",
]
