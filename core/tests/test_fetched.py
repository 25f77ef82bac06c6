"""What the gateway fetches for providers that cannot: the bytes behind a URL, within size, number and time."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from typing_extensions import override

from headgate.chat import ChatRequest, File, Image, Message, Part, ToolResult
from headgate.errors import InvalidRequest
from headgate.media import MAX_BYTES, MAX_TOTAL_BYTES, MAX_URL, MAX_URLS, TIMEOUTS, fetch_media
from headgate.provider import DeploymentConfig, Provider
from headgate.testing import Recorded, ReplayUpstream
from headgate.upstream import interface

PNG = b"\x89PNG\r\n\x1a\n0"
URL = "https://pictures.example/a"
PLACE = "messages[0].content[0]"


class Blind(Provider):
    """A provider that fetches nothing itself."""

    name = "blind"
    base_url = "https://blind.example"

    @override
    def fetches(self, part: Image | File) -> bool:
        return False


async def fetched(upstream: ReplayUpstream, *parts: Part) -> tuple[Part, ...]:
    provider = Blind("blind", DeploymentConfig(provider="blind"), upstream)
    return (await fetch_media(ChatRequest("m", (Message("user", parts),)), provider)).messages[0].parts


def served(
    body: bytes = PNG, declared: str = "image/png", *, status: int = 200, cut_at: int | None = None
) -> ReplayUpstream:
    answer = Recorded(status=status, headers=(("content-type", declared),), body=body, cut_at=cut_at)
    return ReplayUpstream({"*": answer})


@pytest.mark.parametrize(
    ("body", "declared", "kind"),
    [
        (PNG, "text/html", "image/png"),
        (b"\xff\xd8\xff0", "", "image/jpeg"),
        (b"GIF89a0", "image/png", "image/gif"),
        (b"RIFF0000WEBP", "image/png", "image/webp"),
        (b"%PDF-1.7", "application/octet-stream", "application/pdf"),
        (b"a,b", "Text/CSV; charset=utf-8", "text/csv"),
        (b"?", "", "application/octet-stream"),
    ],
)
async def test_the_first_bytes_say_what_it_is(body: bytes, declared: str, kind: str) -> None:
    """A server's word counts only where the bytes say nothing."""
    assert await fetched(served(body, declared), Image(URL)) == (Image(data=b64encode(body).decode(), media_type=kind),)


async def test_what_is_asked_for_once_is_fetched_once() -> None:
    """In results of tools too; nothing goes along, no key above all, and the limits of time are its own."""
    upstream = served()
    shown = await fetched(upstream, Image(URL), ToolResult("c", (File(URL),)), Image(data="QQ=="))
    (request,) = upstream.requests
    assert (request.method, request.url, request.body, request.credential) == ("GET", URL, b"", None)
    assert (request.timeouts, request.private_hosts) == (TIMEOUTS, frozenset())
    assert TIMEOUTS.total_s == 20
    data = b64encode(PNG).decode()
    file = File(data=data, media_type="image/png")
    assert shown == (Image(data=data, media_type="image/png"), ToolResult("c", (file,)), Image(data="QQ=="))


async def test_no_more_than_twenty_mebibytes() -> None:
    """What is larger is refused by its place; what is just as large is not."""
    assert MAX_BYTES == 20 * 1024 * 1024
    await fetched(served(PNG + bytes(MAX_BYTES - len(PNG))), Image(URL))
    with pytest.raises(InvalidRequest) as caught:
        await fetched(served(PNG + bytes(MAX_BYTES)), Image(URL))
    assert (caught.value.error_code, caught.value.param) == ("media_too_large", PLACE)


async def test_no_more_than_so_many() -> None:
    """More URLs than the limit are refused before any is fetched."""
    upstream = served()
    await fetched(upstream, *(Image(f"{URL}{at}") for at in range(MAX_URLS)))
    assert len(upstream.requests) == MAX_URLS
    with pytest.raises(InvalidRequest) as caught:
        await fetched(upstream, *(Image(f"{URL}{at}") for at in range(MAX_URLS + 1)))
    assert (caught.value.error_code, len(upstream.requests)) == ("media_too_many", MAX_URLS)


@pytest.mark.parametrize("urls", [[f"{URL}{at}" for at in range(4)], [URL] * 4], ids=["different", "the same"])
async def test_no_more_in_all(urls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a request would hold is bounded in all its places together, one URL in several of them counted for each."""
    assert MAX_TOTAL_BYTES == 64 * 1024 * 1024
    monkeypatch.setattr("headgate.media.MAX_TOTAL_BYTES", 4 * len(PNG))
    await fetched(served(PNG), *map(Image, urls))
    result = ToolResult("c", (File(URL),))
    with pytest.raises(InvalidRequest, match=f"more than {4 * len(PNG)} bytes") as caught:
        await fetched(served(PNG), *map(Image, urls), result)
    assert caught.value.error_code == "media_too_large"
    assert str(caught.value.param).startswith("messages[0].content[")


async def test_a_place_counts_that_the_provider_would_fetch() -> None:
    """The bytes are put there too where the same URL is fetched for another place."""

    class Partial(Blind):
        @override
        def fetches(self, part: Image | File) -> bool:
            return isinstance(part, File)

    parts = (Image(URL), *[File(URL)] * 4)
    provider = Partial("blind", DeploymentConfig(provider="blind"), served(PNG + bytes(MAX_TOTAL_BYTES // 5)))
    with pytest.raises(InvalidRequest, match=str(MAX_TOTAL_BYTES)):
        await fetch_media(ChatRequest("m", (Message("user", parts),)), provider)


async def test_no_longer_than_so() -> None:
    """A URL past the limit is refused by its place, one as long as it is fetched, and neither is remembered."""
    upstream = served()
    remembered: Any = interface
    before = remembered._origin.cache_info().currsize
    url = URL + "a" * (MAX_URL - len(URL))
    await fetched(upstream, Image(url))
    with pytest.raises(InvalidRequest, match=str(MAX_URL)) as caught:
        await fetched(upstream, Image(url + "a"))
    assert (caught.value.error_code, caught.value.param) == ("media_unreachable", PLACE)
    assert [request.url for request in upstream.requests] == [url]
    assert remembered._origin.cache_info().currsize == before


@pytest.mark.parametrize(
    ("url", "upstream"),
    [
        ("s3://bucket/a", served()),
        ("file:///etc/passwd", served()),
        ("https://user@pictures.example/a", served()),
        (URL, served(status=404)),
        (URL, served(status=302)),
        (URL, served(cut_at=3)),
    ],
)
async def test_what_cannot_be_had_is_refused_by_its_place(url: str, upstream: ReplayUpstream) -> None:
    """Other schemes, errors, redirects and answers that are cut."""
    with pytest.raises(InvalidRequest) as caught:
        await fetched(upstream, Image(url))
    assert (caught.value.error_code, caught.value.param) == ("media_unreachable", PLACE)
