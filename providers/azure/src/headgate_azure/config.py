"""What a deployment at Azure may say, and what the environment says of one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import field

from headgate.errors import Problem
from headgate.provider import DeploymentConfig
from headgate.secret import Secret

Auth = Literal["key", "token", "entra", "managed", "workload"]

AUTHORITY = "https://login.microsoftonline.com"
_RESOURCE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.IGNORECASE)
_VERSION = re.compile(r"[a-z0-9.-]+", re.IGNORECASE)


class AzureConfig(DeploymentConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A deployment at Azure: a `resource` by its name, or a `base_url` (up to `/openai/v1`, or `/openai`), which goes first.

    `api_version` empty or `preview` is the v1 API; a date, in quotes, is the older one, whose URLs name the deployment.
    `deployments` maps models to deployment names where these differ. `auth`: `key` and `token` (a bearer token of your own) are
    in `api_key`; `entra` is a service principal (`tenant_id`, `client_id`, `client_secret`), `managed` the identity of the
    machine (`client_id` picks one of several), `workload` a federated token (`token_file`); what is not set comes from the
    usual `AZURE_*` variables. `authority` and `scope` are for other clouds.
    """

    resource: str = ""
    api_version: str = ""
    deployments: dict[str, str] = field(default_factory=dict[str, str])
    auth: Auth = "key"
    tenant_id: str = ""
    client_id: str = ""
    client_secret: Secret | None = None
    token_file: str = ""
    authority: str = ""
    scope: str = ""


class FoundryConfig(AzureConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A deployment at Foundry. `claude` and `mai` name deployments of Claude or MAI-Image that do not say so in their name."""

    claude: list[str] = field(default_factory=list[str])
    mai: list[str] = field(default_factory=list[str])


def is_resource(name: str) -> bool:
    """Whether a name can be that of a resource, and so part of a host."""
    return _RESOURCE.fullmatch(name) is not None


def is_version(name: str) -> bool:
    """Whether a text can be an API version, and so part of a URL."""
    return _VERSION.fullmatch(name) is not None


def problems_of(config: AzureConfig, *, needs_place: bool) -> list[Problem]:
    """What is wrong with a configuration, before anything else looks at it."""
    problems: list[Problem] = []
    if config.resource and not is_resource(config.resource):
        problems.append(
            Problem(f"`resource` `{config.resource}` is no name of a resource: letters, digits and hyphens")
        )
    if needs_place and not config.resource and not config.base_url:
        problems.append(Problem("`resource` is missing: set it to the resource's name, or `base_url` to its address"))
    if config.api_version and not is_version(config.api_version):
        problems.append(
            Problem(f"`api_version` `{config.api_version}` is none: use a date, `preview`, or leave it out")
        )
    if config.api_key is not None and config.auth not in {"key", "token"}:
        problems.append(Problem(f"`api_key` is not used with `auth: {config.auth}`: leave one of them out"))
    wanted: dict[Auth, tuple[str, ...]] = {
        "entra": ("tenant_id", "client_id", "client_secret"),
        "workload": ("tenant_id", "client_id", "token_file"),
    }
    missing = (name for name in wanted.get(config.auth, ()) if not setting(config, name))
    words = "`{0}` is missing for `auth: {1}`: set it, or `{2}`"
    problems += [Problem(words.format(name, config.auth, VARIABLES[name])) for name in missing]
    return problems


VARIABLES: Mapping[str, str] = {
    "tenant_id": "AZURE_TENANT_ID",
    "client_id": "AZURE_CLIENT_ID",
    "client_secret": "AZURE_CLIENT_SECRET",
    "token_file": "AZURE_FEDERATED_TOKEN_FILE",
    "authority": "AZURE_AUTHORITY_HOST",
}
"""The variables that Microsoft's own libraries read: https://learn.microsoft.com/en-us/python/api/overview/azure/identity-readme"""


def setting(config: AzureConfig, name: str) -> str:
    """A setting, or what its usual variable says; empty where neither does."""
    value: Any = getattr(config, name)
    told = value.reveal() if isinstance(value, Secret) else value
    return told or os.environ.get(VARIABLES[name], "")


def identity_in_environment() -> dict[str, str] | None:
    """The settings that switch on the identity which the environment describes; None where it describes none."""
    has = {name: bool(os.environ.get(variable)) for name, variable in VARIABLES.items()}
    if has["tenant_id"] and has["client_id"]:
        if has["client_secret"]:
            return {"auth": "entra", "client_secret": "env:AZURE_CLIENT_SECRET"}
        if has["token_file"]:
            return {"auth": "workload"}
    return {"auth": "managed"} if os.environ.get("IDENTITY_ENDPOINT") else None
