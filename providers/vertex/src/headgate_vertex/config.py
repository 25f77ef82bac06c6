"""What a deployment of Vertex AI is told, and where its calls go by that."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Literal

from headgate.errors import Problem, StartupError
from headgate.provider import DeploymentConfig
from headgate.secret import Secret
from headgate_vertex.credentials import Info, parse_info

BASE_URL = "https://aiplatform.googleapis.com/v1"
_LOCATION = re.compile(r"global|us|eu|[a-z]+-[a-z]+\d{1,2}")
_PROJECT = re.compile(r"[a-z0-9.:-]+")
_MULTI_REGIONS = frozenset({"us", "eu"})


class VertexConfig(DeploymentConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A deployment of Vertex AI.

    `location` is a region, `global`, or a multi-region. `credentials` is the content of a credentials file in one line, and
    `credentials_file` the path of one; without both they are looked for in the usual places. `api_key` is used instead of
    them; alone, without a `project`, it is express mode. `quota_project` is the project that the calls count for.
    `structured_output` tells how a JSON schema is honoured by Claude: `native` where the organisation's policy allows its
    structured outputs, else by a tool; `auto` is by a tool wherever a model can be made to call one.
    """

    project: str = ""
    location: str = ""
    credentials: Secret | None = None
    credentials_file: str = ""
    quota_project: str = ""
    structured_output: Literal["auto", "native", "tool"] = "auto"


def account_of(project: str) -> str:
    """A digest of the project, which what Gemini signs here is bound to.

    The Gemini API refuses it (400, "Corrupted thought signature"), as Vertex AI does what that API signed:
    https://github.com/BerriAI/litellm/issues/32140. Google does not say whether another project reads it, so none is asked.
    """
    return hashlib.sha256(b"headgate.account\0vertex\0" + project.encode()).hexdigest()[:12]


def base_url(location: str) -> str:
    """https://docs.cloud.google.com/vertex-ai/generative-ai/docs/learn/locations"""
    if location == "global":
        return BASE_URL
    if location in _MULTI_REGIONS:
        return f"https://aiplatform.{location}.rep.googleapis.com/v1"
    return f"https://{location}-aiplatform.googleapis.com/v1"


def location_of(config: VertexConfig) -> str:
    """The location that is said, else the environment's, else `global`."""
    location = config.location or os.environ.get("GOOGLE_CLOUD_LOCATION") or "global"
    if not _LOCATION.fullmatch(location):
        raise StartupError([Problem(f"`location` `{location}` is no location such as `europe-west4` or `global`")])
    return location


def project_of(config: VertexConfig, info: Info | None) -> str:
    """The project that is said, else the one of the credentials, else the environment's. An API key alone has none."""
    project = config.project
    if not project and config.api_key is None:
        named = (info or {}).get("project_id")
        project = named if isinstance(named, str) and named else os.environ.get("GOOGLE_CLOUD_PROJECT", "")
    if project and not _PROJECT.fullmatch(project):
        raise StartupError([Problem(f"`project` `{project}` is no id or number of a project")])
    return project


def info_of(config: VertexConfig) -> Info | None:
    """What the deployment's own credentials say; None when it has none."""
    given = [config.credentials is not None, bool(config.credentials_file), config.api_key is not None]
    if sum(given) > 1:
        names = "`credentials`, `credentials_file` and `api_key`"
        raise StartupError([Problem(f"{names} exclude each other: keep one of them")])
    try:
        if config.credentials is not None:
            return parse_info(config.credentials.reveal())
        return parse_info(Path(config.credentials_file).expanduser().read_bytes()) if config.credentials_file else None
    except OSError as error:
        raise StartupError([Problem(f"`credentials_file` cannot be read: {error.strerror}")]) from None
    except ValueError as error:
        name = "credentials" if config.credentials is not None else "credentials_file"
        raise StartupError([Problem(f"`{name}` cannot be used: {error}")]) from None


def secrets_in(info: Info | None) -> tuple[bytes, ...]:
    """What of a credentials file proves something and could come back in a reply."""
    names = ("private_key", "client_secret", "refresh_token")
    return tuple(str(value).encode() for name in names if (value := (info or {}).get(name)))
