"""AWS keys: where they come from, and keeping them fresh.

botocore's chain finds them: environment, profiles of the shared files (with their roles), a role by web identity (IRSA),
the container's endpoint (ECS, EKS), the instance's metadata. It is synchronous, so it runs in a thread; no call waits for
a refresh unless its keys are about to expire. https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol, cast

import structlog
from msgspec import Struct

from headgate.errors import ProviderFailed
from headgate.secret import Secret
from headgate_bedrock.sigv4 import Keys

EARLY_S = 600.0
"""Keys that expire this soon are fetched anew in the background."""
LATE_S = 60.0
"""Keys that expire this soon are not used any more."""
RETRY_S = 10.0
"""After a failure nothing is tried again for so long."""
LIMIT_S = 30.0
"""How long a call waits for keys."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Settings(Struct, frozen=True):
    """What a deployment says about its keys; all of it may be left out. `role_arn` is assumed with what else is found."""

    region: str
    static: Keys | None = None
    profile: str = ""
    role_arn: str = ""
    external_id: str = ""
    role_session_name: str = ""


class _Frozen(Protocol):
    access_key: str
    secret_key: str
    token: str | None


class _Source(Protocol):
    """What botocore calls credentials."""

    def get_frozen_credentials(self) -> _Frozen: ...


class KeyChain:
    """The keys of one deployment. At most one thread fetches at a time, however many calls ask."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys: Keys | None = settings.static if not settings.role_arn else None
        self._before: Keys | None = None
        self._source: _Source | None = None
        self._task: asyncio.Task[ProviderFailed | None] | None = None
        self._failed: tuple[float, ProviderFailed] | None = None

    async def keys(self) -> Keys:
        """Keys that are good for a minute at least. ProviderFailed (code `upstream_credentials`) when there are none."""
        if self._keys is None or self._expires_within(LATE_S):
            await self._wait()
        elif self._expires_within(EARLY_S) and self._may_try():
            self._fetching()
        keys = self._keys
        if keys is None:
            raise _failure("none were found")
        return keys

    def secrets(self) -> tuple[bytes, ...]:
        """What must not come back in a reply, be it one to a call that was signed before these keys came."""
        known = [keys for keys in (self._keys, self._before) if keys is not None]
        secrets = [secret for keys in known for secret in (keys.secret_access_key, keys.session_token)]
        return tuple(secret.reveal_bytes() for secret in secrets if secret is not None)

    def _expires_within(self, seconds: float) -> bool:
        refresh_needed: Any = getattr(self._source, "refresh_needed", None)
        return refresh_needed is not None and bool(refresh_needed(refresh_in=seconds))

    def _may_try(self) -> bool:
        return self._failed is None or asyncio.get_running_loop().time() >= self._failed[0]

    async def _wait(self) -> None:
        if self._failed is not None and not self._may_try():
            raise self._failed[1]
        try:
            async with asyncio.timeout(LIMIT_S):
                failed = await asyncio.shield(self._fetching())
        except TimeoutError:
            raise _failure(f"none came within {LIMIT_S:g} s") from None
        if failed is not None:
            raise failed

    def _fetching(self) -> asyncio.Task[ProviderFailed | None]:
        """The fetch under way, begun if there is none."""
        task = self._task
        if task is None or task.done():
            task = self._task = asyncio.create_task(self._fetch())
        return task

    async def _fetch(self) -> ProviderFailed | None:
        """Fetch once. A failure is a result: the calls that wait for it raise it, and old keys may still do."""
        try:
            self._source, found = await asyncio.to_thread(_fetch, self._settings, self._source)
        except Exception as error:
            log.warning("no AWS keys", error=f"{type(error).__name__}: {error}")
            failed = _failure(f"the log has the reason ({type(error).__name__})")
            self._failed = (asyncio.get_running_loop().time() + RETRY_S, failed)
            return failed
        if found != self._keys:
            self._before, self._keys = self._keys, found
        self._failed = None
        return None


def _failure(why: str) -> ProviderFailed:
    return ProviderFailed(f"AWS keys for the deployment could not be had: {why}", code="upstream_credentials")


def _fetch(settings: Settings, source: _Source | None) -> tuple[_Source, Keys]:
    """The source, found by botocore if there is none yet, and fresh keys from it. Blocks; raises whatever botocore does."""
    source = source or _find_source(settings)
    found = source.get_frozen_credentials()
    token = Secret(found.token) if found.token else None
    return source, Keys(found.access_key, Secret(found.secret_key), token)


def _find_source(settings: Settings) -> _Source:
    """Build the chain. botocore is imported here, in the thread: it takes 0.3 s and 20 MB, and static keys do without."""
    from botocore import credentials  # pyright: ignore[reportMissingTypeStubs]
    from botocore.config import Config  # pyright: ignore[reportMissingTypeStubs]
    from botocore.exceptions import NoCredentialsError  # pyright: ignore[reportMissingTypeStubs]
    from botocore.session import Session  # pyright: ignore[reportMissingTypeStubs]

    session = cast("Any", Session)(profile=settings.profile or None)
    limits = cast("Any", Config)(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2})
    session.set_default_client_config(limits)
    session.set_config_variable("region", settings.region)
    if settings.static is not None:
        own, token = settings.static, settings.static.session_token
        secret = own.secret_access_key.reveal()
        session.set_credentials(own.access_key_id, secret, token.reveal() if token else None)
    found: Any = session.get_credentials()
    if found is None:
        raise cast("Any", NoCredentialsError)
    if not settings.role_arn:
        return found

    def create_client(service: str, **keys: Any) -> Any:
        return session.create_client(service, region_name=settings.region, **keys)

    said = {"RoleSessionName": settings.role_session_name or "headgate"}
    if settings.external_id:
        said["ExternalId"] = settings.external_id
    known = cast("Any", credentials)
    fetcher = known.AssumeRoleCredentialFetcher(create_client, found, settings.role_arn, extra_args=said)
    return known.DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")
