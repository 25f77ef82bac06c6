"""OpenAI's usage object as vendors state it: the counts mean the same whoever wrote them."""

from __future__ import annotations

import pytest
from core.tests.openai_samples import CHAT, Json, chunk, encoded, events_in
from hypothesis import given
from hypothesis import strategies as st

from headgate.chat import Usage, UsageEvent
from headgate.dialects.openai.answer import encode_usage
from headgate.dialects.openai.usage import decode_usage
from headgate.dialects.sse import DONE, data_event, events_of


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, Usage(10, 5)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": None}, Usage(10, 5)),
        ({"prompt_tokens": 10.0, "completion_tokens": None}, Usage(10)),
        ({"prompt_tokens": -1, "completion_tokens": 5}, Usage(0, 5)),
        ({"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": None}}, Usage(10)),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3, "audio_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 1, "audio_tokens": 6},
            },
            Usage(10, 5, 4, 3, 1, 2, 6),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 4}, Usage(10, 5, 4)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 4}, Usage(10, 5, 4)),
    ],
    ids=["plain", "null details", "float and null", "negative", "null detail", "all details", "deepseek", "together"],
)
def test_counts(raw: Json, expected: Usage) -> None:
    """What is left out, null or less than nothing counts as nothing."""
    assert replace_raw(decode_usage(raw)) == expected


def replace_raw(usage: Usage) -> Usage:
    """The counts alone; the provider's own object is always kept."""
    assert usage.raw is not None
    return Usage(
        usage.prompt,
        usage.completion,
        usage.cached,
        usage.cache_write,
        usage.reasoning,
        usage.audio_in,
        usage.audio_out,
    )


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            {
                "prompt_tokens": 12,
                "completion_tokens": 1,
                "total_tokens": 303,
                "completion_tokens_details": {"reasoning_tokens": 290},
            },
            Usage(12, 291, reasoning=290),
        ),
        ({"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 303}, Usage(12, 291, reasoning=290)),
        (
            {"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 20, "prompt_audio_seconds": 7},
            Usage(19, 1, audio_in=7),
        ),
        (
            {
                "prompt_tokens": 12,
                "completion_tokens": 9,
                "total_tokens": 21,
                "completion_tokens_details": {"reasoning_tokens": 8},
            },
            Usage(12, 9, reasoning=8),
        ),
        (
            {
                "prompt_tokens": 12,
                "completion_tokens": 9,
                "total_tokens": 99,
                "completion_tokens_details": {"reasoning_tokens": 8},
            },
            Usage(12, 9, reasoning=8),
        ),
        ({"total_tokens": 5}, Usage()),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 5}, Usage()),
        ({"prompt_tokens": 5, "total_tokens": 7}, Usage(5)),
    ],
    ids=["xai", "google", "mistral audio", "the rule", "nobody's difference", "only a total", "zeros", "embeddings"],
)
def test_a_total_that_is_more_than_its_parts(raw: Json, expected: Usage) -> None:
    """Completion includes thinking: where a vendor leaves it out, its total says so; whole and streamed alike."""
    assert replace_raw(decode_usage(raw)) == expected
    whole = CHAT.decode_reply(encoded({"choices": [], "usage": raw}))
    streamed = events_in(chunk({"content": "a"}, "stop", usage=raw) + DONE)[-1]
    assert isinstance(streamed, UsageEvent)
    assert whole.usage == streamed.usage == CHAT.reply_usage(encoded({"usage": raw}))


def test_usage_that_was_not_asked_for() -> None:
    """Groq states it beside the rest."""
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    stream = chunk({"content": "a"}, "stop", x_groq={"id": "r", "usage": usage})
    event = events_in(stream + DONE)[-1]
    assert isinstance(event, UsageEvent)
    assert event.usage == Usage(1, 2, raw=usage) == CHAT.tail_usage(events_of(stream))


def test_usage_in_a_choice() -> None:
    """Moonshot's, when none was asked for: translated and relayed alike; what stands beside the choices wins."""
    inner, outer = {"prompt_tokens": 1, "completion_tokens": 2}, {"prompt_tokens": 3, "completion_tokens": 4}
    ended = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": inner}]}
    stream = chunk({"content": "a"}) + data_event(encoded(ended)) + DONE
    event = events_in(stream)[-1]
    assert isinstance(event, UsageEvent)
    assert event.usage == Usage(1, 2, raw=inner) == CHAT.tail_usage(events_of(stream))
    both = data_event(encoded(ended | {"usage": outer})) + DONE
    event = events_in(both)[-1]
    assert isinstance(event, UsageEvent)
    assert event.usage == Usage(3, 4, raw=outer) == CHAT.tail_usage(events_of(both))


@pytest.mark.parametrize("choices", [None, "a", [None], [{"usage": "a"}], [{"usage": {}}], [{}]])
def test_no_usage_in_odd_choices(choices: object) -> None:
    """What is said earlier still counts."""
    stated = {"prompt_tokens": 1, "completion_tokens": 2}
    chunks: list[Json] = [{"choices": [], "usage": stated}, {"choices": choices, "usage": None}]
    events = [data_event(encoded(each)) for each in chunks]
    assert CHAT.tail_usage(events) == Usage(1, 2, raw=stated)


@given(st.builds(Usage, *(st.integers(0, 99) for _ in range(7))))
def test_what_clients_get_is_read_again(usage: Usage) -> None:
    """The counts that are written are the counts that are read."""
    assert replace_raw(decode_usage(encode_usage(usage))) == usage
