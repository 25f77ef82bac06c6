"""Google Cloud credentials: where they come from, and tokens that are always good.

google-auth knows the kinds and how each gets a token. It blocks, so it runs in a thread; no call waits for a refresh unless the
token is about to expire. https://cloud.google.com/docs/authentication/application-default-credentials
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import msgspec
import structlog

from headgate.errors import ProviderFailed
from headgate.secret import Secret
from headgate.upstream import Upstream

SCOPES: tuple[str, ...] = ("https://www.googleapis.com/auth/cloud-platform",)
KINDS = frozenset(
    {
        "service_account",
        "authorized_user",
        "external_account",
        "external_account_authorized_user",
        "impersonated_service_account",
    }
)
"""The values of `type` in a credentials file that google-auth makes tokens of."""
EARLY_S = 225.0
"""A token that expires this soon is renewed in the background. Metadata servers hand out the old one until 300 s before."""
LATE_S = 30.0
"""A token that expires this soon is not used any more."""
RETRY_S = 10.0
"""After a failure nothing is tried again for so long."""
LIMIT_S = 30.0
"""How long a call waits for a token."""
_UNSTATED_S = 300.0
"""How long a token is taken to be good that does not say it."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Info = Mapping[str, Any]


class NoCredentialsError(Exception):
    """None were found; the message says where one would be looked for."""


class Tokens:
    """The access token of one deployment. At most one thread fetches at a time, however many calls ask.

    `info` is the content of a credentials file; None looks in the usual places. `clock` gives Unix seconds.
    """

    def __init__(self, info: Info | None, upstream: Upstream, clock: Callable[[], float] = time.time) -> None:
        self._info = info
        self._upstream = upstream
        self._clock = clock
        self._source: Any = None
        self._token: Secret | None = None
        self._before: Secret | None = None
        self._expires = 0.0
        self._task: asyncio.Task[ProviderFailed | None] | None = None
        self._failed: tuple[float, ProviderFailed] | None = None

    async def token(self) -> Secret:
        """A token that is good for half a minute at least. ProviderFailed (code `upstream_credentials`) when there is none."""
        left_s = self._expires - self._clock()
        if self._token is None or left_s < LATE_S:
            await self._wait()
        elif left_s < EARLY_S and self._may_try():
            self._fetching()
        if self._token is None:
            raise _failure("none came")
        return self._token

    def secrets(self) -> tuple[bytes, ...]:
        """What must not come back in a reply, be it one to a call that was made before this token came."""
        return tuple(token.reveal_bytes() for token in (self._token, self._before) if token is not None)

    def _may_try(self) -> bool:
        return self._failed is None or self._clock() >= self._failed[0]

    async def _wait(self) -> None:
        if self._failed is not None and not self._may_try():
            raise _failure(self._failed[1].message)
        try:
            async with asyncio.timeout(LIMIT_S):
                failed = await asyncio.shield(self._fetching())
        except TimeoutError:
            raise _failure(f"none came within {LIMIT_S:g} s") from None
        if failed is not None:
            raise failed

    def _fetching(self) -> asyncio.Task[ProviderFailed | None]:
        """The refresh under way, begun if there is none."""
        task = self._task
        if task is None or task.done():
            task = self._task = asyncio.create_task(self._fetch())
        return task

    async def _fetch(self) -> ProviderFailed | None:
        """Refresh once. A failure is a result: the calls that wait for it raise it, and the old token may still do."""
        loop = asyncio.get_running_loop()
        try:
            self._source, token, expires = await asyncio.to_thread(
                refresh, self._source, self._info, self._upstream, loop
            )
        except Exception as error:
            log.warning("no Google Cloud token", error=f"{type(error).__name__}: {error}")
            why = (
                str(error)
                if isinstance(error, NoCredentialsError)
                else f"the log has the reason ({type(error).__name__})"
            )
            failed = _failure(why)
            self._failed = (self._clock() + RETRY_S, failed)
            return failed
        self._before, self._token = self._token, Secret(token)
        self._expires = self._clock() + _UNSTATED_S if expires is None else expires
        self._failed = None
        return None


def _failure(why: str) -> ProviderFailed:
    known = "a Google Cloud token for the deployment could not be had: "
    return ProviderFailed(known + why.removeprefix(known), code="upstream_credentials")


def refresh(
    source: Any, info: Info | None, upstream: Upstream, loop: asyncio.AbstractEventLoop
) -> tuple[Any, str, float | None]:
    """A fresh token of `source`, which is made first if there is none, and when it expires. Blocks; raises what google-auth does.

    google-auth is imported here, in the thread: it takes a third of a second.
    """
    from headgate_vertex.transport import GuardedRequest

    request = GuardedRequest(upstream, loop)
    if source is None:
        found = info if info is not None else found_info()
        source = _from_metadata(request) if found is None else from_info(found)
    source.refresh(request)
    expiry: datetime | None = source.expiry
    return source, str(source.token), None if expiry is None else expiry.replace(tzinfo=UTC).timestamp()


def found_info() -> Info | None:
    """The credentials file that the environment names, else the one gcloud wrote; None when there is neither."""
    from google.auth import _cloud_sdk  # pyright: ignore[reportMissingTypeStubs]

    named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    usual = cast("Any", _cloud_sdk).get_application_default_credentials_path()
    path = Path(named or usual)
    if not named and not path.is_file():
        return None
    try:
        return parse_info(path.read_bytes())
    except (OSError, ValueError) as error:
        raise NoCredentialsError(f"the credentials file cannot be used: {error}") from None


def parse_info(text: bytes | str) -> Info:
    """The content of a credentials file. ValueError says what is wrong with it, and nothing of what is in it."""
    try:
        info = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ValueError("it holds no JSON object") from None
    if info.get("type") not in KINDS:
        raise ValueError(f"its `type` is none of {', '.join(sorted(KINDS))}")
    return info


def from_info(info: Info) -> Any:
    """google-auth's credentials for the content of a credentials file."""
    kind, scopes = info["type"], list(SCOPES)
    if kind == "service_account":
        from google.oauth2 import service_account  # pyright: ignore[reportMissingTypeStubs]

        return cast("Any", service_account).Credentials.from_service_account_info(info, scopes=scopes)
    if kind == "authorized_user":
        from google.oauth2 import credentials  # pyright: ignore[reportMissingTypeStubs]

        return cast("Any", credentials).Credentials.from_authorized_user_info(info, scopes=scopes)
    if kind == "impersonated_service_account":
        from google.auth import impersonated_credentials  # pyright: ignore[reportMissingTypeStubs]

        known = cast("Any", impersonated_credentials).Credentials
        return known.from_impersonated_service_account_info(info, scopes=scopes)
    if kind == "external_account_authorized_user":
        from google.auth import external_account_authorized_user  # pyright: ignore[reportMissingTypeStubs]

        return cast("Any", external_account_authorized_user).Credentials.from_info(info, scopes=scopes)
    return _federated(info, scopes)


def _federated(info: Info, scopes: list[str]) -> Any:
    """Workload identity federation: a token of AWS, Azure, a file or a command, exchanged for one of Google's.

    https://google.aip.dev/auth/4117
    """
    from google.auth import aws, identity_pool, pluggable  # pyright: ignore[reportMissingTypeStubs]

    given: Any = info.get("credential_source")
    source = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    if info.get("subject_token_type") == "urn:ietf:params:aws:token-type:aws4_request":
        module: Any = aws
    else:
        module = pluggable if "executable" in source else identity_pool
    return module.Credentials.from_info(info, scopes=scopes)


def _from_metadata(request: Any) -> Any:
    """The service account that the machine, the pod or the function runs as."""
    from google.auth import compute_engine  # pyright: ignore[reportMissingTypeStubs]
    from google.auth.compute_engine import _metadata  # pyright: ignore[reportMissingTypeStubs]

    if not cast("Any", _metadata).ping(request, timeout=3, retry_count=2):
        raise NoCredentialsError(
            "there is no metadata server here; set `credentials` or `credentials_file` of the deployment, or"
            " `GOOGLE_APPLICATION_CREDENTIALS`"
        )
    return cast("Any", compute_engine).Credentials(scopes=list(SCOPES))
