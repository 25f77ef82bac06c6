"""Completions of models that continue a prompt, for clients of OpenAI's legacy API, through InvokeModel: each maker has a body.

Sources: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-meta.html,
.../model-parameters-mistral-text-completion.html and .../model-parameters-deepseek.html (a stream's pieces are such answers), for
models of one's own .../invoke-imported-model.html, which take OpenAI's body, and for what goes with a call
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html. The prompt goes as it is:
the markers of turns that a model was trained with are the client's. Ids and times are those of the gateway's exchange.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec import Struct
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import ErrorEvent
from headgate.dialects import Gaps
from headgate.dialects.openai.members import as_object, objects
from headgate.dialects.sse import data_event
from headgate.dialects.words import openai_envelope
from headgate.errors import ErrorWords, InvalidRequest, ProviderFailed, UnsupportedField
from headgate.exchange import RawHeaders, Reply
from headgate.upstream import Upstream, UpstreamRequest, UpstreamResponse
from headgate.upstream.fanout import bodies_in, replies_in
from headgate_bedrock.frames import FrameFramer, decode_frame
from headgate_bedrock.invoked import worded
from headgate_bedrock.stream import error_of
from headgate_compatible.vendors.speech import refuse_idle

Json = dict[str, Any]

_FRAMED = b"application/vnd.amazon.eventstream"
_TYPE = b"content-type"
_COUNTS = (b"x-amzn-bedrock-input-token-count", b"x-amzn-bedrock-output-token-count")
_METRICS = "amazon-bedrock-invocationMetrics"
_MEMBER = b'"amazon-bedrock-invocationMetrics"'
_ACTED = "amazon-bedrock-guardrailAction"
_OWN_MEMBERS = "amazon-bedrock-"
"""How the members begin that are not the model's; one of them would tell a guardrail which parts of a prompt to look at."""
_DONE = b"data: [DONE]\n\n"
_MOST_TEXTS = 128
"""Each text is a call of its own."""
_IDLE: Mapping[str, object] = {
    "best_of": 1,
    "echo": False,
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": None,
    "n": 1,
    "presence_penalty": 0,
    "seed": None,
    "suffix": "",
}
"""Members of OpenAI's that these makers have no words for, and what asks for nothing."""
_REASONS = frozenset({"content_filter", "length", "stop"})
_USUAL = "stop"
_IMPORTED = re.compile(r"arn:[^:]+:bedrock:[^:]*:[^:]*:imported-model/.+")


class Maker(Struct, frozen=True):
    """What models of a maker take. Without `stops` there are no stop sequences; one that `is_openai` takes OpenAI's body."""

    models: tuple[str, ...]
    limit: str = "max_tokens"
    stops: int = 10
    is_openai: bool = False


_MAKERS = (
    Maker(("meta.llama",), "max_gen_len", 0),
    Maker(("mistral.mistral-7b", "mistral.mixtral-8x7b", "mistral.mistral-large-2402", "mistral.mistral-small-2402")),
    Maker(("deepseek.r1",)),
)
_OWN = Maker((), is_openai=True)
_WHOLE = ("meta.llama4",)
"""Models that answer whole: the page on Meta's says that InvokeModelWithResponseStream is not for them."""


def can_stream(model: str) -> bool:
    """Whether an answer of this model comes in pieces, if that is wanted."""
    return not model.startswith(_WHOLE)


def encode(body: bytes, model: str, gaps: Gaps) -> bytes:
    """OpenAI's request as its model takes it, or a list of such where it holds several texts; what OpenAI does not know passes.

    `gaps` is told of what is lost. Raises UnsupportedField, and InvalidRequest for a `model` that completes no prompts.
    """
    maker = _maker_of(model)
    members = decode_object(body)
    members.pop("model", None)  # it stands in the address
    is_stream = members.pop("stream", None) is True
    members.pop("stream_options", None)
    if members.pop("user", None) is not None:
        gaps.skip("user")
    for name in [name for name in members if name.startswith(_OWN_MEMBERS)]:
        del members[name]
        gaps.refuse(name, "guardrails and traces are the deployment's")
    if not maker.is_openai:
        _settle(members, maker, gaps)
    texts = _texts_of(members.pop("prompt", None))
    if is_stream and len(texts) > 1:
        raise UnsupportedField(
            f"`prompt` must be one text in a stream: `{gaps.target}` streams no others", param="prompt"
        )
    bodies = [{"prompt": text, **members} for text in texts]
    return msgspec.json.encode(bodies[0] if len(bodies) == 1 else bodies)


def asks_usage(body: bytes) -> bool:
    """Whether OpenAI's request wants the usage in a chunk of its own (`stream_options`)."""
    options = as_object(decode_object(body).get("stream_options")) or {}
    return options.get("include_usage") is True


def counted(body: bytes, headers: RawHeaders) -> bytes:
    """An answer that says how many tokens it took, as the last piece of a stream does; headers say it of whole ones."""
    held = body.rstrip()
    found = [next((value for name, value in headers if name == count), b"") for count in _COUNTS]
    if not all(each.isdigit() for each in found) or _MEMBER in held or not held.endswith(b"}"):
        return body
    return b'%s,%s:{"inputTokenCount":%s,"outputTokenCount":%s}}' % (held[:-1], _MEMBER, *found)


def decode(head: Json, sent: bytes, headers: RawHeaders, body: bytes) -> Reply:
    """The answers to what was `sent` as OpenAI's clients read completions, `head` before them.

    Raises ProviderFailed for one without a text.
    """
    choices: list[Json] = []
    usages: list[tuple[int, int] | None] = []
    for each in replies_in(body, len(bodies_in(sent))):
        piece = _Piece()
        said = piece.read(each)
        if not said:
            raise ProviderFailed("the provider answered with no text", code="upstream_bad_reply")
        choices += [_choice(len(choices) + at, one, one.reason or _USUAL) for at, one in enumerate(said)]
        usages.append(piece.usage)
    known = [each for each in usages if each is not None]
    usage = {"usage": _usage(known)} if len(known) == len(usages) else {}
    return Reply(200, headers, msgspec.json.encode({**head, "choices": choices, **usage}))


class Streamed(Upstream):
    """An engine whose streams are those of OpenAI's completions: each chunk has this `head`. Refusals have OpenAI's form.

    With `is_usage_asked` the usage is a chunk of its own; else it stands in the last one.
    """

    def __init__(self, upstream: Upstream, head: Json, *, is_usage_asked: bool) -> None:
        self._upstream = upstream
        self._head = head
        self._is_usage_asked = is_usage_asked

    @override
    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        response = await worded(await self._upstream.send(request))
        if not 200 <= response.status < 300:
            return response
        return _Chunks(response, self._head, is_usage_asked=self._is_usage_asked)

    @override
    async def close(self) -> None:
        await self._upstream.close()


class _Said(Struct, frozen=True):
    index: int
    text: str
    reason: str | None = None
    logprobs: Any = None


class _Piece:
    """Reads an answer, whole or in pieces: what it says, in `usage` the tokens it told, and whether a guardrail held it back."""

    def __init__(self) -> None:
        self.usage: tuple[int, int] | None = None
        self.is_held_back = False

    def read(self, body: bytes) -> list[_Said]:
        """What an answer says; nothing where it has no text."""
        try:
            held = decode_object(body)
        except InvalidRequest:
            return []
        self.is_held_back |= held.get(_ACTED) == "INTERVENED"
        self._count(held)
        if isinstance(held.get("generation"), str):
            return [_Said(0, held["generation"], self._reason_of(held))]
        said = objects(held.get("outputs")) or objects(held.get("choices"))
        return [
            _Said(_first(each.get("index"), at) or 0, each["text"], self._reason_of(each), each.get("logprobs"))
            for at, each in enumerate(said)
            if isinstance(each.get("text"), str)
        ]

    def _reason_of(self, said: Json) -> str | None:
        """Why it ended, in OpenAI's words. What a guardrail held back has been filtered."""
        if self.is_held_back:
            return "content_filter"
        reason = said.get("stop_reason") or said.get("finish_reason")
        return (reason if reason in _REASONS else _USUAL) if isinstance(reason, str) else None

    def _count(self, held: Json) -> None:
        """Llama's streams tell the prompt's tokens in the first piece; the last one tells both again, whoever made it."""
        told = as_object(held.get(_METRICS)) or {}
        usage = as_object(held.get("usage")) or {}
        before = self.usage or (None, None)
        read = _first(
            told.get("inputTokenCount"), usage.get("prompt_tokens"), held.get("prompt_token_count"), before[0]
        )
        written = _first(
            *(
                told.get("outputTokenCount"),
                usage.get("completion_tokens"),
                held.get("generation_token_count"),
                before[1],
            )
        )
        if read is not None and written is not None:
            self.usage = (read, written)


class _Chunks:
    """A stream of pieces, or a whole answer, as chunks of OpenAI's. One that ended before a reason was told is cut."""

    def __init__(self, response: UpstreamResponse, head: Json, *, is_usage_asked: bool) -> None:
        kind = next((value for name, value in response.headers if name == _TYPE), b"")
        self.status = response.status
        self.headers = (*(pair for pair in response.headers if pair[0] != _TYPE), (_TYPE, b"text/event-stream"))
        self._response = response
        self._is_framed = kind.lower().startswith(_FRAMED)
        self._head = head
        self._is_usage_asked = is_usage_asked
        self._piece = _Piece()
        self._reasons: dict[int, str] = {}

    async def read(self) -> bytes:
        """See UpstreamResponse."""
        return b"".join([piece async for piece in self.chunks()])

    def chunks(self) -> AsyncIterator[bytes]:
        """See UpstreamResponse. Ends with an error event where an exception came."""
        return self._chunks()

    def close(self) -> None:
        """See UpstreamResponse."""
        self._response.close()

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        if not self._is_framed:
            said = self._piece.read(counted(await self._response.read(), self.headers))
            if not said:
                raise ProviderFailed("the provider answered with no text", code="upstream_bad_reply")
            yield self._told(said)
            self._reasons = {one.index: one.reason or _USUAL for one in said}
            yield self._last()
            return
        framer = FrameFramer()
        async for data in self._response.chunks():
            for frame in framer.feed(data):
                message = decode_frame(frame)
                error = error_of(message)
                if error is not None:
                    yield _event_of(error)
                    return
                told = self._told(self._piece.read(_bytes_in(message.payload)))
                if told:
                    yield told
        framer.end()
        if self._reasons or self._piece.is_held_back:
            yield self._last()

    def _told(self, said: Sequence[_Said]) -> bytes:
        """A piece as a chunk. Its reason to end waits for the last one, behind which its usage is known."""
        self._reasons |= {one.index: one.reason for one in said if one.reason is not None}
        choices = [_choice(one.index, one, None) for one in said if one.text]
        return self._chunk(choices) if choices else b""

    def _last(self) -> bytes:
        """The chunk with the reasons to end, and the usage in it or behind it."""
        used = self._piece.usage
        usage = {} if used is None else {"usage": _usage([used])}
        if self._piece.is_held_back:
            self._reasons = dict.fromkeys(self._reasons or (0,), "content_filter")
        ended = [_choice(at, _Said(at, ""), reason) for at, reason in sorted(self._reasons.items())]
        if self._is_usage_asked:
            return self._chunk(ended) + (self._chunk([], usage) if usage else b"") + _DONE
        return self._chunk(ended, usage) + _DONE

    def _chunk(self, choices: Sequence[Json], beside: Json | None = None) -> bytes:
        return data_event(msgspec.json.encode({**self._head, "choices": choices, **(beside or {})}))


def _maker_of(model: str) -> Maker:
    """The maker of a model, by its id without a geography."""
    found = next((maker for maker in _MAKERS if model.startswith(maker.models)), None)
    if found is not None:
        return found
    if _IMPORTED.fullmatch(model):
        return _OWN
    if model.startswith("arn:"):
        raise InvalidRequest(
            f"which model `{model}` is must be said in `base_models` of the deployment: not all complete prompts",
            param="model",
            code="unsupported_model",
        )
    raise InvalidRequest(
        f"`{model}` completes no prompts there: use it by `/v1/chat/completions`, or use Llama, Mistral 7B, Mixtral 8x7B,"
        " Mistral Large or Small (24.02), DeepSeek-R1 or an imported model",
        param="model",
        code="unsupported_model",
    )


def _settle(members: Json, maker: Maker, gaps: Gaps) -> None:
    """Put a request into the words of a maker that has its own."""
    refuse_idle(members, gaps, _IDLE)
    limit = members.pop("max_tokens", None)
    if limit is not None:
        members.setdefault(maker.limit, limit)
    stops = _stops_of(members.pop("stop", None))
    if stops and maker.stops:
        members["stop"] = gaps.most("stop", stops, maker.stops)
    elif stops:
        gaps.refuse("stop", "this model takes none")
    for name in [name for name, value in members.items() if value is None]:
        del members[name]  # they take none where OpenAI's clients say null


def _stops_of(stop: object) -> tuple[str, ...]:
    """The stop sequences, one or several. Raises InvalidRequest."""
    given = cast("list[object]", stop) if isinstance(stop, list) else [] if stop is None else [stop]
    stops = tuple(each for each in given if isinstance(each, str))
    if len(stops) < len(given):
        raise InvalidRequest("`stop` must be a text, or a list of them", param="stop")
    return stops


def _texts_of(prompt: object) -> list[str]:
    """The texts to complete. Raises UnsupportedField for tokens, InvalidRequest for nothing."""
    given = cast("list[object]", prompt) if isinstance(prompt, list) else [prompt]
    texts = [each for each in given if isinstance(each, str) and each]
    if any(isinstance(each, int | list) for each in given):
        raise UnsupportedField("`prompt`: models on Bedrock take texts, not tokens", param="prompt")
    if not texts or len(texts) < len(given):
        raise InvalidRequest("`prompt` must be a text, or a list of them, none of them empty", param="prompt")
    if len(texts) > _MOST_TEXTS:
        raise InvalidRequest(f"`prompt` must hold {_MOST_TEXTS} texts at most, each of which is a call", param="prompt")
    return texts


def _bytes_in(payload: bytes) -> bytes:
    """What a message of a stream holds, `{"bytes": …}` in base64; nothing where it is another."""
    try:
        return base64.b64decode(str(decode_object(payload).get("bytes") or ""), validate=True)
    except (InvalidRequest, ValueError):
        raise ProviderFailed("a message of the stream is not one of InvokeModel", code="upstream_bad_reply") from None


def _event_of(error: ErrorEvent) -> bytes:
    """An exception as an error event; its code is the status that it stands for."""
    message = error.message or "the answer was broken off"
    words = ErrorWords(error.status, message, error.code or "upstream_error", str(error.status))
    return data_event(openai_envelope(words))


def _first(*counts: object) -> int | None:
    return next((each for each in counts if isinstance(each, int) and not isinstance(each, bool)), None)


def _choice(index: int, said: _Said, reason: str | None) -> Json:
    return {"index": index, "text": said.text, "logprobs": said.logprobs, "finish_reason": reason}


def _usage(used: Sequence[tuple[int, int]]) -> Json:
    read, written = sum(each[0] for each in used), sum(each[1] for each in used)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
