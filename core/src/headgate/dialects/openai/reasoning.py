"""Thinking and what must travel with it, in the forms that OpenAI-shaped APIs have for it.

`reasoning_content` (DeepSeek, xAI and most) and `reasoning` (OpenRouter, Groq) are text. `reasoning_details` says per block of
thinking what kind it is and holds its signature or its encrypted form; `format` names who understands that, and `account`, which
is our own, the account it is bound to. https://openrouter.ai/docs/use-cases/reasoning-tokens

Google signs texts and calls, at `extra_content.google.thought_signature`:
https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, cast

from headgate.chat import ExtraDelta, Opaque, Reasoning, ReasoningDelta, ReasoningEnd, StreamEvent
from headgate.dialects.openai.members import Json, Members, given

Kind = Literal["text", "summary", "encrypted"]

_KINDS: dict[str, Kind] = {
    "reasoning.text": "text",
    "reasoning.summary": "summary",
    "reasoning.encrypted": "encrypted",
}
_TEXTS = ("reasoning_content", "reasoning")
_UNKNOWN = "unknown"
_SIGNATURES = {"google": "thought_signature"}
"""What a signature is called by its origin, where that is not `signature`."""


def take_reasoning(fields: Members) -> list[Reasoning]:
    """All thinking of a whole message, in order. Details of an unknown kind stay where they are."""
    text, details = _text_of(fields), _details_of(fields)
    parts = [block.part() for block in _blocks(details)]
    if not text:
        return parts
    if not any(part.text for part in parts):
        return [Reasoning(text), *parts]
    return _with_unsigned(text, parts)


def encode_detail(part: Reasoning, index: int) -> Json | None:
    """The detail of a block of thinking; None when its text says all there is."""
    if part.opaque is None and part.item_id is None:
        return None
    opaque = part.opaque or Opaque(_UNKNOWN, "")
    secret = opaque.data or None
    said: Json
    if part.is_redacted:
        said = {"type": "reasoning.encrypted", "data": opaque.data}
    elif part.is_summary:
        said = {"type": "reasoning.summary", "summary": part.text, **given(data=secret)}
    else:
        said = {"type": "reasoning.text", "text": part.text, **given(signature=secret)}
    bound = given(id=part.item_id, account=opaque.account or None)
    return {**said, "format": opaque.origin, "index": index, **bound}


def encode_reasoning(parts: Sequence[Reasoning]) -> Json:
    """The members of a whole message that tell its thinking."""
    text = "".join(part.text for part in parts)
    details: list[Json] = []
    for part in parts:
        detail = encode_detail(part, len(details))
        if detail is not None:
            details.append(detail)
    return given(reasoning_content=text or None, reasoning_details=details or None)


def take_signature(fields: Members) -> Opaque | None:
    """The signature in `extra_content`; what else is in there stays."""
    content = fields.inner_if_object("extra_content")
    if content is None:
        return None
    for origin in list(content.rest()):
        signed = content.inner_if_object(origin)
        data = None if signed is None else signed.find_if(_SIGNATURES.get(origin, "signature"), str)
        if signed is not None and data:
            signed.take("behind_calls")
            return Opaque(origin, data, signed.find_if("account", str) or "")
    return None


def encode_signature(opaque: Opaque | None, *, is_last: bool = False) -> Json:
    """`extra_content` with a signature; nothing when there is none. `is_last`: it is of a text behind the calls."""
    if opaque is None:
        return {}
    name = _SIGNATURES.get(opaque.origin, "signature")
    signed = {name: opaque.data, **given(account=opaque.account or None, behind_calls=is_last or None)}
    return {"extra_content": {opaque.origin: signed}}


def is_behind_calls(fields: Members) -> bool:
    """Whether the signature of a message is of a text behind its calls, as `encode_signature` wrote it."""
    content: object = fields.peek("extra_content")
    signed = cast("Json", content).values() if isinstance(content, dict) else ()
    return any(isinstance(held, dict) and cast("Json", held).get("behind_calls") is True for held in signed)


class Thoughts:
    """The thinking of one streamed choice: deltas as they come, and the end of each block with what travels along."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._block: _Block | None = None
        self._told: list[str] = []

    def feed(self, delta: Members) -> Iterator[StreamEvent]:
        """The events of one delta. A text that stands in it twice, or came before its detail, is said once."""
        text, details = _text_of(delta), _details_of(delta)
        if text and not any(_says(detail) for detail in details):
            yield from self.tell(text)
        for detail in details:
            yield from self._detail(detail)
        unknown = delta.take("reasoning_details")
        if unknown:
            yield ExtraDelta({"reasoning_details": unknown}, self._index)

    def tell(self, text: str) -> Sequence[StreamEvent]:
        """The events of a text without details, which is no part of a block that has some."""
        ended = [] if self._block is None else list(self.end())
        self._told.append(text)
        return [*ended, ReasoningDelta(text, self._index)]

    def end(self) -> Iterator[StreamEvent]:
        """The end of the block that is open, if one is: something else follows."""
        if self._block is not None:
            part = self._block.part()
            yield ReasoningEnd(part.opaque, self._index, part.is_redacted, part.item_id)
        self._block, self._told = None, []

    def _detail(self, detail: Json) -> Iterator[StreamEvent]:
        if self._block is None or not self._block.takes(detail):
            if self._block is not None:
                yield from self.end()
            self._block = _Block(detail)
        else:
            self._block.add(detail)
        text = _says(detail)
        if text and not "".join(self._told).endswith(text):
            yield ReasoningDelta(text, self._index, self._block.kind == "summary")


class _Block:
    """One block of thinking, whole or in pieces."""

    def __init__(self, detail: Json) -> None:
        self.kind = _KINDS[detail["type"]]
        self._index: Any = detail.get("index")
        self._text = self._secret = ""
        self._format = self._account = ""
        self._id: str | None = None
        self.add(detail)

    def takes(self, detail: Json) -> bool:
        """Whether a detail is another piece of this block: a signed text is closed."""
        if (_KINDS[detail["type"]], detail.get("index")) != (self.kind, self._index):
            return False
        if self._secret and (_says(detail) or self._index is None):
            return False
        return self._id is None or _string(detail, "id") in {"", self._id}

    def add(self, detail: Json) -> None:
        """Take in another piece."""
        self._text += _says(detail)
        self._secret += _string(detail, "signature" if self.kind == "text" else "data")
        self._format = _string(detail, "format") or self._format
        self._account = _string(detail, "account") or self._account
        self._id = _string(detail, "id") or self._id

    def part(self) -> Reasoning:
        """The block as it stands."""
        opaque = Opaque(self._format or _UNKNOWN, self._secret, self._account) if self._secret else None
        is_redacted, is_summary = self.kind == "encrypted", self.kind == "summary"
        return Reasoning(self._text, opaque, is_redacted=is_redacted, is_summary=is_summary, item_id=self._id)


def _blocks(details: Iterable[Json]) -> list[_Block]:
    blocks: list[_Block] = []
    for detail in details:
        if blocks and blocks[-1].takes(detail):
            blocks[-1].add(detail)
        else:
            blocks.append(_Block(detail))
    return blocks


def _with_unsigned(text: str, parts: list[Reasoning]) -> list[Reasoning]:
    """The blocks, and between them what `text` has beyond them: thinking without a signature has no detail.

    Where the blocks are not found in the text, it is another wording of them and they stand alone.
    """
    whole: list[Reasoning] = []
    at = 0
    for part in parts:
        found = text.find(part.text, at)
        if found < 0:
            return parts
        whole += [Reasoning(text[at:found])] if text[at:found].strip() else []
        whole.append(part)
        at = found + len(part.text)
    return [*whole, Reasoning(text[at:])] if text[at:].strip() else whole


def _text_of(fields: Members) -> str:
    """The thinking as text, under whichever name; the same under two names is said once."""
    said = ""
    for name in _TEXTS:
        text = fields.find_if(name, str)
        if text and said and text != said:
            fields.put(name, text)
        said = said or text or ""
        if fields.peek(name) is None:
            fields.take(name)
    return said


def _details_of(fields: Members) -> list[Json]:
    """The details of known kinds; others stay."""
    details = fields.listed_if("reasoning_details")
    known = [detail for detail in details if _string(detail, "type") in _KINDS]
    if len(known) < len(details):
        fields.put("reasoning_details", [detail for detail in details if _string(detail, "type") not in _KINDS])
    elif fields.peek("reasoning_details") is None:
        fields.take("reasoning_details")
    return known


def _says(detail: Json) -> str:
    """The visible text of a detail."""
    return _string(detail, "summary" if detail["type"] == "reasoning.summary" else "text")


def _string(detail: Json, name: str) -> str:
    value = detail.get(name)
    return value if isinstance(value, str) else ""
