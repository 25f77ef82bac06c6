"""OCI's request signatures: whose key, and the headers that prove it.

Sources: https://docs.oracle.com/en-us/iaas/Content/API/Concepts/signingrequests.htm,
https://docs.oracle.com/en-us/iaas/Content/API/Concepts/sdkconfig.htm and `oci.signer` and `oci.config` of `oci` 2.189, which sign
what draft-cavage-http-signatures-08 describes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as BadFile
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Struct

from headgate.errors import Problem, StartupError
from headgate.secret import Secret
from headgate.upstream.interface import RawHeaders

CONFIG_FILE = "~/.oci/config"
USUAL_PROFILE = "DEFAULT"
_KEY_ID = ("tenancy", "user", "fingerprint")
_NEEDED = (*_KEY_ID, "key_file")
_GENERIC = ("date", "(request-target)", "host")
_OF_BODIES = ("content-length", "content-type", "x-content-sha256")
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_REPLACED = frozenset({b"authorization", b"date", b"x-content-sha256"})


class Named(Struct, frozen=True):
    """What a deployment says of the key that signs, in the words of OCI's configuration file; all of it may be left out."""

    config_file: str = ""
    profile: str = ""
    tenancy: str = ""
    user: str = ""
    fingerprint: str = ""
    key_file: str = ""
    pass_phrase: Secret | None = None

    @property
    def is_given(self) -> bool:
        """Whether anything is said at all."""
        return self != Named()


class Signer:
    """The API signing key of one user."""

    def __init__(self, key_id: str, key: RSAPrivateKey) -> None:
        self._key_id = key_id
        self._key = key

    def sign(self, method: str, url: str, headers: RawHeaders, body: bytes, now: datetime) -> RawHeaders:
        """`headers` with the date, the digest of a body and the signature; those of an earlier signature are taken out.

        `content-length` and `host` are signed as the outbound engine sends them. Blocks for about a millisecond. `now` is in UTC.
        """
        sent = [pair for pair in headers if pair[0].lower() not in _REPLACED]
        parts = urlsplit(url)
        target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        said = {"date": format_datetime(now, usegmt=True), "(request-target)": f"{method.lower()} {target}"}
        said["host"] = _host_of(url)
        sent.append((b"date", said["date"].encode()))
        names = _GENERIC
        if method in _WITH_BODY:
            names += _OF_BODIES
            kind = next((value for name, value in sent if name.lower() == b"content-type"), b"")
            if not kind:
                kind = b"application/json"
                sent.append((b"content-type", kind))
            digest = base64.b64encode(hashlib.sha256(body).digest())
            sent.append((b"x-content-sha256", digest))
            said |= {"content-length": str(len(body)), "content-type": kind.decode("latin-1")}
            said["x-content-sha256"] = digest.decode()
        text = "\n".join(f"{name}: {said[name]}" for name in names)
        signature = base64.b64encode(self._key.sign(text.encode("latin-1"), PKCS1v15(), SHA256())).decode()
        value = (
            f'Signature algorithm="rsa-sha256",headers="{" ".join(names)}",keyId="{self._key_id}",'
            f'signature="{signature}",version="1"'
        )
        return (*sent, (b"authorization", value.encode()))


def read_profile(named: Named) -> Mapping[str, str]:
    """The profile that is named; empty where neither it nor its file is. Raises StartupError."""
    if not (named.profile or named.config_file):
        return {}
    file = Path(named.config_file or CONFIG_FILE).expanduser()
    name = named.profile or USUAL_PROFILE
    parser = ConfigParser(interpolation=None)
    try:
        found = parser.read(file, "utf-8")
    except (BadFile, UnicodeDecodeError, OSError):
        raise StartupError([Problem(f"`{file}` cannot be read as a configuration file of OCI's")]) from None
    if not found:
        raise StartupError([Problem(f"`{file}` is not there: set `config_file` to OCI's configuration file")])
    if name not in parser:
        raise StartupError([Problem(f"`{file}` has no profile `{name}`: set `profile` to one that it has")])
    return dict(parser[name])


def signer_of(named: Named, profile: Mapping[str, str]) -> Signer:
    """The signer that is named, by the deployment before the profile. Raises StartupError with all that is missing."""
    own = {name: getattr(named, name) for name in _NEEDED}
    held = {name: own[name] or profile.get(name, "") for name in _NEEDED}
    problems = [
        Problem(f"`{name}` is missing: set it, or a `profile` that has it") for name in _NEEDED if not held[name]
    ]
    if problems:
        raise StartupError(problems)
    phrase = named.pass_phrase.reveal() if named.pass_phrase else profile.get("pass_phrase", "")
    key = _key_of(_content_of(held["key_file"]), phrase.encode())
    return Signer("/".join(held[name] for name in _KEY_ID), key)


def _content_of(file: str) -> bytes:
    try:
        return Path(file).expanduser().read_bytes()
    except OSError:
        raise StartupError([Problem(f"`key_file` `{file}` cannot be read")]) from None


def _key_of(content: bytes, phrase: bytes) -> RSAPrivateKey:
    """The key in a PEM text. A phrase for a key without one is left aside, for a profile may have it of `DEFAULT`."""
    try:
        try:
            key = load_pem_private_key(content.strip(), phrase or None)
        except TypeError:
            if not phrase:
                raise StartupError([Problem("the signing key has a pass phrase: set `pass_phrase`")]) from None
            key = load_pem_private_key(content.strip(), None)
    except (ValueError, UnsupportedAlgorithm):
        raise StartupError([Problem("the signing key is no private key in PEM, or `pass_phrase` is wrong")]) from None
    if not isinstance(key, RSAPrivateKey):
        raise StartupError([Problem("the signing key must be an RSA key, as OCI's are")])
    return key


@lru_cache(maxsize=256)
def _host_of(url: str) -> str:
    """The host as the outbound engine sends it: lower case, and with a port that is not the scheme's own."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    shown = f"[{host.partition('%')[0]}]" if ":" in host else host
    usual = 443 if parts.scheme == "https" else 80
    return shown if parts.port in {None, usual} else f"{shown}:{parts.port}"
