"""Messages and the parts they are made of.

`cache` of a part is a provider cache mark such as `{"type": "ephemeral"}`. `extra` of a part holds members of the dialect it
was decoded from that have no place in it, by name and at their own depth; a dialect that cannot express them says so.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Role = Literal["system", "developer", "user", "assistant", "tool"]


class Opaque(Struct, frozen=True):
    """Provider items kept byte-exact (signatures, encrypted reasoning); they go back only to `provider` and `account`."""

    provider: str
    account: str
    data: bytes


class Text(Struct, frozen=True, tag="text"):
    """Plain text."""

    text: str
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = {}


class Image(Struct, frozen=True, tag="image"):
    """An image by `url` (http, https or data) or by `data` bytes with their `media_type`. `detail` is low, high or auto."""

    url: str | None = None
    data: bytes | None = None
    media_type: str | None = None
    detail: str | None = None
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = {}


class Audio(Struct, frozen=True, tag="audio"):
    """Spoken input: base64 `data` as sent, and its `format` (wav, mp3)."""

    data: str
    format: str
    extra: dict[str, Any] = {}


class File(Struct, frozen=True, tag="file"):
    """A document by provider `file_id`, or inline as a data URL."""

    file_id: str | None = None
    filename: str | None = None
    data: str | None = None
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = {}


class ToolCall(Struct, frozen=True, tag="tool_call"):
    """A call the model asked for. `arguments` is the JSON text exactly as the model wrote it.

    A `custom` tool takes free text instead of JSON. A call that came without an id has its function's name as `id`.
    """

    id: str
    name: str
    arguments: str
    index: int = 0
    custom: bool = False
    extra: dict[str, Any] = {}


class ToolResult(Struct, frozen=True, tag="tool_result"):
    """What a tool answered to the call `call_id`."""

    call_id: str
    content: tuple[Text | Image | File, ...] = ()
    is_error: bool = False


class Reasoning(Struct, frozen=True, tag="reasoning"):
    """Visible thinking of a model, with the opaque item that must travel along with it."""

    text: str
    opaque: Opaque | None = None
    extra: dict[str, Any] = {}


class Refusal(Struct, frozen=True, tag="refusal"):
    """The model's own words for declining."""

    text: str
    extra: dict[str, Any] = {}


Part = Text | Image | Audio | File | ToolCall | ToolResult | Reasoning | Refusal


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
