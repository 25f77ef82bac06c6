"""Forms as they arrive: fields are found and changed wherever pieces end, and what could be read in two ways is refused."""

from __future__ import annotations

import contextlib
import email
import email.policy
from collections.abc import Mapping, Sequence
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import InvalidRequest
from headgate.forms import (
    MAX_PARTS,
    MAX_VALUE_BYTES,
    Close,
    Field,
    FormEdit,
    FormReader,
    Head,
    Part,
    boundary_of,
    content_type_of,
    field_of,
    form_of,
    parts_of,
)

BOUNDARY = b"x-boundary-1"
FILE = b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'


def form(*parts: bytes, end: bytes = b"\r\n") -> bytes:
    """A form of these parts, each with its head."""
    body = b"".join(b"--" + BOUNDARY + b"\r\n" + part + b"\r\n" for part in parts)
    return body + b"--" + BOUNDARY + b"--" + end


def pieces(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


def read(body: bytes, size: int = 1 << 20, wanted: Sequence[str] = ("model",)) -> dict[str, str]:
    """The wanted fields of a form that comes in pieces of `size`; everything else must pass byte for byte."""
    reader = FormReader(BOUNDARY, wanted)
    found: dict[str, str] = {}
    passed = b""
    for piece in pieces(body, size):
        for part in reader.feed(piece):
            match part:
                case Field():
                    found[part.name] = part.value
                    passed += part.raw
                case Head() | Close():
                    passed += part.raw
                case _:
                    passed += part
    reader.end()
    assert passed == body
    return found


def edited(body: bytes, values: Mapping[str, str], size: int = 1 << 20) -> bytes:
    edit = FormEdit(BOUNDARY, values)
    changed = b"".join(edit.feed(piece) for piece in pieces(body, size))
    edit.end()
    return changed


def parsed(body: bytes) -> list[tuple[str, bytes]]:
    """Names and contents of the parts as the standard library's parser of messages reads them."""
    head = b"Content-Type: " + content_type_of(BOUNDARY) + b"\r\n\r\n"
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    found: list[tuple[str, bytes]] = []
    for part in message.iter_parts():
        assert isinstance(part, EmailMessage)
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        found.append((str(name), content))
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1 << 20])
def test_a_field_is_found(size: int) -> None:
    """A field is found wherever it stands and wherever pieces end, and its value is all of it."""
    model = field_of("model", "whisper-1 \u00e9")
    for parts in (
        [model, FILE + b"sound"],
        [FILE + b"sound", model],
        [FILE, field_of("n", ""), model, FILE + b"\r\n--"],
    ):
        assert read(form(*parts), size) == {"model": "whisper-1 \u00e9"}
    assert read(form(FILE + b"sound"), size) == {}


@pytest.mark.parametrize("size", [1, 5, 64, 1 << 20])
def test_a_value_is_replaced(size: int) -> None:
    """The new value stands where the old one did; every other byte is as it was."""
    file = FILE + bytes(range(256)) * 9 + b"\r\n-" + b"\r\n--x-boundary-" + b"\r" * 5
    body = form(field_of("n", "1"), field_of("model", "old"), file)
    assert edited(body, {"model": "deployment-model"}, size) == body.replace(
        b'"model"\r\n\r\nold', b'"model"\r\n\r\ndeployment-model'
    )


def test_what_belongs_to_the_old_value_goes_with_it() -> None:
    """The head of a changed field is written anew, so that no charset or encoding of the client's changes what it says."""
    odd = b"content-disposition: form-data; name=model\r\ncontent-transfer-encoding: base64\r\n\r\nb2xk"
    assert edited(form(odd), {"model": "new"}) == form(field_of("model", "new"))


def test_missing_fields_are_put_in_at_the_end() -> None:
    """A field that the form does not have is its last one."""
    body = form(FILE + b"sound")
    assert edited(body, {"model": "m", "language": "en"}, 3) == form(
        FILE + b"sound", field_of("model", "m"), field_of("language", "en")
    )


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\n\r\n"])
def test_a_whole_form_is_taken_apart(end: bytes) -> None:
    """Every part with its name, what it is labelled with and its bytes, line breaks at its ends included."""
    sound = b"\r\n--\r\n" + bytes(range(256)) * 999 + b"--\r\n"
    body = form(field_of("n", ""), FILE + sound, field_of("n", "\u00e9"), end=end)
    assert parts_of(body, BOUNDARY) == [
        Part("n", "", b""),
        Part("file", "audio/wav", sound, "a.wav"),
        Part("n", "", "\u00e9".encode()),
    ]


@pytest.mark.parametrize(("filename", "named"), [("", b"file"), ("lines.jsonl", b"lines.jsonl")])
def test_a_whole_form_is_put_together(filename: str, named: bytes) -> None:
    """A file is called as it says, or as its field; what is taken apart is what was put together."""
    parts = [Part("a", "", "\u00e9".encode()), Part("file", "audio/wav", b"\r\n--", filename)]
    body = form_of(parts, BOUNDARY)
    assert b'name="file"; filename="%b"\r\n' % named in body
    assert [(each.name, each.content_type, each.content) for each in parts_of(body, BOUNDARY)] == [
        (each.name, each.content_type, each.content) for each in parts
    ]


def test_a_file_without_a_type_stays_one() -> None:
    """It is told by its name, as the form said it."""
    body = form(b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nx')
    [part] = parts_of(body, BOUNDARY)
    assert part == Part("file", "", b"x", "a.wav")
    assert form_of([part], BOUNDARY) == body


def test_the_name_of_a_file_ends_nothing() -> None:
    """What would end the name, or its line, is escaped as browsers do; in a form that is read it is refused or none."""
    body = form_of([Part("file", "text/plain", b"x", 'a"; name="model"\r\nb.txt')], BOUNDARY)
    assert b'; filename="a%22; name=%22model%22%0D%0Ab.txt"\r\n' in body
    assert [each.name for each in parts_of(body, BOUNDARY)] == ["file"]
    for name in (b'a"b', b"a\nb", b"a\rb", b"a\\b"):
        with pytest.raises(InvalidRequest):
            parts_of(form(FILE.replace(b"a.wav", name)), BOUNDARY)


@pytest.mark.parametrize(
    "body",
    [b"", form(FILE)[:-4], form(FILE + b"--" + BOUNDARY), form(b"\r\n\r\nno name"), form(field_of("n", "")) + b"x"],
)
def test_a_whole_form_must_be_one(body: bytes) -> None:
    """What is cut, or could be read in two ways, is refused as it is of a form in pieces."""
    with pytest.raises(InvalidRequest, match="no valid form"):
        parts_of(body, BOUNDARY)


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\n\r\n"])
def test_the_end_may_have_line_breaks(end: bytes) -> None:
    """Clients differ in what follows the last boundary."""
    assert read(form(field_of("model", "m"), end=end), 1) == {"model": "m"}


def smuggling() -> Mapping[str, bytes]:
    """Forms in which another parser could find another model than this one does."""
    model, other = field_of("model", "allowed"), field_of("model", "forbidden")
    named = b"Content-Disposition: form-data; %s\r\n\r\nforbidden"
    return {
        "twice": form(model, other),
        "twice around a file": form(model, FILE + b"x", other),
        "capitals": form(model, named % b'name="Model"'),
        "percent": form(model, named % b'name="%6dodel"'),
        "list": form(model, named % b'name="model[]"'),
        "spaces": form(model, named % b'name=" model "'),
        "backslash": form(model, named % b'name="mo\\del"'),
        "extended name": form(model, named % b"name*=utf-8''model"),
        "second name": form(model, named % b'name="a"; name="model"'),
        "second name by case": form(model, named % b'name="a"; NAME="model"'),
        "name in a file name": form(model, named % b'name="a"; filename="\\"; name=\\"model"'),
        "second disposition": form(model, b'Content-Disposition: form-data; name="a"\r\n' + named % b'name="model"'),
        "folded": form(model, b'Content-Disposition: form-data;\r\n name="model"\r\n\r\nforbidden'),
        "bare line feed in a head": form(
            model, b'Content-Type: a/b\nContent-Disposition: form-data; name="model"\r\n\r\nx'
        ),
        "NUL in a head": form(model, named % b'name="model\x00"'),
        "line feeds": form(model, FILE + b"x\n--" + BOUNDARY + b"\n" + other.replace(b"\r\n", b"\n") + b"\n"),
        "carriage returns": form(model, FILE + b"x\r--" + BOUNDARY + b"\r" + other),
        "spaces behind the boundary": form(model, FILE + b"x\r\n--" + BOUNDARY + b" \r\n" + other),
        "boundary begins another": form(model, FILE + b"x\r\n--" + BOUNDARY + b"2\r\n" + other),
        "boundary at once": form(model, FILE + b"--" + BOUNDARY + b"\r\n" + other),
        "before the form": other + b"\r\n" + form(model),
        "behind the form": form(model) + form(other),
        "no head": form(model, b"\r\nforbidden"),
        "no name": form(model, b"Content-Type: a/b\r\n\r\nforbidden"),
        "attachment": form(model, b'Content-Disposition: attachment; name="model"\r\n\r\nforbidden'),
    }


@pytest.mark.parametrize("case", smuggling())
@pytest.mark.parametrize("size", [1, 17, 1 << 20])
def test_no_parser_finds_another_model(case: str, size: int) -> None:
    """What could hide a second model from this parser, or from the provider's, is refused."""
    with pytest.raises(InvalidRequest) as caught:
        edited(smuggling()[case], {"model": "deployed"}, size)
    assert caught.value.error_code == "invalid_form"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--",
        b"{}",
        form()[:-4],
        form(FILE + b"x")[:-6],
        b"--" + BOUNDARY,
        b"--" + BOUNDARY + b"--\r\n",
        b"--" + BOUNDARY + b"\r\n",
    ],
)
def test_what_is_no_form_is_refused(body: bytes) -> None:
    """A body that is something else, or that ends too early, is no form."""
    with pytest.raises(InvalidRequest):
        read(body)


def test_heads_values_and_parts_are_bounded() -> None:
    """No head, no value that is read and no number of parts grows without end; what is passed on may."""
    endless = [
        form(b"x-pad: " + b"a" * 20_000 + b'\r\nContent-Disposition: form-data; name="a"\r\n\r\n'),
        b"--" + BOUNDARY + b"\r\n" + b"a" * 20_000,
        form(field_of("model", "m" * (MAX_VALUE_BYTES + 1))),
        form(*[field_of("a", "")] * (MAX_PARTS + 1)),
    ]
    for body in endless:
        with pytest.raises(InvalidRequest):
            read(body, 4096)
    assert read(form(FILE + b"a" * 3_000_000, field_of("model", "m")), 65536) == {"model": "m"}


def test_a_value_must_be_text() -> None:
    """A value that is not UTF-8 has no meaning here."""
    with pytest.raises(InvalidRequest, match="UTF-8"):
        read(form(b'Content-Disposition: form-data; name="model"\r\n\r\n\xff'))


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (
            b"Multipart/Form-Data;boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
            b"----WebKitFormBoundary7MA4YWxkTrZu0gW",
        ),
        (b'multipart/form-data; charset=utf-8; boundary="a b:c"', b"a b:c"),
        (b"multipart/form-data; Boundary=abc;", b"abc"),
    ],
)
def test_the_boundary_is_read(content_type: bytes, boundary: bytes) -> None:
    """The boundary stands in the content type, quoted or not, and comes out so that it is read the same again."""
    assert boundary_of(content_type) == boundary
    assert boundary_of(content_type_of(boundary)) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        b"",
        b"multipart/form-data",
        b"multipart/mixed; boundary=a",
        b"application/octet-stream",
        b"multipart/form-data; boundary=",
        b'multipart/form-data; boundary=""',
        b"multipart/form-data; boundary=a; boundary=b",
        b"multipart/form-data; boundary=a; boundary*=b",
        b"multipart/form-data; boundary=" + b"a" * 71,
        b'multipart/form-data; boundary="a "',
        b'multipart/form-data; boundary="a\\"b"',
        b"multipart/form-data; boundary=a, multipart/form-data; boundary=b",
    ],
)
def test_another_content_type_is_refused(content_type: bytes) -> None:
    """Anything but a form with exactly one boundary is refused with the reason."""
    with pytest.raises(InvalidRequest) as caught:
        boundary_of(content_type)
    assert caught.value.error_code == "invalid_form"


BLANKS = b" \t" * 100_000


@pytest.mark.parametrize("parameters", [b"", b"; boundary=a"])
def test_blanks_in_a_content_type_are_gone_over_once(parameters: bytes) -> None:
    """However many there are, what stands behind them is refused or read at once."""
    with pytest.raises(InvalidRequest):
        boundary_of(b"multipart/form-data" + parameters + BLANKS + b"!")
    assert boundary_of(b"multipart/form-data" + BLANKS + b";" + BLANKS + b"boundary=a" + BLANKS + b"; a=b") == b"a"


@pytest.mark.parametrize(
    "line",
    [b"X: %b\0", b"Content-Disposition: form-data%b!", b'Content-Disposition: form-data; name="model"%b!'],
    ids=["header", "disposition", "name"],
)
def test_blanks_in_a_head_are_gone_over_once(line: bytes) -> None:
    """A hundred heads as long as they may be, each refused at its end."""
    body = form(line % BLANKS[:16_000] + b"\r\n\r\nm")
    for _ in range(100):
        with pytest.raises(InvalidRequest):
            read(body)
    passing = (
        field_of("model", "m").replace(b":", b":" + BLANKS[:4000]).replace(b"; ", BLANKS[:4000] + b";" + BLANKS[:4000])
    )
    assert read(form(passing)) == {"model": "m"}


NAMES = st.sampled_from(["a", "file", "prompt", "timestamp_granularities[]", "svg[model]", "models", "x-\u00e9"])
CONTENTS = st.binary(max_size=200) | st.sampled_from(
    [b"", b"\r\n", b"\r\n--", b"--x-boundary-", b"\r\n--x-boundary-\r\n"]
)


@given(st.lists(st.tuples(NAMES, CONTENTS), max_size=6), st.integers(0, 6), st.integers(1, 80), st.text(max_size=20))
def test_only_the_model_changes(parts: list[tuple[str, bytes]], at: int, size: int, model: str) -> None:
    """However a form is cut, an independent parser finds the same parts in it as before, and the new model."""
    value = model.replace("\r", "").replace("\n", "").encode("utf-8", "ignore").decode()
    written = [field_of(name, "") + content for name, content in parts]
    before = form(*written[:at], field_of("model", "old"), *written[at:])
    after = edited(before, {"model": value}, size)
    assert after == form(*written[:at], field_of("model", value), *written[at:])
    names = [name for name, _ in parsed(after)]
    assert names.count("model") == 1


@given(st.binary(max_size=400), st.integers(1, 50))
def test_any_bytes_are_refused_or_passed(body: bytes, size: int) -> None:
    """Whatever the bytes are, they pass or are refused with InvalidRequest; nothing else is raised."""
    with contextlib.suppress(InvalidRequest):
        read(b"--" + BOUNDARY + b"\r\n" + body, size)
