"""Lists that a vendor tells whole, without saying so: a client of OpenAI's that goes on behind the last would never end."""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from typing import Any, ClassVar
from urllib.parse import parse_qs

import msgspec
from typing_extensions import override

from headgate.dialects.jobs import objects_in
from headgate.exchange import Exchange, RawHeaders, Reply
from headgate.relay import retell
from headgate_compatible.provider import Compatible
from headgate_compatible.vendors.pictures import object_in


class WholeLists(Compatible):
    """A vendor whose lists have one page; `whole` names the operations."""

    whole: ClassVar[frozenset[str]] = frozenset()

    @override
    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        if ex.operation.name not in self.whole or ex.scope_method != "GET" or ex.path != ex.operation.path:
            return super().call(ex)
        after = parse_qs(ex.query.decode("latin-1")).get("after", [""])[0]
        return retell(ex, self.engine_for(ex), self.prepare(ex), self._origin, partial(_told, after))


def _told(after: str, headers: RawHeaders, body: bytes) -> Reply:
    """A good answer, what stands behind `after` of it, which says that there is no more."""
    said = object_in(body)
    listed = objects_in(said, "data")
    ids = [each.get("id") for each in listed]
    behind = listed[ids.index(after) + 1 :] if after in ids else listed
    return Reply(200, headers, msgspec.json.encode({**said, "data": behind, "has_more": said.get("has_more") or False}))
