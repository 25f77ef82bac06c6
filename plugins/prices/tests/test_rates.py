"""Costs to the micro-USD: the same as genai-prices' own calculator has, for whatever was used."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import genai_prices
import pytest
from genai_prices.data import providers
from hypothesis import given
from hypothesis import strategies as st

from headgate.chat import Usage
from headgate_prices.book import Entry
from headgate_prices.rates import MOST_MICROUSD, Price, Rates, Tier
from headgate_prices.table import Table

MODELS = [(vendor, model) for vendor in providers for model in vendor.models]
BY_NAME = {vendor.id: vendor for vendor in providers}
TIERS = ("default", "flex", "priority", "fast", "auto")

counts = st.integers(0, 400_000) | st.sampled_from([0, 1, 100_000, 100_001, 128_000, 200_000, 200_001, 272_001])
times = st.datetimes(datetime(2024, 1, 1), datetime(2027, 6, 1), timezones=st.just(UTC))  # noqa: DTZ001 - UTC by `timezones`


def theirs(price: Decimal) -> int:
    return int((price * 1_000_000).quantize(Decimal(1), ROUND_HALF_UP))


def simple(prices: dict[str, Price]) -> Rates:
    return Rates(prices, {})


def mtok(**prices: str) -> Rates:
    return simple({f"{name}_mtok": Price(Decimal(price)) for name, price in prices.items()})


@given(st.sampled_from(MODELS), st.tuples(counts, counts, counts, counts, counts), times, st.sampled_from(TIERS))
def test_costs_are_those_of_the_calculator(
    chosen: tuple[Any, Any], used: tuple[int, int, int, int, int], when: datetime, tier: str
) -> None:
    """Any model of any vendor, at any time and service tier, with what was read from and written to the cache."""
    vendor, model = chosen
    fresh, cached, written, completion, reasoning = used
    prompt, reasoning = fresh + cached + written, min(reasoning, completion)
    known = genai_prices.Usage(
        input_tokens=prompt,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        output_tokens=completion,
        output_reasoning_tokens=reasoning,
    )
    terms = {"service_tier": tier}
    expected = model.calc_price(known, vendor, genai_request_timestamp=when, price_context=terms)

    rates = Entry(vendor, model, "genai-prices").rates(when.timestamp(), terms)
    cost = rates.cost(Usage(prompt, completion, cached, written, reasoning)) if rates is not None else None

    assert (cost or 0) == theirs(expected.total_price)


def test_tiers_of_the_vendor_that_made_a_model(bundled: Table) -> None:
    """A vendor that sells another one's model has the other's prices, but not its service tiers."""
    sold, made = bundled.book.find("azure", "gpt-5.2"), bundled.book.find("openai", "gpt-5.2")
    assert sold is not None
    assert made is not None
    at, usage = datetime(2026, 11, 1, tzinfo=UTC).timestamp(), Usage(1000, 100)
    flex = {"service_tier": "flex"}
    prices = [rates.cost(usage) for entry in (sold, made) if (rates := entry.rates(at, flex)) is not None]
    known = genai_prices.Usage(input_tokens=1000, output_tokens=100)
    expected = [
        genai_prices.calc_price(known, "gpt-5.2", provider_id=vendor, price_context=flex).total_price
        for vendor in ("azure", "openai")
    ]
    assert prices == [theirs(price) for price in expected]
    assert prices[0] == 2 * (prices[1] or 0)


def test_every_model_of_every_list_can_be_charged_for() -> None:
    """No entry of the lists that come with genai-prices fails when its first request is settled."""
    usage = Usage(30_000, 2_000, 9_000, 1_000, 500)
    when = datetime(2026, 11, 1, 12, tzinfo=UTC)
    known = genai_prices.Usage(
        input_tokens=30_000,
        cache_read_tokens=9_000,
        cache_write_tokens=1_000,
        output_tokens=2_000,
        output_reasoning_tokens=500,
    )
    differ: list[str] = []
    for vendor, model in MODELS:
        rates = Entry(vendor, model, "").rates(when.timestamp(), {})
        cost = rates.cost(usage) if rates is not None else None
        if (cost or 0) != theirs(model.calc_price(known, vendor, genai_request_timestamp=when).total_price):
            differ.append(f"{vendor.id}/{model.id}")
    assert len(MODELS) > 2000
    assert differ == []


@pytest.mark.parametrize(
    ("vendor", "model", "flavour", "raw", "usage"),
    [
        (
            "anthropic",
            "claude-sonnet-4-5",
            "default",
            {
                "input_tokens": 10,
                "output_tokens": 50,
                "cache_read_input_tokens": 300,
                "cache_creation_input_tokens": 2000,
                "cache_creation": {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 1500},
                "server_tool_use": {"web_search_requests": 2},
            },
            Usage(2310, 50, 300, 2000),
        ),
        (
            "aws",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "default",
            {
                "inputTokens": 10,
                "outputTokens": 50,
                "cacheWriteInputTokens": 900,
                "cacheDetails": [{"ttl": "5m", "inputTokens": 100}, {"ttl": "1h", "inputTokens": 800}],
            },
            Usage(910, 50, 0, 900),
        ),
        (
            "google",
            "gemini-2.5-flash",
            "default",
            {
                "promptTokenCount": 1000,
                "candidatesTokenCount": 20,
                "thoughtsTokenCount": 30,
                "cachedContentTokenCount": 400,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 300},
                    {"modality": "AUDIO", "tokenCount": 700},
                ],
                "cacheTokensDetails": [
                    {"modality": "AUDIO", "tokenCount": 250},
                    {"modality": "TEXT", "tokenCount": 150},
                ],
            },
            Usage(1000, 50, 400, 0, 30, 700),
        ),
        (
            "cohere",
            "command-a-03-2025",
            "default",
            {
                "billed_units": {"input_tokens": 5, "output_tokens": 7},
                "tokens": {"input_tokens": 500, "output_tokens": 8},
            },
            Usage(500, 8),
        ),
    ],
)
def test_what_usage_has_no_field_for(
    bundled: Any, vendor: str, model: str, flavour: str, raw: dict[str, Any], usage: Usage
) -> None:
    """Caches of an hour, searches, cached sound and billed units are read where the vendor states them."""
    root = "usageMetadata" if vendor == "google" else "usage"
    extracted = genai_prices.extract_usage({root: raw, "model": model}, provider_id=vendor, api_flavor=flavour)
    when = datetime(2026, 11, 1, tzinfo=UTC)
    found = bundled.book.find(vendor, model)
    expected = BY_NAME[vendor].find_model(model, all_providers=providers)
    assert expected is not None
    price = expected.calc_price(extracted.usage, BY_NAME[vendor], genai_request_timestamp=when)

    cost = found.rates(when.timestamp(), {}).cost(
        Usage(usage.prompt, usage.completion, usage.cached, usage.cache_write, usage.reasoning, usage.audio_in, raw=raw)
    )

    assert cost == theirs(price.total_price)
    assert cost


NAMES = [
    "modality",
    "tokenCount",
    "ttl",
    "inputTokens",
    "ephemeral_1h_input_tokens",
    "web_search_requests",
    "AUDIO",
    "1h",
]
KEYS = [
    "promptTokensDetails",
    "cacheTokensDetails",
    "cacheDetails",
    "cache_creation",
    "server_tool_use",
    "billed_units",
]
leaves = st.none() | st.booleans() | st.integers(-5, 10**20) | st.floats() | st.sampled_from(NAMES)
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*NAMES, *KEYS]), inner))


@given(
    st.dictionaries(st.sampled_from(KEYS), values),
    st.sampled_from(
        ["google/gemini-2.5-flash", "anthropic/claude-haiku-4-5", "aws/amazon.nova-lite-v1:0", "cohere/command-a"]
    ),
)
def test_whatever_a_vendor_states(bundled: Table, raw: dict[str, Any], name: str) -> None:
    """No usage object of any shape makes a cost negative, or breaks what comes after."""
    vendor, _, model = name.partition("/")
    entry = bundled.book.find(vendor, model)
    assert entry is not None
    rates = entry.rates(1.78e9, {})
    assert rates is not None
    cost = rates.cost(Usage(100, 10, 50, 20, raw=raw))
    assert cost is None or 0 <= cost <= MOST_MICROUSD


@pytest.mark.parametrize(
    ("price", "tokens", "cost"),
    [
        ("0.1", 4, 0),
        ("0.1", 5, 1),
        ("0.5", 1, 1),
        ("0.5", 2, 1),
        ("0.5", 3, 2),
        ("0.49999", 1, 0),
        ("1e-6", 500_000, 1),
    ],
)
def test_half_a_micro_usd_is_rounded_up(price: str, tokens: int, cost: int) -> None:
    """Once, at the end, from the exact sum."""
    assert mtok(input=price).cost(Usage(tokens)) == cost


def test_a_tier_holds_for_all_of_the_request() -> None:
    """A prompt past the start of a tier pays its price for every token, and just at the start does not."""
    rates = simple({"input_mtok": Price(Decimal(1), (Tier(10, Decimal(2)), Tier(20, Decimal(5))))})
    assert [rates.cost(Usage(prompt)) for prompt in (10, 11, 20, 21)] == [10, 22, 40, 105]


def test_parts_that_are_more_than_the_whole() -> None:
    """A vendor that states more cached tokens than tokens is paid for the cached ones, and nothing is ever negative."""
    rates = mtok(input="10", cache_read="1", cache_write="20", output="5")
    assert rates.cost(Usage(100, 0, 250)) == 250
    assert rates.cost(Usage(0, 4, 3, 2)) == 63


def test_sound_that_was_cached() -> None:
    """Where nobody says which of the cached tokens were sound, it is those that find no room beside it in the prompt."""
    rates = mtok(input="1", cache_read="0.5", input_audio="10", cache_audio_read="5")
    assert rates.cost(Usage(1000, 0, 100, audio_in=400)) == 500 + 50 + 4000
    assert rates.cost(Usage(1000, 0, 800, audio_in=1000)) == 200 * 10 + 800 * 5


def test_nothing_that_could_be_counted() -> None:
    """A model that is charged by the hour has no cost that tokens could tell, and a usage of nothing tells none."""
    hours = simple({"audio_hours": Price(Decimal("0.04")), "input_audio_hours": Price(Decimal(0))})
    assert hours.cost(Usage(100, 10)) is None
    assert mtok(input="1").cost(Usage()) is None
    assert simple({}).cost(Usage(100, 10)) == 0


def test_a_call_that_costs_more_than_any() -> None:
    """A count that is no count does not become a cost."""
    rates = mtok(input="1000")
    assert rates.cost(Usage(10**9)) == MOST_MICROUSD
    assert rates.cost(Usage(10**9 + 1)) is None
    assert rates.cost(Usage(10**400)) is None


def test_seconds_of_sound_may_be_fractions() -> None:
    """Numbers in the provider's object need not be whole."""
    prices = {"audio_hours": Price(Decimal("0.36")), "input_audio_hours": Price(Decimal("0.36"))}
    rates = Rates(prices, {"audio_seconds": [("seconds",)], "input_audio_seconds": [("seconds",)]})
    assert rates.cost(Usage(raw={"seconds": 12.345})) == 1235
    nothings: list[Any] = [None, "12", True, -1, float("nan"), float("inf"), [], {}]
    for nothing in nothings:
        assert rates.cost(Usage(raw={"seconds": nothing})) is None


@pytest.mark.parametrize("price", ["-1", "NaN", "Infinity", "1e30", "1e-30"])
def test_a_price_that_is_none(price: str) -> None:
    """Refused when it is read, with its name."""
    with pytest.raises(ValueError, match="`input_mtok` has the price"):
        mtok(input=price)


def test_a_price_for_what_is_not_known() -> None:
    """A price key of a later version is refused: left out, it would make the rest too cheap."""
    with pytest.raises(ValueError, match="knows no price `input_smells`"):
        simple({"input_smells": Price(Decimal(1))})
