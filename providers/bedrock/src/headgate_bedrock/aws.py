"""What providers on AWS share: where a region's services live, and how a call proves who sends it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from datetime import UTC, datetime
from typing import ClassVar
from urllib.parse import urlsplit

from msgspec.structs import replace
from typing_extensions import override

from headgate.errors import Problem, ProviderFailed, StartupError
from headgate.exchange import Exchange
from headgate.provider import DeploymentConfig, Provider
from headgate.relay import Origin, Secrets
from headgate.secret import Secret
from headgate.upstream import Upstream, UpstreamRequest, origin_of
from headgate_bedrock.credentials import KeyChain, Settings
from headgate_bedrock.sigv4 import Keys, Scope, sign

_REGION_ENVS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d+")
_SUFFIXES = (
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("us-isof-", "csp.hci.ic.gov"),
)
"""Where the services of a partition live, by how its regions begin; from botocore's partitions.json."""
_LARGE = 1024 * 1024
"""A body from this size on is hashed in a thread."""


class AwsConfig(DeploymentConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A deployment on AWS.

    Calls are signed with `access_key_id` and its secret, or with what AWS's usual chain finds, of `profile` if that is set;
    `role_arn` is assumed with those keys. `region` may come from the environment.
    """

    region: str = ""
    access_key_id: str = ""
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    profile: str = ""
    role_arn: str = ""
    external_id: str = ""
    role_session_name: str = ""


class Aws(Provider):
    """Base of the providers on AWS. A subclass names its `host` and `service`, and the key of its own if it has one."""

    host: ClassVar[str] = ""
    """The part of its host name that stands before the region."""
    service: ClassVar[str] = ""
    """What its signatures count for."""
    bearer_env: ClassVar[str] = ""
    """The environment variable with an API key that takes the place of a signature; empty where there are no such keys."""

    def __init__(self, deployment: str, config: DeploymentConfig, upstream: Upstream) -> None:
        settings = config if isinstance(config, AwsConfig) else AwsConfig(provider=self.name)
        _check(settings)
        self.region = _region_of(settings, self.host)
        url = settings.base_url or self.regional(self.host)
        key = settings.api_key or self._environment_key(settings)
        super().__init__(deployment, replace(settings, base_url=url, api_key=key), upstream)
        self.config = config  # as it was written, which is how a reload tells whether it has changed
        self.account = ""  # keys that rotate name no account
        self.signed = self.origins
        """Origins that signatures are made for."""
        static = _static_keys(settings)
        known = (static.secret_access_key, static.session_token) if static else ()
        self._origin = Origin(
            self.name, deployment, (*self._origin.secrets, *(secret.reveal_bytes() for secret in known if secret))
        )
        self._chain = KeyChain(
            Settings(
                self.region,
                static,
                settings.profile,
                settings.role_arn,
                settings.external_id,
                settings.role_session_name,
            )
        )

    def regional(self, host: str) -> str:
        """Where a service of the deployment's region is, by the part of its host name that stands before the region."""
        return f"https://{host}.{self.region}.{_suffix_of(self.region)}"

    def service_of(self, origin: str) -> str:  # noqa: ARG002 - for those with endpoints of several services
        """What a signature for this origin counts for."""
        return self.service

    @override
    def requires_key(self) -> bool:
        return False

    @override
    def secrets_of(self, ex: Exchange) -> Secrets:
        return (*super().secrets_of(ex), *self._chain.secrets())

    @override
    async def authorize(self, request: UpstreamRequest) -> UpstreamRequest:
        """`request` signed, unless a key goes along with it. A signature is for the deployment's own origins alone."""
        if request.credential is not None or self.is_keyless:
            return request
        if origin_of(request.url) not in self.signed:
            raise ProviderFailed("the deployment's keys are not bound to this origin", code="upstream_denied")
        keys = await self._chain.keys()
        body = request.body
        digest = await asyncio.to_thread(_digest, body) if len(body) >= _LARGE else _digest(body)
        now, scope = datetime.now(UTC), Scope(self.region, self.service_of(origin_of(request.url)))
        return replace(request, headers=sign(request.method, request.url, request.headers, digest, keys, scope, now))

    def _environment_key(self, settings: AwsConfig) -> Secret | None:
        """AWS's variable for an API key, where the deployment names no keys of its own."""
        has_own = settings.access_key_id or settings.profile or settings.role_arn
        value = os.environ.get(self.bearer_env, "") if self.bearer_env and not (has_own or self.is_keyless) else ""
        return Secret(value) if value else None


def environment_region() -> str:
    """The region that the environment names; empty when it names none."""
    return next((os.environ[name] for name in _REGION_ENVS if os.environ.get(name)), "")


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _check(config: AwsConfig) -> None:
    """Refuse settings that contradict each other, all at once."""
    problems: list[str] = []
    if bool(config.access_key_id) != (config.secret_access_key is not None):
        problems.append("`access_key_id` and `secret_access_key` must be set together")
    if config.session_token is not None and not config.access_key_id:
        problems.append("`session_token` needs `access_key_id` and `secret_access_key`")
    if config.access_key_id and config.profile:
        problems.append("`access_key_id` and `profile` exclude each other: remove one")
    if config.api_key is not None and (config.access_key_id or config.profile or config.role_arn):
        problems.append("`api_key` takes the place of keys and roles: remove it or them")
    if not config.role_arn and (config.external_id or config.role_session_name):
        problems.append("`external_id` and `role_session_name` belong to `role_arn`, which is missing")
    if problems:
        raise StartupError([Problem(problem) for problem in problems])


def _region_of(config: AwsConfig, service_host: str) -> str:
    """The region that is set, else the one in the base URL (a private or FIPS endpoint has it too), else the environment's."""
    first, _, rest = service_host.partition(".")
    pattern = rf"{re.escape(first)}(?:-fips)?{re.escape('.' + rest) if rest else ''}\.([a-z0-9-]+)\."
    found = re.search(pattern, urlsplit(config.base_url).hostname or "")
    region = config.region or (found[1] if found else "") or environment_region()
    if not region:
        raise StartupError([Problem("`region` is missing: set it, for example to `us-east-1`, or set `AWS_REGION`")])
    if not _REGION.fullmatch(region):
        raise StartupError([Problem(f"`region` `{region}` is no AWS region such as `us-east-1`")])
    return region


def _suffix_of(region: str) -> str:
    return next((suffix for prefix, suffix in _SUFFIXES if region.startswith(prefix)), "amazonaws.com")


def _static_keys(config: AwsConfig) -> Keys | None:
    if config.secret_access_key is None:
        return None
    return Keys(config.access_key_id, config.secret_access_key, config.session_token)
