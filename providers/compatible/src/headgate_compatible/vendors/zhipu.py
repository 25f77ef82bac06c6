"""Zhipu: rankings in Jina's shape, its own way to count tokens, moderations in its own words, and sessions (`zhipu_sessions`).

Sources: https://docs.bigmodel.cn/api-reference/模型-api/文本分词器 and, for moderations, `moderation`. Its Responses are Z.ai's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from typing_extensions import override

from headgate.dialects import Dialect
from headgate.exchange import Exchange
from headgate.operations import MODERATIONS
from headgate_compatible.vendors import moderation
from headgate_compatible.vendors.jina import JinaShaped
from headgate_compatible.vendors.reshaped import Reshaped, Shape
from headgate_compatible.vendors.zai import Zai
from headgate_compatible.vendors.zhipu_sessions import SessionWriter


class Zhipu(Reshaped, Zai, JinaShaped):
    """Zhipu, which counts as Z.ai does."""

    own_dialects: ClassVar[Mapping[str, str]] = {**JinaShaped.own_dialects, **Zai.own_dialects}
    codecs: ClassVar[Mapping[str, Dialect]] = {**JinaShaped.codecs, **Zai.codecs}
    shapes: ClassVar[Mapping[str, Shape]] = {MODERATIONS.name: Shape(moderation.encode_zhipu, moderation.decode_zhipu)}

    @override
    def socket_query(self, ex: Exchange) -> Mapping[str, str]:
        return {}

    @override
    def session_writer(self, ex: Exchange) -> Callable[[bytes], Sequence[bytes]] | None:
        return SessionWriter(ex.attempt.model if ex.attempt is not None else ex.model)
