"""The canonical model to the input of a language model on Replicate. What it does not take goes to `gaps` by its name in
OpenAI's API.

One system prompt and one turn are said in the inputs that nearly every model has. A history is said in `messages` where a
model has that; a transcript in the prompt would be read as what the user said, so none is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headgate.chat import (
    ChatRequest,
    File,
    Image,
    Item,
    Message,
    Part,
    Reasoning,
    Refusal,
    Sampling,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from headgate.dialects import Gaps
from headgate.dialects.functions import PART_HINTS, REQUEST_HINTS, USUAL_TIERS
from headgate.dialects.openai.members import Json, given, merged
from headgate.errors import InvalidRequest
from headgate_replicate.inputs import Field, Inputs

NAME = "replicate.prediction"
IGNORED = frozenset(
    {
        "ChatRequest.dialect",  # decides how `extra` is written
        "ChatRequest.include_usage",  # decided on the way back
        "ChatRequest.model",  # stands in the path, but for a version
        "Reasoning.is_redacted",  # no thinking goes back
        "Reasoning.is_summary",
        "Reasoning.item_id",
        "Reasoning.opaque",
        "Reasoning.text",
        "Thinking.is_shown",  # decided on the way back
        "ResponseFormat.name",  # no format is taken
        "ResponseFormat.strict",
        "ResponseFormat.description",
    }
)
"""Canonical fields that an input does not hold as such, and that no `gaps` is told of."""

_APART = "\n\n"
_SYSTEM = frozenset({"system", "developer"})
_PLAIN = ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty", "max_tokens")
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 24_576, "max": 32_000}
"""How many tokens of thinking an effort is where a model takes tokens, from the least to the most."""
SWITCH = "extended_thinking"
"""The input with which Claude models are told to think at all: https://replicate.com/anthropic/claude-3.7-sonnet/api/schema"""
_NO_TOOLS = "an answer of Replicate is text, in which no tool can be called"
_ONE_TURN = "the model takes one turn: its schema has no `messages`"


def encode_request(request: ChatRequest, inputs: Inputs, gaps: Gaps) -> Json:
    """The body of a call that begins a prediction. A model `owner/name:version` is named by its version."""
    is_own = request.dialect == NAME
    writer = _Writer(inputs, gaps, is_own=is_own)
    told: Json = {**writer.turns(request.messages), **writer.sampling(request.sampling)}
    told |= writer.thinking(request.thinking) | writer.verbosity(request.verbosity)
    _tell(request, gaps)
    if is_own:
        told = merged(told, request.extra)
    else:
        gaps.extra(request.extra, hints=REQUEST_HINTS)
    version = request.model.partition(":")[2]
    return {**given(version=version or None), "input": told, **({"stream": True} if request.stream else {})}


class _Writer:
    """Writes the input of one call."""

    def __init__(self, inputs: Inputs, gaps: Gaps, *, is_own: bool) -> None:
        self._inputs = inputs
        self._gaps = gaps
        self._is_own = is_own
        self._images: list[str] = []

    # turns

    def turns(self, messages: Sequence[Message]) -> Json:
        """The turns, as `messages` where they have to be and can."""
        if not messages:
            return {}
        system = [at for at, message in enumerate(messages) if message.role in _SYSTEM]
        others = [at for at, message in enumerate(messages) if message.role not in _SYSTEM]
        is_single = len(others) == 1 and messages[others[0]].role == "user" and system == list(range(len(system)))
        can_say = not system or self._inputs.find("system") is not None
        if self._inputs.has_messages and not ("prompt" in self._inputs.fields and is_single and can_say):
            return {"messages": [said for at, message in enumerate(messages) if (said := self._turn(message, at))]}
        for at in range(len(messages)):
            if at not in system and at != others[-1]:
                self._gaps.refuse(f"messages[{at}]", _ONE_TURN)
            elif at in system and others and at > others[0] and not self._is_own:
                self._gaps.refuse(f"messages[{at}]", "instructions stand before the turn there")
        if not others:
            raise InvalidRequest("there is no turn to answer: the request holds instructions alone", param="messages")
        if messages[others[-1]].role != "user":
            raise InvalidRequest(f"the last turn must be the user's: {_ONE_TURN}", param="messages")
        told = self._instructions([(at, messages[at]) for at in system if at < others[-1]])
        prompt = self._text(messages[others[-1]], others[-1])
        return {"prompt": prompt, **told, **self._pictures(f"messages[{others[-1]}].content")}

    def _instructions(self, system: list[tuple[int, Message]]) -> Json:
        field = self._inputs.find("system")
        if field is None:
            for at, _ in system:
                self._gaps.refuse(f"messages[{at}]", "the model takes no system prompt")
            return {}
        texts = [self._text(message, at) for at, message in system]
        return {field.name: _APART.join(texts)} if texts else {}

    def _turn(self, message: Message, at: int) -> Json | None:
        """A turn of a history; pictures stand beside it all in one input, so that nobody could tell whose they are."""
        role = "system" if message.role in _SYSTEM else message.role
        text = self._text(message, at)
        if self._images:
            self._gaps.refuse(f"messages[{at}].content", "in a history the model takes no pictures")
            self._images = []
        return None if role == "tool" else {"role": role, "content": text}

    def _text(self, message: Message, at: int) -> str:
        """What a turn says, its pictures put aside."""
        place = f"messages[{at}]"
        if message.name is not None and message.role != "tool":
            self._gaps.skip(f"{place}.name")
        texts = [
            self._part(part, message.role, f"{place}.content[{number}]") for number, part in enumerate(message.parts)
        ]
        if not self._is_own:
            self._gaps.extra(message.extra, place, hints=PART_HINTS)
        return ("" if message.role == "assistant" else _APART).join(text for text in texts if text)

    def _part(self, part: Part, role: str, where: str) -> str:
        match part:
            case Text() | Refusal():
                self._tell(part, where)
                return part.text
            case Image() if role == "user":
                self._image(part, where)
            case Reasoning():
                self._gaps.skip(f"{where.partition('.')[0]}.reasoning")
            case ToolCall() | ToolResult():
                kind = "tool_calls" if isinstance(part, ToolCall) else "content"
                self._gaps.refuse(f"{where.partition('.')[0]}.{kind}", _NO_TOOLS)
            case Item():
                self._gaps.foreign_block(where, part.raw, part.dialect, is_echo=role == "assistant")
            case _:
                self._gaps.refuse(where, "the model takes text and pictures of the user's alone")
        return ""

    def _image(self, part: Image, where: str) -> None:
        url = f"data:{part.media_type or 'image/png'};base64,{part.data}" if part.data is not None else part.url
        if url is None or not url.startswith(("data:", "http")):
            self._gaps.refuse(where, "a picture is sent by its bytes or a public address")
            return
        if part.detail not in {None, "auto"}:
            self._gaps.skip(f"{where}.image_url.detail")
        self._tell(part, where)
        self._images.append(url)

    def _pictures(self, where: str) -> Json:
        field = self._inputs.find("images")
        if not self._images:
            return {}
        if field is None or (field.kind != "array" and len(self._images) > 1):
            self._gaps.refuse(where, "the model takes no pictures" if field is None else "the model takes one picture")
            return {} if field is None else {field.name: self._images[0]}
        return {field.name: self._images if field.kind == "array" else self._images[0]}

    def _tell(self, part: Text | Refusal | Image | File, where: str) -> None:
        """What of a part has no place there."""
        if not self._is_own:
            self._gaps.extra(part.extra, where, hints=PART_HINTS)
        if isinstance(part, Text | Image) and part.cache is not None:
            self._gaps.skip(f"{where}.cache_control")
        if isinstance(part, Text) and part.opaque is not None:
            self._gaps.skip(f"{where}.signature")
        if isinstance(part, Text) and part.citations:
            self._gaps.skip(f"{where.partition('.')[0]}.annotations")

    # how to answer

    def sampling(self, sampling: Sampling) -> Json:
        """What the model takes of how to sample; the rest is refused where it asks for something."""
        told: Json = {}
        for name in _PLAIN:
            value = getattr(sampling, name)
            field = self._inputs.find(name)
            if value is not None and field is not None:
                told[field.name] = value
            elif value is not None and not (name.endswith("_penalty") and value == 0):
                self._gaps.refuse(name, "the model has no such input")
        if sampling.logit_bias:
            self._gaps.refuse("logit_bias")
        if sampling.n not in {None, 1}:
            self._gaps.refuse("n", "Replicate gives one answer")
        for name in ("logprobs", "top_logprobs"):
            if getattr(sampling, name):
                self._gaps.refuse(name)
        return told | self._stop(sampling.stop)

    def _stop(self, stop: tuple[str, ...]) -> Json:
        """Stop sequences: a list, or one text with commas between them, which then none may hold."""
        field = self._inputs.find("stop")
        if not stop:
            return {}
        if field is None:
            self._gaps.refuse("stop", "the model has no such input")
            return {}
        if field.kind == "array":
            return {field.name: list(stop)}
        fitting = [each for each in stop if "," not in each]
        if len(fitting) < len(stop):
            self._gaps.refuse("stop", "a comma ends a sequence there")
        return {field.name: ",".join(fitting)} if fitting else {}

    def thinking(self, thinking: Thinking | None) -> Json:
        """An effort by the model's own words, or a budget where it takes one: of the two, what it takes stands for the other.

        What it has no word for is a hint that is left out; another word than was asked for is told.
        """
        if thinking is None:
            return {}
        if thinking.summary is not None:
            self._gaps.skip("reasoning.summary")
        effort, budget = self._inputs.find("effort"), self._inputs.find("budget")
        if thinking.effort == "none" or thinking.mode == "disabled" or thinking.budget_tokens == 0:
            self._gaps.no_effort(thinking.effort)
            return self._no_thinking(effort, budget)
        tokens = thinking.budget_tokens if (thinking.budget_tokens or 0) > 0 else None
        if effort is not None and effort.words and (thinking.effort or tokens) and (budget is None or not tokens):
            word = _nearest(thinking.effort or _effort_of(tokens or 0), effort.words)
            if thinking.effort not in {None, word}:
                self._gaps.skip("reasoning_effort")
            return {effort.name: word} if word else {}
        switch = {SWITCH: True} if SWITCH in self._inputs.fields else {}
        if budget is not None and (tokens or thinking.effort in _BUDGETS):
            return {**switch, budget.name: tokens or _BUDGETS[thinking.effort or ""]}
        if switch and thinking.mode is not None:
            return switch
        if thinking.effort is not None or tokens or thinking.mode is not None:
            self._gaps.skip("reasoning_effort")
        return {}

    def _no_thinking(self, effort: Field | None, budget: Field | None) -> Json:
        if effort is not None and "none" in effort.words:
            return {effort.name: "none"}
        if SWITCH in self._inputs.fields:
            return {SWITCH: False}
        if budget is not None:
            return {budget.name: 0}
        self._gaps.skip("reasoning_effort")
        return {}

    def verbosity(self, word: str | None) -> Json:
        """How much to say, where the model has that word."""
        field = self._inputs.find("verbosity")
        if word is not None and field is not None and word in field.words:
            return {field.name: word}
        if word is not None:
            self._gaps.skip("verbosity")
        return {}


def _effort_of(tokens: int) -> str:
    """What a budget is called where there are words alone."""
    return next((effort for effort in ("low", "medium") if tokens <= _BUDGETS[effort]), "high")


def _nearest(effort: str, words: Sequence[str]) -> str | None:
    """The model's word closest to an effort, the higher of two; thinking is not switched off in place of less."""
    if effort in words or effort not in _BUDGETS:
        return effort if effort in words else None
    ranks = list(_BUDGETS)
    wanted = ranks.index(effort)
    known = [word for word in ranks if word in words]
    return min(known, key=lambda word: (abs(ranks.index(word) - wanted), -ranks.index(word)), default=None)


def _tell(request: ChatRequest, gaps: Gaps) -> None:
    """What of the request itself no model on Replicate takes."""
    hints: Json = {
        "user": request.user,
        "metadata": request.metadata,
        "prompt_cache_key": request.cache_key,
        "safety_identifier": request.safety_identifier,
        "store": request.store,
    }
    for name, value in hints.items():
        if value is not None and value != {}:
            gaps.skip(name)
    choice = request.tool_choice
    if request.tools:
        gaps.refuse("tools", _NO_TOOLS)
    if choice is not None and choice.mode not in {"auto", "none"}:
        gaps.refuse("tool_choice", _NO_TOOLS)
    elif choice is not None:
        gaps.skip("tool_choice")
    if request.parallel_tool_calls is not None:
        gaps.skip("parallel_tool_calls")
    wanted: Any = request.response_format
    if wanted is not None and wanted.kind != "text":
        gaps.refuse("response_format", "the form of an answer cannot be asked for there")
    if request.service_tier in USUAL_TIERS:
        gaps.skip("service_tier")
    elif request.service_tier is not None:
        gaps.refuse("service_tier")
