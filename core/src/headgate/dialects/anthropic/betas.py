"""Blocks that only a beta of Anthropic's knows: a request that holds one must name the beta, or gets a 400.

A conversation that comes back in another dialect brings the blocks and no header. Sources, all under
https://platform.claude.com/docs/en/: `build-with-claude/refusals-and-fallback`, `agents-and-tools/mcp-connector`,
`build-with-claude/compaction`, `agents-and-tools/tool-use/advisor-tool`.
"""

from __future__ import annotations

from msgspec.structs import replace

from headgate.chat import ChatRequest, Item, Message
from headgate.dialects.anthropic.names import NAME
from headgate.dialects.gaps import Gaps

_BETAS: dict[bytes, bytes] = {
    b'"type":"fallback"': b"server-side-fallback-2026-06-01",
    b'"type":"mcp_tool_use"': b"mcp-client-2025-11-20",
    b'"type":"mcp_tool_result"': b"mcp-client-2025-11-20",
    b'"type":"compaction"': b"compact-2026-01-12",
    b'"type":"advisor_tool_result"': b"advisor-tool-2026-03-01",
}
_FALLBACK = "fallback"


def with_betas(named: bytes, body: bytes) -> bytes:
    """The header `anthropic-beta` for a body as the gateway writes it: what is `named`, and what its blocks need besides.

    Of a beta that is named with another date that one counts.
    """
    betas = [beta for beta in named.replace(b" ", b"").split(b",") if beta]
    for mark, beta in _BETAS.items():
        if mark in body and not any(held.startswith(beta[:-10]) for held in betas):
            betas.append(beta)
    return b",".join(betas)


def without_fallbacks(request: ChatRequest, gaps: Gaps) -> ChatRequest:
    """The request without the marks of where another model went on, for platforms that have no such beta; named.

    The beta is of the Claude API and of Claude Platform on AWS. The model is never shown such a block.
    """
    messages: list[Message] | None = None
    for at, message in enumerate(request.messages):
        if not any(map(_is_fallback, message.parts)):
            continue
        gaps.skip(f"messages[{at}].provider_items")
        messages = messages or list(request.messages)
        messages[at] = replace(message, parts=tuple(part for part in message.parts if not _is_fallback(part)))
    return request if messages is None else replace(request, messages=tuple(messages))


def _is_fallback(part: object) -> bool:
    return isinstance(part, Item) and part.dialect == NAME and part.raw.get("type") == _FALLBACK
