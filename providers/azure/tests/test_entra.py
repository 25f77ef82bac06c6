"""Tokens: what is asked for them, that one call asks at a time, and that no call waits while the old one is good."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import ProviderFailed
from headgate.exchange import Attempt, Exchange, Target
from headgate.operations import CHAT
from headgate.provider import Provider
from headgate.secret import Secret
from headgate.testing import Recorded, ReplayUpstream, eventually
from headgate.testing.samples import ERRORS, REPLY
from headgate.upstream import UpstreamRequest
from headgate_azure import AzureFoundry, AzureOpenAI
from headgate_azure.entra import Token, token_of
from headgate_azure.tokens import EARLY_S, LATE_S, RETRY_S, Tokens, state_of

TOKEN_PATH = "/tenant/oauth2/v2.0/token"
IMDS_PATH = "/metadata/identity/oauth2/token"
ENTRA: dict[str, Any] = {
    "auth": "entra",
    "tenant_id": "tenant",
    "client_id": "app:1",
    "client_secret": Secret("se+cret/="),
}
DENIED = {"error": "invalid_client", "error_description": "AADSTS7000215: wrong\r\nTrace ID: 1"}
NOW = 1_700_000_000.0


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET", "FEDERATED_TOKEN_FILE", "AUTHORITY_HOST"):
        monkeypatch.delenv(f"AZURE_{name}", raising=False)
    monkeypatch.delenv("IDENTITY_ENDPOINT", raising=False)
    monkeypatch.delenv("IDENTITY_HEADER", raising=False)


def granted(value: str = "tok-1234567890", **members: Any) -> Recorded:
    return Recorded.from_json({"token_type": "Bearer", "access_token": value, "expires_in": 3599, **members})


def deploy(upstream: ReplayUpstream, kind: type[AzureOpenAI] = AzureOpenAI, **config: Any) -> Provider:
    held: dict[str, Any] = {"provider": kind.name, "resource": "res", **config}
    return kind("mine", kind.Config(**held), upstream)


def exchange(provider: Provider) -> Exchange:
    ex = Exchange(CHAT, {}, request_id="r", trace_id="t", dialect=None)
    ex.body, ex.model = b'{"model":"m","messages":[]}', "m"
    ex.attempt = Attempt(Target(deployment="mine"), provider, "m", 0.0)
    return ex


async def asked(upstream: ReplayUpstream, **config: Any) -> list[UpstreamRequest]:
    """The requests of one call: for the token, and to the model."""
    provider = deploy(upstream, **config)
    await provider.call(exchange(provider))
    return upstream.requests


def form(request: UpstreamRequest) -> dict[str, str]:
    assert isinstance(request.body, bytes)
    return {name: values[0] for name, values in parse_qs(request.body.decode()).items()}


# the ways to ask


async def test_service_principal() -> None:
    """A client secret goes into the header, bound to the authority; the token goes to the resource alone."""
    upstream = ReplayUpstream({TOKEN_PATH: granted(), "*": REPLY})
    token, call = await asked(upstream, **ENTRA)
    assert (token.method, token.url) == ("POST", f"https://login.microsoftonline.com{TOKEN_PATH}")
    assert form(token) == {"grant_type": "client_credentials", "scope": "https://cognitiveservices.azure.com/.default"}
    assert token.credential is not None
    assert token.credential.origins == frozenset({"https://login.microsoftonline.com:443"})
    header, value = token.credential.field()
    assert (header, b64decode(value.removeprefix(b"Basic "))) == (b"authorization", b"app%3A1:se%2Bcret%2F%3D")
    assert "se+cret" not in repr(token)
    assert call.credential is not None
    assert call.credential.field() == (b"authorization", b"Bearer tok-1234567890")
    assert call.credential.origins == frozenset({"https://res.openai.azure.com:443"})


async def test_other_clouds() -> None:
    """Authority and scope can be others, and Foundry's scope is its own."""
    upstream = ReplayUpstream({TOKEN_PATH: granted(), "*": REPLY})
    token, _ = await asked(upstream, **ENTRA, authority="login.microsoftonline.us", scope="https://x.us/.default")
    assert token.url == f"https://login.microsoftonline.us{TOKEN_PATH}"
    assert form(token)["scope"] == "https://x.us/.default"
    upstream = ReplayUpstream({TOKEN_PATH: granted(), "*": REPLY})
    provider = deploy(upstream, AzureFoundry, **ENTRA)
    await provider.call(exchange(provider))
    assert form(upstream.requests[0])["scope"] == "https://ai.azure.com/.default"


async def test_workload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The federated token is read anew each time, from the file that the cluster names in the environment."""
    file = tmp_path / "token"
    file.write_text("jwt-1\n")
    monkeypatch.setenv("AZURE_TENANT_ID", "tenant")
    monkeypatch.setenv("AZURE_CLIENT_ID", "app")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(file))
    upstream = ReplayUpstream({TOKEN_PATH: granted(expires_in=1), "*": REPLY})
    provider = deploy(upstream, auth="workload")
    await provider.call(exchange(provider))
    file.write_text("jwt-2")
    await provider.call(exchange(provider))
    first, _, second, _ = upstream.requests
    assert form(first) == {
        "grant_type": "client_credentials",
        "client_id": "app",
        "scope": "https://cognitiveservices.azure.com/.default",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": "jwt-1",
    }
    assert form(second)["client_assertion"] == "jwt-2"


async def test_unreadable_token_file(tmp_path: Path) -> None:
    """A missing file is told by its name, before anything is sent."""
    upstream = ReplayUpstream({"*": REPLY})
    provider = deploy(upstream, auth="workload", tenant_id="tenant", client_id="app", token_file=str(tmp_path / "none"))
    with pytest.raises(ProviderFailed, match=r"token file `.*none` cannot be read") as caught:
        await provider.call(exchange(provider))
    assert (caught.value.error_code, caught.value.deployment) == ("upstream_credentials", "mine")
    assert upstream.requests == []


async def test_machine() -> None:
    """The metadata service is asked at its address, which only this call may reach; one of several identities is named."""
    upstream = ReplayUpstream({IMDS_PATH: granted(expires_in="3599", expires_on="1700003599"), "*": REPLY})
    token, call = await asked(upstream, auth="managed", client_id="id-2")
    parts = urlsplit(token.url)
    assert (token.method, parts.netloc, parts.path) == ("GET", "169.254.169.254", IMDS_PATH)
    assert parse_qs(parts.query) == {
        "api-version": ["2018-02-01"],
        "resource": ["https://cognitiveservices.azure.com"],
        "client_id": ["id-2"],
    }
    assert (b"metadata", b"true") in token.headers
    assert token.private_hosts == frozenset({"169.254.169.254"})
    assert call.private_hosts == frozenset()


async def test_app_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app service has an endpoint of its own, whose key is bound to it; its answer says only when the token ends."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:41741/msi/token/")
    monkeypatch.setenv("IDENTITY_HEADER", "header-secret")
    answer = Recorded.from_json({"access_token": "tok-1234567890", "expires_on": "4102444800"})
    token, _ = await asked(ReplayUpstream({"/msi/token/": answer, "*": REPLY}), auth="managed")
    assert parse_qs(urlsplit(token.url).query)["api-version"] == ["2019-08-01"]
    assert token.credential is not None
    assert token.credential.field() == (b"x-identity-header", b"header-secret")
    assert token.credential.origins == frozenset({"http://127.0.0.1:41741"})
    assert token.private_hosts == frozenset({"127.0.0.1"})


# answers


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        (Recorded.from_json(DENIED, 401), "401: AADSTS7000215: wrong$"),
        (Recorded.from_json({"message": "no identity"}, 400), "400: no identity"),
        (ERRORS[502], "status 502$"),
        (Recorded.from_json({"access_token": "", "expires_in": 1}), "no token"),
        (Recorded.from_json({"access_token": "t"}), "no token"),
        (Recorded.from_json([1]), "no token"),
        (Recorded(body=b"<html>"), "no token"),
    ],
)  # fmt: skip
async def test_no_token(answer: Recorded, match: str) -> None:
    """Whatever is wrong with the answer, the call fails with the authority's own first line, and nothing reaches the model."""
    upstream = ReplayUpstream({TOKEN_PATH: answer, "*": REPLY})
    provider = deploy(upstream, **ENTRA)
    with pytest.raises(ProviderFailed, match=match) as caught:
        await provider.call(exchange(provider))
    assert (caught.value.error_code, caught.value.provider) == ("upstream_credentials", "azure-openai")
    assert "se+cret" not in caught.value.message
    assert len(upstream.requests) == 1


NAMES = st.sampled_from(["access_token", "expires_in", "expires_on"])
VALUES = st.none() | st.integers() | st.floats() | st.text(max_size=5)


@given(
    st.binary(max_size=200) | st.dictionaries(NAMES, VALUES).map(lambda held: json.dumps(held).encode()),
    st.sampled_from([200, 400]),
)
def test_any_answer_is_a_token_or_an_error(body: bytes, status: int) -> None:
    """No answer does anything else."""
    try:
        token = token_of(status, body, "host", NOW)
    except ProviderFailed:
        return
    assert token.value.reveal()


async def test_a_token_never_comes_back() -> None:
    """A vendor that echoes the token does not give it to the caller."""
    answer = REPLY.varied(body=REPLY.body.replace(b"Hello", b"tok-1234567890"))
    upstream = ReplayUpstream({TOKEN_PATH: granted(), "*": answer})
    provider = deploy(upstream, **ENTRA)
    reply = await provider.call(exchange(provider))
    chunks: Any = reply.chunks
    body = b"".join([piece async for piece in chunks])
    assert b"tok-1234567890" not in body
    assert b"[redacted]" in body


# when it is asked


class Clock:
    """A time that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Ways:
    """A source that counts."""

    async def request(self) -> UpstreamRequest:
        return UpstreamRequest("POST", "https://login.example/token")


def tokens_over(upstream: ReplayUpstream, clock: Clock) -> Tokens:
    return Tokens(Ways(), upstream, clock)


@pytest.mark.parametrize(
    ("left_s", "state"),
    [(EARLY_S, "good"), (EARLY_S - 1, "ending"), (LATE_S, "ending"), (LATE_S - 1, "gone"), (-5, "gone")],
)
def test_states(left_s: float, state: str) -> None:
    """A token is good, then ends and is renewed, then is used no more."""
    assert state_of(Token(Secret("t"), NOW + left_s), NOW) == state
    assert state_of(None, NOW) == "gone"


async def test_one_call_asks_for_all() -> None:
    """Fifty calls at once ask once; a token that is good is not asked for again."""
    upstream = ReplayUpstream({"*": granted()})
    tokens = tokens_over(upstream, Clock())
    found = await asyncio.gather(*(tokens.token() for _ in range(50)))
    assert {secret.reveal() for secret in found} == {"tok-1234567890"}
    await tokens.token()
    assert len(upstream.requests) == 1


async def test_renewed_while_the_old_one_serves() -> None:
    """Near its end the old token still serves while one call in the background asks for the next."""
    moment = Clock()
    upstream = ReplayUpstream({"*": [granted("old-token-1"), granted("new-token-2").varied(delay_s=0.01)]})
    tokens = tokens_over(upstream, moment)
    await tokens.token()
    moment.now += 3599 - EARLY_S + 1
    assert {(await tokens.token()).reveal() for _ in range(5)} == {"old-token-1"}
    await eventually(lambda: tokens.secrets() == (b"new-token-2", b"old-token-1"), "the next token came")
    assert (await tokens.token()).reveal() == "new-token-2"
    assert len(upstream.requests) == 2


async def test_a_failed_renewal_waits_and_keeps_the_old_one() -> None:
    """The old token serves on, and nothing is asked again until a while has passed; when it has ended, the failure is told."""
    moment = Clock()
    upstream = ReplayUpstream({"*": [granted("old-token-1"), ERRORS[503]]})
    tokens = tokens_over(upstream, moment)
    await tokens.token()
    moment.now += 3599 - EARLY_S + 1
    await tokens.token()
    await eventually(lambda: len(upstream.responses) == 2 and upstream.responses[1].is_closed, "it was asked again")
    for _ in range(3):
        assert (await tokens.token()).reveal() == "old-token-1"
    assert len(upstream.requests) == 2
    moment.now += RETRY_S
    await tokens.token()
    await eventually(lambda: len(upstream.requests) == 3, "it is asked again after a while")
    moment.now += EARLY_S
    with pytest.raises(ProviderFailed, match="status 503"):
        await tokens.token()


async def test_a_caller_that_leaves_does_not_take_the_token_along() -> None:
    """Cancelling one of two waiting calls leaves the other its token."""
    upstream = ReplayUpstream({"*": granted().varied(delay_s=0.02)})
    tokens = tokens_over(upstream, Clock())
    leaving, staying = asyncio.create_task(tokens.token()), asyncio.create_task(tokens.token())
    await eventually(lambda: upstream.requests, "the token was asked for")
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert (await staying).reveal() == "tok-1234567890"
    assert len(upstream.requests) == 1


async def test_unreachable_authority() -> None:
    """What the outbound path refuses is a failure of credentials, once for each call that waits."""
    upstream = ReplayUpstream({"*": granted().varied(status=302)})
    tokens = tokens_over(upstream, Clock())
    found = await asyncio.gather(tokens.token(), tokens.token(), return_exceptions=True)
    assert [type(error) for error in found] == [ProviderFailed, ProviderFailed]
    assert found[0] is not found[1]
    assert all(isinstance(error, ProviderFailed) and error.error_code == "upstream_credentials" for error in found)
