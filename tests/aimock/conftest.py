"""aimock, a mock of OpenAI's API that was written elsewhere, behind the gateway."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from tests.harness import CANARY, GATEWAY_KEY, Gateway, eventually_idle, free_port, merged
from tests.node.runtime import MODULES, require_node

FIXTURES = Path(__file__).with_name("fixtures.json")


class Aimock:
    """The running mock. It lets in the deployment's key alone."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def journal(self) -> list[dict[str, Any]]:
        """What has reached it since `forget`, oldest first."""
        return json.loads(self._ask("GET", "/__aimock/journal"))

    def forget(self) -> None:
        """Empty the journal, and start every sequence of fixtures anew."""
        self._ask("POST", "/__aimock/reset/journal")

    def is_ready(self) -> bool:
        try:
            return bool(self._ask("GET", "/__aimock/health"))
        except (urllib.error.URLError, ConnectionError):
            return False

    def _ask(self, method: str, path: str) -> bytes:
        headers = {"authorization": f"Bearer {CANARY}"}
        with urllib.request.urlopen(
            urllib.request.Request(self.url + path, method=method, headers=headers), timeout=5
        ) as response:
            return response.read()


@pytest.fixture(scope="session")
def shared_aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aimock]:
    """The mock as a process of its own, strict about what its fixtures do not know."""
    node = require_node("@copilotkit/aimock")
    port = free_port()
    options = [
        "--port",
        str(port),
        "--fixtures",
        str(FIXTURES),
        "--strict",
        "--validate-on-load",
        "--log-level",
        "warn",
    ]
    folder = tmp_path_factory.mktemp("aimock")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [node, MODULES / ".bin" / "llmock", *options],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env={"AIMOCK_API_KEYS": CANARY, "HOME": str(folder)},
        )
    mock = Aimock(port)
    end = time.monotonic() + 20
    while not mock.is_ready():
        assert process.poll() is None, (folder / "log").read_text("utf-8")
        assert time.monotonic() < end, "aimock was not ready within 20 s"
        time.sleep(0.05)
    yield mock
    process.terminate()
    process.wait(5)


@pytest.fixture
def aimock(shared_aimock: Aimock) -> Aimock:
    """The mock with an empty journal."""
    shared_aimock.forget()
    return shared_aimock


@pytest.fixture(scope="session")
def aimock_gateway(
    tmp_path_factory: pytest.TempPathFactory, base_config: Mapping[str, Any], shared_aimock: Aimock
) -> Iterator[Gateway]:
    """A gateway whose deployment `ai` is aimock, with the alias `gpt`."""
    deployment = {"provider": "openai", "base_url": f"{shared_aimock.url}/v1", "api_key": CANARY}
    changes = {"providers": {"ai": deployment}, "models": {"gpt": "ai/gpt-4o"}}
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), merged(base_config, changes))
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture
async def client(aimock_gateway: Gateway, aimock: Aimock) -> AsyncIterator[AsyncOpenAI]:
    """The official client, without retries of its own; no exchange may be running when the test is over."""
    async with AsyncOpenAI(base_url=f"{aimock_gateway.url}/v1", api_key=GATEWAY_KEY, max_retries=0, timeout=10) as held:
        yield held
    await eventually_idle(aimock_gateway)


@pytest.fixture
async def direct(aimock: Aimock) -> AsyncIterator[AsyncOpenAI]:
    """The same client without a gateway, for comparison."""
    async with AsyncOpenAI(base_url=f"{aimock.url}/v1", api_key=CANARY, max_retries=0, timeout=10) as held:
        yield held
