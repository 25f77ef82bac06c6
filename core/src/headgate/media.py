"""Images and files by URL, fetched for providers that cannot: through the guarded outbound path, within size and time."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from headgate.chat import ChatRequest, File, Image, Message, Part, ToolResult
from headgate.errors import InvalidRequest, ProviderError
from headgate.upstream import Timeouts, Upstream, UpstreamRequest, origin_of

if TYPE_CHECKING:
    from headgate.provider import Provider

MAX_BYTES = 20 * 1024 * 1024
MAX_TOTAL_BYTES = 64 * 1024 * 1024
"""How much one request may be made to hold: what stands in several of its places counts for each."""
MAX_URLS = 32
MAX_URL = 8192
TIMEOUTS = Timeouts(connect_s=5.0, first_byte_s=10.0, gap_s=5.0, total_s=20.0)

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)


class _Wanted(Struct):
    """Where a URL stands first, and in how many places."""

    place: str
    uses: int = 0


class _Room(Struct):
    """How much more may come for a request."""

    left_bytes: int


async def fetch_media(request: ChatRequest, provider: Provider) -> ChatRequest:
    """`request` with the bytes in place of every URL that `provider` does not fetch itself.

    Raises InvalidRequest (code `media_unreachable`, `media_too_large`) naming the place.
    """
    wanted: dict[str, _Wanted] = {}
    uses = Counter[str | None]()
    for at, message in enumerate(request.messages):
        for place, part in _with_urls(message, at):
            uses[part.url] += 1
            if part.url is not None and not provider.fetches(part):
                wanted.setdefault(part.url, _Wanted(place))
    if not wanted:
        return request
    if len(wanted) > MAX_URLS:
        raise InvalidRequest(f"more than {MAX_URLS} URLs would have to be fetched", code="media_too_many")
    for url, each in wanted.items():
        each.uses = uses[url]
    fetched = dict(zip(wanted, await _fetch_all(provider.upstream, wanted), strict=True))
    messages = tuple(
        replace(message, parts=tuple(_inlined(part, fetched) for part in message.parts)) for message in request.messages
    )
    return replace(request, messages=messages)


def media_type_of(data: bytes, declared: str = "") -> str:
    """The media type by the first bytes, which a server cannot lie about; else what it declared."""
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return declared.partition(";")[0].strip().lower() or "application/octet-stream"


def _with_urls(message: Message, at: int) -> list[tuple[str, Image | File]]:
    found: list[tuple[str, Image | File]] = []
    for number, part in enumerate(message.parts):
        held = part.content if isinstance(part, ToolResult) else (part,)
        place = f"messages[{at}].content[{number}]"
        found += [(place, one) for one in held if isinstance(one, Image | File) and one.url is not None]
    return found


def _inlined(part: Part, fetched: dict[str, tuple[str, str]]) -> Part:
    if isinstance(part, ToolResult):
        content = tuple(_inlined_one(one, fetched) if isinstance(one, Image | File) else one for one in part.content)
        return replace(part, content=content)
    return _inlined_one(part, fetched) if isinstance(part, Image | File) else part


def _inlined_one(part: Image | File, fetched: dict[str, tuple[str, str]]) -> Image | File:
    if part.url is None or part.url not in fetched:
        return part
    media_type, data = fetched[part.url]
    return replace(part, url=None, data=data, media_type=part.media_type or media_type)


async def _fetch_all(upstream: Upstream, wanted: dict[str, _Wanted]) -> list[tuple[str, str]]:
    room = _Room(MAX_TOTAL_BYTES)
    tasks = [asyncio.ensure_future(_fetch(upstream, url, each, room)) for url, each in wanted.items()]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _fetch(upstream: Upstream, url: str, wanted: _Wanted, room: _Room) -> tuple[str, str]:
    """The media type and the base64 data of what is at `url`. Redirects are not followed, private addresses refused."""
    place = wanted.place
    if len(url) > MAX_URL:
        raise InvalidRequest(
            f"`{place}`: a URL longer than {MAX_URL} characters is not fetched", param=place, code="media_unreachable"
        )
    try:
        origin_of(url)
    except ValueError:
        raise InvalidRequest(
            f"`{place}`: only http and https URLs can be fetched", param=place, code="media_unreachable"
        ) from None
    try:
        response = await upstream.send(UpstreamRequest("GET", url, ((b"accept", b"*/*"),), timeouts=TIMEOUTS))
        try:
            return await _content(response.status, dict(response.headers), response.chunks(), wanted, room)
        finally:
            response.close()
    except ProviderError as error:
        raise InvalidRequest(
            f"`{place}`: the URL cannot be fetched: {error.message}", param=place, code="media_unreachable"
        ) from None


async def _content(
    status: int, headers: dict[bytes, bytes], chunks: AsyncIterator[bytes], wanted: _Wanted, room: _Room
) -> tuple[str, str]:
    place = wanted.place
    if status != 200:
        raise InvalidRequest(f"`{place}`: the URL answered with status {status}", param=place, code="media_unreachable")
    data = bytearray()
    async for piece in chunks:
        data += piece
        if len(data) > MAX_BYTES:
            raise InvalidRequest(f"`{place}`: more than {MAX_BYTES} bytes", param=place, code="media_too_large")
        room.left_bytes -= len(piece) * wanted.uses
        if room.left_bytes < 0:
            raise InvalidRequest(
                f"`{place}`: the URLs of a request lead to more than {MAX_TOTAL_BYTES} bytes",
                param=place,
                code="media_too_large",
            )
    held = bytes(data)
    declared = headers.get(b"content-type", b"").decode("latin-1")
    return media_type_of(held, declared), b64encode(held).decode()
