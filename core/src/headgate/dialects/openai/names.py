"""Names of functions and ids of calls as OpenAI takes them, for requests that come from dialects with other rules.

A name has up to 64 letters, digits, underscores and hyphens (https://platform.openai.com/docs/api-reference/chat/create); an
id has up to 40 characters (https://github.com/agno-agi/agno/issues/5382). The same name always becomes the same legal one, so
the way back is a table that `names_back` makes of the request alone.
"""

from __future__ import annotations

import re
from collections import deque
from hashlib import sha256

from headgate.chat import ChatRequest
from headgate.dialects.distinct import Distinct

MAX_NAME = 64
MAX_ID = 40

_LEGAL = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_NAME}}}")
_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")
_DIGEST = 8


def legal_name(name: str) -> str:
    """`name` if OpenAI takes it, else one it takes, which ends in a digest so that no two names become one."""
    if _LEGAL.fullmatch(name):
        return name
    stem = _ILLEGAL.sub("_", name)[: MAX_NAME - _DIGEST - 1]
    return f"{stem}_{_digest(name, _DIGEST)}"


def names_back(request: ChatRequest) -> dict[str, str]:
    """What a reply calls a tool, to what the request called it; only the names that differ."""
    names = {*(tool.name for tool in request.tools), *request.call_names().values()}
    return {legal_name(name): name for name in names if legal_name(name) != name}


class CallIds:
    """The ids of one request's calls, in the order of its history: legal, and each call's own.

    A result goes to the first call of its id that has none yet.
    """

    def __init__(self) -> None:
        self._distinct = Distinct(MAX_ID)
        self._open: dict[str, deque[str]] = {}
        self._last: dict[str, str] = {}

    def of_call(self, call_id: str) -> str:
        """The id to send for the next call that has the id `call_id`."""
        legal = self._distinct.take(_legal_id(call_id))
        self._open.setdefault(call_id, deque()).append(legal)
        self._last[call_id] = legal
        return legal

    def of_result(self, call_id: str) -> str:
        """The id to send for the next result of the call `call_id`."""
        waiting = self._open.get(call_id)
        return waiting.popleft() if waiting else self._last.get(call_id) or _legal_id(call_id)


def _legal_id(call_id: str) -> str:
    return call_id if 0 < len(call_id) <= MAX_ID else f"call_{_digest(call_id, 32)}"


def _digest(text: str, size: int) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:size]
