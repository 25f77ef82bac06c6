"""Every row of the catalogue keeps what every provider promises: a class of the contract's tests for each of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
from typing_extensions import override

from headgate.operations import EMBEDDINGS, IMAGES_GENERATE
from headgate.provider import Provider
from headgate.testing import ProviderContract, Recorded, ReplayUpstream
from headgate.testing.providers import SECRET
from headgate_compatible import Compatible, Row, catalogue

_PLACE = re.compile(r"\{(\w+)\}")
_SAMPLE = "sample"
"""What stands for every part of an address that is an account's own."""


class RowContract(ProviderContract):
    """What rows share: parts of an address belong to the usual base URL alone."""

    __test__: ClassVar[bool] = False

    @override
    def deploy(self, upstream: ReplayUpstream, **changes: Any) -> Provider:
        return super().deploy(upstream, **({"vars": None, **changes} if changes.get("base_url") else changes))


class KeylessContract(RowContract):
    """A server of one's own, which is reached without a key."""

    key_setting = ""
    config: ClassVar[Mapping[str, Any]] = {}


class VectorContract(RowContract):
    """A vendor without chat that embeds texts."""

    operation = EMBEDDINGS
    request = b'{"model": "sample-model",  "input":["Gr\xc3\xbc\xc3\x9fe"]}'
    reply = Recorded.from_json(
        {
            "object": "list",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -1.5]}],
            "model": "sample-model",
            "usage": {"prompt_tokens": 9, "total_tokens": 9},
        }
    )
    stream = tool_reply = tool_stream = None
    usage = (9, 0)

    @override
    def forwarded(self, body: bytes) -> bytes:
        return msgspec.json.encode(msgspec.json.decode(body))


class PictureContract(RowContract):
    """A vendor without chat that draws."""

    operation = IMAGES_GENERATE
    request = b'{"model": "sample-model",  "prompt":"Gr\xc3\xbc\xc3\x9fe"}'
    reply = Recorded.from_json({"created": 1, "data": [{"url": "https://pictures.example/1.png"}]})
    stream = tool_reply = tool_stream = usage = None


class OwnSessionContract(RowContract):
    """A vendor whose sessions have an address or a query of their own, which tests beside this one look at."""

    @override
    def test_session_goes_where_it_should(self) -> None:
        """They are the vendor's."""
        assert "realtime" in self.provider.dialects


_BASES: Mapping[str, type[RowContract]] = {
    "dashscope": OwnSessionContract,
    "recraft": PictureContract,
    "voyage": VectorContract,
    "zhipu": OwnSessionContract,
}
_ADDRESSES: Mapping[str, str] = {
    "jina": "https://deepsearch.jina.ai/v1/chat/completions",
    "writer": "https://api.writer.com/v1/chat",
}
"""Where those are asked that have chat elsewhere than below their base URL."""


_OF_CHAT = (
    *("test_tool_calls_pass", "test_streamed_tool_calls_pass", "test_cut_stream_raises", "test_stream_is_relayed"),
    *("test_stream_does_not_depend_on_how_it_is_split", "test_abandoned_stream_ends_the_upstream"),
)
"""Tests of what only chat has."""


def _members_of(kind: type[Compatible], row: Row) -> dict[str, Any]:
    """What the contract is told of a row."""
    found = dict.fromkeys(_PLACE.findall(row.base_url), _SAMPLE)
    base = _PLACE.sub(_SAMPLE, row.base_url)
    url = _ADDRESSES.get(row.name, f"{base}/chat/completions" if found else "")
    config = {} if row.keyless else {"config": {"api_key": SECRET, **({"vars": found} if found else {})}}
    without = dict.fromkeys(() if "chat" in row.operations else _OF_CHAT)
    about = f"`{row.name}` keeps what every provider promises."
    return {"provider": kind, "url": url, "__test__": True, "__doc__": about, **config, **without}


for _name, _kind in catalogue().items():
    assert issubclass(_kind, Compatible)
    if _kind.row is not None and _kind.name == _name:  # not an alias
        _base = KeylessContract if _kind.row.keyless else _BASES.get(_name, RowContract)
        globals()[f"Test_{_name.replace('-', '_')}"] = type(f"Test_{_name}", (_base,), _members_of(_kind, _kind.row))
