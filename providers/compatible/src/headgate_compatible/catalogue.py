"""From TOML rows to provider classes. Files are read when the catalogue is asked for, never at import."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import msgspec

from headgate.errors import Problem, StartupError
from headgate.provider import Provider
from headgate_compatible.provider import Compatible, VendorConfig
from headgate_compatible.row import Row


@cache
def catalogue() -> Mapping[str, type[Provider]]:
    """One provider class per row of `vendors/`, by name. Raises StartupError listing every row that is wrong."""
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
    return MappingProxyType({row.name: provider_of(row) for row in sorted(rows, key=lambda row: row.name)})


def read_row(text: str) -> Row:
    """The row a TOML text describes; ValueError when it is no TOML or no Row."""
    return msgspec.convert(tomllib.loads(text), Row)


def provider_of(held: Row) -> type[Compatible]:
    """The provider class of one row."""

    class Vendor(Compatible):
        """An OpenAI-compatible vendor described by a row."""

        name = held.name
        base_url = held.base_url
        key_env = "" if held.keyless else held.key_env
        is_keyless = held.keyless
        docs = held.docs
        dialects = {operation: Compatible.dialects[operation] for operation in held.operations}  # noqa: RUF012
        Config = VendorConfig
        row = held

    Vendor.__name__ = Vendor.__qualname__ = held.name.title()
    return Vendor
