"""What leaves the gateway for Vertex AI: three interfaces by the model, places, credentials and bodies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
import pytest
from providers.vertex.tests.vertex_wire import (
    BODY,
    CALL,
    CLAUDE,
    CLAUDE_REPLY,
    DIALECTS,
    GEMINI,
    LLAMA,
    PLACE,
    REGION,
    TOKEN,
    deploy,
    exchange,
    gemini,
    streamed,
)
from typing_extensions import override

from headgate.chat import (
    ChatRequest,
    Image,
    Item,
    Message,
    Opaque,
    Reasoning,
    ResponseFormat,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from headgate.dialects import Dialect, Gaps, GoogleGenerate, OpenAIChat
from headgate.errors import InvalidRequest, ProviderFailed, UnsupportedField
from headgate.exchange import Exchange, Principal, Reply, Target
from headgate.operations import (
    CHAT,
    COUNT_TOKENS,
    EMBED_CONTENT,
    EMBED_CONTENTS,
    EMBEDDINGS,
    GENERATE,
    GENERATE_COUNT,
    GENERATE_LIVE,
    MESSAGES,
    PASSTHROUGH,
    VERTEX_LIVE,
    Operation,
)
from headgate.provider import Provider
from headgate.secret import Secret
from headgate.testing import ProviderContract, Recorded, ReplayUpstream
from headgate.testing.providers import SECRET
from headgate_vertex import Vertex


class TestContractOfExpressMode(ProviderContract):
    """Gemini by an API key alone keeps what every provider promises."""

    provider = Vertex
    config: ClassVar[Mapping[str, Any]] = {"api_key": SECRET}
    operation = GENERATE
    url = f"https://aiplatform.googleapis.com/v1/publishers/google/models/{GEMINI}:generateContent"
    request = BODY
    reply = Recorded.from_json(gemini({"text": "Hello there"}, finish="STOP", used=True))
    stream = streamed(gemini({"text": "Hel"}), gemini({"text": "lo"}), gemini({"text": ""}, finish="STOP", used=True))
    tool_reply = Recorded.from_json(gemini(CALL, finish="STOP", used=True))
    tool_stream = streamed(gemini(CALL), gemini({"text": ""}, finish="STOP", used=True))
    usage = (9, 3)
    errors: ClassVar[Mapping[int, Recorded]] = {
        status: Recorded.from_json({"error": {"code": status, "message": "m", "status": word}}, status)
        for status, word in ((400, "INVALID_ARGUMENT"), (401, "UNAUTHENTICATED"), (429, "RESOURCE_EXHAUSTED"))
    }

    @property
    @override
    def dialect(self) -> Dialect:
        return DIALECTS["generate"]

    @override
    def exchange(self, provider: Provider, *, stream: bool = False) -> Exchange:
        ex = exchange(provider, stream=stream)
        ex.principal = Principal("contract")
        return ex


@pytest.mark.parametrize(
    ("operation", "model", "stream", "path"),
    [
        (GENERATE, GEMINI, False, f"/publishers/google/models/{GEMINI}:generateContent"),
        (GENERATE, GEMINI, True, f"/publishers/google/models/{GEMINI}:streamGenerateContent?alt=sse"),
        (
            GENERATE,
            "google/gemini-3-pro-preview",
            False,
            "/publishers/google/models/gemini-3-pro-preview:generateContent",
        ),
        (GENERATE, "publishers/google/models/imagine", False, "/publishers/google/models/imagine:generateContent"),
        (GENERATE, "1234567890", False, "/endpoints/1234567890:generateContent"),
        (GENERATE_COUNT, GEMINI, False, f"/publishers/google/models/{GEMINI}:countTokens"),
        (MESSAGES, CLAUDE, False, f"/publishers/anthropic/models/{CLAUDE}:rawPredict"),
        (MESSAGES, f"anthropic/{CLAUDE}", True, f"/publishers/anthropic/models/{CLAUDE}:streamRawPredict"),
        (COUNT_TOKENS, CLAUDE, False, "/publishers/anthropic/models/count-tokens:rawPredict"),
        (CHAT, LLAMA, True, "/endpoints/openapi/chat/completions"),
        (CHAT, "google/gemma-4-maas", False, "/endpoints/openapi/chat/completions"),
        (CHAT, GEMINI, False, f"/publishers/google/models/{GEMINI}:generateContent"),
        (GENERATE, "gemini-../x?#", False, "/publishers/google/models/gemini-..%2Fx%3F%23:generateContent"),
    ],
)
def test_where_calls_go(operation: Operation, model: str, stream: bool, path: str) -> None:
    """The model decides on the interface; project and location stand in the path."""
    assert deploy().url_for(exchange(None, operation, model=model, stream=stream)) == REGION + PLACE + path


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("global", "https://aiplatform.googleapis.com"),
        ("us", "https://aiplatform.us.rep.googleapis.com"),
        ("eu", "https://aiplatform.eu.rep.googleapis.com"),
        ("us-central1", "https://us-central1-aiplatform.googleapis.com"),
        ("", "https://aiplatform.googleapis.com"),
    ],
)
def test_hosts(location: str, host: str) -> None:
    """A region stands before the host, the global one and multi-regions have hosts of their own."""
    url = deploy(location=location).url_for(exchange())
    assert url.startswith(f"{host}/v1/projects/my-project/locations/{location or 'global'}/")


def test_passthrough() -> None:
    """Any other path is called as it is, below the version."""
    ex = exchange(None, PASSTHROUGH, path="/v1/projects/my-project/locations/europe-west4/cachedContents")
    assert deploy().url_for(ex) == f"{REGION}{PLACE}/cachedContents"


def test_passthrough_of_the_early_version() -> None:
    """What has `v1beta1` in its path is asked there, as google-genai asks everything."""
    path = "/v1beta1/projects/my-project/locations/europe-west4/publishers/google/models/text-embedding-005:predict"
    url = deploy().url_for(exchange(None, PASSTHROUGH, path=path, query=b"key=mine&a=1"))
    assert url == REGION.removesuffix("/v1") + path + "?a=1"


@pytest.mark.parametrize(
    ("base", "version"),
    [("https://own.example", "v1"), ("https://own.example/v1", "v1"), ("https://own.example/v1beta1", "v1beta1")],
)
def test_a_base_url_without_a_version(base: str, version: str) -> None:
    """What stands beside the version stays at the host of a base URL that has none."""
    provider = deploy(base_url=base)
    path = "/v1beta1/projects/p/locations/global/publishers/google/models/m:predict"
    assert provider.url_for(exchange(provider, PASSTHROUGH, path=path)) == "https://own.example" + path
    live = provider.url_for(exchange(provider, GENERATE_LIVE))
    assert live == "https://own.example" + VERTEX_LIVE.format(version=version)


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"contents": [], "systemInstruction": {"parts": []}}, {"contents": [], "systemInstruction": {"parts": []}}),
        (
            {
                "generateContentRequest": {
                    "model": "models/x",
                    "contents": [],
                    "tools": [],
                    "safetySettings": [],
                    "cachedContent": None,
                }
            },
            {"contents": [], "tools": []},
        ),
        (
            {"generate_content_request": {"contents": [], "system_instruction": {}, "generation_config": {}}},
            {"contents": [], "system_instruction": {}, "generation_config": {}},
        ),
    ],
)
def test_counts_in_both_shapes(asked: Any, sent: Any) -> None:
    """What the Gemini API takes one level deeper stands at the top here, without what is not counted."""
    ex = exchange(None, GENERATE_COUNT, body=msgspec.json.encode(asked))
    assert msgspec.json.decode(deploy().body_for(ex)) == sent


@pytest.mark.parametrize("name", ["cachedContent", "cached_content"])
def test_cached_contents_are_not_counted(name: str) -> None:
    """There is no word for what would count, so it is refused by name, or left out and named."""
    body = msgspec.json.encode({"generateContentRequest": {name: "cachedContents/9", "contents": []}})
    with pytest.raises(UnsupportedField) as refused:
        deploy().body_for(exchange(None, GENERATE_COUNT, body=body))
    assert refused.value.param == name
    ex = exchange(None, GENERATE_COUNT, body=body, headers={"x-headgate-unsupported": "drop"})
    assert (deploy().body_for(ex), list(ex.dropped)) == (b'{"contents":[]}', [name])


def test_express_mode_is_gemini_only() -> None:
    """An API key without a project reaches no other publisher."""
    provider = deploy(project="", credentials=None, api_key=Secret("AIza-express"))
    assert provider.url_for(exchange(provider)).endswith(f"/v1/publishers/google/models/{GEMINI}:generateContent")
    with pytest.raises(InvalidRequest, match="`project`"):
        provider.url_for(exchange(provider, MESSAGES, model=CLAUDE))


@pytest.mark.parametrize(
    ("operation", "model", "spoken"),
    [
        (GENERATE, GEMINI, ("generate", "google.generate")),
        (MESSAGES, GEMINI, ("generate", "google.generate")),
        (CHAT, CLAUDE, ("messages", "anthropic.messages")),
        (GENERATE, LLAMA, ("chat", "openai.chat")),
        (GENERATE_COUNT, GEMINI, ("generate.count_tokens", "")),
        (GENERATE_COUNT, CLAUDE, ("count_tokens", "anthropic.count")),
        (COUNT_TOKENS, GEMINI, ("generate.count_tokens", "vertex.count")),
        (COUNT_TOKENS, CLAUDE, ("count_tokens", "")),
        (COUNT_TOKENS, LLAMA, ("estimate", "")),
        (EMBEDDINGS, "gemini-embedding-001", ("embeddings", "vertex.embed")),
        (EMBED_CONTENTS, "gemini-embedding-001", ("embeddings", "vertex.embed")),
        (EMBED_CONTENT, LLAMA, None),
        (EMBEDDINGS, CLAUDE, None),
        (EMBEDDINGS, LLAMA, None),
        (PASSTHROUGH, "", ("passthrough", "")),
    ],
)
def test_what_it_speaks(operation: Operation, model: str, spoken: tuple[str, str] | None) -> None:
    """The dialect is the model's, whichever the client's is."""
    assert deploy().spoken(exchange(None, operation, model=model), model) == spoken


def test_gemini_gets_the_clients_bytes() -> None:
    """A body of Google's own dialect goes out as it came; a service tier is a header here."""
    assert deploy().prepare(exchange()).body == BODY
    target = Target(deployment="main", override_params={"labels": {"a": "b"}})
    assert json.loads(deploy().prepare(exchange(target=target)).body) == {**json.loads(BODY), "labels": {"a": "b"}}
    for tier, header in (("FLEX", b"flex"), ("priority", b"priority"), ("standard", None)):
        body = msgspec.json.encode({**json.loads(BODY), "serviceTier": tier})
        request = deploy().prepare(exchange(body=body))
        assert json.loads(request.body) == json.loads(BODY)
        assert dict(request.headers).get(b"x-vertex-ai-llm-shared-request-type") == header


def test_claude_gets_a_version_instead_of_a_model() -> None:
    """The model stands in the path; all other members keep their bytes."""
    body = b'{"model":"x","max_tokens":10,"messages":[{"role":"user","content":"h\xc3\xa9"}],"temperature":1.0}'
    sent = deploy().prepare(exchange(None, MESSAGES, model=CLAUDE, body=body)).body
    rest = b'"max_tokens":10,"messages":[{"role":"user","content":"h\xc3\xa9"}],"temperature":1.0}'
    assert sent == b'{"anthropic_version":"vertex-2023-10-16",' + rest
    counted = deploy().prepare(exchange(None, COUNT_TOKENS, model=f"anthropic/{CLAUDE}", body=body)).body
    assert counted == body.replace(b'"x"', f'"{CLAUDE}"'.encode())


def test_other_models_get_theirs_in_the_body() -> None:
    """The OpenAI layer takes the model, with its publisher, in the body."""
    body = b'{"model":"llama","messages":[]}'
    assert deploy().prepare(exchange(None, CHAT, model=LLAMA, body=body)).body == body.replace(b"llama", LLAMA.encode())


def test_headers() -> None:
    """Claude's betas pass, and the quota project is named."""
    provider = deploy(quota_project="payer")
    headers = provider.headers_for(exchange(provider, MESSAGES, model=CLAUDE, headers={"anthropic-beta": "b1"}))
    assert (headers[b"anthropic-beta"], headers[b"x-goog-user-project"]) == (b"b1", b"payer")


@pytest.mark.parametrize(("operation", "model"), [(GENERATE, GEMINI), (CHAT, LLAMA)])
def test_other_models_get_no_betas_of_claudes(operation: Operation, model: str) -> None:
    """What only Claude knows goes to no other model, whoever asks."""
    provider = deploy()
    headers = provider.headers_for(exchange(provider, operation, model=model, headers={"anthropic-beta": "b1"}))
    assert b"anthropic-beta" not in headers


async def test_claude_for_an_openai_client() -> None:
    """A translated request has no model and a version; the answer comes back in OpenAI's words."""
    upstream = ReplayUpstream({"/token": TOKEN, "*": Recorded.from_json(CLAUDE_REPLY)})
    provider = deploy(upstream)
    body = b'{"model":"c","messages":[{"role":"user","content":"hi"}],"max_tokens":50}'
    reply = await provider.call(exchange(provider, CHAT, model=CLAUDE, body=body))
    sent = json.loads(upstream.requests[1].body)
    assert "model" not in sent
    assert (sent["anthropic_version"], sent["max_tokens"]) == ("vertex-2023-10-16", 50)
    assert upstream.requests[1].url == f"{REGION}{PLACE}/publishers/anthropic/models/{CLAUDE}:rawPredict"
    assert json.loads(reply.body)["choices"][0]["message"]["content"] == "Hello"


async def test_gemini_for_an_openai_client() -> None:
    """A translated request is Google's, its service tier a header."""
    upstream = ReplayUpstream({"/token": TOKEN, "*": Recorded.from_json(gemini({"text": "Hello"}, finish="STOP"))})
    provider = deploy(upstream)
    body = b'{"model":"c","messages":[{"role":"user","content":"hi"}],"service_tier":"flex"}'
    reply = await provider.call(exchange(provider, CHAT, body=body))
    sent = upstream.requests[1]
    assert json.loads(sent.body) == {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    assert dict(sent.headers)[b"x-vertex-ai-llm-shared-request-type"] == b"flex"
    assert json.loads(reply.body)["choices"][0]["message"]["content"] == "Hello"


def test_policies() -> None:
    """Each model gets its own policy; what another publisher's models signed does not go to it."""
    google, claude = Opaque("google", "c2ln"), Opaque("anthropic", "sig")
    parts = (
        Reasoning("", claude, is_redacted=True),
        Reasoning("why", claude),
        Text("x", opaque=google),
        ToolCall("a", "f", ""),
    )
    messages = (Message("user", (Text("hi"),)), Message("assistant", parts))
    request = ChatRequest("gemini-2.5-pro", messages, Sampling(max_tokens=5000), thinking=Thinking("low"))
    gaps = Gaps("vertex")
    adapted = deploy().adapt(request, gaps)
    assert adapted.thinking == Thinking(budget_tokens=1024, is_shown=True)
    assert adapted.messages[1].parts == (Reasoning("why"), Text("x", opaque=google), ToolCall("call_vertex_0", "f", ""))
    assert gaps.dropped == ["messages[1].reasoning", "reasoning_effort"]
    for_claude = deploy().adapt(msgspec.structs.replace(request, model=CLAUDE), Gaps("vertex"))
    assert for_claude.messages[1].parts[:3] == (*parts[:2], Text("x"))
    hop = Item("anthropic.messages", {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}})
    gone = Gaps("vertex")
    turns = (messages[0], Message("assistant", (hop, Text("x"))))
    assert deploy().adapt(ChatRequest(CLAUDE, turns), gone).messages[1].parts == (Text("x"),)
    assert gone.dropped == ["messages[1].provider_items"]
    plain = ChatRequest(LLAMA, (Message("user", (Text("hi"),)),))
    assert deploy().adapt(plain, gaps) == plain
    provider = deploy()
    assert provider.understands(Opaque("anthropic", "s", "other"))
    assert not provider.understands(Opaque("google", "s", "other"))
    assert provider.understands(Opaque("google", "s", provider.account))
    assert [provider.fetches(Image(url=url)) for url in ("gs://b/a.png", "https://x.example/a.png")] == [True, False]


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (None, {"mode": "VALIDATED"}),
        (ToolChoice("auto", allowed=("f",)), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
        (ToolChoice("required", allowed=("f",)), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)
def test_calls_are_validated(choice: ToolChoice | None, told: Any) -> None:
    """Strict tools are held to their schemas here too, and nothing of them is left out."""
    tools = (Tool("f", strict=True), Tool("g"))
    request = ChatRequest(GEMINI, (Message("user", (Text("hi"),)),), tools=tools, tool_choice=choice)
    gaps = Gaps("vertex")
    sent = json.loads(GoogleGenerate().encode_request(deploy().adapt(request, gaps), gaps))
    assert sent["toolConfig"]["functionCallingConfig"] == told
    assert ([held["name"] for held in sent["tools"][0]["functionDeclarations"]], gaps.dropped) == (["f", "g"], [])


@pytest.mark.parametrize("dialect", ["openai.chat", "google.generate"])
def test_ids_of_calls_are_not_sent(dialect: str) -> None:
    """Ids that the Gemini API gave, or its client, are refused here: calls and results go without."""
    turns = (
        Message("user", (Text("hi"),)),
        Message("assistant", (ToolCall("gemini_x1", "f", "{}"), ToolCall("mine", "f", "{}"))),
        Message("tool", (ToolResult("mine", (Text("2"),)), ToolResult("gemini_x1", (Text("1"),)))),
    )
    gaps = Gaps("vertex")
    request = deploy().adapt(ChatRequest(GEMINI, turns, dialect=dialect), gaps)
    sent = json.loads(GoogleGenerate().encode_request(request, gaps))
    assert [part["functionCall"] for part in sent["contents"][1]["parts"]] == [{"name": "f", "args": {}}] * 2
    assert ["id" in part["functionResponse"] for part in sent["contents"][2]["parts"]] == [False, False]


@pytest.mark.parametrize(
    ("model", "setting", "is_native"),
    [
        ("claude-opus-4-7", "auto", False),
        ("claude-opus-4-7", "native", True),
        ("claude-opus-5-5", "auto", True),
        ("claude-haiku-4-5@20251001", "native", True),
    ],
)
def test_structured_outputs_of_claude(model: str, setting: str, *, is_native: bool) -> None:
    """They are off unless an organisation allows them: a tool holds the answer where one can be demanded."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
    wanted = ResponseFormat("json_schema", "r", schema)
    request = ChatRequest(model, (Message("user", (Text("hi"),)),), response_format=wanted)
    adapted = deploy(structured_output=setting).adapt(request, Gaps("vertex"))
    assert (adapted.response_format is not None, len(adapted.tools)) == (is_native, 0 if is_native else 1)


def test_signatures_are_bound_to_the_project() -> None:
    """What Gemini signed for one project goes to no other, nor to the Gemini API, whatever the place it came from."""
    mine, theirs = deploy(), deploy(project="another-project")
    signed = Opaque("google", "c2ln", mine.account)
    assert mine.account != ""
    assert "my-project" not in mine.account
    assert mine.understands(signed)
    assert deploy(location="europe-west4").understands(signed)
    assert not theirs.understands(signed)
    assert theirs.understands(Opaque("anthropic", "c2ln", mine.account))
    assert theirs.understands(Opaque("google", "c2ln"))


async def test_signatures_say_where_they_come_from() -> None:
    """A client of another dialect gets the account with the signature, and brings it back."""
    called = gemini({"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "c2ln"}, finish="STOP")
    upstream = ReplayUpstream({"/token": TOKEN, "*": Recorded.from_json(called)})
    provider = deploy(upstream)
    reply = await provider.call(exchange(provider, CHAT, body=b'{"messages":[{"role":"user","content":"hi"}]}'))
    message = OpenAIChat().decode_reply(reply.body).choices[0].message
    signatures = [part.opaque for part in message.parts if isinstance(part, ToolCall)]
    assert signatures == [Opaque("google", "c2ln", provider.account)]


async def test_calls_carry_a_token() -> None:
    """The token is a bearer credential for the deployment's origin, and never comes back."""
    echo = gemini({"text": "your token is ya29.token"}, finish="STOP")
    upstream = ReplayUpstream({"/token": TOKEN, "*": Recorded.from_json(echo)})
    provider = deploy(upstream)
    relayed = await provider.call(exchange(provider))
    translated = await provider.call(exchange(provider, CHAT, body=b'{"messages":[{"role":"user","content":"hi"}]}'))
    credential = upstream.requests[1].credential
    assert credential is not None
    assert credential.field() == (b"authorization", b"Bearer ya29.token")
    assert credential.origins == frozenset({"https://europe-west4-aiplatform.googleapis.com:443"})
    assert len(upstream.requests) == 3
    for reply in (relayed, translated):
        assert b"ya29.token" not in await body_of(reply)


async def body_of(reply: Reply) -> bytes:
    return reply.body if reply.chunks is None else b"".join([piece async for piece in reply.chunks])


async def test_a_base_url_of_the_caller_gets_no_token() -> None:
    """A token is for the deployment's own origin alone."""
    provider = deploy()
    ex = exchange(provider)
    ex.base_url = "https://elsewhere.example/v1"
    with pytest.raises(ProviderFailed) as caught:
        await provider.call(ex)
    assert caught.value.error_code == "upstream_denied"


async def test_no_token_no_call() -> None:
    """A deployment whose credentials are refused fails before anything is sent."""
    upstream = ReplayUpstream({"/token": Recorded.from_json({"error": "invalid_grant"}, 400)})
    provider = deploy(upstream)
    with pytest.raises(ProviderFailed) as caught:
        await provider.call(exchange(provider))
    assert (caught.value.error_code, caught.value.provider) == ("upstream_credentials", "vertex")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("own", "field"),
    [
        ("AIza-callers", (b"x-goog-api-key", b"AIza-callers")),
        ("ya29.callers", (b"authorization", b"Bearer ya29.callers")),
    ],
)
def test_the_callers_own(own: str, field: tuple[bytes, bytes]) -> None:
    """What a caller brings is an API key by its looks, else an access token."""
    provider = deploy()
    ex = exchange(provider)
    ex.principal = Principal("k", credential=Secret(own))
    credential = provider.prepare(ex).credential
    assert credential is not None
    assert credential.field() == field
