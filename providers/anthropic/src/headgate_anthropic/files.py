"""The dialect `anthropic.files`: Anthropic's files for OpenAI's clients.

Source: https://platform.claude.com/docs/en/api/beta/files and the types of the official SDK (2.12), whose lists go on by a token;
those of earlier versions (2.11) went on behind the last file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import override

from headgate.dialects.files import ReadFiles
from headgate.dialects.jobs import Asked, as_object, seconds_of
from headgate.dialects.openai.members import Json, given

_PAGE = {"limit": "1000"}
"""As large as pages can be."""


class AnthropicFiles(ReadFiles):
    """Files of Anthropic."""

    name = "anthropic.files"

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        return {**super().decode_job(said, asked), **given(expires_at=seconds_of(said.get("expires_at")))}

    @override
    def first_page(self) -> Mapping[str, str]:
        return _PAGE

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        page = as_object(said[-1])
        token = page.get("next_page")
        if token:
            return {**_PAGE, "page": str(token)}
        last = page.get("last_id") if page.get("has_more") else None
        return {**_PAGE, "after_id": str(last)} if last else None
