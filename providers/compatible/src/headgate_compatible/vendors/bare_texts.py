"""Completions whose answers are texts and hardly anything else, Writer's and Workers AI's, for clients of OpenAI's completions.

Sources: https://dev.writer.com/api-reference/completion-api/text-generation and https://dev.writer.com/home/streaming (each
event of a stream is `{"value": …}`, and no page says how one ends); https://developers.cloudflare.com/workers-ai/models and the
types of `cloudflare` 5.9 (`Prompt` of `ai_run_params`; `raw` leaves out the template of chat, each event is `{"response": …}`
and the last `[DONE]`, as `streaming.ts` of its package `workers-ai-provider` 4.0 reads them). There are no ids, times and
reasons to end, and no usage at Writer. Id and time are those of the gateway's exchange, and an answer that came to its end has
finished with `stop`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, ClassVar, cast

import msgspec
from msgspec import Struct, structs
from typing_extensions import override

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import as_object, objects
from headgate.dialects.sse import SseFramer, data_event, data_of, is_done
from headgate.dialects.words import openai_envelope, words_of
from headgate.errors import InvalidRequest, ProviderFailed, UnsupportedField
from headgate.exchange import Exchange, RawHeaders, Reply
from headgate.operations import COMPLETIONS
from headgate.provider import operation_of
from headgate.relay import relay, retell
from headgate.upstream import Upstream, UpstreamRequest, UpstreamResponse
from headgate_compatible.provider import Compatible
from headgate_compatible.vendors.speech import refuse_idle

Json = dict[str, Any]

_NOWHERE: Mapping[str, object] = {"echo": False, "logit_bias": {}, "logprobs": None, "n": 1, "suffix": ""}
"""Members of OpenAI's that neither has words for, and what asks for nothing."""
_HINTS = ("stream_options", "user")
_USUAL = "stop"
"""The reason that an answer without one has finished with."""
_REASONS = frozenset({"content_filter", "length", "stop"})
_OWN = frozenset({"finish_reason", "index", "logprobs"})
_NOTHING: Mapping[str, object] = {}
_DONE = b"data: [DONE]\n\n"
_ERROR = re.compile(rb"^event: ?error", re.MULTILINE)


class Words(Struct, frozen=True):
    """A vendor's words: what it has none for, beside `_NOWHERE`, its name for a seed, and what it is told beside a request.

    `piece` is the text in an event of a stream; `choices` are those of a whole answer, each with a `text`, and what is beside
    them. Without `names_model` the model stands in the address alone; a stream that `says_done` and did not is cut.
    """

    idle: Mapping[str, object]
    seed: str
    said: Mapping[str, object]
    piece: str
    choices: Callable[[Json], tuple[list[Json], Json]]
    names_model: bool = True
    says_done: bool = False


class BareTexts(Compatible):
    """A vendor whose completions are bare texts, by its `texts`."""

    texts: ClassVar[Words]

    @override
    def body_for(self, ex: Exchange) -> bytes:
        body = super().body_for(ex)
        if operation_of(ex) != COMPLETIONS.name:
            return body
        gaps = Gaps(self.name, self.policy(ex))
        body = encode(body, gaps, self.texts)
        ex.tell_dropped(gaps.dropped)
        return body

    @override
    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        attempt = ex.attempt
        if operation_of(ex) != COMPLETIONS.name or attempt is None:
            return super().call(ex)
        head: Json = {"id": f"cmpl-{ex.id}", "object": "text_completion", "created": int(ex.started_at)}
        head["model"] = attempt.model
        request = self.prepare(ex)
        if ex.stream:
            return relay(ex, _Told(self.upstream, head, self.texts), request, self._origin)
        return retell(ex, self.upstream, request, self._origin, partial(_decode, head, self.texts))


def encode(body: bytes, gaps: Gaps, words: Words) -> bytes:
    """OpenAI's request as a vendor takes it, which completes one text. `gaps` is told of what is lost.

    Raises UnsupportedField for several texts, and for tokens.
    """
    members = {**words.said, **decode_object(body)}
    if not words.names_model:
        members.pop("model", None)
    refuse_idle(members, gaps, {**_NOWHERE, **words.idle})
    for name in _HINTS:
        if members.pop(name, None) is not None:
            gaps.skip(name)
    seed = members.pop("seed", None)
    if seed is not None:
        members.setdefault(words.seed, seed)
    prompt = members.get("prompt")
    if prompt is None:
        return msgspec.json.encode(members)  # the vendor says what is missing
    texts = cast("list[object]", prompt) if isinstance(prompt, list) else [prompt]
    if len(texts) != 1 or not isinstance(texts[0], str):
        raise UnsupportedField(f"`prompt` must be one text: `{gaps.target}` completes no other", param="prompt")
    return msgspec.json.encode({**members, "prompt": texts[0]})


def _decode(head: Json, words: Words, headers: RawHeaders, body: bytes) -> Reply:
    """A good answer as OpenAI's clients read completions. Raises ProviderFailed for one without texts."""
    try:
        said, beside = words.choices(decode_object(body))
    except InvalidRequest:
        said, beside = [], {}
    if not said or not all(isinstance(choice.get("text"), str) for choice in said):
        raise ProviderFailed("the provider answered with no text", code="upstream_bad_reply")
    choices = [
        _choice(at, choice.pop("text"), _reason_of(choice) or _USUAL) | _rest_of(choice)
        for at, choice in enumerate(said)
    ]
    return Reply(200, headers, msgspec.json.encode({**head, **beside, "choices": choices}))


class _Told:
    """An engine whose streams are those of OpenAI's completions: each chunk has this `head`."""

    def __init__(self, upstream: Upstream, head: Json, words: Words) -> None:
        self._upstream = upstream
        self._head = head
        self._words = words

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """See Upstream."""
        response = await self._upstream.send(request)
        return _Stream(response, self._head, self._words) if response.status == 200 else response

    async def close(self) -> None:
        """There is nothing to close."""


class _Stream:
    """A stream in the other shape. Where no `[DONE]` says that it came to its end, its transport does: a cut one raises there."""

    def __init__(self, response: UpstreamResponse, head: Json, words: Words) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._head = head
        self._words = words
        self._usage: Json = {}
        self._reason = _USUAL
        self._has_ended = False

    async def read(self) -> bytes:
        """See UpstreamResponse."""
        return b"".join([piece async for piece in self.chunks()])

    def chunks(self) -> AsyncIterator[bytes]:
        """See UpstreamResponse."""
        return self._chunks()

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        framer = SseFramer()
        async for data in self._response.chunks():
            for event in framer.feed(data):
                yield self._event(event)
        for event in framer.end():
            yield self._event(event)
        if not self._has_ended and not self._words.says_done:
            yield self._last() + _DONE

    def _event(self, event: bytes) -> bytes:
        """An event in the other shape; what holds no text, such as a comment or an error, is the same bytes."""
        if is_done(event):
            self._has_ended = True
            return self._last() + event
        try:
            held = decode_object(data_of(event) or b"{}")
        except InvalidRequest:
            held = {}
        self._usage = as_object(held.get("usage")) or self._usage
        choices = objects(held.get("choices"))
        text, reason = (_text_of(choices[0]), choices[0]) if choices else (_said(held.get(self._words.piece)), held)
        self._reason = _reason_of(reason) or self._reason
        if isinstance(text, str):
            return data_event(self._chunk(text, None))
        is_named = _ERROR.search(event) is not None
        self._has_ended = self._has_ended or "error" in held or is_named
        return data_event(_error_of(event)) if is_named and "error" not in held else event

    def _last(self) -> bytes:
        """The chunk with the reason to end, and with the usage where one was told."""
        usage = {"usage": self._usage} if self._usage else {}
        return data_event(self._chunk("", self._reason, usage))

    def _chunk(self, text: str, reason: str | None, beside: Mapping[str, object] = _NOTHING) -> bytes:
        return msgspec.json.encode({**self._head, "choices": [_choice(0, text, reason)], **beside})

    def close(self) -> None:
        """See UpstreamResponse."""
        self._response.close()


def _error_of(event: bytes) -> bytes:
    """An event that is an error by its name alone, in the envelope that OpenAI's clients raise on."""
    words = words_of(502, data_of(event) or b"")
    message = words.message or "the provider ended the stream with an error"
    return openai_envelope(structs.replace(words, message=message, type=words.type or "upstream_error", extra={}))


def _choice(index: int, text: str, reason: str | None) -> Json:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": reason}


def _rest_of(choice: Json) -> Json:
    """What else the vendor says of a choice, such as `log_probs`, which nobody asked for and which has chat's shape."""
    return {name: value for name, value in choice.items() if value is not None and name not in _OWN}


def _reason_of(said: Json) -> str | None:
    """Why an answer ended, where it says so in a word that OpenAI's clients know."""
    reason = said.get("finish_reason")
    return reason if reason in _REASONS else None


def _text_of(choice: Json) -> object:
    """The text of a choice, in the shape of completions or of chat, which some models of Workers AI answer in."""
    told = as_object(choice.get("message")) or as_object(choice.get("delta")) or {}
    return choice.get("text", told.get("content", "") or "")


def _said(told: object) -> object:
    """A text of Workers AI, which tells one that is a number or JSON as such: `text` of `streaming.ts`, `processText` there."""
    is_other = isinstance(told, int | float | dict | list)
    return msgspec.json.encode(cast("object", told)).decode() if is_other else told


def _of_writer(held: Json) -> tuple[list[Json], Json]:
    """The choices of an answer of Writer's, and its model."""
    return objects(held.get("choices")), {"model": held["model"]} if held.get("model") else {}


def _of_workers(held: Json) -> tuple[list[Json], Json]:
    """The one text in an envelope of Workers AI, and its usage."""
    result = as_object(held.get("result")) or {}
    usage = as_object(result.get("usage"))
    found = objects(result.get("choices")) or [
        {"text": _said(result.get("response")), "finish_reason": result.get("finish_reason")}
    ]
    told = [{"text": _text_of(each), "finish_reason": each.get("finish_reason")} for each in found]
    return told, {"usage": usage} if usage else {}


WRITER = Words({"frequency_penalty": 0, "presence_penalty": 0}, "random_seed", {}, "value", _of_writer)
WORKERS = Words(
    {"best_of": 1, "stop": None}, "seed", {"raw": True}, "response", _of_workers, names_model=False, says_done=True
)
