"""Uploads to the Gemini API that go on in later requests, in which Google's clients say neither a key nor a deployment.

The vendor answers the first request with the address of a session, and that address alone is what later ones know. So the
client is told one of the gateway's own, which carries, signed, whose session it is and where it lives. Source of the protocol:
https://ai.google.dev/gemini-api/docs/files, and google-genai, whose client puts its base URL before the path it was told.
"""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Callable
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct
from typing_extensions import override

from headgate.caller import own_url
from headgate.errors import RequestError
from headgate.exchange import Exchange, Principal, Reply, Target
from headgate.hooks import Call, Hooks, hookimpl
from headgate.operations import GENERATE_UPLOADS

UPLOADS = "uploads"
TTL_S = 24 * 3600.0
"""How long a session can be gone on with, whatever becomes of its key meanwhile."""
ADDRESS = b"x-goog-upload-url"
_PARAMETER = "session"
_PURPOSE = "headgate.upload\0"


class UploadUnknown(RequestError):
    """The address of an upload is none that this gateway made, or its time is over."""

    status = 404
    type = "not_found_error"
    code = "upload_not_found"


class _Session(Struct, frozen=True, omit_defaults=True, array_like=True):
    """Where a session lives, until when (seconds since 1970), at which deployment, and who began it."""

    url: str
    until: float
    deployment: str
    key: str
    user: str = ""
    workspace: str = ""
    organisation: str = ""
    scopes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    priority: int = 0

    def principal(self) -> Principal:
        """Who began it, without what is for calls of models."""
        return Principal(
            self.key,
            user=self.user,
            workspace=self.workspace,
            organisation=self.organisation,
            scopes=self.scopes,
            models=self.models,
            metadata=self.metadata,
            priority=self.priority,
        )


_session = msgspec.json.Decoder(_Session)


def session_url(ex: Exchange) -> str:
    """Where the vendor has the upload that this request goes on with; empty for one that goes on with none."""
    found = ex.data.get(UPLOADS)
    return found.url if isinstance(found, _Session) else ""


class Resumable(Hooks):
    """Gives sessions addresses of the gateway, and finds them again by these. It is the first of all plugins, so that an
    address says who asks even where a key comes along with it.
    """

    operations = frozenset({GENERATE_UPLOADS.name})

    def __init__(self, digest: Callable[[str], str], clock: Callable[[], float] = time.time) -> None:
        self._digest = digest
        self._clock = clock

    @override
    @hookimpl
    async def authenticate(self, ex: Exchange) -> Principal | None:
        named = parse_qs(ex.query.decode("latin-1")).get(_PARAMETER)
        if named is None:
            return None
        session = ex.data[UPLOADS] = self._opened(named[-1])
        return session.principal()

    @override
    @hookimpl
    async def route(self, ex: Exchange) -> Target | None:
        session = ex.data.get(UPLOADS)
        return Target(deployment=session.deployment) if isinstance(session, _Session) else None

    @override
    @hookimpl
    def wrap_call(self, call: Call) -> Call:
        async def carry(ex: Exchange) -> Reply:
            """The address of a session at a host of the caller's choice is told as it is: that host is not one to go on with."""
            reply: Reply = await call(ex)
            if not ex.custom_host and any(name == ADDRESS for name, _ in reply.headers):
                reply.headers = tuple(
                    (name, self._sealed(ex, value.decode("latin-1")).encode() if name == ADDRESS else value)
                    for name, value in reply.headers
                )
            return reply

        return carry

    def _sealed(self, ex: Exchange, url: str) -> str:
        """The gateway's address for the session at `url` that this exchange has begun."""
        who, attempt = ex.principal, ex.attempt
        if who is None or attempt is None:
            raise UploadUnknown("an upload that nobody began cannot be gone on with")
        session = _Session(
            url,
            self._clock() + TTL_S,
            attempt.target.deployment,
            who.key,
            who.user,
            who.workspace,
            who.organisation,
            who.scopes,
            who.models,
            dict(who.metadata),
            who.priority,
        )
        said = base64.urlsafe_b64encode(msgspec.json.encode(session)).decode().rstrip("=")
        return f"{own_url(ex, ex.path)}?{_PARAMETER}={said}.{self._digest(_PURPOSE + said)}"

    def _opened(self, sealed: str) -> _Session:
        """Raises UploadUnknown."""
        said, _, digest = sealed.partition(".")
        if not hmac.compare_digest(self._digest(_PURPOSE + said).encode(), digest.encode("latin-1", "replace")):
            raise UploadUnknown("this gateway has not made the address of this upload; begin it anew")
        session = _session.decode(base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)))
        if session.until < self._clock():
            raise UploadUnknown(f"this upload was begun more than {TTL_S / 3600:g} hours ago; begin it anew")
        return session
