"""Images, documents, sound and film: formats from what they are, names that Converse takes."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.chat import Audio, ChatRequest, File, Image, Message, Part, Text
from headgate.dialects import Gaps
from headgate_bedrock import BedrockConverse
from headgate_bedrock.media import DocumentNames

Json = dict[str, Any]
Judge = Callable[[bytes], list[str]]
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 60).decode()
PDF = base64.b64encode(b"%PDF-1.4").decode()
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def content(judge: Judge, *parts: Part) -> list[Json]:
    request = ChatRequest("amazon.nova-pro-v1:0", (Message("user", parts),), dialect="openai.chat")
    body = BedrockConverse().encode_request(request, Gaps("bedrock"))
    assert judge(body) == []
    return msgspec.json.decode(body)["messages"][0]["content"]


@pytest.mark.parametrize(
    ("kind", "form"),
    [("image/png", "png"), ("image/jpeg", "jpeg"), ("image/jpg", "jpeg"), ("IMAGE/WEBP", "webp"), (None, "png")],
)
def test_image_formats(problems: Judge, kind: str | None, form: str) -> None:
    """The format is the media type's, or by the first bytes where none is said."""
    assert content(problems, Image(data=PNG, media_type=kind)) == [
        {"image": {"format": form, "source": {"bytes": PNG}}}
    ]


@pytest.mark.parametrize(
    ("part", "form", "name"),
    [
        (File(data=PDF, media_type="application/pdf", filename="Q3 report.pdf"), "pdf", "Q3 report"),
        (
            File(data=PDF, filename="revenue_chart.v2.csv", media_type="application/octet-stream"),
            "csv",
            "revenue-chart-v2",
        ),
        (File(data=PDF), "pdf", "document"),
        (File(data=PDF, media_type=DOCX, title="A title", filename="x.docx"), "docx", "A title"),
        (File(data=PDF, media_type="text/plain", filename="分基.txt"), "txt", "document"),
        (File(data=PDF, media_type="text/markdown", filename="a  b\tc.md"), "md", "a b c"),
    ],
)
def test_documents(problems: Judge, part: File, form: str, name: str) -> None:
    """The format is by media type or extension; a name keeps the characters that Converse takes."""
    document = content(problems, Text("see"), part)[1]["document"]
    assert (document["format"], document["name"], document["source"]) == (form, name, {"bytes": PDF})


def test_document_settings(problems: Judge) -> None:
    """What a document says of itself and whether it is to be cited go along."""
    document = content(problems, Text("see"), File(data=PDF, context="for the board", cites=True))[1]["document"]
    assert (document["context"], document["citations"]) == ("for the board", {"enabled": True})


def test_documents_have_different_names(problems: Judge) -> None:
    """Converse refuses the second document of a name, in any turn and whatever the case."""
    held = content(problems, Text("see"), File(data=PDF), File(data=PDF), File(data=PDF, filename="Document.pdf"))
    assert [block["document"]["name"] for block in held[1:]] == ["document", "document-2", "Document-3"]


def test_a_document_has_a_text_beside_it(problems: Judge) -> None:
    """A turn with a document and no text gets one, for Converse demands it."""
    held = content(problems, File(data=PDF))
    assert [list(block) for block in held] == [["document"], ["text"]]


@given(st.lists(st.text(max_size=300) | st.none(), max_size=8))
def test_any_name_is_made_legal(wanted: list[str | None]) -> None:
    """Whatever files are called, names are legal, short enough and all different."""
    names = DocumentNames()
    made = [names.name(one) for one in wanted]
    assert len({name.casefold() for name in made}) == len(made)
    for name in made:
        assert 1 <= len(name) <= 200
        assert "  " not in name
        assert all(char.isascii() and (char.isalnum() or char in " -()[]") for char in name)


def test_sound_and_film(problems: Judge) -> None:
    """Sound and film have blocks of their own."""
    held = content(problems, Audio("QUJD", "wav"), File(data="QUJD", media_type="video/quicktime"))
    assert held == [
        {"audio": {"format": "wav", "source": {"bytes": "QUJD"}}},
        {"video": {"format": "mov", "source": {"bytes": "QUJD"}}},
    ]
