"""Completions of Workers AI, which are bare texts, as clients of OpenAI's completions ask for them and read them."""

from __future__ import annotations

import json

import openai.types
import pytest
from providers.compatible.tests.asking import Json, at, sent
from providers.compatible.tests.calls import body_of, deploy_row, exchange

from headgate.errors import ProviderError
from headgate.testing import Recorded, ReplayUpstream

MODEL = "@cf/meta/llama-3.1-8b-instruct"
RUN = f"https://api.cloudflare.com/client/v4/accounts/acc-1/ai/run/{MODEL}"
USAGE: Json = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
ASKED: Json = {"prompt": "Hi", "max_tokens": 9, "temperature": 0.2, "seed": 5, "presence_penalty": 1, "top_k": 4}
EVENTS = b'data: {"response":"Gr\xc3\xbc","p":"ab"}\n\ndata: {"response":"\xc3\x9fe"}\n\n'
LAST = b'data: {"response":"","usage":' + json.dumps(USAGE).encode() + b"}\n\n"

ENDED = LAST.replace(b'"response":""', b'"response":"","finish_reason":"length"')


async def test_a_completion() -> None:
    """A text goes to its model without a template, unless the client wants one, and comes back with its usage."""
    async with at("cloudflare", vars={"account_id": "acc-1"}) as vendor:
        vendor.answer({"result": {"response": "Hello", "usage": USAGE}, "success": True, "errors": []})
        asked = {"model": f"mine/{MODEL}", **ASKED, "n": 1, "best_of": 1, "stop": None, "stream_options": None}
        status, told = await vendor.ask("POST", "/v1/completions", asked)
        assert sent(vendor.calls[0]) == ("POST", RUN, {"raw": True, **ASKED})
        await vendor.ask("POST", "/v1/completions", {**asked, "raw": False, "lora": "mine"})
        assert sent(vendor.calls[1])[2] == {**ASKED, "raw": False, "lora": "mine"}
    assert status == 200
    said = openai.types.Completion.model_validate(told)
    assert (said.model, said.choices[0].text, said.choices[0].finish_reason) == (MODEL, "Hello", "stop")
    assert said.usage is not None
    assert said.usage.to_dict() == USAGE


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"response": "Hello", "finish_reason": "length"}, "length"),
        ({"response": "Hello", "finish_reason": "odd"}, "stop"),
        ({"choices": [{"index": 0, "text": "Hello", "finish_reason": "length"}]}, "length"),
        ({"choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}]}, "stop"),
    ],
)
async def test_other_shapes(result: Json, reason: str) -> None:
    """Models differ in how they answer; text and reason are found all the same."""
    async with at("cloudflare", vars={"account_id": "acc-1"}) as vendor:
        vendor.answer({"result": result, "success": True})
        _, told = await vendor.ask("POST", "/v1/completions", {"model": f"mine/{MODEL}", **ASKED})
    said = openai.types.Completion.model_validate(told)
    assert [(each.text, each.finish_reason) for each in said.choices] == [("Hello", reason)]


@pytest.mark.parametrize(("said", "text"), [(7, "7"), (0.5, "0.5"), ({"a": 1}, '{"a":1}'), ([1], "[1]")])
async def test_a_text_that_is_told_as_json(said: object, text: str) -> None:
    """A number or an object is the text that it was read from, in an answer and in a stream."""
    async with at("cloudflare", vars={"account_id": "acc-1"}) as vendor:
        vendor.answer({"result": {"response": said}, "success": True})
        _, told = await vendor.ask("POST", "/v1/completions", {"model": f"mine/{MODEL}", **ASKED})
    assert told["choices"][0]["text"] == text
    event = b"data: " + json.dumps({"response": said}).encode() + b"\n\n"
    kind = (("content-type", "text/event-stream"),)
    answer = Recorded(headers=kind, body=event + LAST + b"data: [DONE]\n\n", framing="chunked")
    provider = deploy_row("cloudflare", ReplayUpstream({"*": answer}))
    reply = await provider.call(exchange(provider, {"model": MODEL, **ASKED, "stream": True}, "completions"))
    first = (await body_of(reply)).splitlines()[0].removeprefix(b"data: ")
    assert json.loads(first)["choices"][0]["text"] == text


@pytest.mark.parametrize(
    ("field", "value"), [("stop", ["."]), ("best_of", 2), ("echo", True), ("logprobs", 1), ("n", 2)]
)
async def test_what_it_has_no_words_for(field: str, value: object) -> None:
    """It is refused by name, and nothing is sent."""
    async with at("cloudflare", vars={"account_id": "acc-1"}) as vendor:
        status, told = await vendor.ask("POST", "/v1/completions", {"model": f"mine/{MODEL}", **ASKED, field: value})
        assert (status, told["error"]["param"], vendor.calls) == (400, field, [])


CHAT = b"".join(
    b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}).encode() + b"\n\n"
    for delta, reason in (({"role": "assistant", "content": "Grü"}, None), ({"content": "ße"}, None), ({}, "stop"))
)


@pytest.mark.parametrize("sizes", [(1,), (4096,)])
@pytest.mark.parametrize(
    ("events", "reason"), [(EVENTS + LAST, "stop"), (EVENTS + ENDED, "length"), (CHAT[:-2] + b"\n\n", "stop")]
)
async def test_a_stream(events: bytes, reason: str, sizes: tuple[int, ...]) -> None:
    """Each event is a chunk, in whatever shape the model has it, and the last one has the reason to end and the usage."""
    kind = (("content-type", "text/event-stream"),)
    used = b"" if b"usage" in events else LAST
    answer = Recorded(headers=kind, body=events + used + b"data: [DONE]\n\n", framing="chunked", sizes=sizes)
    provider = deploy_row("cloudflare", ReplayUpstream({"*": answer}))
    reply = await provider.call(exchange(provider, {"model": MODEL, **ASKED, "stream": True}, "completions"))
    said = await body_of(reply)
    chunks = [json.loads(line[6:]) for line in said.splitlines() if line.startswith(b"data: {")]
    assert "".join(each["choices"][0]["text"] for each in chunks) == "Grüße"
    *_, last = reasons = [each["choices"][0]["finish_reason"] for each in chunks]
    assert (last, set(reasons[:-1])) == (reason, {None})
    assert chunks[-1]["usage"] == USAGE
    assert said.endswith(b"data: [DONE]\n\n")
    assert reply.usage is not None
    assert (reply.usage.prompt, reply.usage.completion) == (3, 2)


@pytest.mark.parametrize(("cut_at", "words"), [(len(EVENTS), "broken off"), (None, "before it was complete")])
async def test_a_stream_that_breaks_off(cut_at: int | None, words: str) -> None:
    """No end is made up for it, nor for one that ends without the vendor's last word."""
    kind = (("content-type", "text/event-stream"),)
    answer = Recorded(headers=kind, body=EVENTS + LAST, framing="chunked", cut_at=cut_at)
    provider = deploy_row("cloudflare", ReplayUpstream({"*": answer}))
    reply = await provider.call(exchange(provider, {"model": MODEL, **ASKED, "stream": True}, "completions"))
    with pytest.raises(ProviderError, match=words):
        await body_of(reply)


async def test_an_answer_without_a_text() -> None:
    """It is the vendor's mistake; its errors pass with their status."""
    async with at("cloudflare", vars={"account_id": "acc-1"}) as vendor:
        vendor.answer({"result": {}, "success": True})
        status, told = await vendor.ask("POST", "/v1/completions", {"model": f"mine/{MODEL}", **ASKED})
        assert (status, told["error"]["code"]) == (502, "upstream_bad_reply")
        vendor.answer({"success": False, "errors": [{"code": 5007, "message": "No such model"}]}, status=400)
        status, told = await vendor.ask("POST", "/v1/completions", {"model": f"mine/{MODEL}", **ASKED})
        assert status == 400
        assert "No such model" in told["error"]["message"]
