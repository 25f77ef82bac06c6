"""What the tests of pictures, sound and files share: a vendor that has them, forms, and a gateway before a mock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from typing_extensions import override

from headgate import Exchange, Hooks, Principal, Provider, hookimpl
from headgate.testing import Client, MockUpstream, Recorded, gateway

KEY = "sk-vendor-0f1e2d3c4b5a"
BOUNDARY = "b0undary-of-this-f0rm"
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
VOICE = Recorded(headers=(("content-type", "audio/mpeg"),), body=bytes(range(256)) * 500, framing="chunked")
SPEECH_FILE = b"RIFF" + bytes(range(256)) * 40


class Acme(Provider):
    """A vendor with OpenAI's operations."""

    name = "acme"
    base_url = "https://acme.example/v1"
    dialects: ClassVar[Mapping[str, str]] = {
        "chat": "openai.chat",
        "images.generate": "openai.images",
        "images.edit": "openai.images",
        "audio.speech": "openai.speech",
        "audio.transcriptions": "openai.transcription",
        "moderations": "openai.moderations",
        "files": "",
        "uploads": "",
        "batches": "",
        "fine_tuning.jobs": "",
        "passthrough": "",
    }
    paths: ClassVar[Mapping[str, str]] = {
        "chat": "/chat/completions",
        "images.generate": "/images/generations",
        "images.edit": "/images/edits",
        "audio.speech": "/audio/speech",
        "audio.transcriptions": "/audio/transcriptions",
        "moderations": "/moderations",
    }


class Noting(Hooks):
    """Lets everybody in, with leave to use `models`, and keeps the exchanges."""

    def __init__(self, *models: str) -> None:
        self.models = models
        self.exchanges: list[Exchange] = []

    @override
    @hookimpl
    async def authenticate(self, ex: Exchange) -> Principal | None:
        return Principal("tester", models=self.models)

    @override
    @hookimpl
    async def record(self, ex: Exchange) -> None:
        self.exchanges.append(ex)

    @property
    def last(self) -> Exchange:
        return self.exchanges[-1]


@asynccontextmanager
async def serving(
    answer: Recorded | Mapping[str, Recorded], *plugins: Hooks, deployments: int = 1, **config: Any
) -> AsyncGenerator[tuple[Client, MockUpstream]]:
    """A gateway with the deployments `acme`, `acme-2` …, and the model `m` of the first, before a vendor with these answers."""
    answers = {"*": answer} if isinstance(answer, Recorded) else answer
    async with MockUpstream(answers) as upstream:
        names = ["acme", *(f"acme-{number}" for number in range(2, deployments + 1))]
        deployed = {"provider": "acme", "api_key": KEY, "base_url": f"{upstream.url}/v1"}
        async with gateway(
            Acme, *plugins, providers=dict.fromkeys(names, deployed), models={"m": "acme/deployed-model"}, config=config
        ) as client:
            yield client, upstream


def field(name: str, value: str) -> bytes:
    """One field of a form."""
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()


def file(data: bytes, name: str = "file") -> bytes:
    """One file of a form."""
    head = (
        f'Content-Disposition: form-data; name="{name}"; filename="a.bin"\r\nContent-Type: application/octet-stream\r\n'
    )
    return head.encode() + b"\r\n" + data


def form(*parts: bytes) -> bytes:
    """A form of these parts."""
    start = f"--{BOUNDARY}".encode()
    return b"".join(start + b"\r\n" + part + b"\r\n" for part in parts) + start + b"--\r\n"
