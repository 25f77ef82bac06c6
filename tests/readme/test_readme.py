"""The README's examples run as they are printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.config import load_text

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
SERVED = "http://127.0.0.1:8787"


def _snippet(mark: str) -> str:
    found = re.search(rf"<!-- run: {mark} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def _headgate() -> str:
    return str(Path(sys.executable).parent / "headgate")


@pytest.fixture(scope="module")
def first_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A gateway started in an empty folder, its address, and the key it printed."""
    folder = tmp_path_factory.mktemp("fresh")
    output = folder / "output"
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    with output.open("w") as file:
        process = subprocess.Popen(
            [_headgate(), "serve", "--port", "0"], cwd=folder, stdout=file, stderr=file, env=environment
        )
    try:
        deadline = time.monotonic() + 20
        found = None
        while found is None and time.monotonic() < deadline:
            text = output.read_text()
            url, key = re.search(r"ready on (http://\S+)", text), re.search(r"\bhg-[\w-]{20,}", text)
            found = (url[1], key[0]) if url and key else None
            if found is None:
                assert process.poll() is None, text
                time.sleep(0.05)
        assert found is not None, output.read_text()
        yield found
        assert re.search(re.escape(found[1]), output.read_text()), "the key was printed"
    finally:
        process.terminate()
        assert process.wait(10) == 0


def test_curl_line(first_key: tuple[str, str]) -> None:
    """The curl line answers."""
    url, key = first_key
    script = _snippet("curl").replace(SERVED, url)
    done = subprocess.run(
        ["sh", "-ec", script], env={**os.environ, "HEADGATE_API_KEY": key}, capture_output=True, text=True, check=True
    )

    assert '"object":"chat.completion"' in done.stdout


def test_sdk_snippet_streams(first_key: tuple[str, str]) -> None:
    """The SDK snippet prints an answer."""
    url, key = first_key
    script = _snippet("python").replace(SERVED, url)
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "HEADGATE_API_KEY": key},
        capture_output=True,
        text=True,
        check=True,
    )

    assert len(done.stdout.strip()) > 10


def test_line_the_first_start_prints(first_key: tuple[str, str]) -> None:
    """Without the key nobody gets in: what the start prints is what opens the door."""
    url, _ = first_key
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{url}/v1/models")


def test_key_is_kept_as_a_digest_only(first_key: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """No file in the state folder holds the key."""
    _, key = first_key
    for path in tmp_path_factory.getbasetemp().glob("fresh*/.headgate/*"):
        assert key not in path.read_text("utf-8")


def test_yaml_example_loads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The configuration example is one the gateway takes."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-one")
    monkeypatch.setenv("GROQ_API_KEY", "gsk-two")

    loaded = load_text(_snippet("yaml"), "README.md", tmp_path)

    assert set(loaded.deployments) == {"openai", "groq", "local"}


def test_agents_example_loads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the page on coding agents configures is one too, and its alias is a model."""
    for name in ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GROQ_API_KEY"):
        monkeypatch.setenv(name, "sk-one")
    page = (ROOT / "core/docs/agents.md").read_text("utf-8")
    found = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert found is not None
    loaded = load_text(found[1], "agents.md", tmp_path)
    assert set(loaded.deployments) == {"anthropic", "google", "groq"}
