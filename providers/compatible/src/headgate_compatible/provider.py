"""The provider behind every row: OpenAI's, with a base URL to fill in and the row's quirks applied."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import field, structs
from typing_extensions import override

from headgate.errors import Problem, StartupError
from headgate.exchange import Exchange
from headgate.provider import DeploymentConfig
from headgate.suggest import did_you_mean
from headgate.upstream import Upstream
from headgate_compatible.row import Quirks, Row
from headgate_openai import OpenAI

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_SCHEME = re.compile(r"https?://")


class VendorConfig(DeploymentConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A deployment of a row. `vars` fills the placeholders of its base URL."""

    vars: dict[str, str] = field(default_factory=dict[str, str])


class CompatibleConfig(VendorConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A deployment of a server no row describes: `row` says how it differs from OpenAI."""

    row: Quirks = Quirks()


class Compatible(OpenAI):
    """An OpenAI-compatible server. Used by its own name it takes `base_url` and `row` from the configuration.

    A missing base URL or placeholder is a StartupError that names it.
    """

    name = "compatible"
    base_url = ""
    key_env = ""
    docs = ""
    forwarded = ("idempotency-key",)
    Config = CompatibleConfig
    row: ClassVar[Row | None] = None

    def __init__(self, deployment: str, config: DeploymentConfig, upstream: Upstream) -> None:
        base, problems = self._filled(config)
        try:
            super().__init__(deployment, structs.replace(config, base_url=base), upstream)
        except StartupError as error:
            problems += error.problems
        if problems:
            raise StartupError(problems)
        own = config.row if isinstance(config, CompatibleConfig) else Quirks()
        self.quirks: Quirks = self.row or own
        self._vendor_headers = {name.lower().encode(): value.encode() for name, value in self.quirks.headers.items()}

    @override
    @classmethod
    def from_environment(cls) -> Mapping[str, Any] | None:
        if cls.row is None or not all(os.environ.get(variable) for variable in cls.row.vars_env.values()):
            return None
        return super().from_environment()

    @override
    def url_for(self, ex: Exchange) -> str:
        url = super().url_for(ex)
        if ex.operation.name == "passthrough" and re.match(r"/v1/models(?=/|$)", ex.path) and not ex.base_url:
            return self.url + self.quirks.models_path + url[len(self.url) + len("/models") :]
        return url

    @override
    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        return self._vendor_headers

    @override
    def body_for(self, ex: Exchange) -> bytes:
        body = super().body_for(ex)
        return self.quirks.apply(body, self.name) if ex.operation.name in self.paths else body

    def _filled(self, config: DeploymentConfig) -> tuple[str, list[Problem]]:
        """The base URL with its placeholders filled, and what stands in the way of it."""
        template = config.base_url or self.base_url
        if not template:
            return "", [Problem("`base_url` is missing: set it to the server's address, up to and with `/v1`")]
        given = config.vars if isinstance(config, VendorConfig) else {}
        names = _PLACEHOLDER.findall(template)
        problems = [
            Problem(f"`vars.{name}` is no placeholder of `{template}`{did_you_mean(name, names)}")
            for name in given
            if name not in names
        ]
        variables = self.row.vars_env if self.row else {}
        for name in names:
            variable = variables.get(name, "")
            value = given.get(name) or os.environ.get(variable, "")
            if not value:
                hint = f", or the environment variable `{variable}`" if variable else ""
                problems.append(Problem(f"`vars.{name}` is missing: set it{hint}"))
            template = template.replace(f"{{{name}}}", _bare(value) or "missing")
        return template, problems


def _bare(value: str) -> str:
    """A value for a placeholder: hosts are often given with their scheme and a trailing slash."""
    return _SCHEME.sub("", value, count=1).rstrip("/")
