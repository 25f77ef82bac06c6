"""Settings that are refused, and what has a bound or waits."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

from headgate import StartupError
from headgate.testing import gateway
from headgate_prices import ModelSettings, Prices, PricesConfig, load
from headgate_prices import table as table_module
from headgate_prices.settings import Settings

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ({"gpt-4o": {"free": True}}, "`gpt-4o` must be `provider/model`"),
        ({"openai/": {"free": True}}, "must be `provider/model`"),
        ({"openai/x": {"input": 1}}, "prices need both `input` and `output`"),
        ({"openai/x": {"cached": 1}}, "prices need both `input` and `output`"),
        ({"openai/x": {"input": 1, "output": 1, "free": True}}, "only one"),
        ({"openai/x": {"same_as": "openai/gpt-4o", "free": True}}, "only one"),
        ({"openai/x": {"input": -1, "output": 1}}, ">= 0"),
        ({"openai/x": {"inputs": 1}}, r"openai/x\.inputs` is not known"),
        ({"openai/x": {"max_output": 0}}, ">= 1"),
        ({"openai/x": {"same_as": "openai/no-such-model"}}, "no list knows that"),
    ],
)
async def test_settings_that_are_wrong(written: Json, reason: str) -> None:
    """Said at the start, with the name of the model."""
    with pytest.raises(StartupError, match=reason):
        async with gateway(config={"plugins": [{"prices": {"models": written}}], "auth": {"mode": "open"}}):
            pass


@pytest.mark.parametrize("price", [float("inf"), float("nan")])
def test_a_price_without_end(price: float) -> None:
    """YAML has such numbers, and they are no prices."""
    with pytest.raises(ValueError, match="must be a number"):
        ModelSettings(input=price, output=1)


def test_what_is_kept_of_models_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers choose names, so what is found for them is kept for so many at most."""
    monkeypatch.setattr(table_module, "MAX_KEPT", 10)
    table = load(None, Settings({}))
    first = table.find(("d", "openai", "", "", "gpt-4o"))
    assert table.find(("d", "openai", "", "", "gpt-4o")) is first
    for number in range(100):
        table.find(("d", "openai", "", "", f"no-such-{number}"))
        assert len(table.kept) <= 10


async def test_names_of_unknown_models_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers choose names, so what is counted by them stays small; nothing goes uncounted, and nothing breaks a log line."""
    monkeypatch.setattr("headgate_prices.MAX_UNKNOWN", 2)
    plugin = Prices(PricesConfig())
    for name in ("a", "a\nb" + "c" * 500, "d", "e", "a"):
        plugin.count_unknown(name)
    assert list(plugin.unknown.values()) == [2, 1, 2]
    assert max(map(len, plugin.unknown)) < 200
    assert "\n" not in "".join(plugin.unknown)


def test_the_lists_are_not_imported_before_they_are_needed() -> None:
    """Enabling or listing the plugin costs no half second; and genai-prices never starts to update itself."""
    code = "import sys, headgate_prices; print([m for m in ('genai_prices', 'pydantic', 'httpx2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    load(None, Settings({}))
    assert [thread.name for thread in threading.enumerate() if "genai" in thread.name] == []
