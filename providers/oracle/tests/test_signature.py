"""Signatures of OCI: what they cover, whose they are, and what is said when there is no key for them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from msgspec.structs import replace
from providers.oracle.tests.oracle_wire import FINGERPRINT, KEY_ID, PHRASE, TENANCY, USER, key_in, private_key, proven

from headgate.errors import StartupError
from headgate.secret import Secret
from headgate.upstream import UpstreamRequest
from headgate_oracle.signature import Named, Signer, read_profile, signer_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SIGNER = Signer(KEY_ID, private_key())
GENERIC = ("date", "(request-target)", "host")
OF_BODIES = ("content-length", "content-type", "x-content-sha256")


@pytest.mark.parametrize("method", ["GET", "DELETE", "HEAD", "POST", "PUT", "PATCH"])
@pytest.mark.parametrize("url", ["https://a.example/x/y%20z?b=1&a=%2F", "https://a.example:8443/"])
def test_what_is_signed(method: str, url: str) -> None:
    """Date, target and host of every call, of those with a body its length, type and digest, in the order of `oci.signer`."""
    has_body = method in {"POST", "PUT", "PATCH"}
    body = b'{"a":1}' if has_body else b""
    given = ((b"content-type", b"application/json; x=1"), (b"authorization", b"old"), (b"date", b"old"))
    headers = SIGNER.sign(method, url, given, body, NOW)
    assert proven(UpstreamRequest(method, url, headers, body)) == (GENERIC + OF_BODIES if has_body else GENERIC)
    assert dict(headers)[b"date"] == b"Fri, 02 Jan 2026 03:04:05 GMT"
    assert len(dict(headers)) == len(headers), "each header once"


def test_an_empty_body_is_signed() -> None:
    """A POST without a body or a type says the digest of nothing, and JSON, as `oci.signer` does."""
    headers = SIGNER.sign("POST", "https://a.example/x", (), b"", NOW)
    assert proven(UpstreamRequest("POST", "https://a.example/x", headers, b"")) == GENERIC + OF_BODIES
    assert dict(headers)[b"content-type"] == b"application/json"


# whose key


def file_in(folder: Path, text: str) -> str:
    file = folder / "config"
    file.write_text(text)
    return str(file)


def named(folder: Path, **more: Any) -> Named:
    held: dict[str, Any] = {"tenancy": TENANCY, "user": USER, "fingerprint": FINGERPRINT, "key_file": key_in(folder)}
    return Named(**{**held, **more})


@pytest.mark.parametrize("phrase", [b"", PHRASE])
def test_a_profile(tmp_path: Path, phrase: bytes) -> None:
    """A profile holds all of it, a key's pass phrase too; what it does not say stands in `DEFAULT`."""
    text = (
        f"[DEFAULT]\nuser={USER}\nfingerprint={FINGERPRINT}\nkey_file={key_in(tmp_path, phrase)}\n"
        f"pass_phrase={PHRASE.decode()}\nregion=eu-frankfurt-1\n[WORK]\ntenancy={TENANCY}\n"
    )
    asked = Named(config_file=file_in(tmp_path, text), profile="WORK")
    profile = read_profile(asked)
    assert profile["region"] == "eu-frankfurt-1"
    headers = signer_of(asked, profile).sign("GET", "https://a.example/", (), b"", NOW)
    proven(UpstreamRequest("GET", "https://a.example/", headers))


def test_the_deployment_goes_before_the_profile(tmp_path: Path) -> None:
    """What the deployment says itself wins."""
    text = f"[DEFAULT]\nuser=other\ntenancy={TENANCY}\nfingerprint={FINGERPRINT}\nkey_file={key_in(tmp_path)}\n"
    asked = Named(config_file=file_in(tmp_path, text), user=USER)
    headers = signer_of(asked, read_profile(asked)).sign("GET", "https://a.example/", (), b"", NOW)
    proven(UpstreamRequest("GET", "https://a.example/", headers))


def test_the_usual_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile alone is one of `~/.oci/config`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".oci").mkdir()
    (tmp_path / ".oci" / "config").write_text("[DEFAULT]\nuser=u\n[WORK]\nregion=r\n")
    assert read_profile(Named(profile="WORK")) == {"user": "u", "region": "r"}


def test_nothing_is_read_without_being_named() -> None:
    """A file that is there for others is not looked at."""
    assert read_profile(Named(user=USER)) == {}
    assert not Named().is_given
    assert Named(profile="WORK").is_given


@pytest.mark.parametrize(
    ("text", "asked", "wrong"),
    [
        ("[DEFAULT]\na=b\n", {"profile": "WORK"}, "has no profile `WORK`"),
        ("no section\n", {"profile": "WORK"}, "cannot be read as a configuration file"),
        (None, {"profile": "WORK"}, "is not there"),
    ],
)
def test_profiles_that_cannot_be_read(tmp_path: Path, text: str | None, asked: Any, wrong: str) -> None:
    """File and profile are named."""
    file = file_in(tmp_path, text) if text else str(tmp_path / "absent")
    with pytest.raises(StartupError, match=wrong):
        read_profile(Named(config_file=file, **asked))


def test_all_that_is_missing_is_said_at_once() -> None:
    """One look at the message is enough."""
    with pytest.raises(StartupError) as caught:
        signer_of(Named(user=USER), {})
    assert [problem.message.split("`")[1] for problem in caught.value.problems] == [
        "tenancy",
        "fingerprint",
        "key_file",
    ]


def test_keys_that_cannot_sign(tmp_path: Path) -> None:
    """No file, no key, a public one, another kind, no phrase and a wrong one: each is said, and no secret with it."""
    file = tmp_path / "other.pem"
    curve = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = private_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for content, wrong in [(b"nothing", "no private key"), (public, "no private key"), (curve, "must be an RSA key")]:
        file.write_bytes(content)
        with pytest.raises(StartupError, match=wrong):
            signer_of(named(tmp_path, key_file=str(file)), {})
    with pytest.raises(StartupError, match="cannot be read"):
        signer_of(named(tmp_path, key_file=str(tmp_path / "absent")), {})
    locked = key_in(tmp_path, PHRASE)
    whole = Named(tenancy=TENANCY, user=USER, fingerprint=FINGERPRINT, key_file=locked)
    with pytest.raises(StartupError, match="has a pass phrase"):
        signer_of(whole, {})
    with pytest.raises(StartupError, match="is wrong") as caught:
        signer_of(replace(whole, pass_phrase=Secret("guess")), {})
    assert "guess" not in str(caught.value)
