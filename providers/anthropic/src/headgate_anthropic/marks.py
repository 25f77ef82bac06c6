"""What the answer to a request of a batch needs of that request: a mark before its `custom_id`, which comes back with the answer.

Nothing else of a request does, and nothing of it is kept here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from headgate.chat import ChatRequest, Thinking
from headgate.dialects import AnthropicMessages, ChatDialect, OpenAIChat, OpenAIResponses
from headgate.dialects.openai.answer import shows_thinking
from headgate.dialects.openai.decode import LEGACY
from headgate.errors import InvalidRequest

CLIENTS: Mapping[str, ChatDialect] = {
    "/v1/chat/completions": OpenAIChat(),
    "/v1/responses": OpenAIResponses(),
    "/v1/messages": AnthropicMessages(),
}
"""What the requests of a batch are written in, and told back, by its endpoint."""

_KINDS = {"c": "/v1/chat/completions", "r": "/v1/responses", "m": "/v1/messages"}
_LETTERS = {endpoint: letter for letter, endpoint in _KINDS.items()}
_MARKED = re.compile(r"hg-([crm])(f?)(h?)-([a-zA-Z0-9_-]+)")
_MOST = 64
_LEGAL = re.compile(r"[a-zA-Z0-9_-]+")
"""https://platform.claude.com/docs/en/api/messages/batches/create: `^[a-zA-Z0-9_-]{1,64}$`"""


class Mark(Struct, frozen=True):
    """In what a request was written, whether it had functions in place of tools, and whether it wants to see no thoughts."""

    endpoint: str = "/v1/chat/completions"
    is_legacy: bool = False
    is_hidden: bool = False

    @classmethod
    def of(cls, endpoint: str, request: ChatRequest) -> Mark:
        """The mark of a request."""
        return cls(endpoint, LEGACY in request.extra, not shows_thinking(request))

    @property
    def client(self) -> ChatDialect:
        """The dialect in which the answer is told."""
        return CLIENTS[self.endpoint]

    @property
    def request(self) -> ChatRequest:
        """As much of the request as its answer needs."""
        thinking = Thinking(is_shown=False) if self.is_hidden else None
        return ChatRequest("", (), thinking=thinking, extra={LEGACY: None} if self.is_legacy else {})

    def put_before(self, custom_id: str, place: str) -> str:
        """The id that the vendor is told. A request of chat that needs nothing keeps its own. Raises InvalidRequest."""
        is_plain = self == Mark() and _MARKED.fullmatch(custom_id) is None
        flags = ("f" if self.is_legacy else "") + ("h" if self.is_hidden else "")
        mark = "" if is_plain else f"hg-{_LETTERS[self.endpoint]}{flags}-"
        most = _MOST - len(mark)
        if _LEGAL.fullmatch(custom_id) is None or len(custom_id) > most:
            raise InvalidRequest(
                f"`{place}` must be of letters, digits, `_` and `-`, at most {most} of them", param=place
            )
        return mark + custom_id


def read_mark(told: str) -> tuple[Mark, str]:
    """The mark of an id that the vendor tells, and the client's own id."""
    found = _MARKED.fullmatch(told)
    if found is None:
        return Mark(), told
    kind, legacy, hidden, custom_id = found.groups()
    return Mark(_KINDS[kind], bool(legacy), bool(hidden)), custom_id
