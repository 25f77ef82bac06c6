"""Predictions as answers, whole and streamed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from providers.replicate.tests.replicate_wire import ID, METRICS, Json, decoded, event, prediction

from headgate.chat import ErrorEvent, Finish, Start, Text, TextDelta, Usage, UsageEvent, collect
from headgate.errors import ProviderFailed
from headgate_replicate import ReplicateChat
from headgate_replicate.replies import ReplicateDecoder

DIALECT = ReplicateChat()
DONE = event("done", "{}")


def told(**members: Any) -> bytes:
    return event("prediction", msgspec.json.encode(prediction("succeeded", **members)).decode())


@pytest.mark.parametrize("output", [["Grü", "", "ße"], "Grüße"])
def test_a_whole_answer(output: Any) -> None:
    """Pieces are joined; what the prediction counted is its usage."""
    reply = DIALECT.decode_reply(msgspec.json.encode(prediction(output=output, metrics=METRICS)))
    (choice,) = reply.choices
    assert (choice.message.parts, choice.finish, choice.finish_raw) == ((Text("Grüße"),), "stop", "succeeded")
    assert (reply.id, reply.model, reply.created) == (ID, "o/n", 1786082894)
    assert reply.usage == Usage(9, 3, raw=METRICS)


@pytest.mark.parametrize(
    ("metrics", "usage"),
    [
        (None, None),
        ({"predict_time": 1.5}, None),
        ({"input_token_count": None, "output_token_count": True}, None),
        ({"output_token_count": 0}, Usage(0, 0, raw={"output_token_count": 0})),
        ({"input_token_count": 4.0}, Usage(4, 0, raw={"input_token_count": 4.0})),
    ],
)
def test_usage_is_never_made_up(metrics: Json | None, usage: Usage | None) -> None:
    """A prediction that counted nothing states nothing: none is not zero."""
    body = msgspec.json.encode(prediction(output="x", metrics=metrics))
    assert DIALECT.decode_reply(body).usage == usage
    assert DIALECT.reply_usage(body) == usage
    said = [one for one in decoded(event("output", "x") + DONE + told(metrics=metrics)) if isinstance(one, UsageEvent)]
    assert [one.usage for one in said] == ([] if usage is None else [usage])


@pytest.mark.parametrize("output", [{"a": 1}, [1], ["a", None], 7])
def test_an_output_that_is_no_text(output: Any) -> None:
    """A model that answers with anything else fails, and is not guessed at."""
    with pytest.raises(ProviderFailed, match="no text"):
        DIALECT.decode_reply(msgspec.json.encode(prediction(output=output)))


def test_a_stream() -> None:
    """The events around the stream say who answered and what was used."""
    stream = told() + event("logs", "starting") + event("output", "Grü") + event("output", "ße\n\n- a") + DONE
    events = decoded(stream + told(metrics=METRICS))
    assert events == [
        Start(ID, "o/n", 1786082894),
        TextDelta("Grü"),
        TextDelta("ße\n\n- a"),
        Finish("stop", raw="succeeded"),
        UsageEvent(Usage(9, 3, raw=METRICS), {"metrics": METRICS}),
    ]
    assert collect(events).choices[0].message.text == "Grüße\n\n- a"


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=20), max_size=6),
    st.integers(1, 40),
)
def test_streams_do_not_depend_on_reads(pieces: list[str], size: int) -> None:
    """Text of any kind comes through whole, however it is cut: only line breaks mean anything to a stream."""
    stream = b"".join(event("output", piece) for piece in pieces) + DONE
    said = [one.text for one in decoded(stream, size) if isinstance(one, TextDelta)]
    assert said == pieces


@pytest.mark.parametrize(
    ("frame", "message", "code"),
    [
        (event("error", '{"detail":"CUDA out of memory"}'), "CUDA out of memory", "prediction_failed"),
        (event("error", "E005: flagged"), "E005: flagged", "prediction_failed"),
        (event("done", '{"reason":"canceled"}'), "the prediction was canceled", "prediction_canceled"),
        (event("done", '{"reason":"error"}'), "the prediction failed", "prediction_error"),
    ],
)
def test_a_stream_that_fails(frame: bytes, message: str, code: str) -> None:
    """It ends with the error, and nothing behind that is said."""
    events = decoded(event("output", "a") + frame + DONE + event("output", "b"))
    assert events[1:] == [TextDelta("a"), ErrorEvent(message, code, status=502)]
    assert DIALECT.ending([frame, DONE]) == "error"


def test_a_cut_stream() -> None:
    """Without `done` it was cut; no finish is made up."""
    with pytest.raises(ProviderFailed) as caught:
        decoded(event("output", "a"))
    assert caught.value.error_code == "upstream_cut"
    assert (DIALECT.ending([event("output", "a")]), DIALECT.ending([DONE])) == ("cut", "complete")
    decoder = ReplicateDecoder()
    decoder.feed(DONE)
    assert decoder.end(is_broken=True) == ()


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"detail": "You did not pass an authentication token", "status": 401, "title": "Unauthenticated"},
         "You did not pass an authentication token", None),
        (prediction("failed", error="Prediction failed: E005"), "Prediction failed: E005", "prediction_failed"),
        (prediction("canceled"), "the prediction was canceled", "prediction_canceled"),
        (prediction("aborted"), "the prediction was aborted before it began", "prediction_aborted"),
    ],
)  # fmt: skip
def test_errors(body: Json, message: str, code: str | None) -> None:
    """An error of the API, or of a prediction that did not succeed; the input that it repeats is not told."""
    words = DIALECT.decode_error(502, msgspec.json.encode(body))
    assert (words.message, words.code) == (message, code)
    assert DIALECT.decode_error(502, b"<html>").message == ""


def test_answers_written_again() -> None:
    """What is written for tests is read as it was meant."""
    reply = DIALECT.decode_reply(msgspec.json.encode(prediction(output="x", metrics=METRICS)))
    again = DIALECT.decode_reply(DIALECT.encode_reply(reply, DIALECT.decode_request(b'{"input":{"prompt":"a"}}')))
    assert (again.choices, again.usage is not None) == (reply.choices, True)
    encoder = DIALECT.stream_encoder(DIALECT.decode_request(b'{"input":{"prompt":"a"}}'))
    events = decoded(told() + event("output", "a\nb") + DONE + told(metrics=METRICS))
    stream = b"".join((*map(encoder.feed, events), encoder.end()))
    assert [type(one) for one in decoded(stream)] == [type(one) for one in events]


def test_places_of_texts() -> None:
    """Guards find what is asked and what is answered."""
    asked = {"input": {"prompt": "a", "system_prompt": "b", "messages": [{"role": "user", "content": "c"}]}}
    assert [place.text for place in DIALECT.request_texts(asked)] == ["b", "a", "c"]
    assert [place.text for place in DIALECT.reply_texts(prediction(output=["x", "y"]))] == ["x", "y"]
    assert [place.text for place in DIALECT.reply_texts(prediction(output="x"))] == ["x"]
