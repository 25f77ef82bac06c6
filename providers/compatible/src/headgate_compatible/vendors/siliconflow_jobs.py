"""Files and batches of SiliconFlow's Chinese host for OpenAI's clients: envelopes, lists without pages, and one more status.

Sources: https://docs.siliconflow.cn/docs/api/files-post, https://docs.siliconflow.cn/docs/api/files-get and
https://docs.siliconflow.cn/cn/api-reference/batch/create-batch. A file can neither be told of alone nor be read, and what a batch
has as its `output_file_id` is an address.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from headgate.dialects import Gaps
from headgate.dialects.jobs import Action, Asked, KeptDialect, VendorCall, as_object, objects_in
from headgate.dialects.openai.members import Json, Members, objects
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate_compatible.vendors.pictures import object_in

HOST = "siliconflow.cn"
"""The domain of the host that has them."""
_WAITING = {"in_queue": "validating"}
"""A status that OpenAI's clients do not know."""


class SiliconFlowFileLists(KeptDialect):
    """Lists of files. One page holds as many as are asked for, and nothing asks for what stands behind it."""

    name = "siliconflow.files"
    operation = "files"
    path = "/files"
    thing = "file"
    page = (10_000, 10_000)
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {"list": ("GET", "")}

    @override
    def encode_call(self, asked: Asked, gaps: Gaps) -> VendorCall:
        said = {name: value for name, value in asked.query.items() if (name, value) != ("purpose", "batch")}
        return super().encode_call(replace(asked, query=said), gaps)

    @override
    def encode_new(self, asked: Members, fresh: str, gaps: Gaps) -> VendorCall:
        raise InvalidRequest("a file is uploaded as it comes", code="unsupported_operation")

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        return _file_of(said)

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(as_object(said).get("data"), "data")

    @override
    def first_page(self) -> Mapping[str, str]:
        return {"purpose": "batch", "limit": "10000"}


def decode_file(headers: RawHeaders, body: bytes, _sent: bytes) -> Reply:
    """A file that was uploaded, out of its envelope. Raises ProviderFailed for an answer without one."""
    held = as_object(object_in(body).get("data"))
    if not held.get("id"):
        raise ProviderFailed("the provider answered with no file", code="upstream_bad_reply")
    return Reply(200, headers, msgspec.json.encode(_file_of(held)))


def decode_batches(headers: RawHeaders, body: bytes, _sent: bytes) -> Reply:
    """A batch, or a list of some, with statuses that OpenAI's clients know; the very same bytes where there are no others."""
    held = object_in(body)
    waiting = [each for each in (held, *objects(held.get("data"))) if each.get("status") in _WAITING]
    for each in waiting:
        each["status"] = _WAITING[each["status"]]
    return Reply(200, headers, msgspec.json.encode(held) if waiting else body)


def _file_of(said: Json) -> Json:
    told = {name: value for name, value in said.items() if name != "createdAt"}
    made = said.get("created_at", said.get("createdAt"))
    return {**told, "object": "file", "created_at": made or 0, "status": said.get("status") or "processed"}
