"""Message batches for Anthropic's own clients, which ask for the results wherever a batch says that they are.

Source: https://platform.claude.com/docs/en/api/messages/batches
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from headgate.body import reply_object
from headgate.caller import own_url
from headgate.exchange import Exchange
from headgate.operations import MESSAGES_BATCHES

RESULTS = "/results"
"""Where the results of a batch are, behind its own path."""


def with_results_here(ex: Exchange, body: bytes) -> bytes:
    """A batch, or a list of them, with this gateway's address of the results: clients send it the key that they have.

    Raises ProviderFailed for what is no JSON object.
    """
    held = reply_object(body)
    listed = held.get("data")
    for batch in [held, *(cast("list[Any]", listed) if isinstance(listed, list) else [])]:
        _move(ex, batch)
    return msgspec.json.encode(held)


def _move(ex: Exchange, batch: Any) -> None:
    if isinstance(batch, dict):
        said = cast("dict[str, Any]", batch)
        if said.get("results_url"):
            said["results_url"] = own_url(ex, f"{MESSAGES_BATCHES.path}/{said.get('id')}{RESULTS}")
