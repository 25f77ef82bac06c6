"""How to ask for an access token: as a service principal, as the machine, or with a federated token.

Three documented HTTP calls, made over the gateway's own outbound path like every other: azure-identity brings 22 MB, a second
HTTP client and address rules of its own. Sources:
https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow,
https://learn.microsoft.com/en-us/entra/identity/managed-identities-azure-resources/how-to-use-vm-token,
https://learn.microsoft.com/en-us/azure/app-service/overview-managed-identity#rest-endpoint-reference
"""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from headgate.errors import ProviderFailed
from headgate.secret import Secret
from headgate.upstream import Credential, Timeouts, UpstreamRequest, origin_of
from headgate_azure.config import AUTHORITY, AzureConfig, setting

IMDS = "http://169.254.169.254/metadata/identity/oauth2/token"
TIMEOUTS = Timeouts(connect_s=5.0, first_byte_s=15.0, gap_s=5.0, total_s=20.0)
_FORM = (b"content-type", b"application/x-www-form-urlencoded")
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_MAX_TOKEN_BYTES = 64 * 1024


class Source(Protocol):
    """A way to get a token."""

    async def request(self) -> UpstreamRequest:
        """What to send for a token. Raises ProviderFailed (code `upstream_credentials`) when that cannot be said."""
        ...


class Token(Struct, frozen=True):
    """An access token and when it ends, in Unix seconds."""

    value: Secret
    expires_at: float


def source_of(config: AzureConfig, scope: str) -> Source | None:
    """The way that a configuration names; None for keys and tokens of one's own."""
    match config.auth:
        case "entra":
            return ServicePrincipal(config, scope)
        case "workload":
            return Workload(config, scope)
        case "managed":
            return Machine(setting(config, "client_id"), scope)
        case _:
            return None


class ServicePrincipal:
    """A registered application and its secret, which goes into a header and not into the body."""

    def __init__(self, config: AzureConfig, scope: str) -> None:
        self._url = _token_url(config)
        self._body = urlencode({"grant_type": "client_credentials", "scope": scope}).encode()
        pair = f"{quote(setting(config, 'client_id'), safe='')}:{quote(setting(config, 'client_secret'), safe='')}"
        secret = Secret(b64encode(pair.encode()).decode())
        self._credential = Credential("authorization", secret, frozenset({origin_of(self._url)}), "Basic ")

    async def request(self) -> UpstreamRequest:
        """See Source."""
        return UpstreamRequest("POST", self._url, (_FORM,), self._body, self._credential, TIMEOUTS)


class Workload:
    """A token that a cluster puts into a file, and renews there."""

    def __init__(self, config: AzureConfig, scope: str) -> None:
        self._url = _token_url(config)
        self._file = Path(setting(config, "token_file"))
        self._form = {
            "grant_type": "client_credentials",
            "client_id": setting(config, "client_id"),
            "scope": scope,
            "client_assertion_type": _ASSERTION,
        }

    async def request(self) -> UpstreamRequest:
        """See Source."""
        try:
            held = await asyncio.to_thread(self._file.read_text, "utf-8")
        except (OSError, UnicodeDecodeError):
            raise failure(f"the token file `{self._file}` cannot be read") from None
        body = urlencode({**self._form, "client_assertion": held.strip()}).encode()
        return UpstreamRequest("POST", self._url, (_FORM,), body, timeouts=TIMEOUTS)


class Machine:
    """The identity of the machine or of the app service that this runs on. The metadata service is link-local, by its address."""

    def __init__(self, client_id: str, scope: str) -> None:
        self._client_id = client_id
        self._resource = scope.removesuffix("/.default")

    async def request(self) -> UpstreamRequest:
        """See Source."""
        endpoint, key = os.environ.get("IDENTITY_ENDPOINT", ""), os.environ.get("IDENTITY_HEADER", "")
        own = bool(endpoint and key)
        version = "2019-08-01" if own else "2018-02-01"
        query = {"api-version": version, "resource": self._resource}
        query |= {"client_id": self._client_id} if self._client_id else {}
        url = f"{endpoint if own else IMDS}?{urlencode(query)}"
        try:
            origins = frozenset({origin_of(url)})
        except ValueError:
            raise failure("`IDENTITY_ENDPOINT` is no http or https URL") from None
        hosts = frozenset({urlsplit(url).hostname or ""})
        credential = Credential("x-identity-header", Secret(key), origins) if own else None
        headers = () if own else ((b"metadata", b"true"),)
        return UpstreamRequest("GET", url, headers, b"", credential, TIMEOUTS, hosts)


class _Granted(Struct):
    access_token: str
    expires_in: float | None = None
    expires_on: float | None = None


class _Denied(Struct):
    error: str = ""
    error_description: str = ""
    message: str = ""


def token_of(status: int, body: bytes, host: str, now: float) -> Token:
    """What a token endpoint answered at `now`, in Unix seconds. ProviderFailed when that is no token."""
    if status != 200:
        raise failure(f"`{host}` answered with status {status}{_reason(body)}")
    try:
        granted = msgspec.json.decode(body, type=_Granted, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise failure(f"`{host}` answered with no token") from None
    ends = granted.expires_on if granted.expires_in is None else now + granted.expires_in
    if not granted.access_token or len(granted.access_token) > _MAX_TOKEN_BYTES or ends is None:
        raise failure(f"`{host}` answered with no token")
    return Token(Secret(granted.access_token), ends)


def failure(why: str) -> ProviderFailed:
    """No token is to be had."""
    return ProviderFailed(f"no Entra token: {why}", code="upstream_credentials")


def _reason(body: bytes) -> str:
    """The first line of what an error says, which names no secret."""
    try:
        denied = msgspec.json.decode(body, type=_Denied)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    told = (denied.error_description or denied.message or denied.error).strip()
    return f": {told.splitlines()[0][:300]}" if told else ""


def _token_url(config: AzureConfig) -> str:
    authority = (setting(config, "authority") or AUTHORITY).rstrip("/")
    authority = authority if "://" in authority else f"https://{authority}"
    return f"{authority}/{quote(setting(config, 'tenant_id'), safe='')}/oauth2/v2.0/token"
