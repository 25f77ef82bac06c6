"""The whole catalogue: every operation of every provider, and for chat every feature, asked for through a gateway."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.replay.documented import FILE as DOCUMENTED
from tests.replay.documented import documented
from tests.replay.matrix import FILE, held, row_of, text_of
from tests.replay.matrix_providers import chat_operations, providers, undocumented
from tests.replay.vendors import KEY
from typing_extensions import override

from headgate.chat import ChatRequest
from headgate.dialects import Gaps
from headgate.exchange import Exchange
from headgate.provider import Provider
from headgate.upstream import Credential, UpstreamRequest
from headgate_bedrock import SageMaker
from headgate_compatible import catalogue
from headgate_openai import OpenAI
from headgate_replicate import Replicate


@pytest.mark.parametrize("name", providers())
async def test_everything_declared_works(name: str) -> None:
    """Each operation goes where the file says, with the key and the model, and the client gets its answer; so do features."""
    row, faults = await row_of(providers()[name])
    assert not faults, "\n".join(faults)
    assert row == held(name)


def test_the_file_holds_what_there_is() -> None:
    """Neither a provider nor an operation more than are declared, and every feature of chat, in the file's own form."""
    rows: Any = json.loads(FILE.read_text("utf-8"))
    assert {name: set(row) for name, row in rows.items()} == {
        name: set(kind.dialects) for name, kind in providers().items()
    }
    for name, kind in providers().items():
        for operation in chat_operations(kind):
            assert "own" in rows[name][operation] or "translated" in rows[name][operation]
    assert FILE.read_text("utf-8") == text_of(rows)


def test_the_documents_tell_of_what_is_declared() -> None:
    """Each operation of each provider has one page that says where it is, and none has a page that is not declared."""
    assert {name: set(calls) for name, calls in documented().items()} == {
        name: set(kind.dialects) for name, kind in providers().items()
    }
    pages: Any = tomllib.loads(DOCUMENTED.read_text("utf-8"))
    told = [(name, operation) for name, held in pages.items() for calls in held.values() for operation in calls]
    assert len(told) == len(set(told))


@pytest.mark.parametrize(
    ("documented_as", "other"),
    [
        ("POST https://api.groq.com/openai/v1/files", "POST https://api.groq.com/openai/v1/file"),
        ("POST https://api.groq.com/openai/v1/embeddings", "POST https://api.groq.example/openai/v1/embeddings"),
        ("POST https://api.groq.com/openai/v1/batches", "PUT https://api.groq.com/openai/v1/batches"),
        ("POST https://api.groq.com/openai/v1/chat/completions", "POST https://api.groq.com/openai/v1/chat"),
        ("POST https://api.groq.com/openai/v1/{path}", "POST https://api.groq.com/openai/{path}"),
    ],
)
async def test_another_place_is_seen(
    documented_as: str, other: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the vendor's page has another path, host or method for an operation than is called, the row has a fault."""
    text = DOCUMENTED.read_text("utf-8")
    assert f'"{documented_as}"' in text
    changed = tmp_path / DOCUMENTED.name
    changed.write_text(text.replace(f'"{documented_as}"', f'"{other}"'), "utf-8")
    monkeypatch.setattr("tests.replay.documented.FILE", changed)
    documented.cache_clear()
    try:
        _, faults = await row_of(providers()["groq"])
    finally:
        documented.cache_clear()
    assert faults
    assert all("documented at" in fault for fault in faults), faults


def test_reasoning_that_is_left_out_has_its_reason() -> None:
    """No cell says that reasoning is left out without a reason, and none has a reason where it is not left out."""
    rows: Any = json.loads(FILE.read_text("utf-8"))
    cells = {
        (name, side.get("reasoning"))
        for name, row in rows.items()
        for held in row.values()
        for side in (held.get("own", {}), held.get("translated", {}))
    }
    told = {(name, word) for word, names in undocumented().items() for name in names}
    assert {cell for cell in cells if cell[1] not in {"yes", "refused", None}} == told


class _Base(catalogue()["groq"]):  # pyright: ignore[reportUntypedBaseClass, reportGeneralTypeIssues] - made at run time
    """A vendor to spoil."""


class _Forgetful(_Base):
    """Sends translated requests without tools and without the picture."""

    @override
    def adapt(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        messages = tuple(msgspec.structs.replace(each, parts=each.parts[:1]) for each in request.messages)
        return msgspec.structs.replace(super().adapt(request, gaps), tools=(), messages=messages)


class _Astray(_Base):
    """Calls another address."""

    @override
    def url_for(self, ex: Exchange) -> str:
        return super().url_for(ex) + "/v1/v1"


class _Free(_Base):
    """Forgets the key."""

    @override
    def credential(self, ex: Exchange) -> Credential | None:
        return None


class _Renaming(_Base):
    """Asks for another model."""

    @override
    def body_for(self, ex: Exchange) -> bytes:
        return super().body_for(ex).replace(b"gpt-oss-120b", b"gpt-oss-20b")


class _Unsigned(SageMaker):
    """Forgets to sign."""

    @override
    async def authorize(self, request: UpstreamRequest) -> UpstreamRequest:
        return request


class _Thoughtless(Replicate):
    """Never asks to think, and tells nobody."""

    @override
    def adapt(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        return msgspec.structs.replace(super().adapt(request, gaps), thinking=None)


class _Elsewhere(OpenAI):
    """Opens sessions for another model, and shows the key."""

    @override
    def socket_query(self, ex: Exchange) -> Mapping[str, str]:
        return {"key": KEY, "model": "gpt-realtime-mini"}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (_Unsigned, "embeddings: a key where none is wanted, or none where one is"),
        (_Thoughtless, "as openai.chat, reasoning: nothing was said of thinking"),
        (_Elsewhere, "realtime: another model is asked for"),
        (_Elsewhere, "realtime: the key stands where it does not belong"),
        (_Forgetful, "as anthropic.messages, tools: tools []"),
        (_Forgetful, "as google.generate, images: no picture was sent"),
        (_Astray, "completions/v1/v1, documented at POST https://api.groq.com/openai/v1/chat/completions (https://"),
        (_Free, "none where one is"),
        (_Renaming, "stands neither in the body nor in the address"),
    ],
)
async def test_faults_are_seen(kind: type[Provider], words: str) -> None:
    """A provider that loses something on the way has a row with faults."""
    _, faults = await row_of(kind)
    assert any(words in fault for fault in faults), faults


async def test_new_providers_are_found() -> None:
    """Whatever is installed is among the providers, aliases apart, and needs nothing here but what a deployment must say."""
    names = {kind.name for kind in catalogue().values()}
    assert names <= set(providers())
    assert {"openai", "anthropic", "bedrock", "vertex", "azure-openai", "cohere", "ollama", "google"} <= set(
        providers()
    )
