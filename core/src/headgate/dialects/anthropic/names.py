"""The dialect's name, and names and ids that Anthropic takes: `[a-zA-Z0-9_-]`, names up to 128 characters, each id once.

Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools; the API refuses other ids with
"String should match pattern '^[a-zA-Z0-9_-]+$'" and repeated ones with "`tool_use` ids must be unique".
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping

from headgate.chat import ChatRequest, ToolCall
from headgate.dialects.distinct import Distinct

NAME = "anthropic.messages"
"""The dialect."""
OUTPUT_TOOL = "headgate_output"
"""A tool whose input is the answer itself, for models that cannot be held to a schema otherwise."""
MAX_NAME = 128

_LEGAL = re.compile(r"[a-zA-Z0-9_-]+\Z")
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")


class ToolNames:
    """The names of a request's tools as they are sent. The same request always gives the same names."""

    def __init__(self, request: ChatRequest) -> None:
        self._sent: dict[str, str] = {}
        names = dict.fromkeys(_names_of(request))
        legal = {name for name in names if _is_legal(name)}
        distinct = Distinct(MAX_NAME, legal)
        for name in names:
            self._sent[name] = name if name in legal else distinct.take(_bent(name))

    def __getitem__(self, name: str) -> str:
        return self._sent.get(name) or _bent(name)

    def back(self) -> Mapping[str, str]:
        """What a reply calls a tool, to what the request called it; only the names that differ."""
        return {sent: name for name, sent in self._sent.items() if sent != name}


class CallIds:
    """The ids of a history's tool calls as they are sent, and which of them a result answers."""

    def __init__(self) -> None:
        self._distinct = Distinct(MAX_NAME)
        self._open: dict[str, deque[str]] = {}
        self._answered: dict[str, str] = {}

    def begin(self, call_id: str) -> str:
        """The id of a call. One that was there before gets another, as some vendors count anew in every turn."""
        sent = self._distinct.take(_ILLEGAL.sub("_", call_id) or "call")
        self._open.setdefault(call_id, deque()).append(sent)
        return sent

    def answer(self, call_id: str) -> str:
        """The id of the call that a result answers: of several with one id the first that has no answer."""
        calls = self._open.get(call_id)
        if calls:
            self._answered[call_id] = calls.popleft()
        return self._answered.get(call_id) or _ILLEGAL.sub("_", call_id) or "call"


def _names_of(request: ChatRequest) -> Iterator[str]:
    for tool in request.tools:
        if tool.kind == "function":
            yield tool.name
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ToolCall):
                yield part.name


def _is_legal(name: str) -> bool:
    return len(name) <= MAX_NAME and _LEGAL.match(name) is not None


def _bent(name: str) -> str:
    return _ILLEGAL.sub("_", name)[:MAX_NAME] or "tool"
