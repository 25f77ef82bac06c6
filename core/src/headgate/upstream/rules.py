"""The gateway's own rules for every outbound call, whatever engine carries it: addresses, credentials, redirects, words."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from headgate.errors import ProviderFailed
from headgate.upstream.addresses import denied_reason
from headgate.upstream.decoding import Decoder, decoder_for
from headgate.upstream.interface import RawHeaders, Tls, UpstreamRequest, origin_of

DNS_TTL_S = 10.0
IDLE_S = 30.0


class DeniedError(Exception):
    """An address the gateway must not connect to. Not an OSError, so that no connector tries the next one."""


def host_of(url: str) -> str:
    """The host of a URL, for messages and address rules. ProviderFailed when it has none."""
    try:
        origin_of(url)
        return urlsplit(url).hostname or ""
    except ValueError:
        raise ProviderFailed("the upstream address is no http or https URL", code="upstream_denied") from None


@lru_cache(maxsize=1024)
def vet_literal(host: str, private_hosts: frozenset[str]) -> None:
    """An address written into the URL never passes a resolver, so it is vetted here. Raises ProviderFailed."""
    if is_literal(host):
        reason = denied_reason(host, allow_private=host in private_hosts, is_literal=host in private_hosts)
        if reason:
            raise ProviderFailed(f"`{host}` may not be reached: {reason}", code="upstream_denied")


def is_literal(host: str) -> bool:
    """Whether a host is an address rather than a name."""
    return ":" in host or host.replace(".", "").isdigit()


def vet_resolved(addresses: list[str], *, allow_private: bool) -> None:
    """Refuse a name as a whole if any of its addresses is denied: the vetted address is the one used."""
    for address in addresses:
        reason = denied_reason(address, allow_private=allow_private)
        if reason:
            hint = "" if allow_private else "; set `allow_private: true` on the deployment if that is intended"
            raise DeniedError(f"it resolves to {reason.partition(' is ')[0]}, {reason.partition(' is ')[2]}{hint}")


def credential_header(request: UpstreamRequest) -> tuple[bytes, bytes] | None:
    """The header that carries the credential. ProviderFailed when it is not bound to the request's origin."""
    credential = request.credential
    if credential is None:
        return None
    if origin_of(request.url) not in credential.origins:
        raise ProviderFailed("the credential is not bound to this origin", code="upstream_denied")
    return credential.field()


def check_status(host: str, status: int) -> None:
    """Refuse what is no final answer, and redirects: following one would carry a request to an unvetted place."""
    if status < 200:
        raise ProviderFailed(f"`{host}` answered with status {status}", code="upstream_bad_reply")
    if 300 <= status < 400:
        raise ProviderFailed(f"`{host}` answered with a redirect, which is not followed", code="upstream_redirect")


def body_decoder(headers: RawHeaders) -> Decoder | None:
    """What undoes the reply's `content-encoding`; None for a plain body. ProviderFailed for more than one encoding."""
    encodings = [value for name, value in headers if name == b"content-encoding"]
    if len(encodings) > 1 or (encodings and b"," in encodings[0]):
        raise ProviderFailed("the body is encoded more than once", code="upstream_bad_encoding")
    return decoder_for(encodings[0].decode("latin-1")) if encodings else None


def ssl_context(tls: Tls) -> ssl.SSLContext:
    """The TLS settings of a deployment; files that were replaced are read again. ProviderFailed names a bad file."""
    files = tuple(file for file in (tls.ca_file, tls.cert_file, tls.key_file) if file)
    return _context(tls, tuple(_stamp(file) for file in files))


@lru_cache(maxsize=64)
def _context(tls: Tls, _stamps: tuple[int, ...]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file or None)
    except (OSError, ssl.SSLError):
        raise _unusable(f"`ca_file` `{tls.ca_file}`") from None
    context.set_alpn_protocols(["http/1.1"])
    if tls.cert_file:
        try:
            context.load_cert_chain(tls.cert_file, tls.key_file or None)
        except (OSError, ssl.SSLError):
            key = f" with `key_file` `{tls.key_file}`" if tls.key_file else ""
            raise _unusable(f"`cert_file` `{tls.cert_file}`{key}") from None
    return context


def _stamp(file: str) -> int:
    try:
        return Path(file).stat().st_mtime_ns
    except OSError:
        return 0  # reading it says what is wrong


def words_of(error: BaseException) -> str:
    """An error of the network in words, without a URL or a class name that a caller has no use for."""
    if isinstance(error, socket.gaierror):
        return "its name does not resolve"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the TLS handshake failed: {error.verify_message.rstrip('.').lower()}"
    if isinstance(error, ssl.SSLError):
        return "the TLS handshake failed"
    number = getattr(error, "errno", None)
    if isinstance(number, int) and number > 0:
        return os.strerror(number).lower()
    return os.strerror(errno.ECONNRESET).lower() if isinstance(error, ConnectionResetError) else "the connection failed"


def _unusable(what: str) -> ProviderFailed:
    return ProviderFailed(f"{what} cannot be read as PEM", code="upstream_tls")
