"""What leaves the gateway for OpenAI: URL, headers, body, credential and limits, judged by the recorded request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from headgate.chat import ChatRequest, Message, Opaque, Reasoning, Sampling, Text, Thinking
from headgate.dialects import Gaps, OpenAIChat, OpenAICompletions, OpenAIEmbeddings
from headgate.errors import InvalidRequest, ProviderFailed, StartupError, UnsupportedField
from headgate.exchange import Attempt, Exchange, Principal, Target
from headgate.operations import CHAT, COMPLETIONS, EMBEDDINGS, MODELS, PASSTHROUGH, REALTIME, Operation
from headgate.secret import Secret
from headgate.testing import ProviderContract, Recorded, ReplayUpstream
from headgate.testing.providers import SECRET
from headgate.upstream import Timeouts
from headgate_openai import OpenAI, OpenAIConfig

DIALECTS = {"chat": OpenAIChat(), "completions": OpenAICompletions(), "embeddings": OpenAIEmbeddings()}
JSON = (("content-type", "application/json"),)
BODY = b'{ "messages": [{"role":"user","content":"h\xc3\xa9"}] , "model": "gpt-5",\n  "unknown": {"a": 1.50} }'


class TestContract(ProviderContract):
    """OpenAI keeps what every provider promises."""

    provider = OpenAI


class TestContractOfAnAccount(TestContract):
    """So does a deployment with everything OpenAI's configuration can hold."""

    config = {"api_key": SECRET, "headers": {"x-team": "a"}, "organization": "o", "project": "p"}  # noqa: RUF012


def deploy(upstream: ReplayUpstream | None = None, **config: Any) -> OpenAI:
    held: dict[str, Any] = {"provider": "openai", "api_key": Secret("sk-deployment"), **config}
    return OpenAI("main", OpenAIConfig(**held), upstream or ReplayUpstream())


def exchange(
    operation: Operation = CHAT,
    headers: Mapping[str, str] | None = None,
    *,
    body: bytes = BODY,
    target: Target | None = None,
    provider: OpenAI | None = None,
    model: str = "gpt-5",
    **request: Any,
) -> Exchange:
    raw = {name.encode(): value.encode() for name, value in (headers or {}).items()}
    dialect = DIALECTS.get(operation.name)
    ex = Exchange(operation, raw, request_id="r", trace_id="t", dialect=dialect, **request)
    ex.body = body
    ex.attempt = Attempt(target or Target(deployment="main"), provider or deploy(), model, 0.0)
    return ex


def headers_of(ex: Exchange, **config: Any) -> dict[str, str]:
    sent = deploy(**config).prepare(ex).headers
    assert len(dict(sent)) == len(sent)
    return {name.decode(): value.decode() for name, value in sent}


@pytest.mark.parametrize(
    ("operation", "url"),
    [
        (CHAT, "https://api.openai.com/v1/chat/completions"),
        (COMPLETIONS, "https://api.openai.com/v1/completions"),
        (EMBEDDINGS, "https://api.openai.com/v1/embeddings"),
    ],
)
def test_each_operation_has_its_path(operation: Operation, url: str) -> None:
    """A modelled operation goes to its own path below the base URL, by POST."""
    request = deploy().prepare(exchange(operation))
    assert (request.method, request.url) == ("POST", url)


def test_a_session_goes_to_realtime_on_the_account_that_pays() -> None:
    """The handshake says the model in its address, and the account and the beta in headers; the safety identifier passes on."""
    asked = {"openai-beta": "realtime=v1", "openai-safety-identifier": "user-1", "content-type": "text/plain"}
    provider = deploy(organization="o", project="p")
    ex = exchange(
        REALTIME, asked, body=b"", provider=provider, model="gpt realtime&x", method="GET", query=b"call_id=c"
    )
    request = provider.prepare_socket(ex)
    assert request.url == "https://api.openai.com/v1/realtime?model=gpt+realtime%26x&call_id=c"
    headers = dict(request.headers)
    assert headers[b"openai-organization"] + headers[b"openai-project"] == b"op"
    assert headers[b"openai-beta"] + headers[b"openai-safety-identifier"] == b"realtime=v1user-1"
    assert b"content-type" not in headers


def test_another_base_url() -> None:
    """A deployment's base URL takes the place of OpenAI's; a slash at its end changes nothing."""
    assert deploy(base_url="https://eu.example/v1/").prepare(exchange()).url == "https://eu.example/v1/chat/completions"


def test_unknown_operations_are_refused() -> None:
    """An operation that OpenAI's table does not have is refused by name."""
    with pytest.raises(InvalidRequest, match="`models`"):
        deploy().prepare(exchange(MODELS))


def test_a_key_is_needed() -> None:
    """A deployment without a key cannot start, and the message says where the key usually is."""
    with pytest.raises(StartupError, match="OPENAI_API_KEY"):
        deploy(api_key=None)


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual variable switches OpenAI on, by reference and not by value."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert OpenAI.from_environment() is None
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    assert OpenAI.from_environment() == {"provider": "openai", "api_key": "env:OPENAI_API_KEY"}


# body


def test_bytes_are_forwarded() -> None:
    """With the model as the client wrote it, the provider gets the client's very bytes."""
    assert deploy().prepare(exchange()).body == BODY


def test_only_the_model_changes() -> None:
    """Another model is put in its place and every other byte stays."""
    body = deploy().prepare(exchange(model="gpt-5-mini")).body
    assert body == BODY.replace(b'"gpt-5"', b'"gpt-5-mini"')


def test_overrides_replace_members() -> None:
    """A target's `override_params` replace whole members; the values of the others keep their bytes."""
    target = Target(deployment="main", override_params={"temperature": 0, "unknown": None})
    body = deploy().prepare(exchange(target=target)).body
    sent = json.loads(body)
    assert sent == {**json.loads(BODY), "temperature": 0, "unknown": None}
    assert b'[{"role":"user","content":"h\xc3\xa9"}]' in body


def test_nothing_is_added_to_a_stream() -> None:
    """A stream is sent as asked: usage is not requested behind the caller's back."""
    body = b'{"model":"gpt-5","messages":[],"stream":true}'
    assert deploy().prepare(exchange(body=body)).body == body


# headers


def test_headers_of_a_call() -> None:
    """Content type and accept are the client's, the agent is the gateway, and no other client header goes out."""
    client = {
        "content-type": "application/json; charset=utf-8",
        "accept": "text/event-stream",
        "authorization": "Bearer hg-caller",
        "cookie": "a=b",
        "user-agent": "curl/8",
        "x-secret": "1",
        "x-forwarded-for": "10.0.0.1",
    }
    sent = headers_of(exchange(headers=client))
    assert sent.pop("user-agent").startswith("headgate/")
    assert sent == {"content-type": "application/json; charset=utf-8", "accept": "text/event-stream"}


@pytest.mark.parametrize("given", [{}, {"content-type": "application/x-www-form-urlencoded"}])
def test_a_modelled_body_is_json(given: dict[str, str]) -> None:
    """A body the gateway has read as JSON is sent as JSON, whatever curl calls it."""
    assert headers_of(exchange(headers=given))["content-type"] == "application/json"


def test_documented_headers_pass() -> None:
    """Headers that OpenAI documents for its clients pass without being named."""
    client = {"openai-beta": "assistants=v2", "idempotency-key": "k", "x-client-request-id": "c"}
    sent = headers_of(exchange(headers=client))
    assert {name: sent[name] for name in client} == client


@pytest.mark.parametrize("prefix", ["x-headgate-", "x-portkey-"])
def test_named_headers_pass(prefix: str) -> None:
    """Headers the caller names pass, in any case and with blanks around the commas; absent ones are left out."""
    client = {"x-trace": "7", "user-agent": "mine/1", f"{prefix}forward-headers": "X-Trace , user-agent,,x-absent"}
    sent = headers_of(exchange(headers=client))
    assert (sent["x-trace"], sent["user-agent"], "x-absent" in sent) == ("7", "mine/1", False)
    assert f"{prefix}forward-headers" not in sent


@pytest.mark.parametrize(
    "name",
    [
        "Connection", "te", "upgrade", "transfer-encoding", "proxy-authorization", "host", "content-length", "Expect",
        "authorization", "Cookie", "x-api-key", "accept-encoding", "x-headgate-trace-id", "X-Portkey-Forward-Headers",
    ],
)  # fmt: skip
def test_dangerous_headers_are_refused(name: str) -> None:
    """Headers of the connection, of the gateway or of the caller's identity cannot be named."""
    with pytest.raises(InvalidRequest, match=f"`{name.lower()}`"):
        deploy().prepare(exchange(headers={"x-headgate-forward-headers": f"x-fine,{name}"}))


def test_headers_of_the_deployment_win() -> None:
    """The operator's headers are sent revealed and cannot be replaced by a forwarded one."""
    ex = exchange(headers={"x-team": "caller", "x-headgate-forward-headers": "x-team"})
    assert headers_of(ex, headers={"X-Team": Secret("operator")})["x-team"] == "operator"


def test_account_of_the_deployment() -> None:
    """Organisation and project come from the deployment, and a caller cannot move the bill elsewhere."""
    asked = {"x-headgate-openai-organization": "org-caller", "x-headgate-openai-project": "proj-caller"}
    sent = headers_of(exchange(headers=asked), organization="org-1", project="proj-1")
    assert (sent["openai-organization"], sent["openai-project"]) == ("org-1", "proj-1")


def test_account_of_the_caller() -> None:
    """Where the deployment names no account, the caller's option is used; without either nothing is sent."""
    sent = headers_of(exchange(headers={"x-portkey-openai-project": "proj-caller"}), organization="org-1")
    assert (sent["openai-organization"], sent["openai-project"]) == ("org-1", "proj-caller")
    assert "openai-organization" not in headers_of(exchange())


# credentials and custom hosts


def test_the_credential_is_bound() -> None:
    """The deployment's key is a credential for its own origin and no header of the request."""
    request = deploy().prepare(exchange())
    assert request.credential is not None
    assert (request.credential.header, request.credential.prefix) == ("authorization", "Bearer ")
    assert request.credential.origins == frozenset({"https://api.openai.com:443"})
    assert "sk-deployment" not in repr(request)


def test_custom_host() -> None:
    """A caller's base URL is used with the caller's key alone: nothing of the deployment's goes there."""
    ex = exchange(headers={"x-headgate-openai-organization": "org-caller"})
    ex.base_url = "http://10.1.2.3:9000/v1/"
    ex.principal = Principal("caller", credential=Secret("sk-caller"))
    provider = deploy(headers={"x-team": Secret("operator")}, organization="org-1", allow_private=True)
    request = provider.prepare(ex)
    assert request.url == "http://10.1.2.3:9000/v1/chat/completions"
    assert request.private_hosts == frozenset()
    assert request.credential is not None
    assert request.credential.secret == Secret("sk-caller")
    assert request.credential.origins == frozenset({"http://10.1.2.3:9000"})
    assert b"x-team" not in dict(request.headers)
    assert dict(request.headers)[b"openai-organization"] == b"org-caller"


def test_custom_host_never_gets_the_deployments_key() -> None:
    """Should a custom host come without a key of the caller, the deployment's stays bound to its own origin."""
    ex = exchange()
    ex.base_url = "https://elsewhere.example/v1"
    request = deploy().prepare(ex)
    assert request.credential is not None
    assert request.credential.origins == frozenset({"https://api.openai.com:443"})


@pytest.mark.parametrize(
    "url", ["ftp://a/v1", "https://", "https://u:p@a/v1", "https://a/v1?x=", "https://a/v1#x", "a", "https://a:port/"]
)
def test_bad_custom_hosts(url: str) -> None:
    """A custom host that is no plain base URL is the caller's mistake, said before anything is sent."""
    ex = exchange()
    ex.base_url = url
    ex.principal = Principal("caller", credential=Secret("sk-caller"))
    with pytest.raises(InvalidRequest, match="custom-host"):
        deploy().prepare(ex)


def test_own_hosts_may_be_private() -> None:
    """A deployment on a private address may reach that address, and no other."""
    assert deploy(base_url="http://127.0.0.1:9/v1").prepare(exchange()).private_hosts == frozenset({"127.0.0.1"})
    assert deploy().prepare(exchange()).private_hosts == frozenset()


# passthrough


def test_passthrough_keeps_the_request() -> None:
    """Method, path, query, body and content type go through untouched."""
    ex = exchange(
        PASSTHROUGH,
        {"content-type": "multipart/form-data; boundary=x"},
        body=b"--x\r\n\x00\xff",
        method="DELETE",
        path="/v1/vector_stores/vs_1/files/a%20b",
        query=b"after=x&include[]=y%2Fz&flag",
    )
    request = deploy().prepare(ex)
    assert request.method == "DELETE"
    assert request.url == ("https://api.openai.com/v1/vector_stores/vs_1/files/a%20b?after=x&include[]=y%2Fz&flag")
    assert request.body == b"--x\r\n\x00\xff"
    assert dict(request.headers)[b"content-type"] == b"multipart/form-data; boundary=x"


def test_passthrough_adds_no_content_type() -> None:
    """A GET without a body stays without a content type."""
    request = deploy().prepare(exchange(PASSTHROUGH, method="GET", path="/v1/files", body=b""))
    assert b"content-type" not in dict(request.headers)
    assert (request.url, request.body) == ("https://api.openai.com/v1/files", b"")


def test_passthrough_escapes_what_a_url_cannot_hold() -> None:
    """Decoded characters of a path are escaped again, so that none of them ends the path or the request line."""
    ex = exchange(PASSTHROUGH, method="GET", path="/v1/files/a b\r\n?#\u00e9", query=b"q=\xc3\xa9 #")
    assert deploy().prepare(ex).url == "https://api.openai.com/v1/files/a%20b%0D%0A%3F%23%C3%A9?q=%C3%A9%20%23"


@pytest.mark.parametrize(
    "path",
    ["/v1/../admin", "/v1/files/./x", "/v1/%2e%2e/admin", "/v1/a/..%2fb", "/v1/..\\x", "/v1/a%5C..%5cb", "/v2/files"],
)
def test_passthrough_stays_below_the_base_url(path: str) -> None:
    """No spelling of a parent directory, and no other prefix, leaves the base URL."""
    with pytest.raises(InvalidRequest):
        deploy().prepare(exchange(PASSTHROUGH, method="GET", path=path))


# timeouts


def test_timeouts_are_the_deployments() -> None:
    """Without a wish of the caller or the target the deployment's timeouts hold."""
    timeouts = Timeouts(connect_s=1, first_byte_s=20, gap_s=3, total_s=40)
    assert deploy(timeouts=timeouts).prepare(exchange()).timeouts == timeouts


def test_timeouts_are_lowered() -> None:
    """The caller's milliseconds go before the target's seconds; both lower first byte and total, and raise nothing."""
    timeouts = Timeouts(connect_s=1, first_byte_s=20, gap_s=3, total_s=40)
    target = Target(deployment="main", request_timeout_s=5)
    asked = {"x-portkey-request-timeout": "1500"}
    by_target = deploy(timeouts=timeouts).prepare(exchange(target=target)).timeouts
    by_caller = deploy(timeouts=timeouts).prepare(exchange(headers=asked, target=target)).timeouts
    too_long = deploy(timeouts=timeouts).prepare(exchange(headers={"x-headgate-request-timeout": "30000"})).timeouts
    assert by_target == Timeouts(connect_s=1, first_byte_s=5, gap_s=3, total_s=5)
    assert by_caller == Timeouts(connect_s=1, first_byte_s=1.5, gap_s=3, total_s=1.5)
    assert too_long == Timeouts(connect_s=1, first_byte_s=20, gap_s=3, total_s=30)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", "1e3", "\u00b2", "9999999999"])
def test_bad_timeouts_are_refused(value: str) -> None:
    """A request timeout that is no positive number of milliseconds is an error, not ignored."""
    with pytest.raises(InvalidRequest, match="request-timeout"):
        deploy().prepare(exchange(headers={"x-headgate-request-timeout": value}))


# the whole call


async def test_a_call_relays() -> None:
    """A call sends one request and gives back the provider's status, bytes and headers."""
    body = b'{"id": "x",  "usage": {"prompt_tokens": 3, "completion_tokens": 4}}'
    upstream = ReplayUpstream({"*": Recorded(body=body, headers=(*JSON, ("x-request-id", "req_1")))})
    reply = await deploy(upstream).call(exchange())
    assert (reply.status, reply.body, len(upstream.requests)) == (200, body, 1)
    assert (b"x-request-id", b"req_1") in reply.headers
    assert reply.usage is not None
    assert (reply.usage.prompt, reply.usage.completion) == (3, 4)


async def test_an_error_envelope_is_relayed() -> None:
    """OpenAI's own error comes back with its status and bytes."""
    body = b'{ "error": {"message": "no", "type": "t", "param": null, "code": "c"} }'
    reply = await deploy(ReplayUpstream({"*": Recorded(status=429, body=body)})).call(exchange())
    assert (reply.status, reply.body) == (429, body)


async def test_passthrough_of_anything() -> None:
    """A passed-through answer is relayed as bytes, whatever its type."""
    upstream = ReplayUpstream({"*": Recorded(body=b"\x00\x01", headers=(("content-type", "audio/mpeg"),))})
    reply = await deploy(upstream).call(exchange(PASSTHROUGH, path="/v1/audio/speech"))
    assert reply.chunks is not None
    assert [chunk async for chunk in reply.chunks] == [b"\x00\x01"]


async def test_what_is_no_json_fails() -> None:
    """A 200 that is no JSON is the provider's failure, and names it."""
    with pytest.raises(ProviderFailed) as caught:
        await deploy(ReplayUpstream({"*": Recorded(body=b"<html>")})).call(exchange())
    assert (caught.value.provider, caught.value.deployment) == ("openai", "main")


def test_config_refuses_unknown_fields() -> None:
    """A misspelt setting is an error."""
    with pytest.raises(msgspec.ValidationError, match="organisation"):
        msgspec.convert({"provider": "openai", "organisation": "x"}, OpenAIConfig)


# what OpenAI has no word for

EMBED = b'{"model": "m", "input_type": "query",  "input": ["a"]}'


@pytest.mark.parametrize(
    ("base_url", "is_left_out"),
    [
        ("", True),
        ("https://eu.api.openai.com/v1", True),
        ("https://api.openai.com.evil.example/v1", False),
        ("http://127.0.0.1:8000/v1", False),
    ],
)
def test_purposes_are_left_out_at_openai(base_url: str, is_left_out: bool) -> None:
    """`input_type` is refused by OpenAI and only hints: it is taken out and named. Other servers may need it."""
    ex = exchange(EMBEDDINGS, body=EMBED, model="m")
    sent = deploy(base_url=base_url).prepare(ex).body
    kept = EMBED if not is_left_out else b'{"model":"m","input":["a"]}'
    assert (sent, ex.dropped) == (kept, ["input_type"] if is_left_out else [])


@pytest.mark.parametrize("body", [b'{"model": "m",  "input": ["input_type"]}', b'{"input":"a",  "model":"m"}'])
def test_other_embeddings_keep_their_bytes(body: bytes) -> None:
    """Nothing else is touched."""
    ex = exchange(EMBEDDINGS, body=body, model="m")
    assert (deploy().prepare(ex).body, ex.dropped) == (body, [])


def test_a_purpose_of_null_says_nothing() -> None:
    """It goes without a word about it."""
    ex = exchange(EMBEDDINGS, body=b'{"model":"m","input_type":null,"input":"a"}', model="m")
    assert (deploy().prepare(ex).body, ex.dropped) == (b'{"model":"m","input":"a"}', [])


def test_purposes_pass_to_a_host_of_the_callers() -> None:
    """What is there is the caller's to know."""
    ex = exchange(EMBEDDINGS, body=EMBED, model="m")
    ex.base_url = "https://elsewhere.example/v1"
    ex.principal = Principal("caller", credential=Secret("sk-caller"))
    assert (deploy().prepare(ex).body, ex.dropped) == (EMBED, [])


@pytest.mark.parametrize(
    ("dialect", "is_kept"), [("openai.chat", False), ("openai.responses", True)], ids=["chat", "responses"]
)
@pytest.mark.parametrize("client", ["openai.chat", "openai.responses", "anthropic.messages"])
def test_thinking_goes_where_it_can_be_said(dialect: str, client: str, is_kept: bool) -> None:
    """Chat has no place for it, Responses has: that depends on how OpenAI is asked, not on how the client speaks."""
    thought = Reasoning("hm", Opaque("openai", "enc"))
    request = ChatRequest("m", (Message("assistant", (thought, Text("yes"))),), dialect=client)
    gaps = Gaps("openai", dialect=dialect)
    adapted = deploy().adapt(request, gaps)
    assert adapted.messages[0].parts == ((thought, Text("yes")) if is_kept else (Text("yes"),))
    assert gaps.dropped == ([] if is_kept else ["messages[0].reasoning"])


def test_no_more_than_four_stop_sequences() -> None:
    """A fifth is refused by name and never cut off without a word: https://platform.openai.com/docs/api-reference/chat/create."""
    asked = ChatRequest("m", (Message("user", (Text("x"),)),), Sampling(stop=tuple("abcd")), dialect="google.generate")
    gaps = Gaps("openai", dialect="openai.chat")
    assert (deploy().adapt(asked, gaps).sampling.stop, gaps.dropped) == (tuple("abcd"), [])
    more = replace(asked, sampling=Sampling(stop=tuple("abcde")))
    with pytest.raises(UnsupportedField, match="at most 4") as caught:
        deploy().adapt(more, gaps)
    assert caught.value.param == "stop"
    dropping = Gaps("openai", "drop", dialect="openai.chat")
    assert (len(deploy().adapt(more, dropping).sampling.stop), dropping.dropped) == (4, ["stop"])


@pytest.mark.parametrize(("client", "names"), [("openai.chat", []), ("anthropic.messages", ["thinking.budget_tokens"])])
def test_a_budget_beside_an_effort_is_named(client: str, names: list[str]) -> None:
    """OpenAI takes efforts alone; a client of its own dialect asks in its own words."""
    request = ChatRequest("m", (Message("user", (Text("hi"),)),), thinking=Thinking("low", 2000), dialect=client)
    gaps = Gaps("openai", dialect="openai.chat")
    assert deploy().adapt(request, gaps).thinking == request.thinking
    assert gaps.dropped == names
