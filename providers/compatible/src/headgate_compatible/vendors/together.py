"""Together: token probabilities are asked for by a number, only users speak in parts, rankings are in Jina's shape, jobs and
pictures (`together_pictures`) have shapes of their own, and new files an address.

Source: https://docs.together.ai/reference/chat-completions and the types of `together` 3.1. Neither has `stream_options`,
the `strict` of a function or the `detail` of a picture. `realtime`: https://docs.together.ai/docs/inference/transcription/streaming
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec.structs import replace
from typing_extensions import override

from headgate.chat import ChatRequest, Image, Message, Part, Text, ToolResult
from headgate.dialects import Dialect, Gaps
from headgate.exchange import Exchange
from headgate.forms import boundary_of
from headgate.operations import FILES, IMAGES_EDIT, IMAGES_GENERATE, REALTIME
from headgate.relay import Decode
from headgate.upstream import UpstreamRequest
from headgate_compatible.vendors import together_pictures
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.batches import TogetherBatches
from headgate_compatible.vendors.files import TogetherFiles
from headgate_compatible.vendors.ranking import TogetherRerank
from headgate_compatible.vendors.reshaped import Reshaped, Shape, as_it_is
from headgate_compatible.vendors.together_files import PATH, FileForm
from headgate_compatible.vendors.tuning import TogetherTuning

Json = dict[str, Any]

_BETA = {b"openai-beta": b"realtime=v1"}
"""What its sessions want of every client."""
_FILES = TogetherFiles()
_TOLD = re.compile(re.escape(FILES.path) + r"(/[^/]+)?")
"""Files and one file, without its content."""


class Together(JsonForms, Reshaped):
    """Together AI."""

    own_dialects: ClassVar[Mapping[str, str]] = {
        "rerank": TogetherRerank.name,
        "batches": TogetherBatches.name,
        "fine_tuning.jobs": TogetherTuning.name,
    }
    codecs: ClassVar[Mapping[str, Dialect]] = {
        each.name: each for each in (TogetherRerank(), TogetherBatches(), TogetherTuning(), _FILES)
    }
    forms: ClassVar[Mapping[str, Encode]] = {IMAGES_EDIT.name: together_pictures.encode_form}
    answers: ClassVar[Mapping[str, Decode]] = {IMAGES_EDIT.name: together_pictures.decode}
    shapes: ClassVar[Mapping[str, Shape]] = {
        IMAGES_EDIT.name: Shape(together_pictures.encode_json, together_pictures.decode),
        IMAGES_GENERATE.name: Shape(together_pictures.encode, together_pictures.decode),
    }

    @override
    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:
        if ex.operation is FILES and ex.scope_method != "POST" and _TOLD.fullmatch(ex.path):
            return FILES.name, TogetherFiles.name
        return super().spoken(ex, model)

    @override
    def shape_of(self, ex: Exchange) -> Shape | None:
        if ex.operation is FILES and ex.scope_method == "POST":
            return Shape(as_it_is, _FILES.decode_new)
        return super().shape_of(ex)

    @override
    def prepare(self, ex: Exchange) -> UpstreamRequest:
        request, upload = super().prepare(ex), ex.upload
        if ex.operation is not FILES or ex.scope_method != "POST":
            return request
        form, url = FileForm(boundary_of(ex.headers.get(b"content-type", b""))), request.url + PATH
        if upload is not None:
            return replace(request, url=url, pieces=upload.edited(form))
        body = form.feed(request.body)
        form.end()
        return replace(request, url=url, body=body)

    @override
    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        held = super().vendor_headers(ex)
        return {**_BETA, **held} if ex.operation is REALTIME else held

    @override
    def adapt(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        request = super().adapt(request, gaps)
        for at, tool in enumerate(request.tools):
            if tool.strict:
                gaps.skip(f"tools[{at}].function.strict")
        return replace(
            request,
            messages=tuple(
                _seen(_instructed(message, at, gaps), at, gaps) for at, message in enumerate(request.messages)
            ),
            tools=tuple(replace(tool, strict=None) for tool in request.tools),
        )

    @override
    def finish(self, body: Json, request: ChatRequest, gaps: Gaps) -> None:
        body.pop("stream_options", None)  # usage always comes with the last chunk
        for message in body["messages"]:
            if message["role"] != "user" and isinstance(message["content"], list):
                message["content"] = "\n\n".join(part["text"] for part in message["content"])
        wanted, top = body.pop("logprobs", None), body.pop("top_logprobs", None)
        if wanted:
            body["logprobs"] = top or 1


def _instructed(message: Message, at: int, gaps: Gaps) -> Message:
    """A turn with texts alone where it is instructions."""
    texts = tuple(part for part in message.parts if isinstance(part, Text))
    if message.role != "system" or len(texts) == len(message.parts):
        return message
    gaps.refuse(f"messages[{at}].content", "instructions are text alone there")
    return replace(message, parts=texts)


def _seen(message: Message, at: int, gaps: Gaps) -> Message:
    """A turn whose pictures say nothing of how closely to look at them, those that a tool gave included."""
    place = f"messages[{at}].content"
    parts = tuple(_undetailed(part, f"{place}[{n}]", gaps) for n, part in enumerate(message.parts))
    return replace(message, parts=parts) if parts != message.parts else message


def _undetailed(part: Part, place: str, gaps: Gaps) -> Part:
    if isinstance(part, Image):
        return _glanced_at(part, place, gaps)
    if not isinstance(part, ToolResult):
        return part
    given = tuple(_glanced_at(one, place, gaps) if isinstance(one, Image) else one for one in part.content)
    return replace(part, content=given) if given != part.content else part


def _glanced_at(image: Image, place: str, gaps: Gaps) -> Image:
    if image.detail not in {None, "auto"}:
        gaps.skip(f"{place}.image_url.detail")
    return replace(image, detail=None) if image.detail else image
