"""Signatures and encrypted thinking in Anthropic's blocks, where only `signature` and `data` can carry them.

Anthropic's own stand there raw. Another vendor's is written as `headgate:ORIGIN:ACCOUNT:DATA`, so that a client that
sends its thinking blocks back unchanged, as it must, gives it back to whom it belongs. `headgate.item` also holds the
vendor's id of the item. A vendor that signs a text or a tool call has no place for that here: a thinking block
without text carries it, `headgate.call` for the tool call behind it and `headgate.text` for the text before it.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from headgate.chat import Opaque

ORIGIN = "anthropic"
Holder = Literal["", "call", "text"]

_WORDS: dict[str, Holder] = {"headgate": "", "headgate.item": "", "headgate.call": "call", "headgate.text": "text"}

_SEALED = re.compile(rb'"(?:signature|data)"\s*:\s*"headgate[.:]')
_UNSIGNED = re.compile(rb'"signature"\s*:\s*""')


class Sealed(Struct, frozen=True):
    """What a signature says: the opaque item, the part that it belongs to, and the vendor's id of that item."""

    opaque: Opaque | None
    holder: Holder = ""
    item_id: str | None = None


def seal(opaque: Opaque, holder: Holder = "", item_id: str | None = None) -> str:
    """An opaque item as the text of a `signature` or of redacted `data`."""
    if opaque.origin == ORIGIN and not holder:
        return opaque.data
    word = f"headgate.{holder}" if holder else "headgate.item" if item_id else "headgate"
    item = f"{item_id}:" if word == "headgate.item" else ""
    return f"{word}:{opaque.origin}:{opaque.account}:{item}{opaque.data}"


def unseal(text: str) -> Sealed:
    """What `seal` wrote, or Anthropic's own; an empty text seals nothing."""
    word, colon, rest = text.partition(":")
    pieces = rest.split(":", 3 if word == "headgate.item" else 2) if colon else []
    if word not in _WORDS or len(pieces) < 3:
        return Sealed(Opaque(ORIGIN, text) if text else None)
    item_id = pieces[2] if len(pieces) == 4 else None
    return Sealed(Opaque(pieces[0], pieces[-1], pieces[1]), _WORDS[word], item_id)


def is_sealed_in(body: bytes) -> bool:
    """Whether a request in JSON holds what Anthropic refuses: what `seal` wrote of another vendor's, or thinking unsigned."""
    is_sealed = b'"headgate' in body and _SEALED.search(body) is not None
    return is_sealed or (b'"signature"' in body and _UNSIGNED.search(body) is not None)
