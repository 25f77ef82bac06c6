"""llama.cpp's server behind the gateway. Only with `--run-llama`, since it must be built first (`build.py`)."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from tests.harness import CANARY, Gateway, eventually_idle, free_port, merged
from tests.llama.build import model_path, server_path

SLOTS = 4
CONTEXT = 16_384


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-llama", action="store_true", help="run the tests that need llama.cpp's server")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--run-llama", default=False):
        return
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(
                pytest.mark.skip(reason="needs `--run-llama`; `make e2e-llama` builds the server and runs it")
            )


@dataclass
class Llama:
    """A running llama-server."""

    port: int
    process: subprocess.Popen[bytes]

    def metric(self, name: str) -> float:
        """A value of its own `/metrics`."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/metrics", headers={"authorization": f"Bearer {CANARY}"}
        )
        with urllib.request.urlopen(request, timeout=5) as response:
            lines: list[str] = response.read().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"llamacpp:{name} "))

    def is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=1) as response:
                return response.status == 200
        except (urllib.error.URLError, ConnectionError):
            return False

    def stop(self) -> None:
        """End it; after cancelled requests it may ignore the first SIGTERM."""
        self.process.terminate()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Llama]:
    """The server with the tiny model, four slots and the deployment's key."""
    assert model_path().exists(), "the model is missing: run `python tests/llama/build.py`"
    port = free_port()
    sizes = ["-c", str(SLOTS * CONTEXT), "-np", str(SLOTS), "-t", "1"]
    options = ["--jinja", "--no-webui", "--metrics", "--embeddings", "--pooling", "mean", "--api-key", CANARY]
    with (tmp_path_factory.mktemp("llama") / "log").open("wb") as log:
        process = subprocess.Popen(
            [server_path(), "-m", model_path(), "--host", "127.0.0.1", "--port", str(port), *sizes, *options],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    server = Llama(port, process)
    end = time.monotonic() + 20
    while not server.is_healthy():
        assert process.poll() is None, f"llama-server ended with {process.returncode}"
        assert time.monotonic() < end, "llama-server was not ready within 20 s"
        time.sleep(0.05)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def shared_gateway(
    tmp_path_factory: pytest.TempPathFactory, base_config: Mapping[str, Any], llama: Llama
) -> Iterator[Gateway]:
    """A gateway whose deployment `local` is the row `llamacpp`, with the alias `tiny`."""
    local = {"provider": "llamacpp", "base_url": f"http://127.0.0.1:{llama.port}/v1", "api_key": CANARY}
    gateway = Gateway(
        tmp_path_factory.mktemp("gateway"),
        merged(base_config, {"providers": {"local": local}, "models": {"tiny": "local/tiny-random"}}),
    )
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture
async def gateway(shared_gateway: Gateway) -> AsyncIterator[Gateway]:
    """The shared gateway; no exchange may be running on it when the test is over."""
    yield shared_gateway
    await eventually_idle(shared_gateway)


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[AsyncOpenAI]:
    """The asynchronous client, without retries of its own."""
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="sk-caller", max_retries=0, timeout=20) as held:
        yield held
