"""Ids of items in the Responses dialect, and what another provider's opaque items look like inside it.

Ids that the gateway makes are told apart by `_hg_`: they name nothing that a provider stores, so they are never sent to
one. Source: https://platform.openai.com/docs/api-reference/responses/object
"""

from __future__ import annotations

import re
from hashlib import sha256

from headgate.chat import Opaque

ORIGIN = "openai"
"""Who understands an `encrypted_content` that carries no mark."""
_MARK = "headgate:"
_MADE = re.compile(r"[a-z]+_hgx?_")
_MADE_IN = re.compile(rb'"(?:rs|msg|fc|ctc|ig)_hgx?_')
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_MAX_TAIL = 40


class Ids:
    """The ids of one reply, all made from the id that the provider gave the reply."""

    __slots__ = ("_tail", "response")

    def __init__(self, reply_id: str) -> None:
        bare = reply_id.removeprefix("resp_").removeprefix("hg_")
        self._tail = _UNSAFE.sub("", bare)[-_MAX_TAIL:] or "0"
        self.response = reply_id if reply_id.startswith("resp_") else f"resp_hg_{self._tail}"

    def item(self, kind: str, at: int, *, is_redacted: bool = False) -> str:
        """The id of the output item number `at`; `kind` is msg, rs, fc, ctc or ig."""
        return f"{kind}_{'hgx' if is_redacted else 'hg'}_{self._tail}_{at}"

    def call(self, at: int) -> str:
        """An id for a tool call that has none of its own."""
        return f"call_hg_{self._tail}_{at}"


def is_made(item_id: str) -> bool:
    """Whether the gateway made this id."""
    return _MADE.match(item_id) is not None


def has_marks(body: bytes) -> bool:
    """Whether a request holds thinking of another provider, or ids that the gateway made: OpenAI would refuse them."""
    return b'"headgate:' in body or (b"_hg" in body and _MADE_IN.search(body) is not None)


def is_redacted(item_id: str) -> bool:
    """Whether this id of a reasoning item says that its thinking was taken out."""
    return item_id.startswith("rs_hgx_")


def sealed(opaque: Opaque) -> str:
    """The `encrypted_content` of an opaque item: OpenAI's own as it is, another origin's with the mark."""
    if opaque.origin == ORIGIN:
        return opaque.data
    return f"{_MARK}{opaque.origin}:{opaque.account}:{opaque.data}"


def unsealed(content: str) -> Opaque:
    """The opaque item in an `encrypted_content`."""
    origin, account, data = ORIGIN, "", content
    if content.startswith(_MARK) and content.count(":") > 2:
        origin, account, data = content.removeprefix(_MARK).split(":", 2)
    return Opaque(origin, data, account)


def digest(text: str) -> str:
    """24 hex digits that stand for a text."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]
