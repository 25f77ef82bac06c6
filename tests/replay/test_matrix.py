"""The whole catalogue: every operation of every provider, and for chat every feature, asked for through a gateway."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.replay.matrix import FILE, SESSIONS, held, row_of, text_of
from tests.replay.matrix_providers import chat_operations, providers
from typing_extensions import override

from headgate.chat import ChatRequest
from headgate.dialects import Gaps
from headgate.exchange import Exchange
from headgate.provider import Provider
from headgate.upstream import Credential
from headgate_compatible import catalogue


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
        name: set(kind.dialects) - SESSIONS for name, kind in providers().items()
    }
    for name, kind in providers().items():
        for operation in chat_operations(kind):
            assert "own" in rows[name][operation] or "translated" in rows[name][operation]
    assert FILE.read_text("utf-8") == text_of(rows)


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


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (_Forgetful, "as anthropic.messages, tools: tools []"),
        (_Forgetful, "as google.generate, images: no picture was sent"),
        (_Astray, "odd address"),
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
