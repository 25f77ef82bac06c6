"""Where vendors document each of their operations: method, host and path, written down in documented.toml.

The file is read by no code of the gateway and made from none, so a call that goes astray finds no excuse in it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from urllib.parse import quote

from tests.replay.matrix_asking import FILE as UPLOADED
from tests.replay.matrix_asking import PASSED
from tests.replay.matrix_providers import deployment_of, model_of

from headgate.provider import Provider
from headgate.upstream import UpstreamRequest

FILE = Path(__file__).parent / "documented.toml"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@cache
def documented() -> Mapping[str, Mapping[str, tuple[str, str]]]:
    """By provider and operation: method and address with their placeholders, and the page that has them."""
    pages: Mapping[str, Mapping[str, Mapping[str, str]]] = tomllib.loads(FILE.read_text("utf-8"))
    return {
        name: {operation: (call, page) for page, calls in held.items() for operation, call in calls.items()}
        for name, held in pages.items()
    }


def misplaced(request: UpstreamRequest, kind: type[Provider], operation: str) -> Iterator[str]:
    """What is wrong with the place of a call, next to the vendor's page; that no page is known is wrong too."""
    call, page = documented().get(kind.name, {}).get(operation, ("", ""))
    if not call:
        yield f"{FILE.name} has no page that says where it is"
    elif f"{request.method} {request.url}" != (there := _filled(call, kind, operation)):
        yield f"called at {request.method} {request.url}, documented at {there} ({page})"


def _filled(call: str, kind: type[Provider], operation: str) -> str:
    """A documented call with what a deployment and a request put into it."""
    settings = deployment_of(kind, operation)
    known = {
        **settings,
        **settings.get("vars", {}),
        "model": quote(model_of(kind, operation), safe="@/"),
        "path": PASSED,
        "file": UPLOADED[0],
        "dataset_id": "file-1",
    }
    return _PLACEHOLDER.sub(lambda found: str(known[found[1]]), call)
