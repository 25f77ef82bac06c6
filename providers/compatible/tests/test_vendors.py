"""Vendors with a class beside their row: what each asks for in its own way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from providers.compatible.tests.calls import (
    BY_NAME,
    DIALECTS,
    OK,
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
)

from headgate.errors import ProviderFailed, UnsupportedField
from headgate.testing import Recorded, ReplayUpstream
from headgate.testing.samples import chat_chunk, chat_reply

DROP = {b"x-headgate-unsupported": b"drop"}
USER: Json = {"role": "user", "content": "hi"}
TOOL: Json = {"name": "f", "input_schema": {"type": "object"}}
THINK: Json = {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 4000}
CALL: Json = {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]}
RESULT: Json = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "r"}]}


async def sent_by(name: str, body: Json, operation: str = "messages", **request: Any) -> tuple[Json, list[str]]:
    return await send(deploy_row(name), body, operation, asked="chat", **request)


# Groq


@pytest.mark.parametrize(
    ("model", "effort", "members"),
    [
        ("openai/gpt-oss-120b", "medium", {}),
        ("qwen/qwen3-32b", None, {"reasoning_format": "parsed"}),
        ("qwen/qwen3.8-27b", "medium", {"reasoning_format": "parsed"}),
        ("llama-3.3-70b-versatile", None, {}),
    ],
)
async def test_groq_thinks_by_model(model: str, effort: str | None, members: Json) -> None:
    """Each family has its words for effort, and those that think inside their answer are asked to keep it apart."""
    sent, dropped = await sent_by("groq", messages_request(USER, **THINK) | {"model": model})
    assert sent.get("reasoning_effort") == effort
    assert {name: sent[name] for name in ("reasoning_format", "include_reasoning") if name in sent} == members
    assert dropped == ["thinking.budget_tokens", *([] if effort else ["reasoning_effort"])]


async def test_groq_hides_thinking() -> None:
    """A caller who does not want to see thoughts gets none, in the words of the model's family."""
    hidden: Json = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    hidden["generationConfig"] = {"thinkingConfig": {"includeThoughts": False, "thinkingBudget": 100}}
    for model, member in (("qwen3", ("reasoning_format", "hidden")), ("gpt-oss", ("include_reasoning", False))):
        provider = deploy_row("groq")
        ex = exchange(provider, hidden, "generate", asked="chat")
        assert ex.attempt is not None
        ex.attempt.model = model
        await provider.call(ex)
        upstream: Any = provider.upstream
        assert json.loads(upstream.requests[-1].body)[member[0]] == member[1]


@pytest.mark.parametrize(("tier", "said"), [("default", "on_demand"), ("priority", "performance"), ("flex", "flex")])
async def test_groqs_tiers(tier: str, said: str) -> None:
    """Tiers have Groq's names."""
    sent, _ = await sent_by("groq", responses_request(USER, service_tier=tier), "responses")
    assert sent["service_tier"] == said


# DeepSeek


async def test_deepseek_thinks_as_asked() -> None:
    """Thinking is switched on and off, with an effort in DeepSeek's words; not asked for, it is the vendor's own choice."""
    sent, _ = await sent_by("deepseek", messages_request(USER, **THINK))
    assert (sent["thinking"], sent["reasoning_effort"]) == ({"type": "enabled"}, "high")
    sent, dropped = await sent_by("deepseek", messages_request(USER, thinking={"type": "disabled"}))
    assert (sent["thinking"], "reasoning_effort" in sent, dropped) == ({"type": "disabled"}, False, [])
    assert not {"thinking", "reasoning_effort"} & set((await sent_by("deepseek", messages_request(USER)))[0])


async def test_deepseek_is_forced_only_without_thinking() -> None:
    """A forced call switches off thinking that nobody asked for; where it was asked for, the two cannot be had together."""
    forced = {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f"}}
    sent, _ = await sent_by("deepseek", messages_request(USER, **forced))
    assert (sent["thinking"], sent["tool_choice"]["function"]) == ({"type": "disabled"}, {"name": "f"})
    body = responses_request(
        USER, tools=[{"type": "function", "name": "f"}], tool_choice="required", reasoning={"effort": "high"}
    )
    with pytest.raises(UnsupportedField, match=r"`tool_choice` .*thinks"):
        await sent_by("deepseek", body, "responses")
    sent, dropped = await sent_by("deepseek", body, "responses", headers=DROP)
    assert ("tool_choice" in sent, sent["thinking"], dropped) == (False, {"type": "enabled"}, ["tool_choice"])


async def test_deepseek_gets_thinking_back_with_calls() -> None:
    """A turn with calls has its thinking with it, empty where there was none, as long as the model may think."""
    thought: Json = {"type": "thinking", "thinking": "hm", "signature": ""}
    with_thought: Json = {"role": "assistant", "content": [thought, *CALL["content"]]}
    sent, _ = await sent_by("deepseek", messages_request(USER, with_thought, RESULT, tools=[TOOL]))
    assert sent["messages"][1]["reasoning_content"] == "hm"
    sent, _ = await sent_by("deepseek", messages_request(USER, CALL, RESULT, tools=[TOOL]))
    assert sent["messages"][1]["reasoning_content"] == ""
    for body in (
        messages_request(USER, CALL, RESULT, tools=[TOOL], thinking={"type": "disabled"}),
        messages_request(USER, CALL, RESULT, tools=[TOOL]) | {"model": "deepseek-chat"},
    ):
        assert "reasoning_content" not in (await sent_by("deepseek", body))[0]["messages"][1]


async def test_deepseeks_errors_are_read_whatever_they_are_labelled() -> None:
    """An error labelled as bytes is still one."""
    error = {
        "error": {"message": "Invalid", "type": "invalid_request_error", "param": None, "code": "invalid_request_error"}
    }
    answer = Recorded.from_json(error, 400).varied(headers=(("content-type", "application/octet-stream"),))
    provider = deploy_row("deepseek", ReplayUpstream({"*": answer}))
    reply = await provider.call(exchange(provider, messages_request(USER), "messages", asked="chat"))
    assert (reply.status, json.loads(reply.body)["error"]["message"]) == (400, "Invalid")
    assert dict(reply.headers)[b"content-type"] == b"application/json"


# xAI


@pytest.mark.parametrize(
    ("model", "effort"),
    [
        ("grok-3-mini", "high"), ("grok-4.3", "medium"), ("grok-4.5", "medium"), ("grok-next", "medium"), ("grok-4", None),
        ("grok-4-fast-reasoning", None), ("grok-4.20-reasoning", None), ("grok-code-fast-1", None), ("grok-3", None),
    ],
)  # fmt: skip
async def test_xai_thinks_by_model(model: str, effort: str | None) -> None:
    """Some models take words for effort and refuse others; what is not known is taken for newer."""
    sent, dropped = await sent_by("xai", messages_request(USER, **THINK) | {"model": model})
    assert sent.get("reasoning_effort") == effort
    assert dropped[0] == "thinking.budget_tokens"
    assert (dropped[1:] == []) == (effort == "medium")


async def test_xais_thinking_models_take_no_penalties() -> None:
    """Stop sequences and penalties are refused for models that think, and pass for those that do not."""
    body = messages_request(USER, stop_sequences=["x"]) | {"model": "grok-4"}
    with pytest.raises(UnsupportedField, match=r"`stop` .*`grok-4` thinks"):
        await sent_by("xai", body)
    sent, dropped = await sent_by("xai", body, headers=DROP)
    assert ("stop" in sent, dropped) == (False, ["stop"])
    for model in ("grok-3", "grok-4-fast-non-reasoning"):
        assert (await sent_by("xai", body | {"model": model}))[0]["stop"] == ["x"]


WRONG_KEY: Json = {
    "code": "Client specified an invalid argument",
    "error": "Incorrect API key provided: xa***23. You can obtain an API key from https://console.x.ai.",
}


@pytest.mark.parametrize("operation", ["chat", "messages"])
async def test_xais_wrong_key_is_401(operation: str) -> None:
    """A wrong key is told as 401, whoever asks, so that it is neither retried nor taken for the caller's fault."""
    provider = deploy_row("xai", ReplayUpstream({"*": Recorded.from_json(WRONG_KEY, 400)}))
    body: Json = {"model": "m", "messages": [USER], "max_tokens": 9}
    reply = await provider.call(exchange(provider, body, operation))
    assert reply.status == 401
    error = json.loads(reply.body)["error"]
    assert error["type"] == "authentication_error"
    assert error["message"].startswith("Incorrect API key provided")


async def test_xais_other_errors_stay() -> None:
    """Any other 400 is one."""
    answer = Recorded.from_json({"code": "x", "error": "Model not found: grok-0"}, 400)
    provider = deploy_row("xai", ReplayUpstream({"*": answer}))
    reply = await provider.call(exchange(provider))
    assert (reply.status, json.loads(reply.body)["error"]["message"]) == (400, "Model not found: grok-0")


# OpenRouter


@pytest.mark.parametrize(
    ("thinking", "reasoning"),
    [
        ({"type": "enabled", "budget_tokens": 2000}, {"max_tokens": 2000}),
        ({"type": "disabled"}, {"effort": "none"}),
        ({"type": "adaptive"}, {"enabled": True}),
    ],
)
async def test_openrouter_has_one_object_for_thinking(thinking: Json, reasoning: Json) -> None:
    """A budget stays a budget, and a switch one."""
    sent, dropped = await sent_by("openrouter", messages_request(USER, max_tokens=4000, thinking=thinking))
    assert (sent["reasoning"], "reasoning_effort" in sent, dropped) == (reasoning, False, [])


async def test_openrouter_takes_a_budget_or_an_effort() -> None:
    """Of both the budget is sent, and the effort is named."""
    both = messages_request(USER, **THINK, output_config={"effort": "low"})
    sent, dropped = await sent_by("openrouter", both)
    assert (sent["reasoning"], dropped) == ({"max_tokens": 2000}, ["reasoning_effort"])


async def test_openrouter_from_responses() -> None:
    """An effort and a summary go along; any effort is known there."""
    sent, dropped = await sent_by(
        "openrouter", responses_request(USER, reasoning={"effort": "xhigh", "summary": "auto"}), "responses"
    )
    assert sent["reasoning"] == {"effort": "xhigh", "summary": "auto"}
    assert "reasoning.summary" not in sent
    assert dropped in ([], ["reasoning.summary"])


async def test_openrouter_gets_its_signatures_back() -> None:
    """A signed thought comes back to OpenRouter as it came from there, by way of a Messages client, in the same account."""
    detail = {"type": "reasoning.text", "text": "hm", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0}
    answer = Recorded.from_json(chat_reply({"content": "yes", "reasoning": "hm", "reasoning_details": [detail]}))
    provider = deploy_row("openrouter", ReplayUpstream({"*": answer}))
    reply = await provider.call(exchange(provider, messages_request(USER), "messages", asked="chat"))
    content = json.loads(reply.body)["content"]
    assert content[0]["thinking"] == "hm"
    turns = (USER, {"role": "assistant", "content": content}, USER)
    sent, dropped = await send(provider, messages_request(*turns), asked="chat")
    turn = sent["messages"][1]
    assert (turn["reasoning"], turn["content"], dropped) == ("hm", "yes", [])
    assert turn["reasoning_details"] == [detail]
    sent, dropped = await send(deploy_row("groq"), messages_request(*turns), asked="chat")
    assert ("c2ln" in str(sent), dropped) == (False, ["messages[1].reasoning"])


async def test_openrouter_says_what_the_vendor_behind_it_said() -> None:
    """The words of the vendor that failed are told, with the status that OpenRouter gave."""
    error = {"message": "Provider returned error", "code": 429, "metadata": {"raw": "slow down", "provider_name": "X"}}
    provider = deploy_row("openrouter", ReplayUpstream({"*": Recorded.from_json({"error": error}, 429)}))
    reply = await provider.call(exchange(provider, messages_request(USER), "messages", asked="chat"))
    assert (reply.status, "slow down" in json.loads(reply.body)["error"]["message"]) == (429, True)


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


# films


FILM: Json = {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}}
PART: Json = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}
FILMS = {
    "byteplus": "https://docs.byteplus.com/en/docs/ModelArk/1895586",
    "dashscope": "https://www.alibabacloud.com/help/en/model-studio/vision",
    "fireworks": "https://docs.fireworks.ai/guides/video-audio-inputs",
    "moonshot": "https://platform.moonshot.ai/docs/guide/use-kimi-vision-model",
    "openrouter": "https://openrouter.ai/docs/features/multimodal/videos",
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


async def test_togethers_instructions_hold_no_pictures() -> None:
    """A picture among the instructions is refused by its place; dropped, the words stay."""
    picture = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    body: Json = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    body["systemInstruction"] = {"parts": [{"text": "like this"}, picture]}
    with pytest.raises(UnsupportedField, match=r"`messages\[0\].content` .*instructions"):
        await sent_by("together", body, "generate")
    sent, dropped = await sent_by("together", body, "generate", headers=DROP)
    assert (sent["messages"][0]["content"], dropped) == ("like this", ["messages[0].content"])


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


# MatterAI and MiniMax


@pytest.mark.parametrize(
    ("thinking", "effort", "told"),
    [
        ({"type": "disabled"}, "none", []),
        ({"type": "enabled", "budget_tokens": 2000}, "medium", ["thinking.budget_tokens"]),
    ],
)
async def test_matterai_is_told_an_effort_in_an_object(thinking: Json, effort: str, told: list[str]) -> None:
    """The effort stands in `reasoning` and nowhere else."""
    sent, dropped = await sent_by("matterai", messages_request(USER, max_tokens=4000, thinking=thinking))
    assert (sent["reasoning"], "reasoning_effort" in sent, dropped) == ({"effort": effort}, False, told)


@pytest.mark.parametrize(
    ("thinking", "said", "told"),
    [
        ({}, None, []),
        ({"thinking": {"type": "disabled"}}, {"type": "disabled"}, []),
        (THINK, {"type": "adaptive"}, ["thinking.budget_tokens"]),
    ],
)
async def test_minimax_decides_how_much_it_thinks(thinking: Json, said: Json | None, told: list[str]) -> None:
    """Thinking is switched off, or left to the model; its thoughts are always asked for apart from the content."""
    sent, dropped = await sent_by("minimax", messages_request(USER, **thinking))
    assert (sent.get("thinking"), sent["reasoning_split"], dropped) == (said, True, told)
    assert "reasoning_effort" not in sent


async def test_thoughts_go_back_to_minimax_as_they_came() -> None:
    """Its details are read as thoughts, and such thoughts go back as details, by way of a Messages client."""
    detail = {"type": "reasoning.text", "id": "reasoning-text-0", "text": "hm"}
    answer = Recorded.from_json(chat_reply({"content": "yes", "reasoning_details": [detail]}))
    provider = deploy_row("minimax", ReplayUpstream({"*": answer}))
    reply = await provider.call(exchange(provider, messages_request(USER), "messages", asked="chat"))
    content = json.loads(reply.body)["content"]
    assert [block.get("thinking") for block in content] == ["hm", None]
    turns = (USER, {"role": "assistant", "content": content}, USER)
    sent, dropped = await send(provider, messages_request(*turns), asked="chat")
    turn = sent["messages"][1]
    assert (turn["reasoning_details"], "reasoning_content" in turn, dropped) == (
        [{"type": "reasoning.text", "text": "hm"}], False, []
    )  # fmt: skip
