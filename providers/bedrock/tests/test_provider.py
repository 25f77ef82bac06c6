"""A deployment of Bedrock: where calls go, what proves who sends them, and settings that cannot work."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest

from headgate.chat import ChatRequest, File, Image, Message, Opaque, ResponseFormat, Text, Thinking, Tool
from headgate.dialects import Gaps
from headgate.errors import InvalidRequest, ProviderFailed, StartupError
from headgate.exchange import Attempt, Exchange, Principal, Target
from headgate.operations import CHAT, EMBEDDINGS, FILES, FINE_TUNING, PASSTHROUGH, Operation
from headgate.secret import Secret
from headgate.testing import MockUpstream, Recorded, ReplayUpstream
from headgate.upstream import UpstreamRequest
from headgate.upstream.engines import EngineName, create_engine
from headgate_bedrock import Bedrock, BedrockConfig, Guardrail
from headgate_bedrock.encode import encode_request
from headgate_bedrock.sigv4 import Keys, Scope, authorization, canonical_request

Json = dict[str, Any]
KEYS: Json = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": Secret("wJalrXUtnFEMI")}
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/1arbu5hu2sjr"


def deploy(**config: Any) -> Bedrock:
    held: Json = {"provider": "bedrock", "region": "eu-west-1", **config}
    return Bedrock("main", BedrockConfig(**held), ReplayUpstream())


def exchange(
    provider: Bedrock,
    operation: Operation = CHAT,
    spoken: str = "converse",
    model: str = "m",
    *,
    stream: bool = False,
    **request: Any,
) -> Exchange:
    ex = Exchange(operation, {b"accept": b"text/event-stream"}, request_id="r", trace_id="t", **request)
    ex.stream, ex.body = stream, b'{"a":1}'
    ex.attempt = Attempt(Target(deployment="main"), provider, model, 0.0, operation=spoken, body=b'{"messages":[]}')
    return ex


# where


@pytest.mark.parametrize(
    ("model", "segment"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-3-haiku-20240307-v1%3A0"),
        (PROFILE, "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2F1arbu5hu2sjr"),
        ("a/../b?c#d", "a%2F..%2Fb%3Fc%23d"),
    ],
)
def test_the_model_is_one_segment_of_the_path(model: str, segment: str) -> None:
    """Ids, profiles and ARNs pass as they are, encoded once; none of them leaves its segment."""
    provider = deploy(**KEYS)
    base = "https://bedrock-runtime.eu-west-1.amazonaws.com/model"
    assert provider.url_for(exchange(provider, model=model)) == f"{base}/{segment}/converse"
    assert provider.url_for(exchange(provider, model=model, stream=True)) == f"{base}/{segment}/converse-stream"
    embeddings = exchange(provider, EMBEDDINGS, "embeddings", model)
    assert provider.url_for(embeddings) == f"{base}/{segment}/invoke"


@pytest.mark.parametrize(
    ("config", "root"),
    [
        ({}, "https://bedrock-mantle.eu-west-1.api.aws"),
        ({"base_url": "https://own.example"}, "https://own.example"),
    ],
)
def test_where_fine_tuning_is(config: Json, root: str) -> None:
    """Files and jobs are at an endpoint of their own, which gets the key for them alone; a base URL of one's own has all."""
    provider = deploy(api_key=Secret("bedrock-key"), **config)
    for operation, path in ((FILES, "/v1/files/file-1"), (FINE_TUNING, "/v1/fine_tuning/jobs")):
        ex = exchange(provider, operation, operation.name, path=path)
        assert provider.url_for(ex) == root + path
        key = provider.credential(ex)
        assert key is not None
        assert key.origins == frozenset({f"{root}:443"})
    chat = provider.credential(exchange(provider))
    assert chat is not None
    assert chat.origins == provider.origins


def test_fine_tuning_takes_a_key() -> None:
    """Signatures are not documented there: without a key it is refused, and a base URL of the caller's gets none either."""
    provider = deploy(**KEYS)
    with pytest.raises(InvalidRequest, match=r"`fine_tuning\.jobs` .* `AWS_BEARER_TOKEN_BEDROCK`"):
        provider.credential(exchange(provider, FINE_TUNING, "fine_tuning.jobs", path="/v1/fine_tuning/jobs"))
    keyed = deploy(api_key=Secret("bedrock-key"))
    ex = exchange(keyed, FILES, "files", path="/v1/files")
    ex.base_url = "https://theirs.example"
    assert keyed.url_for(ex) == "https://theirs.example/v1/files"
    held = keyed.credential(ex)
    assert held is None or "https://theirs.example:443" not in held.origins


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-gov-west-1", "bedrock-runtime.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ("eusc-de-east-1", "bedrock-runtime.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_partitions_have_domains_of_their_own(region: str, host: str) -> None:
    """The host follows from the region."""
    assert deploy(region=region).url == f"https://{host}"


def test_another_base_url() -> None:
    """A private endpoint takes the place of the public one, and its name may say the region."""
    url = "https://vpce-0a1-x.bedrock-runtime.us-west-2.vpce.amazonaws.com/"
    provider = deploy(region="", base_url=url, **KEYS)
    assert (provider.url, provider.region) == (url[:-1], "us-west-2")


def test_other_paths_pass() -> None:
    """Every other operation of the runtime can be called at its own path, with the caller's body."""
    provider = deploy(**KEYS)
    ex = exchange(
        provider, PASSTHROUGH, "passthrough", path="/v1/model/amazon.titan-embed-text-v1/invoke", method="POST"
    )
    ex.attempt = Attempt(Target(deployment="main"), provider, "", 0.0)
    assert provider.url_for(ex).endswith(".amazonaws.com/model/amazon.titan-embed-text-v1/invoke")
    assert provider.body_for(ex) == b'{"a":1}'


def test_headers() -> None:
    """Bedrock is asked for what it can give, whatever the client's SDK accepts."""
    provider = deploy(**KEYS)
    whole, streamed = provider.headers_for(exchange(provider)), provider.headers_for(exchange(provider, stream=True))
    assert (whole[b"accept"], whole[b"content-type"]) == (b"application/json", b"application/json")
    assert streamed[b"accept"] == b"application/vnd.amazon.eventstream"


@pytest.mark.parametrize(
    ("model", "body", "streams"),
    [
        ("us.meta.llama4-scout-17b-instruct-v1:0", b'{"toolConfig":{}}', False),
        ("us.meta.llama4-scout-17b-instruct-v1:0", b'{"messages":[]}', True),
        ("us.anthropic.claude-sonnet-4-6", b'{"toolConfig":{}}', True),
    ],
)
def test_streams_beside_tools(model: str, body: bytes, *, streams: bool) -> None:
    """A model that does not stream its calls answers whole, which the client gets as a stream."""
    provider = deploy(**KEYS)
    ex = exchange(provider, model=model, stream=True)
    assert ex.attempt is not None
    ex.attempt.body = body
    assert provider.url_for(ex).endswith("/converse-stream") is streams
    accepted = b"application/vnd.amazon.eventstream" if streams else b"application/json"
    assert provider.headers_for(ex)[b"accept"] == accepted


# who


async def sent(provider: Bedrock, **fields: Any) -> UpstreamRequest:
    return await provider.authorize(provider.prepare(exchange(provider, **fields)))


async def test_calls_are_signed() -> None:
    """A call is signed for the deployment's region; the secret stands nowhere in it."""
    request = await sent(deploy(session_token=Secret("session-token"), **KEYS))
    headers = dict(request.headers)
    said = headers[b"authorization"].decode()
    assert "Credential=AKIDEXAMPLE/" in said
    assert "/eu-west-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token," in said
    assert headers[b"x-amz-security-token"] == b"session-token"
    assert request.credential is None
    assert b"wJalrXUtnFEMI" not in b"".join(value for _, value in request.headers) + request.body


@pytest.mark.parametrize("engine", ["h1", "aiohttp"])
async def test_what_is_signed_is_what_arrives(engine: EngineName) -> None:
    """Whatever engine carries it, the signature fits the host, path, headers and body that reach the server."""
    async with MockUpstream({"*": Recorded.from_json({})}) as server:
        upstream = create_engine(engine)
        provider = Bedrock(
            "main", BedrockConfig(provider="bedrock", region="eu-west-1", base_url=server.url, **KEYS), upstream
        )
        try:
            request = await provider.authorize(provider.prepare(exchange(provider, model=PROFILE)))
            response = await upstream.send(request)
            await response.read()
            response.close()
        finally:
            await upstream.close()
        got = server.requests[0]
    said = got.header("authorization") or ""
    names = said.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    held = [(name.encode(), (got.header(name) or "").encode()) for name in names if name != "host"]
    url = f"http://{got.header('host')}{got.path}"
    canonical = canonical_request(got.method, url, held, hashlib.sha256(got.body).hexdigest())
    keys, scope = Keys("AKIDEXAMPLE", KEYS["secret_access_key"]), Scope("eu-west-1")
    assert authorization(canonical, keys, scope, got.header("x-amz-date") or "") == said


async def test_large_bodies_are_signed_alike() -> None:
    """A body that is hashed in a thread gets the same kind of signature."""
    provider = deploy(**KEYS)
    request = provider.prepare(exchange(provider))
    large = msgspec.structs.replace(request, body=b"x" * 2_000_000)
    assert b"authorization" in dict((await provider.authorize(large)).headers)


async def test_an_api_key_is_a_bearer() -> None:
    """A Bedrock API key goes along as it is, bound to the deployment's origin, and nothing is signed."""
    request = await sent(deploy(api_key=Secret("bedrock-key")))
    assert request.credential is not None
    assert request.credential.field() == (b"authorization", b"Bearer bedrock-key")
    assert request.credential.origins == {"https://bedrock-runtime.eu-west-1.amazonaws.com:443"}
    assert b"x-amz-date" not in dict(request.headers)


async def test_the_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's variable counts where the deployment names no keys of its own."""
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "env-key")
    request = await sent(deploy())
    assert request.credential is not None
    assert request.credential.secret.reveal() == "env-key"
    assert (await sent(deploy(**KEYS))).credential is None


async def test_keys_stay_with_their_origin() -> None:
    """A base URL of the caller's choice gets neither a signature nor the session token."""
    provider = deploy(**KEYS)
    ex = exchange(provider)
    ex.base_url = "https://elsewhere.example"
    with pytest.raises(ProviderFailed, match="origin") as caught:
        await provider.authorize(provider.prepare(ex))
    assert caught.value.error_code == "upstream_denied"


async def test_callers_with_keys_of_their_own() -> None:
    """A caller's own key is sent in place of the deployment's, which signs nothing then."""
    provider = deploy(**KEYS)
    ex = exchange(provider)
    ex.principal = Principal("k", credential=Secret("callers-key"))
    request = await provider.authorize(provider.prepare(ex))
    assert request.credential is not None
    assert request.credential.secret.reveal() == "callers-key"
    assert b"authorization" not in dict(request.headers)


async def test_a_deployment_without_keys_lends_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made for callers who bring their own key, it never signs with what the machine has."""
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "env-key")
    keyless = type("Keyless", (Bedrock,), {"is_keyless": True})
    provider = keyless("main", BedrockConfig(provider="bedrock", region="eu-west-1"), ReplayUpstream())
    request = await provider.authorize(provider.prepare(exchange(provider)))
    assert request.credential is None
    assert b"authorization" not in dict(request.headers)


def test_secrets_that_must_not_come_back() -> None:
    """The secret key and the session token are looked for in replies."""
    provider = deploy(session_token=Secret("session-token"), **KEYS)
    assert {b"wJalrXUtnFEMI", b"session-token"} <= set(provider.secrets_of(exchange(provider)))


# settings


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"region": ""}, "`region` is missing"),
        ({"region": "evil.example/x#"}, "no AWS region"),
        ({"access_key_id": "a"}, "`secret_access_key`"),
        ({"secret_access_key": Secret("a")}, "`access_key_id`"),
        ({"session_token": Secret("a")}, "`session_token`"),
        ({**KEYS, "profile": "p"}, "`profile`"),
        ({**KEYS, "api_key": Secret("k")}, "`api_key`"),
        ({"external_id": "e"}, "`role_arn`"),
    ],
)
def test_settings_that_cannot_work(config: Json, named: str) -> None:
    """A deployment that cannot work does not start, and says which settings and why."""
    with pytest.raises(StartupError, match=named):
        deploy(**config)


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A region with an API key or a pair of keys switches Bedrock on; a region alone, or keys alone, do not."""
    assert Bedrock.from_environment() is None
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    assert Bedrock.from_environment() is None
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    assert Bedrock.from_environment() == {"provider": "bedrock", "region": "us-west-2"}
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "k")
    assert Bedrock.from_environment() == {
        "provider": "bedrock",
        "api_key": "env:AWS_BEARER_TOKEN_BEDROCK",
        "region": "us-west-2",
    }
    assert deploy(region="").region == "us-west-2"


def test_the_configuration_stays_as_written() -> None:
    """What a reload compares is what the operator wrote, without what follows from it."""
    config = BedrockConfig(provider="bedrock", region="eu-west-1")
    assert Bedrock("main", config, ReplayUpstream()).config == config


# requests


def test_base_models_say_what_an_arn_hides() -> None:
    """With its model named, an ARN thinks and answers by schema as that model does."""
    asked = ChatRequest(
        PROFILE,
        (Message("user", (Text("a"),)),),
        thinking=Thinking("high"),
        response_format=ResponseFormat("json_schema", schema={"type": "object", "additionalProperties": False}),
    )
    provider = deploy(base_models={PROFILE: "anthropic.claude-opus-4-6-v1"})
    settled = provider.adapt(asked, Gaps("bedrock"))
    assert settled.thinking == Thinking("high", mode="adaptive")
    assert settled.response_format is not None
    assert "m%3A" not in provider.url_for(exchange(provider, model=PROFILE))


def test_what_goes_with_every_chat() -> None:
    """The guardrail goes with every chat, betas with Claude's; all other values keep their bytes."""
    provider = deploy(guardrail=Guardrail("gr1", "3", "enabled"), anthropic_beta=["context-1m-2025-08-07"])
    claude, nova = ChatRequest("anthropic.claude-opus-5", ()), ChatRequest("amazon.nova-pro-v1:0", ())
    body = b'{"messages":[ 1.50 ],"additionalModelRequestFields":{"top_k":5}}'
    finished = provider.finish_body(body, claude, Gaps("bedrock"))
    assert b"[ 1.50 ]" in finished
    assert msgspec.json.decode(finished) == {
        "messages": [1.5],
        "additionalModelRequestFields": {"anthropic_beta": ["context-1m-2025-08-07"], "top_k": 5},
        "guardrailConfig": {"guardrailIdentifier": "gr1", "guardrailVersion": "3", "trace": "enabled"},
    }
    assert "anthropic_beta" not in provider.finish_body(body, nova, Gaps("bedrock")).decode()
    assert deploy().finish_body(body, claude, Gaps("bedrock")) is body


def test_nothing_is_fetched_by_bedrock() -> None:
    """Converse takes no URLs, so the gateway fetches what they name."""
    assert not deploy().fetches(Image(url="https://a.example/x.png"))
    assert not deploy().fetches(File(url="https://a.example/x.pdf"))


@pytest.mark.parametrize(
    ("opaque", "is_read"),
    [
        (Opaque("anthropic", "x"), True),
        (Opaque("anthropic", "x", "account-of-another-platform"), True),
        (Opaque("bedrock", "x"), True),
        (Opaque("bedrock", "x", "other"), False),
        (Opaque("google", "x"), False),
    ],
)
def test_whose_thoughts_are_read(opaque: Opaque, *, is_read: bool) -> None:
    """Claude's signatures count on every platform, Bedrock's own here, others nowhere."""
    assert deploy().understands(opaque) == is_read
    assert deploy(api_key=Secret("k")).account == ""


def test_paths_must_not_leave_the_host() -> None:
    """A passed path with dots in it is refused."""
    provider = deploy(**KEYS)
    ex = exchange(provider, PASSTHROUGH, "passthrough", path="/v1/model/../x")
    with pytest.raises(InvalidRequest):
        provider.url_for(ex)


@pytest.mark.parametrize(("model", "is_kept"), [("us.anthropic.claude-opus-5", False), ("zai.glm-5", True)])
def test_unions_at_the_root_of_a_schema(model: str, *, is_kept: bool) -> None:
    """Claude refuses them here as elsewhere; for other models they stay, of an object as Converse demands."""
    alternative: Json = {"properties": {"a": {"type": "string"}}}
    union: Json = {"type": ["object", "null"], "anyOf": [alternative]}
    request = ChatRequest(model, (Message("user", (Text("Hi."),)),), tools=(Tool("f", None, union),))
    gaps = Gaps("bedrock")
    body = encode_request(deploy().adapt(request, gaps), gaps)
    schema = body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]
    assert schema == {"type": "object", **({"anyOf": [alternative]} if is_kept else alternative)}
