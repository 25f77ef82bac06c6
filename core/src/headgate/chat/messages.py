"""Messages and the parts they are made of.

`cache` of a part is a provider cache mark such as `{"type": "ephemeral", "ttl": "1h"}`. `extra` of a part holds members of
the dialect it was decoded from that have no place in it, by name and at their own depth; only that dialect writes them.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Role = Literal["system", "developer", "user", "assistant", "tool"]


class Opaque(Struct, frozen=True):
    """A provider's item kept byte-exact: a signature, encrypted thinking.

    `origin` names who understands it: `anthropic`, `google`, `openai`, `bedrock`; `data` is its text as it came. `account`
    is a digest of the account it is bound to, empty where that is not known: it goes back to no other origin or account.
    """

    origin: str
    data: str
    account: str = ""


class Citation(Struct, frozen=True):
    """Where a text comes from. `start` and `end` are characters of the part's text; `raw` is the provider's own object."""

    url: str | None = None
    title: str | None = None
    quote: str | None = None
    start: int | None = None
    end: int | None = None
    raw: dict[str, Any] = {}


class Text(Struct, frozen=True, tag="text"):
    """Plain text."""

    text: str
    cache: dict[str, Any] | None = None
    citations: tuple[Citation, ...] = ()
    opaque: Opaque | None = None
    extra: dict[str, Any] = {}


class Image(Struct, frozen=True, tag="image"):
    """An image: by `url` (http or https, gs), by a provider's `file_id`, or as base64 `data` with its `media_type`.

    A data URL is decoded into `data` and `media_type`. `detail` is low, high or auto.
    """

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    file_id: str | None = None
    detail: str | None = None
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = {}


class Audio(Struct, frozen=True, tag="audio"):
    """Sound: base64 `data` as sent and its `format` (wav, mp3). A model's has a `transcript`, and an `id` to refer to it."""

    data: str
    format: str
    transcript: str | None = None
    id: str | None = None
    extra: dict[str, Any] = {}


class File(Struct, frozen=True, tag="file"):
    """A document or a film: by `url`, by a provider's `file_id`, or as base64 `data` with its `media_type`.

    `title`, `context` and `cites` (whether the model shall cite it) are what Anthropic lets a document say.
    """

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    file_id: str | None = None
    filename: str | None = None
    title: str | None = None
    context: str | None = None
    cites: bool | None = None
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = {}


class ToolCall(Struct, frozen=True, tag="tool_call"):
    """A call the model asked for. `arguments` is the JSON text exactly as the model wrote it; "" means no arguments.

    A `custom` tool takes free text instead of JSON. `item_id` is the provider's id of the item that holds the call, where it
    has one beside the call's own (Responses). A call that came without an id has its function's name as `id`.
    """

    id: str
    name: str
    arguments: str
    index: int = 0
    custom: bool = False
    item_id: str | None = None
    opaque: Opaque | None = None
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = {}


class ToolResult(Struct, frozen=True, tag="tool_result"):
    """What a tool answered to the call `call_id`; `name` is the tool's where the client said it."""

    call_id: str
    content: tuple[Text | Image | File, ...] = ()
    is_error: bool = False
    name: str | None = None
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = {}

    @property
    def text(self) -> str:
        """The texts of the answer, joined without a separator."""
        return "".join(part.text for part in self.content if isinstance(part, Text))


class Reasoning(Struct, frozen=True, tag="reasoning"):
    """Thinking of a model: its visible `text`, and the opaque item that must travel along with it.

    `is_redacted`: there is no text, only the opaque item, and it stands for thinking that was taken out. `is_summary`: the
    text is a summary. `item_id` is the provider's id of the item (Responses).
    """

    text: str
    opaque: Opaque | None = None
    is_redacted: bool = False
    is_summary: bool = False
    item_id: str | None = None
    extra: dict[str, Any] = {}


class Refusal(Struct, frozen=True, tag="refusal"):
    """The model's own words for declining."""

    text: str
    extra: dict[str, Any] = {}


class Item(Struct, frozen=True, tag="item"):
    """A block only its own `dialect` understands: a search the provider ran and what it found, code it executed, and the like.

    `raw` is the block as JSON. Another dialect's client gets it as it is, beside the message, and may send it back.
    """

    dialect: str
    raw: dict[str, Any]


Part = Text | Image | Audio | File | ToolCall | ToolResult | Reasoning | Refusal | Item


class Message(Struct, frozen=True):
    """One turn. `extra` keeps members of the client's message that have no place here, by name."""

    role: Role
    parts: tuple[Part, ...] = ()
    name: str | None = None
    extra: dict[str, Any] = {}

    @property
    def text(self) -> str:
        """The visible text of this turn, parts joined without a separator."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))
