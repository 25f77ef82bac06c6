"""OpenAI chat streams of every vendor: whatever is repeated, left out or numbered oddly, the events obey their order."""

from __future__ import annotations

import pytest
from core.tests.openai_samples import CHAT, Json, chunk, encoded, events_in

from headgate.chat import (
    Audio,
    Citation,
    CitationDelta,
    ExtraDelta,
    Finish,
    Image,
    Item,
    Opaque,
    PartDelta,
    ReasoningDelta,
    ReasoningEnd,
    RefusalDelta,
    Start,
    StreamEvent,
    TextDelta,
    Usage,
    UsageEvent,
)
from headgate.dialects.sse import DONE, data_event
from headgate.errors import ProviderFailed

STOP = Finish("stop", 0, "stop")


def decoded(*chunks: bytes) -> list[StreamEvent]:
    """The events of chunks in a stream that goes on."""
    decoder = CHAT.stream_decoder()
    return [event for raw in chunks for event in decoder.feed(raw)]


def said(*chunks: bytes) -> list[StreamEvent]:
    """What a whole stream says behind its Start."""
    start, *events = events_in(b"".join((*chunks, DONE)))
    assert isinstance(start, Start)
    return events


def calls(*pieces: Json) -> bytes:
    return chunk({"tool_calls": list(pieces)})


@pytest.mark.parametrize("is_followed", [False, True])
def test_sources_before_the_text_wait_for_its_end(is_followed: bool) -> None:
    """OpenRouter's search tells what it found before the model says a word of it."""
    cited = {"type": "url_citation", "url_citation": {"url": "u", "title": "t"}}
    called = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}] if is_followed else []
    events = said(
        chunk({"content": "", "annotations": [cited]}),
        chunk({"content": "a"}),
        chunk({"content": "b"}),
        chunk({"tool_calls": called}),
        chunk({}, "stop"),
    )
    source = CitationDelta(Citation("u", "t", raw=cited))
    assert events[:3] == [TextDelta("a"), TextDelta("b"), source]
    assert [event for event in events if isinstance(event, CitationDelta)] == [source]


def test_sources_without_a_text() -> None:
    """Sources of an answer that has no text come all the same."""
    cited = {"type": "url_citation", "url_citation": {"url": "u", "title": "t"}}
    events = said(chunk({"annotations": [cited]}), chunk({}, "stop"))
    assert events == [CitationDelta(Citation("u", "t", raw=cited)), STOP]


# begin and end


def test_the_start_has_the_first_id_and_model() -> None:
    """Azure's first chunk has neither: Start waits for the first thing to say."""
    events = events_in(
        b"".join(
            (
                data_event(encoded({"id": "", "model": "", "choices": [], "prompt_filter_results": [], "created": 0})),
                data_event(
                    encoded(
                        {
                            "id": "x",
                            "model": "",
                            "created": 5,
                            "choices": [{"index": 0, "delta": {"role": "assistant"}}],
                        }
                    )
                ),
                data_event(encoded({"id": "x", "model": "m", "choices": [{"index": 0, "delta": {"content": "a"}}]})),
                data_event(
                    encoded({"id": "y", "model": "n", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
                ),
                DONE,
            )
        )
    )
    assert events == [Start("x", "m", 5), TextDelta("a"), ExtraDelta({"prompt_filter_results": []}), STOP]


def test_what_vendors_repeat_is_said_once() -> None:
    """Usage in every chunk and a finish reason twice: one finish, the last usage, both at the end."""
    one, two = ({"prompt_tokens": 1, "completion_tokens": count} for count in (1, 2))
    started = decoded(chunk({"content": "a"}, usage=one), chunk({"content": ""}, "stop", usage=two))
    assert started == [Start("x", "m", usage=Usage(1)), TextDelta("a")]
    assert said(
        chunk({"content": "a"}, usage=one),
        chunk({"content": ""}, "stop", usage=two),
        chunk({"content": ""}, "stop", usage=two, provider="p"),
    ) == [TextDelta("a"), STOP, UsageEvent(Usage(1, 2, raw=two), {"provider": "p"})]


@pytest.mark.parametrize("member", ["p", "obfuscation"])
def test_padding_says_nothing(member: str) -> None:
    """Chunks are padded so that their length tells nothing."""
    padding = {member: "abcdef"}
    usage = {"prompt_tokens": 1}
    events = said(
        chunk({"content": "a"}, **padding),
        chunk({"content": "b"}, **padding),
        chunk({}, "stop", usage=usage, **padding),
    )
    assert events == [TextDelta("a"), TextDelta("b"), STOP, UsageEvent(Usage(1, raw=usage))]


def test_a_finish_for_every_choice_is_an_end() -> None:
    """Vendors without `[DONE]`: a clean end behind the last finish is complete."""
    assert events_in(chunk({"content": "a"}) + chunk({}, "stop"))[1:] == [TextDelta("a"), STOP]


def two_choices(*finished: int) -> bytes:
    choices = [
        {"index": at, "delta": {"content": "a"}, "finish_reason": "stop" if at in finished else None} for at in (0, 1)
    ]
    return data_event(encoded({"id": "x", "model": "m", "choices": choices}))


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b": ping\n\n",
        chunk({"content": "a"}),
        chunk(usage={"prompt_tokens": 1}),
        two_choices(0),
        chunk({"content": "a"}, "stop")[:-8],
        chunk({"content": "a"}) + DONE[:-4],
    ],
    ids=["empty", "comment", "text", "usage", "one of two", "torn", "torn end"],
)
def test_a_stream_without_its_end_is_cut(stream: bytes) -> None:
    """No finish is made up."""
    with pytest.raises(ProviderFailed) as caught:
        events_in(stream)
    assert caught.value.error_code == "upstream_cut"


def test_a_broken_connection_is_a_cut() -> None:
    """A finish reason does not help when the transport was cut; `[DONE]` does, for nothing can be missing."""
    decoder = CHAT.stream_decoder()
    decoder.feed(chunk({"content": "a"}, "stop"))
    with pytest.raises(ProviderFailed, match="before it was complete"):
        decoder.end(is_broken=True)
    assert list(decoder.end()) == []
    whole = CHAT.stream_decoder()
    whole.feed(chunk({"content": "a"}))
    assert list(whole.feed(DONE)) == []
    assert list(whole.end(is_broken=True)) == []


def test_both_choices_finish() -> None:
    """In their order, behind all that was said."""
    assert events_in(two_choices(0, 1) + DONE)[1:] == [
        TextDelta("a"),
        TextDelta("a", 1),
        STOP,
        Finish("stop", 1, "stop"),
    ]


def test_comments_and_what_follows_the_end_say_nothing() -> None:
    """Keep-alives give no events, and nothing counts behind `[DONE]`."""
    decoder = CHAT.stream_decoder()
    for raw in (b": ping\n\n", b"\n\n", b"event: x\n\n"):
        assert list(decoder.feed(raw)) == []
    decoder.feed(chunk({"content": "a"}, "stop"))
    assert list(decoder.feed(b"data:  [DONE] \r\n\r\n")) == [STOP]
    assert list(decoder.feed(chunk({"content": "b"}))) == []


def test_more_behind_a_finish_is_kept() -> None:
    """Some servers give a reason early or in every chunk; Azure's filter speaks behind it."""
    events = said(
        chunk({"content": "a"}, "stop"),
        chunk({"content": "b"}, "stop"),
        data_event(encoded({"choices": [{"index": 0, "delta": {}, "content_filter_results": {"hate": {}}}]})),
    )
    finish = Finish("stop", 0, "stop", extra={"content_filter_results": {"hate": {}}})
    assert events == [TextDelta("a"), TextDelta("b"), finish]


# text, thinking, other parts


def test_every_kind_of_delta() -> None:
    """Text, refusals, thinking under each of its names, pictures, sources and blocks of other dialects."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}, "index": 0}
    cited = {"type": "url_citation", "url_citation": {"url": "u", "title": "t"}}
    assert said(
        chunk({"reasoning_content": "a"}),
        chunk({"reasoning": "b"}),
        chunk({"content": "c", "annotations": [{**cited, "index": 0}]}),
        chunk({"refusal": "d"}),
        chunk({"images": [picture]}),
        chunk({"provider_items": [{"dialect": "d", "type": "x", "index": 0}]}),
        chunk({"content": "", "extra_content": {"google": {"thought_signature": "s"}}}),
        chunk({"x_vendor": 1, "token_id": 5, "role": "assistant"}),
        chunk({}, "stop"),
    ) == [
        ReasoningDelta("a"),
        ReasoningDelta("b"),
        TextDelta("c"),
        CitationDelta(Citation("u", "t", raw=cited)),
        RefusalDelta("d"),
        PartDelta(Image(data="AAAA", media_type="image/png")),
        PartDelta(Item("d", {"type": "x"})),
        TextDelta("", 0, Opaque("google", "s")),
        ExtraDelta({"x_vendor": 1}),
        STOP,
    ]


def test_thinking_in_lists() -> None:
    """Mistral's content may be a list with thinking."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    assert said(
        chunk({"content": [thought]}), chunk({"content": [{"type": "text", "text": "4"}]}), chunk({}, "stop")
    ) == [
        ReasoningDelta("hm"),
        TextDelta("4"),
        STOP,
    ]


def test_signed_thinking() -> None:
    """A block ends where its signature is known and something else follows; its text, given twice, is said once."""
    text = {"type": "reasoning.text", "format": "f", "index": 0}
    events = said(
        chunk({"reasoning": "a", "reasoning_details": [{**text, "text": "a"}]}),
        chunk({"reasoning": "b", "reasoning_details": [{**text, "text": "b"}]}),
        chunk({"reasoning_details": [{**text, "signature": "sig"}]}),
        chunk(
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "e", "format": "f", "index": 1, "id": "i"}]}
        ),
        chunk({"reasoning_details": [{"type": "x_detail"}]}),
        chunk({"content": "c"}),
        chunk({}, "stop"),
    )
    assert events == [
        ReasoningDelta("a"),
        ReasoningDelta("b"),
        ReasoningEnd(Opaque("f", "sig")),
        ExtraDelta({"reasoning_details": [{"type": "x_detail"}]}),
        ReasoningEnd(Opaque("f", "e"), is_redacted=True, item_id="i"),
        TextDelta("c"),
        STOP,
    ]


def test_a_detail_that_repeats_what_was_said() -> None:
    """A block that comes whole behind its deltas, as this gateway sends it, adds its signature alone."""
    detail = {
        "type": "reasoning.text",
        "text": "ab",
        "signature": "s",
        "format": "anthropic",
        "account": "acc",
        "index": 0,
    }
    events = said(
        chunk({"reasoning_content": "a"}),
        chunk({"reasoning_content": "b"}),
        chunk({"reasoning_details": [detail]}),
        chunk({}, "stop"),
    )
    assert events[:3] == [ReasoningDelta("a"), ReasoningDelta("b"), ReasoningEnd(Opaque("anthropic", "s", "acc"))]


def test_sound_comes_in_pieces() -> None:
    """Each piece of base64 has its own padding; the whole is said at the end."""
    events = said(
        chunk({"audio": {"id": "audio_1", "transcript": "he"}}),
        chunk({"audio": {"data": "AA==", "transcript": "y"}}),
        chunk({"audio": {"data": "AAA=", "expires_at": 5}}),
        chunk({}, "stop"),
    )
    assert events == [PartDelta(Audio("AAAA", "", "hey", "audio_1", {"expires_at": 5})), STOP]


def test_token_probabilities_are_joined() -> None:
    """They come token by token and are one list at the finish."""
    chunks = [
        data_event(
            encoded({"choices": [{"index": 0, "delta": {"content": text}, "logprobs": {"content": [{"token": text}]}}]})
        )
        for text in "ab"
    ]
    finish = said(*chunks, chunk({}, "stop"))[-1]
    assert isinstance(finish, Finish)
    assert finish.extra == {"logprobs": {"content": [{"token": "a"}, {"token": "b"}]}}


def test_what_stands_beside_a_delta_is_not_said_twice() -> None:
    """Together repeats the text, Perplexity the message so far; a message in place of a delta is one."""
    both = {"index": 0, "delta": {"content": "a"}, "message": {"content": "a"}, "text": "a", "finish_reason": "stop"}
    assert said(data_event(encoded({"choices": [both]}))) == [TextDelta("a"), STOP]
    whole = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}
    assert said(data_event(encoded({"choices": [whole]}))) == [TextDelta("a"), STOP]
