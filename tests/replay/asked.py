"""What a request asks, read from bytes without the product: the one form in which a client's and a vendor's are compared.

A conversation is a row of segments, each one speaker's: adjacent turns of one role are one segment, whatever the format.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from tests.replay.neutral import Function
from tests.replay.reading import Json

OUTPUT_TOOL = "headgate_output"
"""The tool whose input is the answer."""


FREE_TEXT: Json = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
"""What a tool of free text takes where it is a function."""


@dataclass
class Result:
    """What a tool answered to the call of this number, counted from the start of the conversation; -1 is unknown."""

    call: int
    text: str
    name: str = ""


@dataclass
class Segment:
    """What one speaker says until another does. `media` are digests of bytes, or addresses."""

    role: str
    texts: list[str] = field(default_factory=list[str])
    media: list[str] = field(default_factory=list[str])
    calls: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    results: list[Result] = field(default_factory=list[Result])
    opaque: list[str] = field(default_factory=list[str])

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said but blanks."""
        return not (self.media or self.calls or self.results or any(text.strip() for text in self.texts))


@dataclass
class Asked:
    """A request. `params` maps canonical names to what was asked for; defaults are left out. `customs` take free text."""

    system: list[str] = field(default_factory=list[str])
    segments: list[Segment] = field(default_factory=list[Segment])
    functions: list[Function] = field(default_factory=list[Function])
    customs: list[Function] = field(default_factory=list[Function])
    strict: list[str] = field(default_factory=list[str])
    others: list[str] = field(default_factory=list[str])
    choice: str = "auto"
    params: Json = field(default_factory=dict[str, Any])
    ids: list[str] = field(default_factory=list[str])
    problems: list[str] = field(default_factory=list[str])

    def segment(self, role: str) -> Segment:
        """The segment to add to: the last one when it is this speaker's, else a new one."""
        if not self.segments or self.segments[-1].role != role:
            self.segments.append(Segment(role))
        return self.segments[-1]

    def say(self, role: str, text: str) -> None:
        """Text of a speaker; of the system, before anybody else spoke, instructions."""
        if role == "system" and not self.segments:
            self.system.append(text)
        else:
            self.segment(role).texts.append(text)

    def call(self, name: str, arguments: Any, call_id: str = "") -> None:
        """A call the model made."""
        self.segment("assistant").calls.append((name, arguments))
        self.ids.append(call_id)

    def answer(self, call_id: str, text: str, name: str = "") -> None:
        """What a tool answered, to the last call of this id."""
        at = max((number for number, known in enumerate(self.ids) if known == call_id), default=-1)
        if at < 0:
            self.problems.append(f"a result for `{call_id}`, which nobody called")
        self.segment("user").results.append(Result(at, text, name))

    def show(self, role: str, data: str, kind: str = "", *, is_url_safe: bool = False) -> None:
        """Base64 data of a media type, in the alphabet of URLs where the API takes that. Text is text, however it is sent."""
        if not is_url_safe and ("-" in data or "_" in data):
            self.problems.append("base64 in the alphabet of URLs")
        if kind.startswith("text/"):
            self.say(role, _bytes_of(data).decode("utf-8", "replace"))
        else:
            self.segment(role).media.append(digest(data))

    def show_url(self, role: str, url: str) -> None:
        """What an address holds; a data URL holds it itself."""
        head, found, data = url.partition(";base64,")
        if url.startswith("data:") and found:
            self.show(role, data, head.removeprefix("data:"))
        else:
            self.segment(role).media.append(url)

    def put(self, name: str, value: Any) -> None:
        """A parameter, unless it asks for nothing."""
        if value not in (None, [], {}):
            self.params[name] = value

    def surface_output(self) -> None:
        """A schema for the answer of a model that knows none is a tool that it must call."""
        output = [function for function in self.functions if function.name == OUTPUT_TOOL]
        if not output:
            return
        self.put("json", True)
        self.put("schema", output[0].schema)
        self.functions = [function for function in self.functions if function.name != OUTPUT_TOOL]
        if self.choice in {"required", f"named:{OUTPUT_TOOL}"}:
            self.choice = "auto"

    def tidy(self) -> Asked:
        """Without segments that say nothing, their neighbours joined; results in the order of the calls."""
        kept: list[Segment] = []
        for each in self.segments:
            if each.is_empty:
                continue
            if kept and kept[-1].role == each.role:
                kept[-1].texts += each.texts
                kept[-1].media += each.media
                kept[-1].calls += each.calls
                kept[-1].results += each.results
                kept[-1].opaque += each.opaque
            else:
                kept.append(each)
        for each in kept:
            each.results.sort(key=lambda result: result.call)
        self.segments = kept
        return self


def digest(data: str) -> str:
    """A digest of base64 data, whatever its padding and alphabet."""
    return hashlib.sha256(_bytes_of(data)).hexdigest()[:16]


def as_json(value: Any) -> str:
    """A value as JSON in one form."""
    return json.dumps(value, default=float, sort_keys=True)


def _bytes_of(data: str) -> bytes:
    plain = "".join(data.split()).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4))
    except (binascii.Error, ValueError):
        return data.encode()
