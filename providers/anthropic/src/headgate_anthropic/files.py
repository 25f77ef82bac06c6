"""The dialect `anthropic.files`: Anthropic's files for OpenAI's clients.

Source: https://platform.claude.com/docs/en/api/beta/files
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import override

from headgate.dialects.files import ReadFiles
from headgate.dialects.jobs import as_object

_PAGE = {"limit": "1000"}
"""As large as pages can be."""


class AnthropicFiles(ReadFiles):
    """Files of Anthropic."""

    name = "anthropic.files"

    @override
    def first_page(self) -> Mapping[str, str]:
        return _PAGE

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        page = as_object(said[-1])
        last = page.get("last_id") if page.get("has_more") else None
        return {**_PAGE, "after_id": str(last)} if last else None
