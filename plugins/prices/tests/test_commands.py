"""`headgate prices MODEL`, as somebody at a terminal sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from headgate.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command with these settings; the exit code and what it wrote."""

    def run_it(model: str, settings: dict[str, Any] | None = None) -> tuple[int, str, str]:
        written = {"plugins": [{"prices": settings or {}}], "auth": {"mode": "open"}}
        (tmp_path / "headgate.yaml").write_text(yaml.safe_dump(written), "utf-8")
        code = main(["prices", model, "--config", str(tmp_path / "headgate.yaml")])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run_it


def rows(text: str) -> dict[str, str]:
    return {line[2:24].strip(): line[24:].strip() for line in text.splitlines()[1:]}


def test_hook_commands(run: Run) -> None:
    """The facts of a model, with their source."""
    code, out, _ = run("anthropic/claude-haiku-5-5")
    found = rows(out)
    assert (code, out.splitlines()[0]) == (0, "anthropic/claude-haiku-5-5")
    assert found["source"].startswith("genai-prices 0.")
    assert found["context"] == "1000000 tokens"
    assert found["max output"] == "not known"
    assert found["input tokens"] == "$0.1 per million, $0.5 for prompts over 100000 tokens"
    assert found["web searches"] == "$10 per 1000"


@pytest.mark.parametrize(
    ("model", "listed_as"),
    [
        ("azure-openai/gpt-4o", "azure/gpt-4o"),
        ("bedrock/us.amazon.nova-lite-v1:0", "aws/amazon.nova-lite-v1:0"),
        ("aws/amazon.nova-lite-v1:0", "aws/amazon.nova-lite-v1:0"),
        ("vertex/claude-sonnet-4-5@20250929", "google/claude-sonnet-4-5"),
    ],
)
def test_a_provider_or_a_list(run: Run, model: str, listed_as: str) -> None:
    """Before the slash stands a provider of the gateway, or a list of genai-prices."""
    assert rows(run(model)[1])["listed as"] == listed_as


def test_settings(run: Run) -> None:
    """What the operator says is shown as such."""
    models = {
        "demo/*": {"free": True},
        "main/big": {"input": 1.5, "output": 6, "context": 1000, "max_output": 500},
        "main/mine": {"same_as": "openai/gpt-4o", "max_output": 16384},
        "main/small": {"context": 10},
    }
    settings = {"models": models}
    free = rows(run("demo/echo", settings)[1])
    assert (free["source"], free["price"]) == ("settings of the plugin", "free")
    big = rows(run("main/big", settings)[1])
    assert (big["input tokens"], big["context"], big["max output"]) == ("$1.5 per million", "1000 tokens", "500 tokens")
    mine = rows(run("main/mine", settings)[1])
    assert (mine["listed as"], mine["max output"]) == ("openai/gpt-4o", "16384 tokens")
    small = rows(run("main/small", settings)[1])
    assert (small["price"], small["context"]) == ("not known", "10 tokens")


def test_a_name_without_a_provider(run: Run) -> None:
    """Every list that has it, in a line each."""
    code, out, _ = run("gpt-4o")
    assert code == 0
    assert "openai/gpt-4o: input tokens $2.5 per million, output tokens $10 per million" in out.splitlines()
    assert "github-copilot/gpt-4o: price not known" in out.splitlines()


def test_a_model_that_is_not_known(run: Run) -> None:
    """Said, with what it means and what to do."""
    code, out, err = run("openai/no-such\x1b[31m-model")
    assert (code, out) == (1, "")
    assert "it works, and its cost is null" in err
    assert "\x1b" not in err


def test_a_file(run: Run, tmp_path: Path, listed: dict[str, Any]) -> None:
    """Prices of a file with the date of the file, and since when they hold; a broken one is refused with its path."""
    path = tmp_path / "prices.json"
    path.write_text(json.dumps([listed]), "utf-8")
    found = rows(run("openai/dated", {"path": str(path)})[1])
    assert found["source"].startswith(f"{path}, written 2")
    assert found["holds"] == "since 2026-03-01"
    assert rows(run("openai/served", {"path": str(path)})[1])["varies with"] == "service_tier, speed"
    path.write_text("[", "utf-8")
    code, _, err = run("openai/dated", {"path": str(path)})
    assert code == 1
    assert str(path) in err
    assert "no JSON list" in err


def test_prices_of_an_hour(run: Run) -> None:
    """A price that holds for some hours of the day says which."""
    found = rows(run("deepseek/deepseek-chat")[1])
    assert found.get("holds", "00:30:00+00:00 to 16:30:00+00:00") == "00:30:00+00:00 to 16:30:00+00:00"


# `headgate check`


@pytest.mark.parametrize(
    ("content", "models", "words"),
    [
        (None, {}, "it cannot be read: No such file"),
        ("[\n{]", {}, "line 2: it is no JSON list of providers"),
        ("[]", {}, "it holds no provider"),
        (
            "listed",
            {"main/*": {"same_as": "openai/nothing"}},
            "`same_as` names `openai/nothing`, and no list knows that",
        ),
        ("listed", {"main/*": {"same_as": "openai/plain"}}, ""),
    ],
)
def test_check_reads_the_file_as_a_start_does(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    listed: dict[str, Any],
    content: str | None,
    models: dict[str, Any],
    words: str,
) -> None:
    """A file that would stop a start stops `headgate check`, with the same words; one that would not does not."""
    if content is not None:
        (tmp_path / "prices.json").write_text(json.dumps([listed]) if content == "listed" else content, "utf-8")
    settings = {"path": str(tmp_path / "prices.json"), "models": models}
    path = tmp_path / "headgate.yaml"
    path.write_text(yaml.safe_dump({"plugins": [{"prices": settings}], "auth": {"mode": "open"}}), "utf-8")
    code = main(["check", str(path)])
    said = capsys.readouterr()
    assert code == (1 if words else 0), said.err
    assert words in said.err
    assert said.err.count("prices.json` cannot be used: ") == (1 if words else 0)
