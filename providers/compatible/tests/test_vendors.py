"""Vendors with a class beside their row: what each asks for in its own way, but for thinking."""

from __future__ import annotations

import json
from typing import Any

import pytest
from providers.compatible.tests.calls import (
    BY_NAME,
    CALL,
    DIALECTS,
    DROP,
    OK,
    RESULT,
    TOOL,
    USER,
    VENDORS,
    Json,
    body_of,
    deploy_row,
    exchange,
    held,
    messages_request,
    responses_request,
    row_of,
    send,
    sent_by,
)

from headgate.chat import File, Image
from headgate.errors import ProviderFailed, UnsupportedField
from headgate.testing import Recorded, ReplayUpstream
from headgate.testing.samples import chat_chunk, chat_reply
from headgate_compatible import policy

# Perplexity


async def test_perplexity_alternates() -> None:
    """Neighbours of one role are one turn, and instructions stand at the top alone."""
    body = responses_request({"role": "system", "content": "a"}, {"role": "developer", "content": "b"}, USER, USER)
    sent, _ = await sent_by("perplexity", body, "responses")
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert [message["content"] for message in sent["messages"]] == ["a\n\nb", "hi\n\nhi"]
    body["input"] += [{"role": "assistant", "content": "yes"}, {"role": "system", "content": "brief"}]
    with pytest.raises(UnsupportedField, match=r"`messages\[5\].role`"):
        await sent_by("perplexity", body, "responses")
    sent, dropped = await sent_by("perplexity", body, "responses", headers=DROP)
    assert (sent["messages"][-1]["role"], dropped) == ("user", ["messages[5].role"])


async def test_perplexity_has_no_tools() -> None:
    """Tools and calls of earlier turns are refused; dropped, the rest of the talk is sent."""
    body = messages_request(USER, CALL, RESULT, USER, tools=[TOOL])
    with pytest.raises(UnsupportedField, match="tool"):
        await sent_by("perplexity", body)
    sent, dropped = await sent_by("perplexity", body, headers=DROP)
    assert [message["role"] for message in sent["messages"]] == ["user"]
    assert set(dropped) == {"messages[1].tool_calls", "messages[2].tool_calls", "tools"}


def test_perplexitys_agent_has_models_with_a_slash() -> None:
    """Responses is there for the agent's models; Sonar's clients are translated."""
    provider = deploy_row("perplexity")
    ex = exchange(provider, responses_request(USER), "responses")
    assert provider.spoken(ex, "openai/gpt-5") == ("responses", "openai.responses")
    assert provider.spoken(ex, "sonar") == ("chat", "openai.chat")


async def test_perplexity_streams_need_no_done() -> None:
    """A stream whose end is the end of the connection is complete, and its sources reach the caller."""
    chunks = [chat_chunk({"role": "assistant", "content": "yes"}), chat_chunk({"content": " [1]"}, "stop")]
    cited = {"citations": ["https://a.example"], "search_results": [{"title": "A", "url": "https://a.example"}]}
    data = "".join(f"data: {json.dumps({**chunk, **cited})}\n\n" for chunk in chunks)
    answer = Recorded(headers=(("content-type", "text/event-stream"),), body=data.encode())
    for operation in ("chat", "messages"):
        provider = deploy_row("perplexity", ReplayUpstream({"*": answer}))
        body = {"model": "sonar", "max_tokens": 9, "messages": [USER], "stream": True}
        told = await body_of(await provider.call(exchange(provider, body, operation)))
        assert b"https://a.example" in told
        assert (b'"citations_delta"' in told) == (operation == "messages")
        assert b"error" not in told


async def test_perplexity_is_not_asked_for_usage() -> None:
    """Its API has no `stream_options`: usage stands in every chunk, and a translated stream tells it."""
    used = {"usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}}
    chunks = [chat_chunk({"role": "assistant", "content": "yes"}) | used, chat_chunk({}, "stop") | used]
    data = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    upstream = ReplayUpstream({"*": Recorded(headers=(("content-type", "text/event-stream"),), body=data.encode())})
    provider = deploy_row("perplexity", upstream)
    told = await body_of(
        await provider.call(exchange(provider, messages_request(USER, stream=True), "messages", asked="chat"))
    )
    sent = json.loads(held(upstream.requests[-1]))
    assert (sent["stream"], "stream_options" in sent) == (True, False)
    assert b'"output_tokens":2' in told


async def test_perplexity_has_json_by_a_schema_alone() -> None:
    """JSON of any shape is refused by name; a schema goes out as one."""
    free: Json = {"format": {"type": "json_object"}}
    with pytest.raises(UnsupportedField, match="`response_format`"):
        await sent_by("perplexity", responses_request(USER, text=free), "responses")
    sent, dropped = await sent_by("perplexity", responses_request(USER, text=free), "responses", headers=DROP)
    assert ("response_format" in sent, dropped) == (False, ["response_format"])
    shaped: Json = {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}}
    sent, dropped = await sent_by("perplexity", responses_request(USER, text=shaped), "responses")
    assert (sent["response_format"]["type"], dropped) == ("json_schema", [])


# Z.ai and Zhipu


@pytest.mark.parametrize("name", ["zai", "zhipu"])
@pytest.mark.parametrize(
    ("said", "sent_as"),
    [
        ({"file_url": "https://a.example/a.pdf"}, {"file_url": "https://a.example/a.pdf"}),
        (
            {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"},
            {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"},
        ),
    ],
)
async def test_files_go_to_zai_by_their_address_or_their_bytes(name: str, said: Json, sent_as: Json) -> None:
    """An address has a member of its own there, which is not that of the bytes."""
    body = responses_request({"role": "user", "content": [{"type": "input_file", **said}]})
    sent, dropped = await sent_by(name, body, "responses")
    assert (sent["messages"][0]["content"], dropped) == ([{"type": "file", "file": sent_as}], [])


@pytest.mark.parametrize("name", ["zai", "zhipu"])
async def test_zai_is_told_a_schema_in_words(name: str) -> None:
    """JSON is a format there and a schema is none: it stands in the instructions, and that is named; a strict one is refused."""
    shaped: Json = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}
    sent, dropped = await sent_by(name, responses_request(USER, text={"format": shaped}), "responses")
    assert (sent["response_format"], dropped) == ({"type": "json_object"}, ["response_format.json_schema"])
    assert '{"type":"object"}' in sent["messages"][0]["content"]
    with pytest.raises(UnsupportedField, match=r"`response_format.json_schema`"):
        await sent_by(name, responses_request(USER, text={"format": {**shaped, "strict": True}}), "responses")


# films


FILM: Json = {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}}
PART: Json = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}
FILMS = {
    "byteplus": "https://docs.byteplus.com/en/docs/ModelArk/1895586",
    "dashscope": "https://www.alibabacloud.com/help/en/model-studio/vision",
    "databricks": "https://docs.databricks.com/aws/en/machine-learning/model-serving/query-audio-video-models",
    "deepinfra": "https://github.com/tryAGI/DeepInfra/blob/main/src/libs/DeepInfra/openapi.yaml",
    "fireworks": "https://docs.fireworks.ai/guides/video-audio-inputs",
    "minimax": "https://platform.minimax.io/docs/api-reference/text-chat-openai",
    "moonshot": "https://platform.moonshot.ai/docs/guide/use-kimi-vision-model",
    "novita": "https://novita.ai/docs/api-reference/model-apis-llm-create-chat-completion",
    "nvidia": "https://docs.nvidia.com/nim/large-language-models/2.1.4/advanced-use-cases/multimodal-input.html",
    "openrouter": "https://openrouter.ai/docs/features/multimodal/videos",
    "reka": "https://docs.reka.ai/chat/multimodal",
    "together": "https://docs.together.ai/reference/chat-completions",
    "vllm": "https://docs.vllm.ai/en/latest/features/multimodal_inputs.html",
    "zai": "https://docs.z.ai/api-reference/llm/chat-completion",
    "zhipu": "https://docs.bigmodel.cn/api-reference",
}
"""The vendors that document a part `video_url`, and where they do."""
CHATTING = [name for name in VENDORS if "chat" in row_of(name).operations]


@pytest.mark.parametrize("name", CHATTING)
async def test_films_go_where_they_are_taken(name: str) -> None:
    """A film of a Gemini client is a `video_url` for vendors that document that part, and is refused by name by all others."""
    body: Json = {"contents": [{"role": "user", "parts": [{"text": "what is it?"}, FILM]}]}
    if name in FILMS:
        sent, dropped = await sent_by(name, body, "generate")
        assert (sent["messages"][0]["content"][1], dropped) == (PART, [])
    else:
        with pytest.raises(UnsupportedField, match=r"`messages\[0\].content` .*`video`"):
            await sent_by(name, body, "generate")


async def test_databricks_fetches_films_itself() -> None:
    """A film goes by its address, which may be one of YouTube's; a picture does not."""
    provider = deploy_row("databricks")
    assert provider.fetches(File(url="https://youtu.be/a", media_type="video/mp4"))
    assert not provider.fetches(Image(url="https://pics.example/a.png"))


# sound


BARE: Json = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
ADDRESS: Json = {"type": "audio_url", "audio_url": {"url": "data:audio/wav;base64,AAAA"}}
SOUNDS = {
    "baseten": BARE,
    "dashscope": {"type": "input_audio", "input_audio": {"data": "data:;base64,AAAA", "format": "wav"}},
    "databricks": ADDRESS,
    "deepinfra": BARE,
    "fireworks": ADDRESS,
    "llamacpp": BARE,
}


@pytest.mark.parametrize("name", SOUNDS)
async def test_sound_goes_as_each_vendor_has_it(name: str) -> None:
    """Sound of a Gemini client is the part that the vendor documents; text beside it stays as it is."""
    sound = {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}}
    body: Json = {"contents": [{"role": "user", "parts": [{"text": "what is said?"}, sound]}]}
    sent, dropped = await sent_by(name, body, "generate")
    assert sent["messages"][0]["content"] == [{"type": "text", "text": "what is said?"}, SOUNDS[name]]
    assert dropped == []


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("audio_url", {"type": "audio_url", "audio_url": {"url": "https://sounds.example/a.mp3"}}),
        ("data_url", {"type": "input_audio", "input_audio": {"data": "https://sounds.example/a.mp3", "format": "mp3"}}),
    ],
)
def test_sound_that_is_an_address_stays_one(way: str, said: Json) -> None:
    """DashScope takes addresses in `data`; nothing is put before one."""
    part: Json = {"type": "input_audio", "input_audio": {"data": "https://sounds.example/a.mp3", "format": "mp3"}}
    body: Json = {"messages": [{"role": "system", "content": "brief"}, {"role": "user", "content": [part]}]}
    policy.say_sound(body, way)
    assert body["messages"][1]["content"] == [said]


@pytest.mark.parametrize("name", ["novita", "nvidia"])
async def test_sound_goes_where_it_is_taken(name: str) -> None:
    """A sound of a Gemini client is the part that OpenAI has for it."""
    sound: Json = {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}}
    sent, dropped = await sent_by(name, {"contents": [{"role": "user", "parts": [sound]}]}, "generate")
    part = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    assert (sent["messages"][0]["content"], dropped) == ([part], [])


# Together


async def test_together_is_told_what_its_types_have() -> None:
    """Instructions and results are one text each, and neither `strict` nor `stream_options` is sent; what hints is named."""
    paragraphs = [{"type": "text", "text": "be brief"}, {"type": "text", "text": "be kind"}]
    result = {"type": "tool_result", "tool_use_id": "c", "content": [*paragraphs]}
    turns: list[Json] = [USER, CALL, {"role": "user", "content": [result]}]
    body = messages_request(*turns, system=paragraphs, tools=[{**TOOL, "strict": True}], stream=True)
    sent, dropped = await sent_by("together", body)
    system, _, _, answered = sent["messages"]
    assert (system["content"], answered["content"]) == ("be brief\n\nbe kind", "be brief\n\nbe kind")
    assert ("strict" in sent["tools"][0]["function"], "stream_options" in sent) == (False, False)
    assert dropped == ["tools[0].function.strict"]


def test_togethers_sessions_are_of_the_beta() -> None:
    """A WebSocket is asked for with the header that Together wants; no other call has it."""
    provider = deploy_row("together")
    heads = [
        dict(provider.prepare(exchange(provider, {"model": "m"}, operation)).headers).get(b"openai-beta")
        for operation in ("realtime", "chat")
    ]
    assert heads == [b"realtime=v1", None]


def test_sessions_of_ones_own_server() -> None:
    """Sessions of vLLM stand beside its other paths, with the model in the address, as its own clients ask for them."""
    provider = deploy_row("vllm")
    request = provider.prepare_socket(exchange(provider, {"model": "m"}, "realtime"))
    assert (request.url, request.credential) == ("http://127.0.0.1:8000/v1/realtime?model=m", None)


async def test_llamacpp_counts_for_clients_of_responses_itself() -> None:
    """What a client of Responses has counted goes on as it came; clients of Google's are counted as Anthropic's are."""
    provider = deploy_row("llamacpp", ReplayUpstream({"*": Recorded.from_json({"input_tokens": 11})}))
    body = b'{"model":"m","input":"Gr\xc3\xbc\xc3\x9fe","tools":[]}'
    ex = exchange(provider, body, "responses.input_tokens")
    reply = await provider.call(ex)
    upstream: Any = provider.upstream
    assert upstream.requests[-1].url == "http://127.0.0.1:8080/v1/responses/input_tokens"
    assert (upstream.requests[-1].body, await body_of(reply)) == (body, b'{"input_tokens":11}')
    other = exchange(provider, {"model": "m", "contents": []}, "generate.count_tokens")
    assert provider.spoken(other, "m") == ("count_tokens", "anthropic.count")


@pytest.mark.parametrize(("model", "operation"), [("claude-sonnet-4-5", "messages"), ("llama3.3-70b", "chat")])
def test_snowflakes_messages_are_claudes(model: str, operation: str) -> None:
    """Its Messages API has Claude alone: a client of it that asks for another model is translated into chat."""
    provider = deploy_row("snowflake")
    ex = exchange(provider, {"model": model, "max_tokens": 5, "messages": [USER]}, "messages")
    assert ex.attempt is not None
    assert ex.attempt.operation == operation


async def test_togethers_instructions_hold_no_pictures() -> None:
    """A picture among the instructions is refused by its place; dropped, the words stay."""
    picture = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    body: Json = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    body["systemInstruction"] = {"parts": [{"text": "like this"}, picture]}
    with pytest.raises(UnsupportedField, match=r"`messages\[0\].content` .*instructions"):
        await sent_by("together", body, "generate")
    sent, dropped = await sent_by("together", body, "generate", headers=DROP)
    assert (sent["messages"][0]["content"], dropped) == ("like this", ["messages[0].content"])


async def test_together_is_not_told_how_closely_to_look() -> None:
    """The detail of a picture only hints: it is left out and named by its place, also where a tool gave the picture."""
    asked: Json = {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"}
    text: Json = {"type": "input_text", "text": "what is it?"}
    result: Json = {"type": "function_call_output", "call_id": "c", "output": [asked]}
    call: Json = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
    turns = [{"role": "user", "content": [text, asked]}, call, result]
    sent, dropped = await sent_by("together", {"model": "m", "input": turns}, "responses")
    assert '"detail"' not in json.dumps(sent)
    assert json.dumps(sent).count("data:image/png;base64,AAAA") == 2
    assert dropped == ["messages[0].content[1].image_url.detail", "messages[2].content[0].image_url.detail"]


async def test_togethers_probabilities_are_a_number() -> None:
    """Token probabilities are asked for by how many, as Gemini's clients do too."""
    body = {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"responseLogprobs": True, "logprobs": 3},
    }
    sent, _ = await sent_by("together", body, "generate")
    assert (sent["logprobs"], "top_logprobs" in sent) == (3, False)


# Databricks


@pytest.mark.parametrize(
    ("model", "client", "asked"),
    [
        ("databricks-claude-sonnet-5", "messages", "messages"),
        ("databricks-claude-sonnet-5", "responses", "messages"),
        ("databricks-claude-sonnet-5", "chat", "chat"),
        ("databricks-gpt-5-2", "responses", "responses"),
        ("databricks-gpt-5-2", "messages", "chat"),
        ("databricks-gpt-oss-120b", "responses", "chat"),
        ("databricks-llama-4", "messages", "chat"),
    ],
)
def test_databricks_asks_by_model(model: str, client: str, asked: str) -> None:
    """Claude speaks Messages, OpenAI's models Responses, all of them chat."""
    provider = deploy_row("databricks")
    ex = exchange(provider, {"model": model}, client)
    assert ex.attempt is not None
    assert ex.attempt.operation == asked


async def test_databricks_thinking_in_the_content() -> None:
    """Thinking that comes as a part of the content reaches a Messages client as thinking, whole and streamed."""
    thought: Json = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    text: Json = {"type": "text", "text": "yes"}
    whole = Recorded.from_json(chat_reply({"content": [thought, text]}))
    streamed = Recorded.from_events(
        chat_chunk({"role": "assistant", "content": [thought]}), chat_chunk({"content": "yes"}), chat_chunk({}, "stop")
    )
    for answer, stream in ((whole, False), (streamed, True)):
        provider = deploy_row("databricks", ReplayUpstream({"*": answer}))
        ex = exchange(provider, {**messages_request(USER, stream=stream), "model": "gpt-oss"}, "messages")
        told = (await body_of(await provider.call(ex))).decode()
        assert '"thinking":"hm"' in told
        assert '"text":"yes"' in told


async def test_claude_by_chat_is_asked_as_chat() -> None:
    """A chat client's request stays one when it is encoded anew: what Messages cannot say is no matter."""
    upstream = ReplayUpstream({"*": OK})
    provider = deploy_row("databricks", upstream)
    turns: list[Json] = [USER, {"role": "system", "content": "be brief"}, USER]
    ex = exchange(provider, {"model": "databricks-claude-3-7-sonnet", "messages": turns})
    assert ex.attempt is not None
    ex.attempt.dialect = DIALECTS["openai.chat"]
    await provider.call(ex)
    assert (json.loads(held(upstream.requests[0]))["messages"], ex.dropped) == (turns, [])


# rankings


async def test_rankings_in_a_list() -> None:
    """Fireworks answers with a list too, and is asked by Cohere's names."""
    answer = {
        "object": "list",
        "model": "r",
        "data": [{"index": 1, "relevance_score": 0.9}],
        "usage": {"total_tokens": 7},
    }
    upstream = ReplayUpstream({"*": Recorded.from_json(answer)})
    provider = deploy_row("fireworks", upstream)
    body = {"model": "r", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1, "return_documents": True}
    reply = await provider.call(exchange(provider, body, "rerank"))
    assert json.loads(held(upstream.requests[0])) == {"model": "r", "query": "q", "documents": ["a", "b"], "top_n": 1}
    assert json.loads(reply.body)["results"] == [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}]
    with pytest.raises(UnsupportedField, match="`truncation`"):
        await provider.call(exchange(provider, {**body, "truncation": True}, "rerank"))
    for wrong in (b"[]", b"{}", b'{"data":[{"index":"x"}]}', b"<html>"):
        provider = deploy_row("fireworks", ReplayUpstream({"*": Recorded(body=wrong)}))
        with pytest.raises(ProviderFailed, match="no ranking"):
            await provider.call(exchange(provider, body, "rerank"))


async def test_plain_rows_are_asked_plainly() -> None:
    """A vendor without a class gets the encoded request as it is, but for its quirks."""
    sent, _ = await send(deploy_row("fireworks", ReplayUpstream({"*": OK})), messages_request(USER), asked="chat")
    assert sent == {"model": "m", "messages": [USER], "max_completion_tokens": 64}


@pytest.mark.parametrize("name", [name for name in VENDORS if {"messages", "responses"} & set(row_of(name).operations)])
async def test_other_dialects_of_a_vendor_are_not_chat(name: str) -> None:
    """What a vendor's chat needs is not done to a client's own words in Messages or Responses, encoded anew or not."""
    bodies = {
        "messages": messages_request(USER, thinking={"type": "enabled", "budget_tokens": 2048}, max_tokens=4096),
        "responses": responses_request(USER, reasoning={"effort": "minimal"}, max_output_tokens=64),
    }
    for operation, body in bodies.items():
        upstream = ReplayUpstream({"*": Recorded.from_json({"error": {"message": "no"}}, 503)})
        provider = deploy_row(name, upstream)
        body["model"] = "a/claude-sonnet-4-5"  # a name that `only` lets through
        ex = exchange(provider, body, operation)
        if operation not in row_of(name).operations or ex.attempt is None or ex.attempt.dialect is not None:
            continue
        ex.attempt.dialect = DIALECTS[BY_NAME[operation].dialect]
        await provider.call(ex)
        sent = json.loads(held(upstream.requests[-1]))
        assert {**body, **sent} == sent
        assert sent.keys() <= {*body, "store", "include"}


# Fireworks


@pytest.mark.parametrize(
    ("model", "config", "origin"),
    [
        ("whisper-v3", {}, "https://audio-prod.api.fireworks.ai"),
        ("whisper-v3-turbo", {}, "https://audio-turbo.api.fireworks.ai"),
        ("whisper-v3", {"base_url": "https://own.example/v1"}, "https://own.example"),
    ],
)
def test_where_fireworks_hears(model: str, config: Json, origin: str) -> None:
    """Sound goes to the host of its model, which gets the key for that alone; a deployment of one's own has one host."""
    provider = deploy_row("fireworks", **config)
    request = provider.prepare(exchange(provider, {"model": model}, "audio.transcriptions"))
    assert request.url == f"{origin}/v1/audio/transcriptions"
    assert request.credential is not None
    assert request.credential.origins == frozenset({f"{origin}:443"})
    chat = provider.prepare(exchange(provider, {"model": model, "messages": []}))
    assert chat.credential is not None
    assert chat.credential.origins == provider.origins


# Jina


@pytest.mark.parametrize(
    ("config", "searches", "embeds"),
    [
        ({}, "https://deepsearch.jina.ai", "https://api.jina.ai"),
        ({"base_url": "https://own.example/v1"}, "https://own.example", "https://own.example"),
    ],
)
def test_where_jina_searches(config: Json, searches: str, embeds: str) -> None:
    """Chat goes to the host of DeepSearch, which gets the key for that alone; a deployment of one's own has one host."""
    provider = deploy_row("jina", **config)
    for operation, path, origin in (("chat", "/chat/completions", searches), ("embeddings", "/embeddings", embeds)):
        request = provider.prepare(exchange(provider, {"model": "m", "messages": [], "input": "a"}, operation))
        assert request.url == f"{origin}/v1{path}"
        assert request.credential is not None
        assert request.credential.origins == frozenset({f"{origin}:443"})


async def test_jina_reads_documents_and_sees_pictures() -> None:
    """Both go by their bytes, a document as a part of the AI SDK's; a schema is what `json_schema` holds, without a name."""
    picture: Json = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    pdf: Json = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}
    schema: Json = {"type": "object", "properties": {"city": {"type": "string"}}}
    form: Json = {"format": {"type": "json_schema", "schema": schema}}
    body = messages_request({"role": "user", "content": [{"type": "text", "text": "where?"}, picture, pdf]})
    sent, dropped = await sent_by("jina", body | {"output_config": form})
    assert sent["messages"][0]["content"] == [
        {"type": "text", "text": "where?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "file", "data": "data:application/pdf;base64,JVBERi0=", "mimeType": "application/pdf"},
    ]
    assert (sent["response_format"], dropped) == ({"type": "json_schema", "json_schema": schema}, [])
    assert not deploy_row("jina").fetches(Image(url="https://pics.example/a.png"))
