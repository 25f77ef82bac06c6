"""Where AWS keys come from, against servers on loopback that answer as AWS's do; and how they are kept fresh."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import botocore.utils  # pyright: ignore[reportMissingTypeStubs]
import pytest
import structlog.testing

from headgate.errors import ProviderFailed
from headgate.secret import Secret
from headgate.testing import MockUpstream, Recorded, eventually
from headgate_bedrock import credentials
from headgate_bedrock.credentials import KeyChain, Settings
from headgate_bedrock.sigv4 import Keys

HOUR_S = 3600.0
ROLE = "arn:aws:iam::123456789012:role/models"
TEXT = (("content-type", "text/plain"),)
XML = (("content-type", "text/xml"),)


@pytest.fixture
async def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[MockUpstream]:
    """One server for STS, the container and the instance, and an environment that knows nothing else."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    async with MockUpstream() as upstream:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", upstream.url)
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", upstream.url)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield upstream


def settings(profile: str = "", role_arn: str = "") -> Settings:
    return Settings("eu-west-1", None, profile, role_arn)


def keys(name: str, token: str | None = None) -> Keys:
    return Keys(f"AK{name}", Secret(f"secret-{name}"), Secret(token) if token else None)


def expiring(name: str, seconds: float = HOUR_S) -> Recorded:
    """Keys as the container's endpoint and the instance's metadata give them."""
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    return Recorded.from_json(
        {
            "Code": "Success",
            "AccessKeyId": f"AK{name}",
            "SecretAccessKey": f"secret-{name}",
            "Token": f"token-{name}",
            "Expiration": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    )


def short(name: str, seconds: float) -> tuple[Recorded, Recorded]:
    """Keys that expire soon, twice: botocore asks again when the first ones it gets are about to expire."""
    return expiring(name, seconds), expiring(name, seconds)


def assumed(name: str, action: str = "AssumeRole", seconds: float = HOUR_S) -> Recorded:
    """Keys as STS gives them."""
    until = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = f"""<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>
        <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/models/x</Arn><AssumedRoleId>A:x</AssumedRoleId></AssumedRoleUser>
        <Credentials><AccessKeyId>AK{name}</AccessKeyId><SecretAccessKey>secret-{name}</SecretAccessKey>
        <SessionToken>token-{name}</SessionToken><Expiration>{until}</Expiration></Credentials>
        </{action}Result><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{action}Response>"""
    return Recorded(headers=XML, body=body.encode())


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


# where keys come from


async def test_static_keys_need_nobody(aws: MockUpstream) -> None:
    """Keys in the configuration are used as they are."""
    chain = KeyChain(Settings("eu-west-1", keys("1", "token")))
    assert await chain.keys() == keys("1", "token")
    assert aws.requests == []
    assert chain.secrets() == (b"secret-1", b"token")


async def test_environment(aws: MockUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual variables, with a session token if there is one."""
    for name, value in {"ACCESS_KEY_ID": "AKe", "SECRET_ACCESS_KEY": "secret-e", "SESSION_TOKEN": "token-e"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    assert await KeyChain(settings()).keys() == keys("e", "token-e")


async def test_profile(aws: MockUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile of the shared file; one that is named goes before the environment."""
    write(tmp_path / ".aws" / "credentials", "[team]\naws_access_key_id = AKp\naws_secret_access_key = secret-p\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKe")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-e")
    assert await KeyChain(settings(profile="team")).keys() == keys("p")
    assert await KeyChain(settings()).keys() == keys("e")


async def test_role_of_a_profile(aws: MockUpstream, tmp_path: Path) -> None:
    """A profile that names a role and where its keys come from has that role assumed."""
    write(tmp_path / ".aws" / "credentials", "[base]\naws_access_key_id = AKb\naws_secret_access_key = secret-b\n")
    said = f"[profile team]\nrole_arn = {ROLE}\nsource_profile = base\nexternal_id = ext\n"
    write(tmp_path / ".aws" / "config", said)
    aws.answer("/", assumed("r"))
    assert await KeyChain(settings(profile="team")).keys() == keys("r", "token-r")
    assert b"ExternalId=ext" in aws.requests[0].body


async def test_assumed_role(aws: MockUpstream) -> None:
    """The deployment's role is assumed with its keys, external id and session name; the call is signed with its keys."""
    aws.answer("/", assumed("r"))
    chain = KeyChain(Settings("eu-west-1", keys("s"), "", ROLE, "partner-7", "gateway"))
    assert await chain.keys() == keys("r", "token-r")
    body = aws.requests[0].body
    assert b"Action=AssumeRole&" in body
    assert b"ExternalId=partner-7" in body
    assert b"RoleSessionName=gateway" in body
    assert "Credential=AKs/" in (aws.requests[0].header("authorization") or "")
    assert "/eu-west-1/sts/" in (aws.requests[0].header("authorization") or "")


async def test_web_identity(aws: MockUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod's token (IRSA) is exchanged for keys of its role, without a signature; the file is read each time."""
    write(tmp_path / "pod" / "token", "jwt-1")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "pod" / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    aws.answer("/", assumed("w", "AssumeRoleWithWebIdentity", 30), assumed("w2", "AssumeRoleWithWebIdentity"))
    chain = KeyChain(settings())
    assert await chain.keys() == keys("w", "token-w")
    write(tmp_path / "pod" / "token", "jwt-2")
    assert await chain.keys() == keys("w2", "token-w2")
    assert [b"WebIdentityToken=jwt-1" in aws.requests[0].body, b"WebIdentityToken=jwt-2" in aws.requests[1].body] == [
        True,
        True,
    ]
    assert aws.requests[0].header("authorization") is None


async def test_container_full_uri(aws: MockUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EKS Pod Identity: the full URI, with the token of a file."""
    write(tmp_path / "pod" / "token", "pod-token")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{aws.url}/v1/credentials")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "pod" / "token"))
    aws.answer("/v1/credentials", expiring("c"))
    assert await KeyChain(settings()).keys() == keys("c", "token-c")
    assert aws.requests[0].header("authorization") == "pod-token"


async def test_container_relative_uri(aws: MockUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """ECS: a path below the address of the container's agent, with a token of the environment."""
    address = aws.url.removeprefix("http://")
    monkeypatch.setattr(botocore.utils.ContainerMetadataFetcher, "IP_ADDRESS", address)  # pyright: ignore[reportUnknownMemberType]
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/uuid")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "task-token")
    aws.answer("/v2/credentials/uuid", expiring("t"))
    assert await KeyChain(settings()).keys() == keys("t", "token-t")
    assert aws.requests[0].header("authorization") == "task-token"


async def test_instance_metadata(aws: MockUpstream) -> None:
    """EC2, second version: a session token first, then the role's name, then its keys."""
    role = "/latest/meta-data/iam/security-credentials/"
    aws.answer("/latest/api/token", Recorded(headers=TEXT, body=b"session"))
    aws.answer(role, Recorded(headers=TEXT, body=b"models"))
    aws.answer(f"{role}models", expiring("i"))
    assert await KeyChain(settings()).keys() == keys("i", "token-i")
    assert (aws.requests[0].method, aws.requests[0].path) == ("PUT", "/latest/api/token")
    assert {one.header("x-aws-ec2-metadata-token") for one in aws.requests[1:]} == {"session"}


async def test_role_on_top_of_what_is_found(aws: MockUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A role is assumed with whatever keys the chain finds, here those of the container."""
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{aws.url}/creds")
    aws.answer("/creds", expiring("c"))
    aws.answer("/", assumed("r"))
    assert await KeyChain(settings(role_arn=ROLE)).keys() == keys("r", "token-r")
    assert b"RoleSessionName=headgate" in aws.requests[1].body
    assert aws.requests[1].header("x-amz-security-token") == "token-c"


# keeping them fresh


@pytest.fixture
def container(aws: MockUpstream, monkeypatch: pytest.MonkeyPatch) -> MockUpstream:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{aws.url}/creds")
    return aws


async def test_good_keys_are_kept(container: MockUpstream) -> None:
    """Keys that are good for an hour are fetched once, however many calls there are."""
    container.answer("/creds", expiring("1"), expiring("2"))
    chain = KeyChain(settings())
    held = await asyncio.gather(*(chain.keys() for _ in range(50)))
    assert {one.access_key_id for one in held} == {"AK1"}
    assert (await chain.keys()).access_key_id == "AK1"
    assert len(container.requests) == 1


async def test_keys_are_renewed_before_they_expire(container: MockUpstream) -> None:
    """With nine minutes left new keys are fetched in the background, once, while calls go on with the old ones."""
    container.answer("/creds", *short("1", 540), expiring("2").varied(delay_s=0.2))
    chain = KeyChain(settings())
    assert (await chain.keys()).access_key_id == "AK1"
    held = [await chain.keys() for _ in range(20)]
    assert {one.access_key_id for one in held} == {"AK1"}
    await eventually(lambda: chain.secrets()[0] == b"secret-2", "the new keys came")
    assert len(container.requests) == 3


async def test_expired_keys_are_waited_for(container: MockUpstream) -> None:
    """With half a minute left nobody is sent off with the old keys; all wait for one fetch."""
    container.answer("/creds", *short("1", 30), expiring("2").varied(delay_s=0.1))
    chain = KeyChain(settings())
    await chain.keys()
    held = await asyncio.gather(*(chain.keys() for _ in range(20)))
    assert {one.access_key_id for one in held} == {"AK2"}
    assert len(container.requests) == 3


async def test_the_loop_goes_on(container: MockUpstream) -> None:
    """While keys are fetched the event loop keeps turning."""
    container.answer("/creds", expiring("1").varied(delay_s=0.5))
    chain = KeyChain(settings())
    task, longest, last = asyncio.create_task(chain.keys()), 0.0, time.monotonic()
    while not task.done():
        await asyncio.sleep(0.005)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    assert (await task).access_key_id == "AK1"
    assert longest < 0.25


async def test_a_failed_renewal_leaves_good_keys(container: MockUpstream) -> None:
    """Keys with some minutes left still count when renewing them fails, and it is not tried again at once."""
    refused = Recorded(status=500, headers=TEXT, body=b"no")
    container.answer("/creds", *short("1", 300), refused)
    chain = KeyChain(settings())
    assert (await chain.keys()).access_key_id == "AK1"
    with structlog.testing.capture_logs() as logged:
        await chain.keys()
        await eventually(lambda: logged, "the renewal failed")
    tried = len(container.requests)
    for _ in range(20):
        assert (await chain.keys()).access_key_id == "AK1"
    assert len(container.requests) == tried


async def test_no_keys_anywhere(aws: MockUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any keys a call fails with the gateway's own code, quickly for those that follow, and again after a while."""
    monkeypatch.setattr(credentials, "RETRY_S", 0.05)
    chain = KeyChain(settings())
    for _ in range(3):
        with pytest.raises(ProviderFailed, match="NoCredentialsError") as caught:
            await chain.keys()
        assert caught.value.error_code == "upstream_credentials"
    asked = len(aws.requests)
    role = "/latest/meta-data/iam/security-credentials/"
    aws.answer("/latest/api/token", Recorded(headers=TEXT, body=b"session"))
    aws.answer(role, Recorded(headers=TEXT, body=b"models"))
    aws.answer(f"{role}models", expiring("i"))
    found: Keys | None = None
    async with asyncio.timeout(5):
        while found is None:
            with contextlib.suppress(ProviderFailed):
                found = await chain.keys()
            await asyncio.sleep(0)
    assert found.access_key_id == "AKi"
    assert len(aws.requests) > asked


async def test_a_refused_role_says_why_in_the_log(aws: MockUpstream, capsys: pytest.CaptureFixture[str]) -> None:
    """Callers learn that keys are missing; account numbers and roles stand in the log alone."""
    body = f"<ErrorResponse><Error><Code>AccessDenied</Code><Message>not to {ROLE}</Message></Error></ErrorResponse>"
    aws.answer("/", Recorded(status=403, headers=XML, body=body.encode()))
    with pytest.raises(ProviderFailed) as caught:
        await KeyChain(Settings("eu-west-1", keys("s"), "", ROLE)).keys()
    assert "123456789012" not in caught.value.message
    assert "AccessDenied" in capsys.readouterr().out


async def test_a_fetch_that_hangs_is_given_up(container: MockUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call waits for keys only so long."""
    monkeypatch.setattr(credentials, "LIMIT_S", 0.1)
    container.answer("/creds", expiring("1").varied(delay_s=0.6))
    chain = KeyChain(settings())
    with pytest.raises(ProviderFailed, match="within"):
        await chain.keys()
    await eventually(lambda: chain.secrets() != (), "the keys came after all")
    assert (await chain.keys()).access_key_id == "AK1"
