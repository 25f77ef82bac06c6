"""What the tests of this package share: no AWS in the environment, recorded exchanges, AWS's own model as a judge of bodies."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.session import Session  # pyright: ignore[reportMissingTypeStubs]
from botocore.validate import ParamValidator  # pyright: ignore[reportMissingTypeStubs]

Json = dict[str, Any]
CORPUS = Path(os.environ.get("HEADGATE_CORPUS") or Path(__file__).parents[3] / ".." / "shared" / "corpus")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine knows of AWS is nothing to the tests."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)


@pytest.fixture
def recorded() -> Callable[[str, str], Iterator[Json]]:
    """Recorded exchanges of a vendor and an operation; the test is skipped where there are none."""
    if not CORPUS.is_dir():
        pytest.skip("no recorded exchanges: set HEADGATE_CORPUS to their folder")

    def read(vendor: str, operation: str) -> Iterator[Json]:
        with gzip.open(CORPUS / f"{vendor}.jsonl.gz") as lines:
            for line in lines:
                record = json.loads(line)
                if record["operation"] == operation:
                    yield record

    return read


@pytest.fixture(scope="session")
def problems() -> Callable[[bytes], list[str]]:
    """What AWS's model of Converse says against a body: its validator, and members that the model does not have."""
    shape = _shape("bedrock-runtime", "Converse")
    return lambda body: _judged(json.loads(body), shape, {"modelId": "m.m"})


@pytest.fixture(scope="session")
def job_problems() -> Callable[[bytes], list[str]]:
    """What AWS's model of a new job says against a body, the patterns of its texts included."""
    shape = _shape("bedrock", "CreateModelInvocationJob")

    def judge(body: bytes) -> list[str]:
        given = json.loads(body)
        return [*_judged(given, shape), *_unlike(given, shape, "")]

    return judge


@lru_cache(maxsize=2)
def _shape(service: str, operation: str) -> Any:
    model: Any = cast("Any", Session)().get_service_model(service)
    return model.operation_model(operation).input_shape


def _judged(value: Json, shape: Any, elsewhere: Json | None = None) -> list[str]:
    """What is wrong with a body; what stands `elsewhere` in the request is no part of it."""
    given = _blobs(value, shape)
    report: Any = cast("Any", ParamValidator)().validate({**(elsewhere or {}), **given}, shape)
    return [*_unknown(given, shape, ""), *([report.generate_report()] if report.has_errors() else [])]


def _unlike(value: Any, shape: Any, place: str) -> Iterator[str]:
    """Texts that are not as the model's patterns have them; its validator does not read those."""
    if isinstance(value, str) and not re.fullmatch(shape.metadata.get("pattern", ".*"), value):
        yield f"{place} is unlike {shape.metadata['pattern']}"
    elif isinstance(value, dict):
        for name, item in cast("Json", value).items():
            yield from _unlike(item, shape.members[name], f"{place}.{name}")


def _blobs(value: Any, shape: Any) -> Any:
    """The value with bytes in place of base64, as the SDK is given them. Raises ValueError for what is no base64."""
    kind: str = shape.type_name
    if kind == "blob":
        return base64.b64decode(value, validate=True)
    if kind == "list" and isinstance(value, list):
        return [_blobs(item, shape.member) for item in cast("list[Any]", value)]
    if kind == "structure" and isinstance(value, dict) and not getattr(shape, "is_document_type", False):
        known: Any = shape.members
        held = cast("Json", value)
        return {name: _blobs(held[name], known[name]) if name in known else held[name] for name in held}
    return cast("Any", value)


def _unknown(value: Any, shape: Any, place: str) -> Iterator[str]:
    if isinstance(value, list) and shape.type_name == "list":
        for at, item in enumerate(cast("list[Any]", value)):
            yield from _unknown(item, shape.member, f"{place}[{at}]")
    elif isinstance(value, dict) and shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        for name, item in cast("Json", value).items():
            if name in shape.members:
                yield from _unknown(item, shape.members[name], f"{place}.{name}")
            else:
                yield f"{place}.{name} is unknown"
