"""Error bodies of OpenAI-shaped vendors: the vendor's words, and a status that means what it says."""

from __future__ import annotations

import msgspec
import pytest
from core.tests.openai_samples import CHAT, Json, encoded

from headgate.dialects import AnthropicMessages, GoogleGenerate
from headgate.dialects.openai.errors import status_of
from headgate.errors import ErrorWords


def words(status: int, /, **error: object) -> ErrorWords:
    return CHAT.decode_error(status, encoded({"error": error}))


def test_an_envelope_is_read_as_it_is() -> None:
    """OpenAI's own."""
    assert words(
        404, message="no model", type="invalid_request_error", param="model", code="model_not_found"
    ) == ErrorWords(404, "no model", "invalid_request_error", "model_not_found", "model")


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xai-***."}, 401),
        (400, [{"error": {"code": 400, "message": "API key not valid. Please pass one."}}], 401),
        (400, {"error": {"message": "too long"}}, 400),
        (498, {"error": {"message": "Flex tier capacity exceeded"}}, 503),
        (529, {"error": {"message": "busy"}}, 503),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, 422),
    ],
    ids=["xai key", "google key", "plain", "groq flex", "overloaded", "mistral validation"],
)
def test_odd_statuses_are_put_right(status: int, body: Json, expected: int) -> None:
    """A bad key is a 401 whoever calls it something else, and words nobody else knows become known ones."""
    told = CHAT.decode_error(status, encoded(body))
    assert told.status == expected
    assert told.message


def test_words_of_writer() -> None:
    """An error in a list says what went wrong in its `description`."""
    held: Json = {"tpe": "fail", "errors": [{"description": "no such model", "key": "fail.model", "extras": {}}]}
    assert CHAT.decode_error(404, encoded(held)).message == "no such model"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": 429, "status": "RESOURCE_EXHAUSTED"}, "RESOURCE_EXHAUSTED"),
        ({"code": "quota", "status": "RESOURCE_EXHAUSTED"}, "quota"),
        ({"code": 429, "status": "error"}, "429"),
        ({"code": 429, "status": 429}, "429"),
        ({"code": 8, "status": "RESOURCE_EXHAUSTED"}, "8"),
    ],
)
def test_words_of_google(error: Json, code: str) -> None:
    """Google's errors, which it has for other makers' models as well, repeat the status: their word says more."""
    assert words(429, message="slow down", **error).code == code


@pytest.mark.parametrize("more", [{}, {"CodeN": 100010, "Data": None}])
def test_words_of_byteplus(more: Json) -> None:
    """Its control plane tells errors below `ResponseMetadata`: https://docs.byteplus.com/en/docs/transitrouter/Responses."""
    error = {"Code": "NotFound.Job", "Message": "no such job", **more}
    told = CHAT.decode_error(404, encoded({"ResponseMetadata": {"RequestId": "1", "Error": error}}))
    assert (told.status, told.code, told.message) == (404, "NotFound.Job", "no such job")


def test_metadata_without_an_error() -> None:
    """What says nothing is told as it is."""
    assert "RequestId" in CHAT.decode_error(500, encoded({"ResponseMetadata": {"RequestId": "1"}})).message


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Rate limit reached. Please try again in 20s.", 20.0),
        ("Please try again in 6ms", 0.006),
        ("please try again in 1m30.5s. Visit", 90.5),
        ("Please try again in 2h0m1s", 7201.0),
        ("Please try again later", None),
        (
            "... of your current OpenAI S0 pricing tier. Please retry after 6 seconds. Please go here: https://aka.ms",
            6.0,
        ),
        ("Please retry after 1 second.", 1.0),
        ("retry after 2 minutes 5 seconds", 125.0),
        ("retry after 5 servers", None),
        ("Please retry after some time", None),
    ],
)
def test_when_to_come_back(message: str, expected: float | None) -> None:
    """Rate limits say it in their message."""
    assert words(429, message=message).retry_after_s == (None if expected is None else pytest.approx(expected))
    assert words(400, message=message).retry_after_s is None


def test_the_vendor_behind_a_router_has_its_say() -> None:
    """OpenRouter puts its words beside the message."""
    told = words(429, message="Provider returned error", code=429, metadata={"raw": "slow down", "provider_name": "x"})
    assert (told.message, told.code) == ("Provider returned error: slow down", "429")
    assert words(429, message="no", metadata={"reasons": []}).message == "no"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {
                "success": False, "result": None, "messages": [],
                "errors": [{"code": 7003, "message": "Could not route to /ai/v1"}, {"code": 7000, "message": "No route"}],
            },
            ErrorWords(404, "Could not route to /ai/v1", code="7003"),
        ),
        ({"errors": ["no such model"]}, ErrorWords(404, "no such model")),
        ({"message": "not found", "errors": [{"message": "x"}]}, ErrorWords(404, "not found")),
        ({"errors": []}, ErrorWords(404, '{"errors":[]}')),
        ({"errors": [[1]]}, ErrorWords(404, '{"errors":[[1]]}')),
        ({"errors": {"message": "x"}}, ErrorWords(404, '{"errors":{"message":"x"}}')),
    ],
    ids=["cloudflare", "texts", "beside a message", "none", "odd", "no list"],
)  # fmt: skip
def test_a_list_of_errors(body: Json, expected: ErrorWords) -> None:
    """The first of them is the one that is told, where nothing else says what is wrong."""
    assert CHAT.decode_error(404, encoded(body)) == expected


@pytest.mark.parametrize("body", [b"", b"<html>", b"busy", b'{"metadata"', b'{"error": 5, "metadata": 1}', b"[]"])
def test_bodies_that_are_no_envelope(body: bytes) -> None:
    """Plain text is a message, a page is none, and nothing raises."""
    assert CHAT.decode_error(500, body).status == 500


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": 429}, 429),
        ({"code": "503"}, 503),
        ({"code": "4290"}, 0),
        ({"code": 200}, 0),
        ({"status": "INVALID"}, 0),
        ({"raw_status_code": 422}, 422),
        ({"status_code": 498}, 503),
        ({"type": "rate_limit_exceeded"}, 429),
        ({"code": "insufficient_quota"}, 429),
        ({}, 0),
    ],
)
def test_the_status_an_error_stands_for(error: Json, expected: int) -> None:
    """By its number, else by its word, else none."""
    assert status_of(error) == expected


def test_what_a_model_wrote_that_was_no_call_is_told() -> None:
    """Groq's `failed_generation` stands in the error, where clients of OpenAI's SDK find it, and beside it for Anthropic's."""
    told = words(400, message="no call", type="invalid_request_error", code="tool_use_failed", failed_generation="<f>")
    assert told.extra == {"failed_generation": "<f>"}
    held = msgspec.json.decode(CHAT.encode_error(told))
    assert held["error"]["failed_generation"] == "<f>"
    assert held.keys() == {"error"}
    assert msgspec.json.decode(AnthropicMessages().encode_error(told))["failed_generation"] == "<f>"
    google = msgspec.json.decode(GoogleGenerate().encode_error(told))
    noted = {"failed_generation": "<f>", "type": "invalid_request_error"}
    assert (google["error"]["details"][0]["metadata"], google.keys()) == (noted, {"error"})
