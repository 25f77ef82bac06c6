"""What vendors say a call cost."""

from __future__ import annotations

from typing import Any

import pytest

from headgate_prices.stated import stated_cost


@pytest.mark.parametrize(
    ("vendor", "raw", "cost"),
    [
        (
            "openrouter",
            {"cost": 0.00000537, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.00000537}},
            5,
        ),
        ("openrouter", {"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.00417}}, 4170),
        ("openrouter", {"cost": 0.0001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.00417}}, 4270),
        ("openrouter", {"cost": 0.0001, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, None),
        ("openrouter", {"cost": 0}, 0),
        ("openrouter", {"cost": 0.0000005}, 1),
        ("openrouter", {"cost": 0.00000049}, 0),
        ("perplexity", {"cost": {"total_cost": 0.006, "request_cost": 0.005}}, 6000),
        ("perplexity", {"cost": {"total_cost": 0.0, "input_tokens_cost": 0.0}}, None),
        ("perplexity", {"cost": 0.006}, None),
        ("x-ai", {"cost_in_usd_ticks": 37_756_000}, 3776),
        ("x-ai", {"cost_in_usd_ticks": 1_466_250}, 147),
        ("x-ai", {"cost_in_usd_ticks": 5000}, 1),
        ("openai", {"cost": 1.0, "cost_in_usd_ticks": 1}, None),
        ("", {"cost": 1.0}, None),
        ("openrouter", {}, None),
        ("openrouter", None, None),
    ],
)
def test_stated(vendor: str, raw: dict[str, Any] | None, cost: int | None) -> None:
    """In micro-USD with a half rounded up, from the vendors that are known to state it, and from no others."""
    assert stated_cost(vendor, raw) == cost


@pytest.mark.parametrize("value", [None, True, "0.1", -0.1, float("nan"), float("inf"), 10**9, 1e300, [], {}])
@pytest.mark.parametrize("vendor", ["openrouter", "perplexity", "x-ai"])
def test_what_is_no_cost(vendor: str, value: Any) -> None:
    """Something else where a cost should stand is not taken for one."""
    raw = {"cost": value if vendor == "openrouter" else {"total_cost": value}, "cost_in_usd_ticks": value}
    expected = 10**5 if vendor == "x-ai" and value == 10**9 else None
    assert stated_cost(vendor, raw) == expected
