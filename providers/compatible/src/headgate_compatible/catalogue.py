"""From TOML rows to provider classes. Files are read when the catalogue is asked for, never at import."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import msgspec
from typing_extensions import override

from headgate.errors import Problem, StartupError
from headgate.provider import Provider
from headgate_compatible.provider import DIALECTS, Compatible
from headgate_compatible.row import Row
from headgate_compatible.vendors import CODE


@cache
def catalogue() -> Mapping[str, type[Provider]]:
    """One provider class per row of `vendors/`, by name and alias. Raises StartupError listing every row that is wrong."""
    rows: list[Row] = []
    problems: list[Problem] = []
    for file in files("headgate_compatible").joinpath("vendors").iterdir():
        if file.name.endswith(".toml"):
            try:
                rows.append(read_row(file.read_text("utf-8")))
            except ValueError as error:
                problems.append(Problem(str(error), f"vendors/{file.name}"))
    if problems:
        raise StartupError(problems)
    kinds = {row.name: provider_of(row) for row in sorted(rows, key=lambda row: row.name)}
    others = {alias: alias_of(kinds[row.name]) for row in rows for alias in row.aliases}
    return MappingProxyType({**kinds, **dict(sorted(others.items()))})


def read_row(text: str) -> Row:
    """The row a TOML text describes; ValueError when it is no TOML or no Row."""
    return msgspec.convert(tomllib.loads(text), Row)


def provider_of(held: Row) -> type[Compatible]:
    """The provider class of one row, over the class that the vendor has beside it where it has one."""
    base = CODE.get(held.name, Compatible)

    class Vendor(base):
        """An OpenAI-compatible vendor described by a row."""

        name = held.name
        base_url = held.base_url
        key_env = "" if held.keyless else held.key_env
        key_header = held.key_header
        key_prefix = held.key_prefix
        is_keyless = held.keyless
        docs = held.docs
        tier = "row" if base is Compatible else "dialect"
        auth = () if held.keyless else ("key",)
        evidence = held.evidence
        dialects = {operation: {**DIALECTS, **base.own_dialects}[operation] for operation in held.operations}  # noqa: RUF012
        Config = base.own_config
        row = held

    Vendor.__name__ = Vendor.__qualname__ = held.name.title()
    return Vendor


def alias_of(kind: type[Compatible]) -> type[Compatible]:
    """The same vendor for those who call it by another name; it is the real name that the environment switches on."""

    class Alias(kind):
        """A vendor by another name."""

        @override
        @classmethod
        def from_environment(cls) -> Mapping[str, Any] | None:
            return None

    Alias.__name__ = Alias.__qualname__ = kind.__name__
    return Alias
