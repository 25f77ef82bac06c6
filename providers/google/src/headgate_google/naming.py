"""Where new batches and cached contents of the Gemini API name their model, which the path and the gateway's keys decide.

Sources: https://ai.google.dev/api/batch-api, https://ai.google.dev/api/caching. Google reads names in either spelling, such as
`inputConfig` and `input_config`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec

from headgate.body import decode_object
from headgate.dialects.google.embed import resource_name

Json = dict[str, Any]


def with_model(body: bytes, model: str) -> bytes:
    """`body` with `model` wherever it names one; the very same bytes where it names none. InvalidRequest for no JSON object."""
    if b'"model"' not in body:
        return body
    held, name = decode_object(body), resource_name(model)
    for place in _places(held):
        if "model" in place:
            place["model"] = name
    return msgspec.json.encode(held)


def _places(held: Json) -> Iterator[Json]:
    """The body itself, the batch in it, and each request of that."""
    batch = _object(held.get("batch"))
    config = _object(batch.get("inputConfig") or batch.get("input_config"))
    requests: Any = _object(config.get("requests")).get("requests")
    yield held
    yield batch
    for each in cast("list[Any]", requests) if isinstance(requests, list) else ():
        yield _object(_object(each).get("request"))


def _object(value: Any) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}
