"""What a model on Bedrock takes, by its id: one table, `models.toml`, with the pages its rows come from."""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

import msgspec
from msgspec import Struct

ThinkingForm = Literal[
    "", "budget", "adaptive", "reasoningConfig", "reasoning_effort", "reasoning.effort", "reasoning_config"
]
Cached = Literal["system", "messages", "tools"]

_ARN = re.compile(r"arn:[^:]+:bedrock:[^:]*:[^:]*:(?:inference-profile|foundation-model)/(.+)")
_GEOGRAPHY = re.compile(r"(?:apac|au|ca|eu|global|in|jp|us|us-gov)\.(?=[a-z0-9-]+\.)")


class Model(Struct, frozen=True, forbid_unknown_fields=True):
    """What a model takes. The defaults are for a model nobody knows, such as an ARN that hides which one it is.

    `forces` are the kinds of tool choice beside auto. `has_tool_switches`: Claude's own `tool_choice` passes as an
    additional field, so that no tool or one at a time can be asked for. `thinking` is the form in which thinking is
    asked for, `efforts` its levels, `has_budgets` whether adaptive thinking may have a budget instead. `caches` are the
    fields that may hold a cache point. `has_system_turns`: instructions may stand between turns. `has_strict_tools`: a
    model with a JSON Schema of its answer takes one of its tools' inputs as well. `has_sampling`: it takes temperature,
    topP and, with `has_stops`, stop sequences. `has_tools`: it takes tools, and with `streams_tools` answers to them in a
    stream. `has_system`: it takes instructions.
    """

    vendor: str = ""
    forces: frozenset[Literal["any", "tool"]] = frozenset({"any", "tool"})
    forces_while_thinking: bool = True
    has_tool_switches: bool = False
    has_result_status: bool = True
    has_json_schema: bool = False
    has_strict_tools: bool = True
    has_system_turns: bool = False
    has_sampling: bool = True
    has_stops: bool = True
    has_tools: bool = True
    streams_tools: bool = True
    has_system: bool = True
    thinking: ThinkingForm = ""
    efforts: tuple[str, ...] = ()
    has_budgets: bool = True
    is_thinking_signed: bool = False
    top_k: Literal["", "top_k", "inferenceConfig.topK"] = "top_k"
    caches: frozenset[Cached] = frozenset()
    has_long_cache: bool = False

    @property
    def is_claude(self) -> bool:
        """Whether it is one of Anthropic's."""
        return self.vendor == "anthropic"


_UNKNOWN = Model(caches=frozenset({"system", "messages", "tools"}), has_long_cache=True)


def bare_id(model: str) -> str:
    """A model's id without the ARN around it and the geography before it; other ARNs stay as they are."""
    found = _ARN.fullmatch(model)
    return _GEOGRAPHY.sub("", found[1] if found else model, count=1)


@lru_cache(maxsize=1024)
def find_model(model: str) -> Model:
    """What is known of a model; the defaults of Model, with every cache point allowed, when nothing is."""
    bare = bare_id(model)
    known: dict[str, Any] = {}
    for prefix, fields in _rows():
        if bare.startswith(prefix):
            known |= fields
    return msgspec.convert(known, Model) if known else _UNKNOWN


@lru_cache(maxsize=1)
def _rows() -> tuple[tuple[str, dict[str, Any]], ...]:
    """The table, shorter prefixes first."""
    table = tomllib.loads(files("headgate_bedrock").joinpath("models.toml").read_text("utf-8"))
    rows: list[dict[str, Any]] = table["model"]
    pairs = [(str(row["prefix"]), {name: value for name, value in row.items() if name != "prefix"}) for row in rows]
    return tuple(sorted(pairs, key=lambda pair: len(pair[0])))
