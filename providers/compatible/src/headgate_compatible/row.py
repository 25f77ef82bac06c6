"""What a row may say about a vendor, and what its quirks do to a request body.

The set of quirks is closed: a vendor that needs more gets a provider of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from headgate.errors import InvalidRequest, UnsupportedField

Operation = Literal["chat", "completions", "embeddings", "passthrough"]

_members = msgspec.json.Decoder(dict[str, Raw])
_DEFAULTS: Mapping[str, Any] = {
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "n": 1,
    "parallel_tool_calls": True,
    "presence_penalty": 0,
    "service_tier": "auto",
    "tool_choice": "auto",
    "tools": [],
}
"""What OpenAI documents as the default of a field: sent or left out, it asks for nothing."""


class Quirks(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a server differs from OpenAI.

    `rename` maps request fields to the vendor's names; `refuse` names fields the vendor cannot honour; `headers` go
    with every call; `models_path` is where the vendor lists models, where that is not `/models`.
    """

    rename: dict[str, str] = {}
    refuse: list[str] = []
    headers: dict[str, str] = {}
    models_path: str = "/models"

    def apply(self, body: bytes, provider: str) -> bytes:
        """`body` as the vendor takes it; the very same bytes where no quirk concerns it.

        Raises UnsupportedField for a refused field that is neither null nor at OpenAI's default, and InvalidRequest
        where a renamed field meets one that already has the vendor's name.
        """
        if not self.rename and not self.refuse:
            return body
        members = _members.decode(body)
        for field in self.refuse:
            if field in members and _asks(field, members[field]):
                raise UnsupportedField(
                    f"provider `{provider}` does not support `{field}`: leave it out or choose another provider",
                    param=field,
                )
        if self.rename.keys().isdisjoint(members):
            return body
        for field, name in self.rename.items():
            _keep_one(members, field, name)
        return msgspec.json.encode({self.rename.get(field, field): value for field, value in members.items()})


class Row(Quirks, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One vendor. `base_url` may hold `{placeholders}`; `vars_env` names the environment variables that fill them.

    `docs` is the page the facts come from. A `keyless` row is a server of one's own.
    """

    name: str
    base_url: str
    docs: str
    operations: list[Operation]
    key_env: str = ""
    tier: Literal["community"] = "community"
    keyless: bool = False
    vars_env: dict[str, str] = {}


def _asks(field: str, value: Raw) -> bool:
    decoded = msgspec.json.decode(value)
    return decoded is not None and (field not in _DEFAULTS or decoded != _DEFAULTS[field])


def _keep_one(members: dict[str, Raw], field: str, name: str) -> None:
    """Of a field and the vendor's name for it leave at most one: null says nothing, and the same twice is once."""
    if field not in members or name not in members:
        return
    mine, theirs = bytes(members[field]), bytes(members[name])
    if mine in {theirs, b"null"}:
        del members[field]
    elif theirs == b"null":
        del members[name]
    else:
        raise InvalidRequest(f"`{field}` is sent as `{name}` here and both are given: send one of them", param=field)
