"""Forms of which the file alone goes on, and content that comes from several addresses."""

from __future__ import annotations

from itertools import pairwise

import pytest
from core.tests.media import BOUNDARY
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import InvalidRequest, ProviderFailed
from headgate.files import FileEdit, download
from headgate.secret import Secret
from headgate.testing import Recorded, ReplayUpstream
from headgate.upstream import Credential, Tls, UpstreamRequest

DASH = f"--{BOUNDARY}".encode()
LINES = b'{"custom_id": "1"}\r\n--b0undary-of-this-f0r\n\r\n-'
KIND = b"Content-Type: application/jsonl\r\n"


def field(name: bytes, value: bytes) -> bytes:
    return DASH + b'\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name, value)


def file(content: bytes = LINES, name: bytes = b'name="file"; filename="in.jsonl"') -> bytes:
    return DASH + b"\r\nContent-Disposition: form-data; %b\r\n%b\r\n%b\r\n" % (name, KIND, content)


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + DASH + b"--\r\n"


def sent(content: bytes = LINES, name: bytes = b"in.jsonl") -> bytes:
    """What the vendor gets of it, in the part `data`."""
    return file(content, b'name="data"; filename="%b"' % name) + DASH + b"--\r\n"


PURPOSE = field(b"purpose", b"batch")
STRANGE = field(b"expires_after[anchor]", b"created_at")


@pytest.mark.parametrize("content", [LINES, b"", b"\r\n", b"-" * 70_000])
@pytest.mark.parametrize(
    "parts", ["fields, file", "file, fields"], ids=["fields before the file", "fields behind the file"]
)
def test_the_file_alone_goes_on(content: bytes, parts: str) -> None:
    """Wherever its fields stand, the file goes on byte for byte under the vendor's name, and what else was said is told."""
    held = [PURPOSE, STRANGE, file(content)] if parts == "fields, file" else [file(content), PURPOSE, STRANGE]
    told: list[object] = []
    edit = FileEdit(BOUNDARY.encode(), ("purpose",), "data", told.append)
    assert edit.feed(form(*held)) == sent(content)
    edit.end()
    assert told == [{"purpose": "batch", "expires_after[anchor]": True, "file": "in.jsonl"}]
    assert (edit.size, edit.is_closed) == (len(content), True)


@pytest.mark.parametrize("held", [[PURPOSE, file()], [file(), PURPOSE]], ids=["before", "behind"])
def test_fields_of_the_vendors_own(held: list[bytes]) -> None:
    """What the vendor is to be told stands before the file, once, whatever the client's form says."""
    edit = FileEdit(BOUNDARY.encode(), ("purpose",), "data", fields={"purpose": "films", "kept": "1"})
    assert edit.feed(form(*held)) == field(b"purpose", b"films") + field(b"kept", b"1") + sent()
    edit.end()


@given(st.lists(st.integers(0, 400), max_size=12))
def test_pieces_of_any_size(cuts: list[int]) -> None:
    """It does not matter where the form is cut on its way."""
    whole = form(PURPOSE, file(), STRANGE)
    ends = [0, *sorted(cuts), len(whole)]
    edit = FileEdit(BOUNDARY.encode(), ("purpose",), "data")
    assert b"".join(edit.feed(whole[a:b]) for a, b in pairwise(ends)) == sent()
    edit.end()
    assert edit.size == len(LINES)


@given(st.lists(st.integers(0, 400), max_size=12))
def test_a_file_that_is_the_body(cuts: list[int]) -> None:
    """Bare, the file goes on and nothing else, wherever the form is cut; what it is and was called is told."""
    whole = form(PURPOSE, file(), STRANGE)
    ends = [0, *sorted(cuts), len(whole)]
    told: list[object] = []
    edit = FileEdit(BOUNDARY.encode(), ("purpose",), "data", told.append, is_bare=True)
    assert b"".join(edit.feed(whole[a:b]) for a, b in pairwise(ends)) == LINES
    edit.end()
    assert (edit.kind, edit.size, edit.said["file"]) == (b"application/jsonl", len(LINES), "in.jsonl")
    assert told == [edit.said]


def test_a_file_without_a_name() -> None:
    """A file that says no name gets one, for vendors tell what is in it by that."""
    edit = FileEdit(BOUNDARY.encode(), (), "data")
    assert edit.feed(form(file(name=b'name="file"'))) == sent(name=b"file.jsonl")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (form(PURPOSE), "has no `file`"),
        (form(file(), file()), "`file` stands more than once"),
        (form(PURPOSE, PURPOSE, file()), "`purpose` stands more than once"),
        (form(STRANGE, STRANGE, file()), "stands more than once"),
        (form(field(b"Purpose", b"x"), file()), "could be taken for `purpose`"),
        (form(file())[:-4], "ends before its last boundary"),
        (b"{}", "does not begin with its boundary"),
    ],
)
def test_what_is_refused(body: bytes, words: str) -> None:
    """What is no form with one file never becomes a whole form for the vendor."""
    out: list[bytes] = []
    with pytest.raises(InvalidRequest, match=words):
        pass_on(body, out)
    assert not b"".join(out).endswith(b"--\r\n")


def pass_on(body: bytes, out: list[bytes]) -> None:
    """Feed a whole body in small pieces, and note what goes on."""
    edit = FileEdit(BOUNDARY.encode(), ("purpose",), "data")
    for at in range(0, len(body), 7):
        out.append(edit.feed(body[at : at + 7]))  # noqa: PERF401 - what went on before an error counts
    edit.end()


def test_a_check_comes_before_the_end() -> None:
    """What the check raises leaves the vendor without the end of its form."""

    def refuse(_: object) -> None:
        raise InvalidRequest("no")

    edit = FileEdit(BOUNDARY.encode(), ("purpose",), "data", refuse)
    whole = form(file(), PURPOSE)
    assert edit.feed(whole[:-8]).startswith(DASH)
    with pytest.raises(InvalidRequest, match="no"):
        edit.feed(whole[-8:])


# content

ASKED = UpstreamRequest(
    "POST",
    "https://vendor.example/v1",
    ((b"x-secret", b"s"),),
    b"body",
    Credential("authorization", Secret("sk-0123456789"), frozenset({"https://vendor.example:443"})),
    tls=Tls(cert_file="client.pem"),
)
URLS = ("https://storage.example/a?X-Signature=1", "https://storage.example/b")


async def test_content_of_several_addresses() -> None:
    """Content comes as one, in its order; the storage gets neither the key nor a header nor a certificate."""
    answers = {"/a": Recorded(body=b"one\n"), "/b": Recorded(body=b"two\n")}
    upstream = ReplayUpstream(answers)
    reply = await download(upstream, ASKED, URLS)
    assert reply.chunks is not None
    assert b"".join([piece async for piece in reply.chunks]) == b"one\ntwo\n"
    assert (reply.status, reply.form) == (200, "bytes")
    assert [(call.method, call.url, call.headers, call.body, call.credential) for call in upstream.requests] == [
        ("GET", url, (), b"", None) for url in URLS
    ]
    assert {call.tls for call in upstream.requests} == {Tls()}
    assert all(response.is_closed for response in upstream.responses)


@pytest.mark.parametrize(
    ("urls", "words"),
    [(("file:///etc/passwd",), "no address"), (("no",), "no address"), (URLS[:1], "answered with status 403")],
)
async def test_content_that_is_not_there(urls: tuple[str, ...], words: str) -> None:
    """What the vendor names and nobody can read is the provider's failure, and nothing stays open."""
    upstream = ReplayUpstream({"*": Recorded(status=403, body=b"<Error/>")})
    with pytest.raises(ProviderFailed, match=words):
        await download(upstream, ASKED, urls)
    assert all(response.is_closed for response in upstream.responses)


async def test_content_that_ends_in_the_middle() -> None:
    """A second address that fails breaks the content off; it never ends as if it were whole."""
    upstream = ReplayUpstream({"/a": Recorded(body=b"one\n"), "/b": Recorded(status=404)})
    reply = await download(upstream, ASKED, URLS)
    assert reply.chunks is not None
    with pytest.raises(ProviderFailed, match="404"):
        [piece async for piece in reply.chunks]
    assert all(response.is_closed for response in upstream.responses)
