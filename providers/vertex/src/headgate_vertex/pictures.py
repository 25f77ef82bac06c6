"""Pictures of Gemini's models on Vertex AI for clients of OpenAI's: a prompt is content, and a picture a part of the answer.

Sources: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/image-generation and, for `imageConfig`,
google-genai 3.4. Imagen, which `predict` was for, is discontinued in favour of these models:
https://docs.cloud.google.com/vertex-ai/generative-ai/docs/models/imagen/4-0-generate
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from math import gcd
from typing import Any

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import as_object, given, objects
from headgate.dialects.words import openai_envelope
from headgate.errors import ErrorWords, InvalidRequest, ProviderFailed
from headgate.exchange import RawHeaders, Reply

Json = dict[str, Any]

_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
_PROPORTIONS = ("1:1", "2:3", "3:2", "3:4", "4:3", "9:16", "16:9", "21:9")
_FORMATS: Mapping[object, str] = {"jpeg": "image/jpeg", "png": "image/png"}
_IDLE: Mapping[str, Collection[object]] = {
    "background": ("auto",),
    "moderation": ("auto",),
    "n": (1,),
    "partial_images": (0,),
    "quality": ("auto", "standard"),
    "response_format": ("b64_json",),
    "stream": (False,),
    "style": (),
}
"""Members that these models have no words for, and what asks for nothing."""
_STOPPED = frozenset({"STOP", "MAX_TOKENS", "FINISH_REASON_UNSPECIFIED", "OTHER", "NO_IMAGE"})
"""Ends that are not for what was asked; others, such as `IMAGE_SAFETY`, are a refusal."""


def encode(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request as `generateContent` takes it; what OpenAI does not know passes. `gaps` is told of what is lost."""
    members = decode_object(body)
    members.pop("model", None)  # it stands in the address
    for name, idle in _IDLE.items():
        value = members.pop(name, None)
        if value is not None and value not in idle:
            gaps.refuse(name)
    if members.pop("user", None) is not None:
        gaps.skip("user")
    image = given(aspectRatio=_proportions(members, gaps), imageOutputOptions=_output(members, gaps) or None)
    content = {"role": "user", "parts": [{"text": members.pop("prompt", "")}]}
    config = {"responseModalities": ["IMAGE"], **({"imageConfig": image} if image else {})}
    return msgspec.json.encode({"contents": [content], "generationConfig": config, **members})


def decode(headers: RawHeaders, body: bytes) -> Reply:
    """A good answer in OpenAI's shape, a refusal as an error. Vertex AI does not say when it was made.

    Raises ProviderFailed for one without pictures.
    """
    try:
        held = decode_object(body)
    except InvalidRequest:
        raise ProviderFailed("the provider answered with no picture", code="upstream_bad_reply") from None
    data = [{"b64_json": each} for each in _pictures(held)]
    if data:
        return Reply(200, headers, msgspec.json.encode({"created": 0, "data": data, **_usage(held)}))
    reason = _refusal(held)
    if not reason:
        raise ProviderFailed("the provider answered with no picture", code="upstream_bad_reply")
    words = ErrorWords(400, f"no picture was made: `{reason}`", "invalid_request_error", "content_policy_violation")
    return Reply(400, headers, openai_envelope(words))


def _proportions(members: Json, gaps: Gaps) -> str | None:
    """The proportions of the size that is asked for; its number of pixels is the model's, which is named."""
    size = members.pop("size", None)
    if size in {None, "auto"}:
        return None
    found = _SIZE.fullmatch(size) if isinstance(size, str) else None
    width, height = (int(found[1]), int(found[2])) if found else (0, 1)
    least = gcd(width, height)
    told = f"{width // least}:{height // least}".replace("7:3", "21:9")
    if told not in _PROPORTIONS:
        gaps.refuse("size", f"its proportions must be one of {', '.join(_PROPORTIONS)} there")
        return None
    gaps.skip("size")
    return told


def _output(members: Json, gaps: Gaps) -> Json:
    form, compression = members.pop("output_format", None), members.pop("output_compression", None)
    if form is not None and form not in _FORMATS:
        gaps.refuse("output_format", f"pictures come as one of {', '.join(map(str, _FORMATS))} there")
        form = None
    return given(mimeType=None if form is None else _FORMATS[form], compressionQuality=compression)


def _pictures(held: Json) -> Iterator[str]:
    for candidate in objects(held.get("candidates")):
        for part in objects((as_object(candidate.get("content")) or {}).get("parts")):
            data = (as_object(part.get("inlineData")) or {}).get("data")
            if isinstance(data, str) and not part.get("thought"):
                yield data


def _refusal(held: Json) -> str:
    """The word for why nothing was made, where that is what was asked for; else empty."""
    blocked = (as_object(held.get("promptFeedback")) or {}).get("blockReason")
    ends = [blocked, *(each.get("finishReason") for each in objects(held.get("candidates")))]
    return next((each for each in ends if isinstance(each, str) and each not in _STOPPED), "")


def _usage(held: Json) -> Json:
    used = as_object(held.get("usageMetadata"))
    if used is None:
        return {}
    counts = {
        name: int(used.get(member) or 0)
        for name, member in (
            ("input_tokens", "promptTokenCount"),
            ("output_tokens", "candidatesTokenCount"),
            ("total_tokens", "totalTokenCount"),
        )
    }
    counts["output_tokens"] += int(used.get("thoughtsTokenCount") or 0)
    return {"usage": counts}
