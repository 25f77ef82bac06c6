"""SiliconFlow: pictures with names of its own, edits of them in the same words, and jobs of its Chinese host.

Sources: `pictures`, `edits` and `siliconflow_jobs`
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from typing_extensions import override

from headgate.dialects import Dialect, Gaps
from headgate.exchange import Exchange, RawHeaders, Reply
from headgate.forms import Part
from headgate.operations import BATCHES, FILES, IMAGES_EDIT, IMAGES_GENERATE
from headgate.provider import DeploymentConfig, operation_of
from headgate.relay import Decode
from headgate.upstream import Upstream
from headgate_compatible.vendors import edits, pictures
from headgate_compatible.vendors import siliconflow_jobs as jobs
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.reshaped import Reshaped, Shape, as_it_is


def from_form(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes:
    """OpenAI's form of an edit as SiliconFlow takes it, `values` in the place of its own."""
    return pictures.encode_siliconflow(edits.from_form(parts, values, gaps, edits.SILICONFLOW), gaps)


def from_json(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's JSON of an edit as SiliconFlow takes it."""
    return pictures.encode_siliconflow(edits.from_json(body, gaps, edits.SILICONFLOW), gaps)


def to_openai(headers: RawHeaders, body: bytes) -> Reply:
    """A good answer to an edit."""
    return pictures.decode_siliconflow(headers, body, b"")


class SiliconFlow(JsonForms, Reshaped):
    """SiliconFlow. Files and batches are there below its Chinese domain alone."""

    codecs: ClassVar[Mapping[str, Dialect]] = {jobs.SiliconFlowFileLists.name: jobs.SiliconFlowFileLists()}
    forms: ClassVar[Mapping[str, Encode]] = {IMAGES_EDIT.name: from_form}
    answers: ClassVar[Mapping[str, Decode]] = {IMAGES_EDIT.name: to_openai}
    shapes: ClassVar[Mapping[str, Shape]] = {
        IMAGES_EDIT.name: Shape(from_json, pictures.decode_siliconflow),
        IMAGES_GENERATE.name: Shape(pictures.encode_siliconflow, pictures.decode_siliconflow),
        BATCHES.name: Shape(as_it_is, jobs.decode_batches),
    }

    def __init__(self, deployment: str, config: DeploymentConfig, upstream: Upstream) -> None:
        super().__init__(deployment, config, upstream)
        host = urlsplit(self.url).hostname or ""
        if host != jobs.HOST and not host.endswith(f".{jobs.HOST}"):
            kept = {name: said for name, said in self.dialects.items() if name not in {BATCHES.name, FILES.name}}
            self.dialects = kept  # pyright: ignore[reportAttributeAccessIssue] - this deployment's own

    @override
    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:
        if FILES.name in self.dialects and _is_of_all_files(ex, "GET"):
            return FILES.name, jobs.SiliconFlowFileLists.name
        return super().spoken(ex, model)

    @override
    def shape_of(self, ex: Exchange) -> Shape | None:
        if operation_of(ex) == FILES.name and _is_of_all_files(ex, "POST"):
            return Shape(as_it_is, jobs.decode_file)
        return super().shape_of(ex)


def _is_of_all_files(ex: Exchange, method: str) -> bool:
    """Whether a call is for a list of files, or for a new one."""
    return ex.operation is FILES and ex.scope_method == method and ex.path == FILES.path
