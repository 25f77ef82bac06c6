"""Azure OpenAI keeps what every provider promises, and calls the right place in both of its APIs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
import pytest

from headgate.builtin import Core
from headgate.dialects import Dialect
from headgate.errors import InvalidRequest, StartupError
from headgate.exchange import Attempt, Exchange, Principal, Target
from headgate.operations import OPERATIONS
from headgate.provider import Provider
from headgate.secret import Secret
from headgate.testing import ProviderContract, ReplayUpstream
from headgate.testing.providers import SECRET
from headgate.testing.samples import REPLY
from headgate.upstream import UpstreamRequest
from headgate_azure import AzureFoundry, AzureOpenAI, catalogue

DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in Core().dialects()}
BY_NAME = {operation.name: operation for operation in OPERATIONS}
DATED = "2024-10-21"
HOST = "https://res.openai.azure.com"
ENVIRONMENT = (
    "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_RESOURCE", "AZURE_FOUNDRY_API_KEY",
    "AZURE_FOUNDRY_ENDPOINT", "AZURE_FOUNDRY_RESOURCE", "ANTHROPIC_FOUNDRY_API_KEY", "ANTHROPIC_FOUNDRY_BASE_URL",
    "ANTHROPIC_FOUNDRY_RESOURCE", "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST", "IDENTITY_ENDPOINT", "IDENTITY_HEADER",
)  # fmt: skip


class TestV1(ProviderContract):
    """The v1 API of a resource."""

    provider = AzureOpenAI
    config: ClassVar[Mapping[str, Any]] = {"api_key": SECRET, "resource": "res"}
    url = f"{HOST}/openai/v1/chat/completions"


class TestDated(ProviderContract):
    """The older API, whose URLs name the deployment."""

    provider = AzureOpenAI
    config: ClassVar[Mapping[str, Any]] = {
        "api_key": SECRET,
        "resource": "res",
        "api_version": DATED,
        "deployments": {"sample-model": "prod 4o"},
    }
    url = f"{HOST}/openai/deployments/prod%204o/chat/completions?api-version={DATED}"


class TestFoundry(ProviderContract):
    """Foundry for models that speak OpenAI's dialect."""

    provider = AzureFoundry
    config: ClassVar[Mapping[str, Any]] = {"api_key": SECRET, "resource": "res"}
    url = "https://res.services.ai.azure.com/openai/v1/chat/completions"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


def deploy(kind: type[Provider] = AzureOpenAI, upstream: ReplayUpstream | None = None, **config: Any) -> Provider:
    held: dict[str, Any] = {"provider": kind.name, "resource": "res", "api_key": Secret("k"), **config}
    return kind("mine", kind.Config(**held), upstream or ReplayUpstream({"*": REPLY}))


def exchange(
    provider: Provider, operation: str = "chat", body: bytes = b'{"model": "gpt-4o", "messages":[]}', **request: Any
) -> Exchange:
    asked = BY_NAME[operation]
    headers: dict[bytes, bytes] = request.pop("headers", {})
    ex = Exchange(asked, headers, request_id="r", trace_id="t", dialect=DIALECTS.get(asked.dialect), **request)
    ex.body, ex.model = body, "gpt-4o"
    attempt = ex.attempt = Attempt(Target(deployment="mine"), provider, ex.model, 0.0)
    spoken = provider.spoken(ex, ex.model)
    assert spoken is not None
    attempt.operation, name = spoken
    if name != asked.dialect:
        attempt.dialect = DIALECTS[name]
    return ex


def passed(provider: Provider, path: str, body: bytes = b"", **request: Any) -> str:
    ex = exchange(provider, "passthrough", body, path=path, method="POST", **request)
    attempt: Any = ex.attempt
    attempt.model = ""
    return provider.prepare(ex).url


def held(request: UpstreamRequest) -> bytes:
    assert isinstance(request.body, bytes)
    return request.body


def own_caller(ex: Exchange, key: str = "caller-key") -> Exchange:
    ex.principal = Principal("caller", credential=Secret(key))
    return ex


# where a call goes


@pytest.mark.parametrize(
    ("operation", "v1", "dated"),
    [
        ("chat", "/v1/chat/completions", "/deployments/gpt-4o/chat/completions"),
        ("completions", "/v1/completions", "/deployments/gpt-4o/completions"),
        ("embeddings", "/v1/embeddings", "/deployments/gpt-4o/embeddings"),
        ("responses", "/v1/responses", "/responses"),
    ],
)
def test_operations_of_both_apis(operation: str, v1: str, dated: str) -> None:
    """The v1 API has the deployment in the body; the older one in the URL, but for Responses, which takes it from the body."""
    assert deploy().prepare(exchange(deploy(), operation)).url == f"{HOST}/openai{v1}"
    older = deploy(api_version=DATED)
    assert older.prepare(exchange(older, operation)).url == f"{HOST}/openai{dated}?api-version={DATED}"


@pytest.mark.parametrize("changes", [{}, {"api_version": DATED}])
def test_purposes_are_left_out(changes: dict[str, Any]) -> None:
    """OpenAI's models know no `input_type` here either; it only hints, so it is taken out and named."""
    provider = deploy(**changes)
    ex = exchange(provider, "embeddings", b'{"model":"gpt-4o","input":"a","input_type":"query"}')
    assert (held(provider.prepare(ex)), ex.dropped) == (b'{"model":"gpt-4o","input":"a"}', ["input_type"])


def test_sessions_of_both_apis() -> None:
    """The v1 API has the deployment of a session as `model`, the older one as `deployment`."""
    deployments = {"gpt-4o": "prod 4o"}
    for provider, url in (
        (deploy(deployments=deployments), f"{HOST}/openai/v1/realtime?model=prod+4o"),
        (
            deploy(deployments=deployments, api_version=DATED),
            f"{HOST}/openai/realtime?deployment=prod+4o&api-version={DATED}",
        ),
    ):
        assert provider.prepare_socket(exchange(provider, "realtime", b"", method="GET")).url == url


def test_preview_of_v1() -> None:
    """A version without a date belongs to the v1 API, and is said."""
    provider = deploy(api_version="preview")
    assert provider.prepare(exchange(provider)).url == f"{HOST}/openai/v1/chat/completions?api-version=preview"
    assert passed(provider, "/v1/files", query=b"limit=2") == f"{HOST}/openai/v1/files?limit=2&api-version=preview"


def test_passed_paths() -> None:
    """Other paths go below the resource; those of the older API that belong to a deployment find it in the body."""
    assert passed(deploy(), "/v1/images/generations") == f"{HOST}/openai/v1/images/generations"
    older = deploy(api_version=DATED, deployments={"dall-e-3": "pics"})
    assert passed(older, "/v1/files") == f"{HOST}/openai/files?api-version={DATED}"
    named = passed(older, "/v1/images/generations", b'{"model":"dall-e-3"}')
    assert named == f"{HOST}/openai/deployments/pics/images/generations?api-version={DATED}"


def test_a_form_must_name_its_deployment() -> None:
    """A body that is no JSON does not say which deployment is meant, so a header does."""
    older = deploy(api_version=DATED)
    with pytest.raises(InvalidRequest, match="x-headgate-azure-deployment-id"):
        passed(older, "/v1/audio/transcriptions", b"--form")
    headers = {b"x-headgate-azure-deployment-id": b"whisper"}
    url = passed(older, "/v1/audio/transcriptions", b"--form", headers=headers)
    assert url == f"{HOST}/openai/deployments/whisper/audio/transcriptions?api-version={DATED}"


@pytest.mark.parametrize("name", ["..", "."])
def test_a_deployment_cannot_leave_its_place(name: str) -> None:
    """A model named like a path segment is refused, and a slash in one is escaped."""
    older = deploy(api_version=DATED, deployments={"gpt-4o": name})
    with pytest.raises(InvalidRequest):
        older.prepare(exchange(older))
    slashed = deploy(api_version=DATED, deployments={"gpt-4o": "a/../b"})
    assert "/deployments/a%2F..%2Fb/chat" in slashed.prepare(exchange(slashed)).url


def test_deployment_replaces_model() -> None:
    """In the v1 API the deployment's name takes the model's place and no other byte changes; the older API keeps the body."""
    provider = deploy(deployments={"gpt-4o": "prod-4o"})
    assert provider.prepare(exchange(provider)).body == b'{"model": "prod-4o", "messages":[]}'
    older = deploy(deployments={"gpt-4o": "prod-4o"}, api_version=DATED)
    assert older.prepare(exchange(older)).body == b'{"model": "gpt-4o", "messages":[]}'


async def test_deployment_replaces_model_in_translations() -> None:
    """A Messages client reaches the deployment too."""
    upstream = ReplayUpstream({"*": REPLY})
    provider = deploy(upstream=upstream, deployments={"gpt-4o": "prod-4o"})
    body = b'{"model":"gpt-4o","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'
    reply = await provider.call(exchange(provider, "messages", body))
    assert json.loads(held(upstream.requests[0]))["model"] == "prod-4o"
    assert json.loads(reply.body)["type"] == "message"


def test_no_account_headers_of_openai() -> None:
    """What OpenAI defines for its own accounts is not sent to Azure."""
    ex = exchange(deploy(), headers={b"x-headgate-openai-project": b"p", b"x-ms-client-request-id": b"i"})
    sent = dict(deploy().prepare(ex).headers)
    assert b"openai-project" not in sent
    assert sent[b"x-ms-client-request-id"] == b"i"


# who calls


def test_key_and_token() -> None:
    """A key goes into `api-key`, a token of one's own is a bearer token."""
    credential = deploy().prepare(exchange(deploy())).credential
    assert credential is not None
    assert credential.field() == (b"api-key", b"k")
    provider = deploy(auth="token")
    credential = provider.prepare(exchange(provider)).credential
    assert credential is not None
    assert credential.field() == (b"authorization", b"Bearer k")


def keyless() -> Provider:
    """The provider as `passthrough` mode makes it: without a key, and without a resource."""
    kind = type("Keyless", (AzureOpenAI,), {"is_keyless": True})
    return kind("azure-openai", kind.Config(provider="azure-openai"), ReplayUpstream({"*": REPLY}))


def test_a_caller_names_its_own_resource() -> None:
    """With a key of its own a caller says where to go, and the key is bound to that place."""
    provider = keyless()
    headers = {
        b"x-portkey-azure-resource-name": b"theirs",
        b"x-portkey-azure-deployment-id": b"dep",
        b"x-portkey-azure-api-version": DATED.encode(),
    }
    request = provider.prepare(own_caller(exchange(provider, headers=headers)))
    assert request.url == f"https://theirs.openai.azure.com/openai/deployments/dep/chat/completions?api-version={DATED}"
    assert request.credential is not None
    assert request.credential.origins == frozenset({"https://theirs.openai.azure.com:443"})
    assert request.credential.field() == (b"api-key", b"caller-key")


def test_a_callers_token_is_a_bearer_token() -> None:
    """A JSON web token of Entra's is told from a key by how it begins."""
    provider = keyless()
    ex = own_caller(exchange(provider, headers={b"x-headgate-azure-resource-name": b"theirs"}), "eyJ0.e30.x")
    credential = provider.prepare(ex).credential
    assert credential is not None
    assert credential.field() == (b"authorization", b"Bearer eyJ0.e30.x")


@pytest.mark.parametrize("name", [b"", b"a.b", b"evil.example/", b"a@b", b"x?y", b"-a"])
def test_a_callers_resource_is_a_name(name: bytes) -> None:
    """Nothing but a name becomes part of a host."""
    provider = keyless()
    with pytest.raises(InvalidRequest, match="azure-resource-name"):
        provider.prepare(own_caller(exchange(provider, headers={b"x-headgate-azure-resource-name": name})))


def test_options_are_for_callers_with_a_key_of_their_own() -> None:
    """A caller on the deployment's key cannot choose a version, a deployment or a resource."""
    headers = {
        b"x-headgate-azure-resource-name": b"theirs",
        b"x-headgate-azure-deployment-id": b"secret-dep",
        b"x-headgate-azure-api-version": b"2020-01-01",
    }
    older = deploy(api_version=DATED)
    url = f"{HOST}/openai/deployments/gpt-4o/chat/completions?api-version={DATED}"
    assert older.prepare(exchange(older, headers=headers)).url == url


# configuration


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"resource": ""}, "`resource` is missing"),
        ({"resource": "a.b"}, "no name of a resource"),
        ({"api_version": "a&b"}, "`api_version`"),
        ({"auth": "managed"}, "`api_key` is not used"),
        ({"api_key": None}, "`api_key` is missing"),
        ({"api_key": None, "auth": "token"}, "`api_key` is missing"),
        (
            {"api_key": None, "auth": "entra", "tenant_id": "t"},
            "(?s)`client_id` is missing.*AZURE_CLIENT_ID.*client_secret",
        ),
        ({"api_key": None, "auth": "workload"}, "(?s)`tenant_id`.*`token_file`.*AZURE_FEDERATED_TOKEN_FILE"),
    ],
)
def test_wrong_configurations(config: dict[str, Any], match: str) -> None:
    """What cannot work is refused at the start, with the setting and the variable that would help."""
    with pytest.raises(StartupError, match=match):
        deploy(**config)


def test_unknown_settings_are_refused() -> None:
    """`claude` is Foundry's alone."""
    with pytest.raises(msgspec.ValidationError, match="claude"):
        msgspec.convert({"provider": "azure-openai", "claude": []}, AzureOpenAI.Config)


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key and a place switch the provider on; so does a place with an identity. The alias is never switched on by itself."""
    assert AzureOpenAI.from_environment() is None
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "k")
    assert AzureOpenAI.from_environment() is None
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", f"{HOST}/")
    place = {"provider": "azure-openai", "base_url": f"{HOST}/openai/v1"}
    assert AzureOpenAI.from_environment() == {**place, "api_key": "env:AZURE_OPENAI_API_KEY"}
    monkeypatch.delenv("AZURE_OPENAI_API_KEY")
    assert AzureOpenAI.from_environment() is None
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://localhost:1/token")
    assert AzureOpenAI.from_environment() == {**place, "auth": "managed"}
    monkeypatch.setenv("AZURE_TENANT_ID", "t")
    monkeypatch.setenv("AZURE_CLIENT_ID", "c")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", "/token")
    assert AzureOpenAI.from_environment() == {**place, "auth": "workload"}
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "s")
    assert AzureOpenAI.from_environment() == {**place, "auth": "entra", "client_secret": "env:AZURE_CLIENT_SECRET"}
    monkeypatch.setenv("AZURE_FOUNDRY_RESOURCE", "res")
    assert catalogue()["azure-ai"].from_environment() is None
    assert AzureFoundry.from_environment() is not None


def test_environment_of_the_official_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of Anthropic's client for Foundry are understood."""
    monkeypatch.setenv("ANTHROPIC_FOUNDRY_API_KEY", "k")
    monkeypatch.setenv("ANTHROPIC_FOUNDRY_BASE_URL", "https://res.services.ai.azure.com/anthropic/")
    assert AzureFoundry.from_environment() == {
        "provider": "azure-foundry",
        "api_key": "env:ANTHROPIC_FOUNDRY_API_KEY",
        "base_url": "https://res.services.ai.azure.com/openai/v1",
    }


def test_catalogue() -> None:
    """Three names, two providers."""
    assert list(catalogue()) == ["azure-openai", "azure-foundry", "azure-ai"]
    assert issubclass(catalogue()["azure-ai"], AzureFoundry)
