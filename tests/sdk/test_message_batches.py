"""Message batches with the `anthropic` package, whose results it reads from where a batch says that they are."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import anthropic
import pytest
from anthropic import AsyncAnthropic
from anthropic.types.messages.batch_create_params import Request
from tests.door.upstream import Call, Upstream, json_response, response
from tests.harness import CANARY, Gateway

Json = dict[str, Any]

NAMED = {"x-headgate-provider": "claude"}
RESULT = b'{"custom_id":"a","result":{"type":"canceled"}}\n'
VENDOR = "https://api.anthropic.com/v1/messages/batches"
"""Source: https://platform.claude.com/docs/en/api/messages/batches"""


def batch(status: str) -> Json:
    counts = dict.fromkeys(("canceled", "errored", "expired", "processing", "succeeded"), 0)
    ended = status == "ended"
    return {
        "id": "msgbatch_1",
        "type": "message_batch",
        "processing_status": status,
        "request_counts": counts,
        "created_at": "2026-01-01T00:00:00Z",
        "expires_at": "2026-01-02T00:00:00Z",
        "ended_at": "2026-01-01T01:00:00Z" if ended else None,
        "archived_at": None,
        "cancel_initiated_at": None,
        "results_url": f"{VENDOR}/msgbatch_1/results" if ended else None,
    }


async def vendor(call: Call) -> None:
    """Message batches of a vendor that has one, which has ended."""
    assert call.header("x-api-key") == CANARY
    answers = {
        ("POST", "/v1/messages/batches"): json_response(batch("in_progress")),
        ("GET", "/v1/messages/batches"): json_response(
            {"data": [batch("ended")], "has_more": False, "first_id": "msgbatch_1", "last_id": "msgbatch_1"}
        ),
        ("GET", "/v1/messages/batches/msgbatch_1"): json_response(batch("ended")),
        ("GET", "/v1/messages/batches/msgbatch_1/results"): response(
            RESULT, headers=b"content-type: application/x-jsonl\r\n"
        ),
        ("POST", "/v1/messages/batches/msgbatch_1/cancel"): json_response(batch("canceling")),
        ("DELETE", "/v1/messages/batches/msgbatch_1"): json_response(
            {"id": "msgbatch_1", "type": "message_batch_deleted"}
        ),
    }
    gone = {"type": "error", "error": {"type": "not_found_error", "message": "no such batch"}}
    await call.send(answers.get((call.method, urlsplit(call.target).path), json_response(gone, "404 Not Found")))


@pytest.mark.parametrize("count", [1, 2000], ids=["small", "large"])
async def test_batches(async_claude: AsyncAnthropic, gateway: Gateway, upstream: Upstream, count: int) -> None:
    """A batch is created, asked for, listed, its results are read through the gateway, it is cancelled and deleted."""
    upstream.script = vendor
    client = async_claude.with_options(default_headers=NAMED)
    params: Any = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    requests = [Request(custom_id=f"r{number}", params=params) for number in range(count)]
    made = await client.messages.batches.create(requests=requests)
    assert (made.id, made.processing_status, made.results_url) == ("msgbatch_1", "in_progress", None)
    assert upstream.calls[0].json == {"requests": requests}
    here = f"{gateway.url}/v1/messages/batches/msgbatch_1/results"
    assert (await client.messages.batches.retrieve("msgbatch_1")).results_url == here
    assert [each.results_url async for each in client.messages.batches.list()] == [here]
    results = [each async for each in await client.messages.batches.results("msgbatch_1")]
    assert [(each.custom_id, each.result.type) for each in results] == [("a", "canceled")]
    assert (await client.messages.batches.cancel("msgbatch_1")).processing_status == "canceling"
    assert (await client.messages.batches.delete("msgbatch_1")).id == "msgbatch_1"
    beta = await client.beta.messages.batches.retrieve("msgbatch_1")
    assert beta.results_url == here


async def test_what_is_refused(async_claude: AsyncAnthropic, upstream: Upstream) -> None:
    """The vendor's errors come as they are, and so does the gateway's own where no deployment is named."""
    upstream.script = vendor
    with pytest.raises(anthropic.NotFoundError, match="no such batch"):
        await async_claude.messages.batches.retrieve("other", extra_headers=NAMED)
    with pytest.raises(anthropic.BadRequestError, match="name the deployment in the header `x-headgate-provider`"):
        await async_claude.messages.batches.retrieve("msgbatch_1")
    with pytest.raises(anthropic.BadRequestError, match="`openai` has no operation `messages\\.batches`"):
        await async_claude.messages.batches.retrieve("msgbatch_1", extra_headers={"x-headgate-provider": "mock"})
