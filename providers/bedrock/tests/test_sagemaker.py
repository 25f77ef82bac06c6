"""SageMaker's endpoints: what every provider promises, where calls go, and what the container is told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, cast

import pytest
from botocore.auth import SigV4Auth  # pyright: ignore[reportMissingTypeStubs]
from botocore.awsrequest import AWSRequest  # pyright: ignore[reportMissingTypeStubs]
from botocore.credentials import Credentials  # pyright: ignore[reportMissingTypeStubs]
from botocore.serialize import create_serializer  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from botocore.session import Session  # pyright: ignore[reportMissingTypeStubs]
from providers.bedrock.tests.sagemaker_wire import (
    BASE,
    KEYS,
    REFUSED,
    Json,
    aws_error,
    deploy,
    exchange,
    framed,
    model_error,
    part,
    pieces_of,
)
from typing_extensions import override

from headgate.dialects.sse import Splitter, events_of
from headgate.errors import InvalidRequest, ProviderError, StartupError, UnsupportedField
from headgate.operations import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, Operation
from headgate.secret import Secret
from headgate.testing import ProviderContract, Recorded, ReplayUpstream, samples
from headgate.testing.providers import SECRET
from headgate_bedrock import SageMaker, credentials
from headgate_bedrock.aws import AwsConfig
from headgate_bedrock.sigv4 import Keys


class TestSageMaker(ProviderContract):
    """Chat of an OpenAI client, relayed as the container writes it."""

    provider = SageMaker
    config: ClassVar[Mapping[str, Any]] = KEYS
    key_setting = ""
    url = f"{BASE}/sample-model/invocations"
    stream = framed(samples.STREAM.body)
    tool_stream = framed(samples.TOOL_STREAM.body, 11)
    errors: ClassVar[Mapping[int, Recorded]] = {
        400: model_error(400, REFUSED),
        403: aws_error(403, "AccessDeniedException", Message="not authorized to perform: sagemaker:InvokeEndpoint"),
        429: aws_error(429, "ModelNotReadyException", Message="the model is being loaded"),
        500: aws_error(500, "InternalFailure", Message="an internal failure"),
        503: aws_error(503, "ServiceUnavailable", Message="the service is unavailable"),
    }

    @override
    def forwarded(self, body: bytes) -> bytes:
        return b'{"messages":[{"role":"user","content":"Gr\xc3\xbc\xc3\x9fe"}],"temperature":0.10}'

    @override
    def relayed(self, recorded: Recorded) -> bytes:
        if recorded is self.stream:
            return samples.STREAM.body
        return samples.TOOL_STREAM.body if recorded is self.tool_stream else recorded.body

    @override
    async def test_cut_stream_raises(self) -> None:
        """A stream without its last parts raises after whole events only, wherever and however the connection ended."""
        assert self.stream is not None
        whole = samples.STREAM.body
        ended = self.stream.body.index(part(whole[(len(whole) // 7 - 3) * 7 :][:7]))
        for size in (0, 1, 11, 12, 100, ended // 2, ended):
            for framing in ("chunked", "close"):
                pieces: list[bytes] = []
                case = self.stream.varied(cut_at=size, framing=framing)
                with pytest.raises(ProviderError):
                    await pieces_of(await self.call(ReplayUpstream({"*": case}), stream=True), pieces)
                assert whole.startswith(b"".join(pieces))
                assert all(Splitter().feed(piece) == piece for piece in pieces)

    @override
    async def test_abandoned_stream_ends_the_upstream(self) -> None:
        """When the caller leaves during a stream, the connection is closed."""
        first = events_of(samples.STREAM.body)[0]
        head = framed(first)
        upstream = ReplayUpstream({"*": head.varied(stall_at=len(head.body))})
        reply = await self.call(upstream, stream=True)
        chunks: Any = reply.chunks
        assert await anext(chunks) == first
        await chunks.aclose()
        assert [response.is_closed for response in upstream.responses] == [True]

    @override
    async def test_secret_never_comes_back(self) -> None:
        """A container that knows the secret key does not give it to the caller, in an answer, an error or a stream."""
        echoed = samples.STREAM.body.replace(b'"Hello"', f'"{SECRET}"'.encode())
        cases = [
            (self.reply.varied(body=self.reply.body.replace(b"Hello", SECRET.encode())), False),
            (model_error(400, SECRET), False),
            *((framed(echoed, size), True) for size in (1, 5, 10_000)),
        ]
        for recorded, stream in cases:
            case = recorded.varied(headers=(*recorded.headers, ("x-echo", SECRET)))
            reply = await self.call(ReplayUpstream({"*": case}), stream=stream)
            assert SECRET.encode() not in b"".join(await pieces_of(reply))
            assert SECRET not in repr(reply.headers)


async def test_a_session_token_never_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS tells a wrong signature with the canonical request, which holds the token of temporary keys."""
    found = Keys("AKIAEXAMPLE", Secret("secret-of-the-task"), Secret("token-of-the-task"))

    def fetch(*_: object) -> tuple[None, Keys]:
        return None, found

    monkeypatch.setattr(credentials, "_fetch", fetch)
    told = aws_error(403, "InvalidSignatureException", message="x-amz-security-token:token-of-the-task")
    upstream = ReplayUpstream({"*": told})
    provider = SageMaker("sm", AwsConfig(provider="sagemaker", region="us-east-1"), upstream)
    reply = await provider.call(exchange(provider))
    assert dict(upstream.requests[0].headers)[b"x-amz-security-token"] == b"token-of-the-task"
    assert b"x-amz-security-token:[redacted]" in reply.body


# where, and to whom


@pytest.mark.parametrize("operation", [CHAT, COMPLETIONS, EMBEDDINGS])
def test_all_operations_have_one_path(operation: Operation) -> None:
    """The container tells them apart by their bodies; a stream has a path of its own."""
    provider = deploy()
    assert provider.prepare(exchange(provider, operation)).url == f"{BASE}/llama/invocations"
    streamed = exchange(provider, operation, body={"stream": True})
    assert provider.prepare(streamed).url == f"{BASE}/llama/invocations-response-stream"


def test_inference_components() -> None:
    """A name behind the endpoint's is the inference component that is to answer."""
    provider = deploy()
    request = provider.prepare(exchange(provider, model="shared/llama-8b"))
    assert request.url == f"{BASE}/shared/invocations"
    assert dict(request.headers)[b"x-amzn-sagemaker-inference-component"] == b"llama-8b"
    assert b"x-amzn-sagemaker-inference-component" not in dict(provider.prepare(exchange(provider)).headers)


@pytest.mark.parametrize("model", ["", "a/b/c", "../x", "a b", "-a", "a-", "a%2Fb", "é", "a" * 64, "e/" + "c" * 64])
def test_names_that_none_can_have(model: str) -> None:
    """A name that AWS's model of the service does not allow never becomes part of an address."""
    provider = deploy()
    with pytest.raises(InvalidRequest, match="endpoint"):
        provider.url_for(exchange(provider, model=model))


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ({"region": "cn-north-1"}, "https://runtime.sagemaker.cn-north-1.amazonaws.com.cn"),
        (
            {"region": "", "base_url": "https://runtime-fips.sagemaker.us-gov-west-1.amazonaws.com/"},
            "https://runtime-fips.sagemaker.us-gov-west-1.amazonaws.com",
        ),
        (
            {"region": "", "base_url": "https://vpce-0a-x.runtime.sagemaker.us-east-2.vpce.amazonaws.com"},
            "https://vpce-0a-x.runtime.sagemaker.us-east-2.vpce.amazonaws.com",
        ),
    ],
)
def test_regions(config: Json, url: str) -> None:
    """The host follows from the region, and the region from the name of a private or FIPS endpoint."""
    provider = deploy(**config)
    assert provider.url == url
    assert provider.region in url


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"region": ""}, "`region` is missing"),
        ({"access_key_id": ""}, "`access_key_id`"),
        ({"secret_access_key": None}, "`secret_access_key`"),
        ({"access_key_id": "", "secret_access_key": None, "api_key": Secret("k")}, "`api_key` is not taken"),
    ],
)
def test_settings_that_cannot_work(config: Json, named: str) -> None:
    """Half a pair of keys, no region, or a key that SageMaker does not have: the deployment does not start."""
    with pytest.raises(StartupError, match=named):
        deploy(**config)


def test_it_is_only_used_when_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of AWS in the environment say nothing about endpoints."""
    for name in ("AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "us-east-1")
    assert SageMaker.from_environment() is None


async def test_calls_are_signed_as_botocore_signs_them() -> None:
    """The signature counts for the service `sagemaker`, and is the one that AWS's own signer makes of the same request."""
    provider = deploy(session_token=Secret("token/+="))
    ex = exchange(provider, model="shared/llama", body={"messages": []})
    request = await provider.authorize(provider.prepare(ex))
    headers = dict(request.headers)
    stamp = headers[b"x-amz-date"].decode()
    theirs: Any = cast("Any", AWSRequest)("POST", request.url, {"content-type": "application/json"}, request.body)
    held: Any = cast("Any", Credentials)("AKIDEXAMPLE", SECRET, "token/+=")
    signer: Any = cast("Any", SigV4Auth)(held, "sagemaker", "eu-west-1")
    theirs.context["timestamp"] = stamp
    signer._modify_request_before_signing(theirs)
    signature = signer.signature(signer.string_to_sign(theirs, signer.canonical_request(theirs)), theirs)
    assert headers[b"authorization"].decode().endswith(f"Signature={signature}")
    assert f"/{stamp[:8]}/eu-west-1/sagemaker/aws4_request" in headers[b"authorization"].decode()
    assert datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).year >= 2026
    assert hashlib.sha256(request.body).hexdigest() in signer.canonical_request(theirs)


@pytest.mark.parametrize("stream", [False, True])
def test_requests_are_those_of_botocores_model(*, stream: bool) -> None:
    """Path, headers and body are what AWS's own client makes of the same call."""
    provider = deploy(headers={"X-Amzn-SageMaker-Target-Variant": Secret("blue")})
    asked = {"x-amzn-sagemaker-custom-attributes": "accept_eula=true", "x-amzn-sagemaker-inference-id": "i-1"}
    given = {name.encode(): value.encode() for name, value in asked.items()}
    ex = exchange(provider, model="shared/llama", body={"messages": [], "stream": stream}, headers=given)
    request = provider.prepare(ex)
    service: Any = cast("Any", Session)().get_service_model("sagemaker-runtime")
    operation = service.operation_model("InvokeEndpointWithResponseStream" if stream else "InvokeEndpoint")
    said = {
        "EndpointName": "shared",
        "InferenceComponentName": "llama",
        "TargetVariant": "blue",
        "CustomAttributes": "accept_eula=true",
        "InferenceId": "i-1",
        "ContentType": "application/json",
        "Body": request.body,
    }
    theirs: Json = cast("Any", create_serializer)("rest-json").serialize_to_request(said, operation)
    assert (request.method, request.url.removeprefix(BASE.removesuffix("/endpoints"))) == ("POST", theirs["url_path"])
    sent = {name.decode(): value.decode() for name, value in request.headers}
    assert (
        theirs["headers"].items()
        <= {**{name.title(): value for name, value in sent.items()}, **_cased(sent, theirs)}.items()
    )
    assert theirs["body"] == request.body


def _cased(sent: dict[str, str], theirs: Json) -> dict[str, str]:
    """What is sent, by the names as the model spells them."""
    return {name: sent[name.lower()] for name in theirs["headers"] if name.lower() in sent}


# what the container is told


def test_the_model_of_the_body() -> None:
    """The endpoint's name means nothing to a container: the body names what the deployment says, else nothing."""
    asked: Json = {"messages": [{"role": "user", "content": "1.50"}], "temperature": 0.5}
    bare = deploy()
    assert json.loads(bare.body_for(exchange(bare, body=asked))) == asked
    named = deploy(served_models={"llama": "meta/llama-3", "shared/x": "y"})
    assert json.loads(named.body_for(exchange(named, body=asked))) == {"model": "meta/llama-3", **asked}
    assert json.loads(named.body_for(exchange(named, model="shared/x", body=asked)))["model"] == "y"


async def test_other_clients_are_translated() -> None:
    """A client of Anthropic's reaches the container in OpenAI's chat, with the token limit every container knows."""
    upstream = ReplayUpstream({"*": samples.REPLY})
    provider = deploy(upstream)
    asked: Json = {
        "max_tokens": 50,
        "system": "Be kind",
        "messages": [{"role": "user", "content": "hi"}],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
    }
    reply = await provider.call(exchange(provider, MESSAGES, body=asked))
    assert json.loads(upstream.requests[0].body) == {
        "messages": [{"role": "system", "content": "Be kind"}, {"role": "user", "content": "hi"}],
        "max_tokens": 50,
        "reasoning_effort": "medium",
    }
    assert json.loads(reply.body)["content"] == [{"type": "text", "text": "Hello there, Jürgen"}]


async def test_a_translated_stream() -> None:
    """The parts are joined before anybody reads them, for other clients too."""
    provider = deploy(ReplayUpstream({"*": framed(samples.STREAM.body, 1).varied(sizes=(3,))}))
    asked: Json = {"max_tokens": 50, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    body = b"".join(await pieces_of(await provider.call(exchange(provider, MESSAGES, body=asked))))
    events = [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: ")]
    said = "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")
    assert said == "Hello there,\u2028 Jürgen \U0001f600"
    assert events[-1]["type"] == "message_stop"


async def test_built_in_tools_are_refused_by_name() -> None:
    """What no container has is refused before it is sent."""
    provider = deploy()
    asked: Json = {
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "web_search_20250305", "name": "web_search"}],
    }
    with pytest.raises(UnsupportedField, match=r"tools\[0\]"):
        await provider.call(exchange(provider, MESSAGES, body=asked))
