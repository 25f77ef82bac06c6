"""Forms of OpenAI's clients for vendors that take the same operation as JSON alone: the form is read whole and told as JSON."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, ClassVar

from msgspec import structs
from typing_extensions import override

from headgate.dialects import Gaps
from headgate.errors import InvalidRequest
from headgate.exchange import Exchange, Reply
from headgate.forms import Part, parts_of
from headgate.relay import relay
from headgate.upload import Upload
from headgate_compatible.provider import Compatible

MAX_BYTES = 32 * 1024 * 1024
"""How large a form may be that is read whole to be sent as JSON."""
Encode = Callable[[Iterable[Part], Mapping[str, Any], Gaps], bytes]
"""A form as a vendor's JSON, the mapping's values in the place of its own. Gaps are told of what the vendor has not."""


class JsonForms(Compatible):
    """A vendor that takes no forms for some operations; `forms` says by operation how one is told as JSON."""

    forms: ClassVar[Mapping[str, Encode]] = {}

    @override
    def fields_for(self, ex: Exchange) -> Mapping[str, str]:
        return {} if ex.operation.name in self.forms else super().fields_for(ex)

    @override
    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        encode = self.forms.get(ex.operation.name)
        return super().call(ex) if encode is None or ex.upload is None else self._told(ex, ex.upload, encode)

    async def _told(self, ex: Exchange, upload: Upload, encode: Encode) -> Reply:
        """Send a form as JSON."""
        request = self.prepare(ex)
        gaps = Gaps(self.name, self.policy(ex))
        parts = parts_of(await upload.read(MAX_BYTES), upload.boundary or b"")
        attempt = ex.attempt
        named = {"model": attempt.model} if attempt is not None and attempt.model else {}
        values = {**named, **(attempt.target.override_params if attempt is not None else {})}
        body = encode(parts, values, gaps)
        ex.dropped += [name for name in gaps.dropped if name not in ex.dropped]
        headers = tuple(pair for pair in request.headers if pair[0] != b"content-type")
        headers = (*headers, (b"content-type", b"application/json"))
        request = structs.replace(request, headers=headers, body=body, pieces=None)
        return await relay(ex, self.upstream, request, self._origin)


def text_of(part: Part) -> str:
    """The value of a field; InvalidRequest where it is no text."""
    try:
        return part.content.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"the field `{part.name}` is not valid UTF-8", param=part.name) from None


def kind_of(part: Part, family: str, signatures: Iterable[tuple[bytes, str]]) -> str:
    """The media type of a file: its label if that is one of `family` (`image/`), else as it begins, else empty."""
    label = part.content_type.partition(";")[0].strip().lower()
    if label.startswith(family):
        return label
    return next((name for start, name in signatures if part.content.startswith(start)), "")
