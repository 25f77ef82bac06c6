"""Tokens of Google Cloud: of every kind of credentials, over the gateway's outbound path, fetched once and renewed in time."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import exceptions  # pyright: ignore[reportMissingTypeStubs]

from headgate.errors import ProviderFailed
from headgate.testing import Recorded, ReplayUpstream, eventually
from headgate.upstream import UpstreamRequest
from headgate_vertex.credentials import EARLY_S, Info, Tokens, found_info, parse_info
from headgate_vertex.transport import METADATA_ADDRESS, GuardedRequest, request_of

TOKEN_URL = "https://oauth2.googleapis.com/token"
STS_URL = "https://sts.googleapis.com/v1/token"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def make_key() -> str:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


KEY = make_key()
SERVICE_ACCOUNT: Info = {
    "type": "service_account",
    "project_id": "my-project",
    "private_key_id": "k1",
    "private_key": KEY,
    "client_email": "robot@my-project.iam.gserviceaccount.com",
    "token_uri": TOKEN_URL,
}
USER: Info = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}


def granted(token: str, lasting_s: int = 3600) -> Recorded:
    return Recorded.from_json({"access_token": token, "expires_in": lasting_s, "token_type": "Bearer"})


class Clock:
    """Seconds that pass when a test says so, from now on: google-auth reckons expiry by the real time."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def form_of(request: UpstreamRequest) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.body.decode()).items()}


async def test_a_service_account() -> None:
    """It signs who it is and what it wants, and gets a token for that."""
    upstream = ReplayUpstream({"/token": granted("ya29.sa")})
    tokens = Tokens(SERVICE_ACCOUNT, upstream)
    assert (await tokens.token()).reveal() == "ya29.sa"
    [request] = upstream.requests
    assert (request.method, request.url) == ("POST", TOKEN_URL)
    form = form_of(request)
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = json.loads(urlsafe_b64decode(form["assertion"].split(".")[1] + "=="))
    assert (claims["iss"], claims["aud"], claims["scope"]) == (SERVICE_ACCOUNT["client_email"], TOKEN_URL, SCOPE)
    assert claims["exp"] - claims["iat"] <= 3600
    assert tokens.secrets() == (b"ya29.sa",)


async def test_a_user() -> None:
    """What gcloud writes for a person: a refresh token."""
    upstream = ReplayUpstream({"/token": granted("ya29.user")})
    assert (await Tokens(USER, upstream).token()).reveal() == "ya29.user"
    form = form_of(upstream.requests[0])
    assert (form["grant_type"], form["refresh_token"]) == ("refresh_token", "r")


async def test_workload_identity_from_a_file(tmp_path: Path) -> None:
    """A token of another identity provider, read from a file, is exchanged, and an account taken on with it."""
    (tmp_path / "subject").write_text("their-token")
    account = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@p.iam.gserviceaccount.com:generateAccessToken"
    info: Info = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": STS_URL,
        "service_account_impersonation_url": account,
        "credential_source": {"file": str(tmp_path / "subject")},
    }
    taken = Recorded.from_json({"accessToken": "ya29.wif", "expireTime": "2099-01-01T00:00:00Z"})
    exchanged = {"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}
    upstream = ReplayUpstream(
        {
            "/v1/token": Recorded.from_json({**json.loads(granted("sts").body), **exchanged}),
            urlsplit(account).path: taken,
        }
    )
    assert (await Tokens(info, upstream).token()).reveal() == "ya29.wif"
    assert [request.url for request in upstream.requests] == [STS_URL, account]
    assert form_of(upstream.requests[0])["subject_token"] == "their-token"
    assert dict(upstream.requests[1].headers)[b"authorization"] == b"Bearer sts"


async def test_workload_identity_on_azure() -> None:
    """A token may come from an address, such as the metadata server of another cloud."""
    source = {
        "url": "http://169.254.169.254/metadata/identity/oauth2/token?resource=x",
        "headers": {"Metadata": "True"},
        "format": {"type": "json", "subject_token_field_name": "access_token"},
    }
    info: Info = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/az",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": STS_URL,
        "credential_source": source,
    }
    exchanged = {"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}
    upstream = ReplayUpstream(
        {
            "/metadata/identity/oauth2/token": Recorded.from_json({"access_token": "azure"}),
            "/v1/token": Recorded.from_json({**json.loads(granted("ya29.az").body), **exchanged}),
        }
    )
    assert (await Tokens(info, upstream).token()).reveal() == "ya29.az"
    first = upstream.requests[0]
    assert (first.private_hosts, dict(first.headers)[b"metadata"]) == (frozenset({METADATA_ADDRESS}), b"True")
    assert form_of(upstream.requests[1])["subject_token"] == "azure"


async def test_workload_identity_on_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signed call of AWS's STS is exchanged; the instance is asked for its keys with a session token (IMDSv2)."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    root = "/latest/meta-data"
    info: Info = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/aws",
        "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
        "token_url": STS_URL,
        "credential_source": {
            "environment_id": "aws1",
            "region_url": f"http://{METADATA_ADDRESS}{root}/placement/availability-zone",
            "url": f"http://{METADATA_ADDRESS}{root}/iam/security-credentials",
            "imdsv2_session_token_url": f"http://{METADATA_ADDRESS}/latest/api/token",
            "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
        },
    }
    exchanged = {"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}
    upstream = ReplayUpstream(
        {
            "/latest/api/token": Recorded(headers=(("content-type", "text/plain"),), body=b"imds-session"),
            f"{root}/placement/availability-zone": Recorded(
                headers=(("content-type", "text/plain"),), body=b"us-east-1b"
            ),
            f"{root}/iam/security-credentials": Recorded(headers=(("content-type", "text/plain"),), body=b"node"),
            f"{root}/iam/security-credentials/node": Recorded.from_json(
                {"AccessKeyId": "ASIA1", "SecretAccessKey": "secret", "Token": "token"}
            ),
            "/v1/token": Recorded.from_json({**json.loads(granted("ya29.aws").body), **exchanged}),
        }
    )
    assert (await Tokens(info, upstream).token()).reveal() == "ya29.aws"
    asked = [request for request in upstream.requests if urlsplit(request.url).path.startswith(root)]
    assert len(asked) == 3
    assert {dict(request.headers).get(b"x-aws-ec2-metadata-token") for request in asked} == {b"imds-session"}
    signed = json.loads(unquote(form_of(upstream.requests[-1])["subject_token"]))
    assert signed["url"] == "https://sts.us-east-1.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"


async def test_impersonation() -> None:
    """One account that acts as another."""
    account = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/b@p.iam.gserviceaccount.com:generateAccessToken"
    info: Info = {
        "type": "impersonated_service_account",
        "service_account_impersonation_url": account,
        "source_credentials": dict(USER),
        "delegates": [],
    }
    upstream = ReplayUpstream(
        {
            "/token": granted("source"),
            urlsplit(account).path: Recorded.from_json(
                {"accessToken": "ya29.imp", "expireTime": "2099-01-01T00:00:00Z"}
            ),
        }
    )
    assert (await Tokens(info, upstream).token()).reveal() == "ya29.imp"
    assert [request.url for request in upstream.requests] == [TOKEN_URL, account]


async def test_the_metadata_server() -> None:
    """Where nothing else is set, the machine's own account is asked for, at the address that the name stands for."""
    flavored = (("content-type", "application/json"), ("metadata-flavor", "Google"))
    root = "/computeMetadata/v1/instance/service-accounts/default"
    account = {"email": "vm@p.iam.gserviceaccount.com", "scopes": [SCOPE], "aliases": ["default"]}
    upstream = ReplayUpstream(
        {
            "": Recorded(headers=flavored, body=b"computeMetadata/"),
            f"{root}/": Recorded.from_json(account).varied(headers=flavored),
            f"{root}/token": granted("ya29.vm").varied(headers=flavored),
            "/computeMetadata/v1/instance/service-accounts/vm@p.iam.gserviceaccount.com/token": granted(
                "ya29.vm"
            ).varied(headers=flavored),
        }
    )
    assert (await Tokens(None, upstream).token()).reveal() == "ya29.vm"
    assert {urlsplit(request.url).hostname for request in upstream.requests} == {METADATA_ADDRESS}
    assert {request.private_hosts for request in upstream.requests} == {frozenset({METADATA_ADDRESS})}


async def test_nothing_at_all() -> None:
    """The message says where credentials can be set."""
    with pytest.raises(ProviderFailed, match="GOOGLE_APPLICATION_CREDENTIALS") as caught:
        await Tokens(None, ReplayUpstream()).token()
    assert caught.value.error_code == "upstream_credentials"


def test_files_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file that the environment names comes first, then the one of gcloud."""
    assert found_info() is None
    folder = tmp_path / "gcloud"
    folder.mkdir()
    (folder / "application_default_credentials.json").write_text(json.dumps(USER))
    assert found_info() == USER
    named = tmp_path / "key.json"
    named.write_text(json.dumps(SERVICE_ACCOUNT))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(named))
    assert found_info() == SERVICE_ACCOUNT


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"type": "api_key"}', "\\xff"])
def test_files_that_are_none(text: str) -> None:
    """What is wrong is said, and nothing of what is in it."""
    with pytest.raises(ValueError, match=r"JSON object|`type`"):
        parse_info(text)


async def test_one_refresh_for_all() -> None:
    """Many calls at once wait for one fetch, and those after it need none."""
    upstream = ReplayUpstream({"/token": granted("ya29.one")})
    tokens = Tokens(USER, upstream)
    found = await asyncio.gather(*(tokens.token() for _ in range(20)))
    assert {token.reveal() for token in found} == {"ya29.one"}
    await tokens.token()
    assert len(upstream.requests) == 1


async def test_renewed_before_it_expires() -> None:
    """Shortly before a token expires it is still used while another is fetched; an expired one is waited for."""
    upstream = ReplayUpstream({"/token": [granted("first"), granted("second"), granted("third")]})
    clock = Clock()
    tokens = Tokens(USER, upstream, clock)
    assert (await tokens.token()).reveal() == "first"
    clock.now += 3600 - EARLY_S - 5
    assert (await tokens.token()).reveal() == "first"
    assert len(upstream.requests) == 1
    clock.now += 10
    assert (await tokens.token()).reveal() == "first"
    await eventually(lambda: tokens.secrets() == (b"second", b"first"), "the next token came")
    clock.now += 7200
    assert (await tokens.token()).reveal() == "third"


async def test_a_caller_who_leaves() -> None:
    """A call that is given up does not end the fetch the others wait for."""
    upstream = ReplayUpstream({"/token": granted("ya29.x").varied(delay_s=0.05)})
    tokens = Tokens(USER, upstream)
    gone, stays = asyncio.create_task(tokens.token()), asyncio.create_task(tokens.token())
    await eventually(lambda: upstream.requests, "the fetch began")
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert (await stays).reveal() == "ya29.x"
    assert len(upstream.requests) == 1


async def test_failures() -> None:
    """A failure is the provider's, says no secret, and is not repeated at once; an old token outlives one."""
    refused = Recorded.from_json(
        {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}, 400
    )
    upstream = ReplayUpstream({"/token": [granted("first"), refused, granted("second")]})
    clock = Clock()
    tokens = Tokens(USER, upstream, clock)
    await tokens.token()
    clock.now += 3600 - EARLY_S + 1
    assert (await tokens.token()).reveal() == "first"
    await eventually(lambda: tokens._failed, "the refresh failed")  # pyright: ignore[reportPrivateUsage]
    assert (await tokens.token()).reveal() == "first"
    assert len(upstream.requests) == 2
    clock.now += 11
    await tokens.token()
    await eventually(lambda: tokens.secrets()[0] == b"second", "it was tried again")
    broken = Tokens(USER, ReplayUpstream({"/token": refused}), clock)
    for _ in range(2):
        with pytest.raises(ProviderFailed) as caught:
            await broken.token()
        assert "revoked" not in caught.value.message
        assert caught.value.error_code == "upstream_credentials"


def test_requests_of_google_auth() -> None:
    """Headers are lower case, bodies are bytes, limits hold, and the metadata server is called by its address."""
    request = request_of(
        "http://metadata.google.internal/computeMetadata/v1/x", "GET", None, {"Metadata-Flavor": "Google"}, 3
    )
    assert request.url == f"http://{METADATA_ADDRESS}/computeMetadata/v1/x"
    assert request.headers == ((b"metadata-flavor", b"Google"),)
    assert (request.body, request.timeouts.total_s) == (b"", 3)
    assert request_of(TOKEN_URL, "POST", "a=b", {}, 900).timeouts.total_s == 20
    assert request_of(TOKEN_URL, "POST", "a=b", {}, 900).body == b"a=b"


async def test_a_network_that_fails() -> None:
    """google-auth is told in its own words."""
    upstream: Any = ReplayUpstream({"*": Recorded(cut_at=0, body=b"x")})
    request = GuardedRequest(upstream, asyncio.get_running_loop())
    with pytest.raises(exceptions.TransportError):
        await asyncio.to_thread(request, TOKEN_URL)
