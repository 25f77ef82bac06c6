"""What several tests of prices need: the lists that come with genai-prices, and small ones of our own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headgate_prices import load
from headgate_prices.settings import Settings
from headgate_prices.table import Table

Json = dict[str, Any]


@pytest.fixture(scope="session")
def bundled() -> Table:
    """The lists that come with genai-prices, without settings."""
    return load(None, Settings({}))


@pytest.fixture
def listed() -> Json:
    """One vendor in genai-prices' data format, with all that makes prices vary."""
    tiered = {"base": 2, "tiers": [{"start": 1000, "price": 4}]}
    return {
        "id": "openai",
        "name": "OpenAI",
        "api_pattern": r"https://api\.openai\.com",
        "extractors": [
            {
                "api_flavor": "chat",
                "root": "usage",
                "model_path": "model",
                "mappings": [{"path": ["tools", "searches"], "dest": "web_searches", "required": False}],
            }
        ],
        "models": [
            {"id": "plain", "match": {"equals": "plain"}, "prices": {"input_mtok": 2, "output_mtok": 8.5}},
            {"id": "tiered", "match": {"equals": "tiered"}, "prices": {"input_mtok": tiered, "output_mtok": 8}},
            {
                "id": "dated",
                "match": {"or": [{"starts_with": "dated"}, {"regex": "^old-\\d+$"}]},
                "context_window": 128000,
                "prices": [
                    {"prices": {"input_mtok": 1, "output_mtok": 1}},
                    {"constraint": {"start_date": "2026-03-01"}, "prices": {"input_mtok": 3, "output_mtok": 3}},
                ],
            },
            {
                "id": "served",
                "match": {"equals": "served"},
                "prices": {"input_mtok": 2, "output_mtok": 2, "web_searches_kcount": 10},
                "price_variants": [
                    {"when": {"service_tier": "flex"}, "prices": {"input_mtok": 1, "output_mtok": 1}},
                    {"when": {"speed": "fast"}, "prices": {"output_mtok": 20}},
                ],
            },
            {"id": "unpriced", "match": {"equals": "unpriced"}, "prices": {}},
        ],
    }


@pytest.fixture
def price_file(tmp_path: Path) -> Callable[[object], Path]:
    """Writes a file of prices as a careful operator does: it is never there in part."""

    def write(content: object) -> Path:
        path, new = tmp_path / "prices.json", tmp_path / "prices.new"
        new.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        new.replace(path)
        return path

    return write
