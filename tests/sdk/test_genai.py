"""The `google-genai` package: against the demo, which speaks its dialect, and against other vendors by translation."""

# The package's signatures name types of optional dependencies that are not installed.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials
from pydantic import BaseModel
from tests.door.upstream import Upstream, json_response
from tests.harness import GATEWAY_KEY, Gateway, ask, head, post
from tests.sdk import vendors

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
"""The package's own: it inherits from a class of aiohttp."""
ANSWER = "Hello from the Headgate demo. You said: hi there"
COLD = "It is -3 in Bergen."
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(name="weather", description="of a city", parameters_json_schema=SCHEMA)
    ]
)
FORCED = types.GenerateContentConfig(
    tools=[WEATHER],
    tool_config=types.ToolConfig(
        function_calling_config=types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.ANY)
    ),
)


class Place(BaseModel):
    """What a structured answer holds."""

    city: str
    people: int


def driving(**knobs: Any) -> types.GenerateContentConfig:
    """A configuration whose header drives the demo."""
    return types.GenerateContentConfig(http_options=types.HttpOptions(headers={"x-headgate-demo": json.dumps(knobs)}))


def test_whole_reply(gemini: genai.Client) -> None:
    """A reply parses into the package's own types, with finish reason and usage; the model may be named in full."""
    for model in ("fast", "demo/echo"):
        reply = gemini.models.generate_content(model=model, contents="hi there")
        assert reply.text == ANSWER
        assert reply.candidates is not None
        assert reply.candidates[0].finish_reason == types.FinishReason.STOP
        assert reply.usage_metadata is not None
        assert (reply.usage_metadata.prompt_token_count, reply.usage_metadata.total_token_count) == (2, 11)


@pytest.mark.parametrize("version", ["v1", "v1beta", None])
def test_every_version_of_the_path(gemini: genai.Client, version: str | None) -> None:
    """Both versions are answered alike; which is the package's default depends on the package's version."""
    options = types.HttpOptions(api_version=version)
    config = types.GenerateContentConfig(http_options=options)
    assert gemini.models.generate_content(model="fast", contents="hi there", config=config).text == ANSWER
    count = types.CountTokensConfig(http_options=options)
    assert gemini.models.count_tokens(model="fast", contents="hi", config=count).total_tokens
    embed = types.EmbedContentConfig(http_options=options)
    assert gemini.models.embed_content(model="fast", contents="hi", config=embed).embeddings


@pytest.mark.parametrize("has_project", [False, True])
def test_a_client_of_vertex_ai(gateway: Gateway, *, has_project: bool) -> None:
    """With `vertexai=True` the package asks other paths: an early version, and with a project that and a location. The gateway's
    deployments decide on all of these. The gateway key is the client's API key, or the token of its credentials.
    """
    options = types.HttpOptions(base_url=gateway.url, timeout=10_000)
    client = (
        genai.Client(
            vertexai=True,
            project="p",
            location="europe-west4",
            credentials=Credentials(GATEWAY_KEY),
            http_options=options,
        )
        if has_project
        else genai.Client(vertexai=True, api_key=GATEWAY_KEY, http_options=options)
    )
    with client:
        for model in ("fast", "demo/echo"):
            assert client.models.generate_content(model=model, contents="hi there").text == ANSWER
        chunks = list(client.models.generate_content_stream(model="fast", contents="hi there"))
        assert "".join(chunk.text or "" for chunk in chunks) == ANSWER
        counting = types.CountTokensConfig(system_instruction="be brief and kind", tools=[WEATHER])
        few = client.models.count_tokens(model="fast", contents="hi").total_tokens or 0
        assert (client.models.count_tokens(model="fast", contents="hi", config=counting).total_tokens or 0) > few > 0
        assert client.chats.create(model="fast").send_message("hi there").text == ANSWER
        with pytest.raises(errors.ClientError, match="`absent`") as held:
            client.models.generate_content(model="absent", contents="hi")
        assert held.value.code == 404


def test_limits_are_honoured(gemini: genai.Client) -> None:
    """`max_output_tokens`, `stop_sequences` and `candidate_count` reach the provider."""
    config = types.GenerateContentConfig(max_output_tokens=2, candidate_count=2)
    reply = gemini.models.generate_content(model="fast", contents="hi", config=config)
    assert reply.candidates is not None
    assert [each.finish_reason for each in reply.candidates] == [types.FinishReason.MAX_TOKENS] * 2
    config = types.GenerateContentConfig(stop_sequences=["Headgate"])
    assert gemini.models.generate_content(model="fast", contents="hi", config=config).text == "Hello from the "


def test_stream(gemini: genai.Client) -> None:
    """A stream says the same as the whole reply in pieces, and the last event has finish and usage."""
    chunks = list(gemini.models.generate_content_stream(model="fast", contents="hi there"))
    assert "".join(chunk.text or "" for chunk in chunks) == ANSWER
    assert len(chunks) > 5
    usage, candidates = chunks[-1].usage_metadata, chunks[-1].candidates
    assert usage is not None
    assert usage.candidates_token_count == 9
    assert candidates is not None
    assert candidates[0].finish_reason == types.FinishReason.STOP


async def test_asynchronous_client(gemini: genai.Client) -> None:
    """The asynchronous face gives the same, whole and streamed."""
    assert (await gemini.aio.models.generate_content(model="fast", contents="hi there")).text == ANSWER
    stream = await gemini.aio.models.generate_content_stream(model="fast", contents="hi there")
    assert "".join([chunk.text or "" async for chunk in stream]) == ANSWER


def test_a_chat(gemini: genai.Client) -> None:
    """The package's chat keeps the history and sends it again."""
    chat = gemini.chats.create(model="fast")
    assert chat.send_message("hi there").text == ANSWER
    assert chat.send_message("bye").text == "Hello from the Headgate demo. You said: bye"


def test_structured_output(gemini: genai.Client) -> None:
    """A response schema given as a class gives an answer of that class."""
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Place)
    assert isinstance(gemini.models.generate_content(model="fast", contents="hi", config=config).parsed, Place)


def test_a_function_is_called_by_hand(gemini: genai.Client) -> None:
    """Mode ANY gives a call, whole and streamed; the function's answer goes back and the model speaks of it."""
    whole = gemini.models.generate_content(model="fast", contents="hi", config=FORCED)
    streamed = list(gemini.models.generate_content_stream(model="fast", contents="hi", config=FORCED))
    for reply in (whole, streamed[0]):
        calls = reply.function_calls or []
        assert [(call.name, call.args) for call in calls] == [("weather", {"city": "text"})]
    assert whole.candidates is not None
    spoken = whole.candidates[0].content
    assert spoken is not None
    answer = types.Part.from_function_response(name="weather", response={"result": "-3"})
    history = [types.UserContent("hi"), spoken, types.Content(role="user", parts=[answer])]
    last = gemini.models.generate_content(
        model="fast", contents=history, config=types.GenerateContentConfig(tools=[WEATHER])
    )
    assert "Your tool answered" in (last.text or "")


@pytest.mark.parametrize(
    ("model", "answers"),
    [
        ("claude", (vendors.CLAUDE_CALLS, vendors.CLAUDE_SAYS)),
        ("m", (vendors.OPENAI_CALLS, vendors.OPENAI_SAYS)),
        ("gemini", (vendors.GEMINI_CALLS, vendors.GEMINI_SAYS)),
    ],
)
async def test_automatic_function_calling(
    gemini: genai.Client, upstream: Upstream, model: str, answers: tuple[bytes, ...]
) -> None:
    """The package calls the Python function itself and goes on, whatever vendor answers."""
    upstream.script = vendors.in_turn(*answers)
    asked: list[str] = []

    async def weather(city: str) -> str:
        """The weather of a city."""
        asked.append(city)
        return "degrees: -3"

    reply = await gemini.aio.models.generate_content(
        model=model, contents="is it cold?", config=types.GenerateContentConfig(tools=[weather])
    )
    assert (reply.text, asked) == (COLD, ["Bergen"])
    first, second = upstream.calls
    assert b"The weather of a city" in first.body
    assert b"degrees: -3" in second.body


@pytest.mark.parametrize(
    ("model", "text", "call"),
    [
        ("claude", vendors.CLAUDE_STREAMS, vendors.CLAUDE_STREAMS_A_CALL),
        ("gemini", vendors.GEMINI_STREAMS, vendors.GEMINI_STREAMS_A_CALL),
    ],
)
async def test_streams_of_vendors(
    gemini: genai.Client, upstream: Upstream, model: str, text: bytes, call: bytes
) -> None:
    """Streams of other vendors read like Google's own: text, a call with whole arguments, usage at the end."""
    upstream.script = vendors.in_turn(text, call)
    stream = await gemini.aio.models.generate_content_stream(model=model, contents="is it cold?")
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.text or "" for chunk in chunks) == COLD
    usage = chunks[-1].usage_metadata
    assert usage is not None
    assert (usage.prompt_token_count, usage.candidates_token_count) == (11, 5)
    config = types.GenerateContentConfig(tools=[WEATHER])
    stream = await gemini.aio.models.generate_content_stream(model=model, contents="is it cold?", config=config)
    calls = [made for chunk in [each async for each in stream] for made in chunk.function_calls or []]
    assert [(made.name, made.args) for made in calls] == [("weather", vendors.CITY)]


def test_count_tokens(gemini: genai.Client) -> None:
    """Counting works for a provider that cannot count; longer contents count more."""
    short = gemini.models.count_tokens(model="fast", contents="hi").total_tokens
    long = gemini.models.count_tokens(model="fast", contents="hi there, how are you this morning?").total_tokens
    assert 0 < (short or 0) < (long or 0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_a_providers_error_keeps_its_status(gemini: genai.Client, status: int) -> None:
    """A provider's error is the package's class for clients' or servers' faults, with status and words."""
    kind = errors.ClientError if status < 500 else errors.ServerError
    with pytest.raises(kind, match=f"status {status}") as caught:
        gemini.models.generate_content(model="fast", contents="hi", config=driving(status=status))
    assert caught.value.code == status


def test_unknown_model(gemini: genai.Client) -> None:
    """The gateway's own errors come in Google's envelope and name what is wrong."""
    with pytest.raises(errors.ClientError, match="gemini-nobody") as caught:
        gemini.models.generate_content(model="gemini-nobody", contents="hi")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


async def test_another_vendors_error(gemini: genai.Client, upstream: Upstream) -> None:
    """Anthropic's error comes in Google's envelope: its status and words, Google's name for it."""
    refusal = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}
    upstream.script = vendors.in_turn(json_response(refusal, "429 Too Many Requests"))
    with pytest.raises(errors.ClientError, match="slow down") as caught:
        await gemini.aio.models.generate_content(model="claude", contents="hi")
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")


def test_a_broken_stream_throws(gemini: genai.Client) -> None:
    """A stream that breaks off throws after what came; it must not look like an answer that is complete."""
    said: list[str] = []
    with pytest.raises(errors.APIError, match="broke off"):
        said.extend(
            chunk.text or ""
            for chunk in gemini.models.generate_content_stream(
                model="fast", contents="hi", config=driving(fail_after_chunks=2)
            )
        )
    assert said == ["Hello ", "from "]


def test_the_demos_errors_have_googles_status(gemini: genai.Client) -> None:
    """The demo's own errors come in Google's envelope too."""
    with pytest.raises(errors.ClientError) as caught:
        gemini.models.generate_content(model="fast", contents="hi", config=driving(status=429))
    assert caught.value.status == "RESOURCE_EXHAUSTED"


async def test_embeddings(gemini: genai.Client) -> None:
    """Texts become vectors, in their order and as long as asked, with both faces of the package."""
    config = types.EmbedContentConfig(output_dimensionality=16)
    both = gemini.models.embed_content(model="fast", contents=["one", "two"], config=config).embeddings or []
    one = (await gemini.aio.models.embed_content(model="demo/echo", contents="two", config=config)).embeddings or []
    assert [len(each.values or []) for each in both] == [16, 16]
    assert [each.values for each in one] == [both[1].values]
    assert both[0].values != both[1].values


async def test_embeddings_of_another_vendor(gemini: genai.Client, upstream: Upstream) -> None:
    """OpenAI's embeddings read like Google's; what they are for is a hint there, a title cannot be said."""
    vectors = [{"object": "embedding", "index": at, "embedding": [at, 0.5]} for at in range(2)]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    upstream.script = vendors.in_turn(json_response({"object": "list", "data": vectors, "model": "x", "usage": usage}))
    config = types.EmbedContentConfig(output_dimensionality=2, task_type="RETRIEVAL_QUERY")
    reply = await gemini.aio.models.embed_content(model="m", contents=["a", "b"], config=config)
    assert [each.values for each in reply.embeddings or []] == [[0.0, 0.5], [1.0, 0.5]]
    call = await upstream.call()
    assert (call.target, call.json) == (
        "/v1/embeddings",
        {"model": "some-model", "input": ["a", "b"], "dimensions": 2},
    )
    with pytest.raises(errors.ClientError, match="title") as caught:
        await gemini.aio.models.embed_content(model="m", contents="a", config=types.EmbedContentConfig(title="T"))
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")


async def test_googles_own_embeddings(gemini: genai.Client, upstream: Upstream) -> None:
    """A request for Google goes there with all that it says, each part naming the model that is meant."""
    upstream.script = vendors.in_turn(json_response({"embeddings": [{"values": [0.25]}]}))
    config = types.EmbedContentConfig(title="T", task_type="QUESTION_ANSWERING")
    reply = await gemini.aio.models.embed_content(model="gemini", contents="a", config=config)
    assert [each.values for each in reply.embeddings or []] == [[0.25]]
    call = await upstream.call()
    assert call.target == "/v1beta/models/gemini-2.5-flash:batchEmbedContents"
    (asked,) = call.json["requests"]
    assert (asked["model"], asked["title"], asked["taskType"]) == ("models/gemini-2.5-flash", "T", "QUESTION_ANSWERING")


@pytest.mark.parametrize(("model", "target"), [("m", "/v1/embeddings"), ("gemini", None)])
async def test_a_single_embedding(gateway: Gateway, upstream: Upstream, model: str, target: str | None) -> None:
    """`embedContent`, which other clients use, has one content and one vector."""
    openai = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}], "model": "x"}
    upstream.script = vendors.in_turn(json_response({**openai, "embedding": {"values": [0.5]}}))
    asked = json.dumps({"model": f"models/{model}", "content": {"role": "user", "parts": [{"text": "a"}]}}).encode()
    reply = await ask(gateway, post(asked, b"x-goog-api-key: k\r\n", f"/v1beta/models/{model}:embedContent".encode()))
    assert (reply.status, reply.json["embedding"]) == (200, {"values": [0.5]})
    call = await upstream.call()
    assert call.target == (target or "/v1beta/models/gemini-2.5-flash:embedContent")
    assert call.json["model"] == ("some-model" if target else "models/gemini-2.5-flash")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        (b"GET", b"/v1beta", 404),
        (b"GET", b"/v1beta/", 404),
        (b"GET", b"/v1beta/tunedModels", 404),
        (b"POST", b"/v1beta/models/fast:predict", 404),
        (b"POST", b"/v1beta/models/fast", 404),
        (b"DELETE", b"/v1beta/models/fast", 405),
        (b"PUT", b"/v1beta/models", 405),
        (b"GET", b"/v1beta/models/fast:generateContent", 405),
    ],
)
async def test_what_there_is_not(gateway: Gateway, method: bytes, path: bytes, status: int) -> None:
    """Below Google's version every error is Google's, and says what there is."""
    answer = await ask(gateway, head(target=path, method=method))
    error = answer.json["error"]
    assert (answer.status, error["code"]) == (status, status)
    assert error["status"] == ("NOT_FOUND" if status == 404 else "FAILED_PRECONDITION")
    assert (answer.header("allow") is not None) == (status == 405)
    for there in ("`GET, HEAD /v1beta/models`", "`POST /v1beta/models/{model}:streamGenerateContent`"):
        assert there in error["message"]


@pytest.mark.parametrize(("version", "message"), [("v1", "x-headgate-provider"), ("v1beta", "there is nothing at")])
def test_tuned_models_are_refused(gemini: genai.Client, version: str, message: str) -> None:
    """What the gateway has not raises the package's own error; below `/v1` a deployment that is named may have it."""
    options = types.HttpOptions(api_version=version)
    with pytest.raises(errors.ClientError, match=message) as caught:
        gemini.models.list(config=types.ListModelsConfig(query_base=False, http_options=options))
    assert caught.value.status in {"NOT_FOUND", "INVALID_ARGUMENT"}
