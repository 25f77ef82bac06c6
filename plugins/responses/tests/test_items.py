"""Input items: a conversation that goes on, and lists of any kind of items, page by page."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from openai.types.responses import ResponseItem
from pydantic import TypeAdapter

from headgate import InvalidRequest
from headgate.dialects.responses.ids import has_marks
from headgate_responses import Kept
from headgate_responses.items import continued, items_of, list_page, listed

Json = dict[str, Any]

ITEMS: list[Json] = [
    {"role": "user", "content": "hi"},
    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "be brief"}]},
    {"role": "assistant", "content": "hello"},
    {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "x"},
    {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "42"},
    {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "x"},
    {"type": "custom_tool_call_output", "call_id": "c2", "output": "y"},
    {"id": "rs_1", "type": "reasoning", "summary": []},
]
_item: TypeAdapter[Any] = TypeAdapter(ResponseItem)


def kept(items: Any, output: Any = ()) -> Kept:
    return Kept(msgspec.json.encode({"output": list(output)}), msgspec.json.encode(items))


def test_listed_items_are_of_the_official_types() -> None:
    """Whatever short form a caller used, the list holds items as OpenAI lists them."""
    for item in listed(ITEMS, "resp_hg_1"):
        _item.validate_python(item)


def test_ids_are_each_items_own() -> None:
    """Items keep the id they have; one that is missing or taken is made, always the same, and is never sent to OpenAI."""
    shown = listed(ITEMS, "resp_hg_1")
    ids = [item["id"] for item in shown]
    assert len(set(ids)) == len(ids)
    assert ids[3] == "rs_1"
    assert ids == [item["id"] for item in listed(ITEMS, "resp_hg_1")]
    assert not {*ids} & {item["id"] for item in listed(ITEMS[:3], "resp_hg_2")}
    assert all(has_marks(msgspec.json.encode(item)) for item in shown if item["id"] != "rs_1")


@settings(deadline=None)
@given(count=st.integers(0, 250), limit=st.integers(1, 100), is_up=st.booleans())
def test_pages_show_everything_once(count: int, limit: int, *, is_up: bool) -> None:
    """Page after page each item comes once, in order, whatever the size of a page."""
    held = kept([{"role": "user", "content": str(at)} for at in range(count)])
    seen: list[str] = []
    query: Json = {"limit": limit, "order": "asc" if is_up else "desc"}
    while True:
        page = msgspec.json.decode(list_page(held, "resp_hg_1", urlencode(query).encode()))
        seen += [item["content"][0]["text"] for item in page["data"]]
        assert (page["first_id"] is None) == (not page["data"])
        if not page["has_more"]:
            break
        assert len(page["data"]) == limit
        query["after"] = page["last_id"]
    expected = [str(at) for at in range(count)]
    assert seen == (expected if is_up else expected[::-1])


def test_a_page_has_twenty_items_newest_first_unless_asked() -> None:
    """The defaults are OpenAI's; other parameters ask for nothing."""
    held = kept([{"role": "user", "content": str(at)} for at in range(30)])
    page = msgspec.json.decode(list_page(held, "resp_hg_1", b"include%5B%5D=message.input_image.image_url"))
    assert [item["content"][0]["text"] for item in page["data"]] == [str(at) for at in range(29, 9, -1)]
    assert page["has_more"] is True


@pytest.mark.parametrize(
    "query", [b"limit=0", b"limit=%C2%B2", b"limit=-1", b"limit=1e1", b"order=ASC", b"after=nothing"]
)
def test_wrong_pages(query: bytes) -> None:
    """What asks for no page there can be is refused by name."""
    with pytest.raises(InvalidRequest, match=query.decode().partition("=")[0]):
        list_page(kept(ITEMS), "resp_hg_1", query)


def test_what_goes_on_keeps_its_bytes() -> None:
    """Numbers, order and spelling of all that is not the input stay as they were."""
    body = (
        b'{"model":"m","temperature":0.10,"previous_response_id":"resp_hg_1",'
        b'"input":[{"role":"user","content":"b"}],"top_p":1e0}'
    )
    earlier = Kept(b'{"id":"resp_hg_1","output":[{"n":1.50}]}', b'[{"role":"user","content":"a"}]')
    assert continued(body, earlier) == (
        b'{"model":"m","temperature":0.10,'
        b'"input":[{"role":"user","content":"a"},{"n":1.50},{"role":"user","content":"b"}],"top_p":1e0}'
    )


def test_a_conversation_may_go_on_without_words() -> None:
    """Without an input the conversation so far is all of it."""
    body = b'{"model":"m","previous_response_id":"resp_hg_1"}'
    assert msgspec.json.decode(continued(body, kept(ITEMS[:1])))["input"] == ITEMS[:1]


def test_forms_of_an_input() -> None:
    """A text is a message of the user, a list is itself, nothing is nothing, and anything else is refused."""
    assert msgspec.json.encode(items_of(Raw(b'"\\u0041"'))) == b'[{"type":"message","role":"user","content":"\\u0041"}]'
    assert items_of(Raw(b"null")) == []
    assert items_of(Raw(b"[1, {}]")) == [Raw(b"1"), Raw(b"{}")]
    for wrong in (b"{}", b"1", b"true"):
        with pytest.raises(InvalidRequest, match="`input` must be a string or a list"):
            items_of(Raw(wrong))
