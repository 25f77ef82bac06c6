"""The settings of this plugin."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct


class CheckConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """One check to run. `check` is its id; without a dot it is one of `default.`.

    `on` says where it runs. `deny: false` notes a failure and lets the text pass. `on_error` is what an error of the
    check itself means. `roles` limits a check of requests to texts of these roles; empty means all.
    """

    check: str
    on: list[Literal["request", "reply"]]
    parameters: dict[str, Any] = {}
    deny: bool = True
    on_error: Literal["deny", "allow"] = "deny"
    roles: list[str] = []


class GuardBasicConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`checks` run in order. `passthrough` is for what cannot be read: opaque bodies, forms, files, voices, token lists,
    WebSocket sessions.
    """

    checks: list[CheckConfig] = []
    passthrough: Literal["refuse", "allow"] = "refuse"
