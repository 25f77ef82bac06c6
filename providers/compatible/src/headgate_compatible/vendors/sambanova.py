"""SambaNova: tokens are counted of what makes a prompt, and of nothing that says how to answer it.

Sources: https://docs.sambanova.ai/docs/api-reference/messages/count-tokens-for-a-message-request and the types of `sambanova`
1.13, by which `thinking` that is on is answered with a 400, and which have no `output_config`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from headgate.dialects import AnthropicCount, Dialect
from headgate_compatible.provider import Compatible


class SambaNovaCount(AnthropicCount):
    """Anthropic's way to count, with fewer members."""

    name = "sambanova.count"
    counted: ClassVar[frozenset[str]] = frozenset({"messages", "system", "tools", "tool_choice"})


class SambaNova(Compatible):
    """SambaNova Cloud."""

    own_dialects: ClassVar[Mapping[str, str]] = {"count_tokens": SambaNovaCount.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {SambaNovaCount.name: SambaNovaCount()}
