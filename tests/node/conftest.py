"""A gateway for the npm clients, and how their scripts are run against it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest
from tests.harness import CANARY, Gateway, assert_no_secret, eventually_idle, merged
from tests.node.runtime import FOLDER, require_node

Results = Mapping[str, Any]
RunScript = Callable[..., Awaitable[Results]]


@pytest.fixture(scope="session")
def node_gateway(
    tmp_path_factory: pytest.TempPathFactory, base_config: Mapping[str, Any], upstream_port: int
) -> Iterator[Gateway]:
    """An open gateway with the demo, a deployment that is down, and the router that reads routing configs.

    Behind the alias `other` the test's own upstream has to speak Google's dialect.
    """
    gateway = Gateway(
        tmp_path_factory.mktemp("node"),
        merged(
            base_config,
            {
                "plugins": ["router-standard"],
                "providers": {
                    "demo": {"provider": "demo"},
                    "dead": {"provider": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "sk-dead"},
                    "gemini": {
                        "provider": "google",
                        "base_url": f"http://127.0.0.1:{upstream_port}/v1beta",
                        "api_key": CANARY,
                    },
                },
                "models": {"fast": "demo/echo", "other": "gemini/gemini-2.5-flash"},
            },
        ),
    )
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture
async def gateway(node_gateway: Gateway) -> AsyncIterator[Gateway]:
    """The gateway; no exchange may be running on it when the test is over."""
    yield node_gateway
    await eventually_idle(node_gateway)


@pytest.fixture(scope="session")
def openai_results(request: pytest.FixtureRequest) -> Results:
    """What every scenario of `openai.mjs` that needs no upstream of its own returned."""
    node = require_node("openai")
    gateway: Gateway = request.getfixturevalue("node_gateway")
    return _decoded(
        subprocess.run([node, "openai.mjs", f"{gateway.url}/v1"], cwd=FOLDER, capture_output=True, check=False)
    )


@pytest.fixture(scope="session")
def portkey_results(request: pytest.FixtureRequest) -> Results:
    """The same of `portkey.mjs`."""
    node = require_node("portkey-ai")
    gateway: Gateway = request.getfixturevalue("node_gateway")
    return _decoded(
        subprocess.run([node, "portkey.mjs", f"{gateway.url}/v1"], cwd=FOLDER, capture_output=True, check=False)
    )


@pytest.fixture(scope="session")
def ai_results(request: pytest.FixtureRequest) -> Results:
    """The same of `ai.mjs`."""
    node = require_node("ai")
    gateway: Gateway = request.getfixturevalue("node_gateway")
    return _decoded(subprocess.run([node, "ai.mjs", f"{gateway.url}/v1"], cwd=FOLDER, capture_output=True, check=False))


@pytest.fixture
def run_script(gateway: Gateway) -> RunScript:
    """Run named scenarios of a script while the test's own upstream answers."""

    async def run(script: str, *scenarios: str) -> Results:
        process = await asyncio.create_subprocess_exec(
            require_node(script.removesuffix(".mjs").replace("portkey", "portkey-ai")),
            script,
            f"{gateway.url}/v1",
            *scenarios,
            cwd=FOLDER,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        stdout, stderr = await process.communicate()
        return _decoded(subprocess.CompletedProcess([], process.returncode or 0, stdout, stderr))

    return run


def _decoded(done: subprocess.CompletedProcess[bytes]) -> Results:
    assert done.returncode == 0, done.stderr.decode()
    assert_no_secret(done.stdout, "what a client received")
    return json.loads(done.stdout)
