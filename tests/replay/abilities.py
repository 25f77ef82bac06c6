"""What each target's API cannot say, by the vendors' own pages; a refusal is right only for what stands here.

It is written from the pages, not from the product. Names are features of a request, see `features_of`.

- Anthropic: https://platform.claude.com/docs/en/api/messages/create (no seed, n, penalties, logit_bias, logprobs; sampling
  parameters are refused by the newest models and beside thinking, `top_p` beside `temperature` from 4.5 on)
- Gemini: https://ai.google.dev/api/generate-content (no logit_bias, no switch for parallel calls, no turns of the system)
- Converse: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html (no seed, n, penalties,
  logit_bias, logprobs, JSON mode; functions alone)
- Cohere: https://docs.cohere.com/reference/chat (tool_choice REQUIRED or NONE; at most 5 stop sequences; no n, logit_bias)
- Ollama: https://docs.ollama.com/api/chat (no tool_choice, n, logit_bias; pictures alone)
- Mistral: https://docs.mistral.ai/api/, Groq: https://console.groq.com/docs/openai, DeepSeek: https://api-docs.deepseek.com,
  Cerebras: https://inference-docs.cerebras.ai/api-reference and /capabilities/image-inputs (pictures by their bytes),
  Perplexity: https://docs.perplexity.ai/api-reference
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.replay.asked import Asked
from tests.replay.corpus import Recording
from tests.replay.reading import Json, each, members

NOBODY = frozenset(
    {
        "builtin",
        "own block",
        "file id",
        "prompt",
        "previous_response_id",
        "extra",
        "custom tool",
        "output schema",
        "phase",
    }
)
"""What belongs to one vendor: its own tools, stored files and state, and members that no other API has."""
_CLAUDE = NOBODY | {
    "seed",
    "logit_bias",
    "n",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "audio",
    "video",
    "temperature",
    "top_p",
    "top_k",
    "modalities",
    "speech",
}
_GEMINI = NOBODY | {"logit_bias", "parallel", "system between"}
_CONVERSE = NOBODY | {
    "seed",
    "logit_bias",
    "n",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "json",
    "parallel",
    "system between",
    "modalities",
    "speech",
    "temperature",
    "top_p",
}
_PLAIN_CHAT = NOBODY | {"top_k", "speech", "modalities"}
_TEXT_CHAT = _PLAIN_CHAT | {"audio", "video", "document", "image"}

CANNOT: dict[str, frozenset[str]] = {
    "anthropic": _CLAUDE,
    "anthropic-newest": _CLAUDE,
    "vertex-claude": _CLAUDE,
    "google": _GEMINI,
    "google-3": _GEMINI,
    "vertex-gemini": _GEMINI,
    "bedrock-claude": _CONVERSE,
    "bedrock-nova": _CONVERSE | {"effort", "budget", "thinking", "schema", "choice"},
    "cohere": NOBODY
    | {"logit_bias", "n", "parallel", "audio", "video", "document", "modalities", "speech", "top_logprobs"},
    "ollama": NOBODY
    | {"logit_bias", "n", "parallel", "choice", "audio", "video", "document", "modalities", "speech", "top_logprobs"},
    "mistral": _PLAIN_CHAT | {"logit_bias", "logprobs", "video"},
    "openai": _PLAIN_CHAT | {"video"},
    "openai-responses": _PLAIN_CHAT
    | {"stop", "seed", "n", "logit_bias", "presence_penalty", "frequency_penalty", "audio", "video"},
    "azure": _PLAIN_CHAT | {"video"},
    "groq": _TEXT_CHAT - {"image"} | {"logprobs", "logit_bias", "n", "top_logprobs", "name"},
    "deepseek": _TEXT_CHAT - {"image"} | {"schema", "choice", "n", "logit_bias", "seed", "parallel"},
    "xai": _PLAIN_CHAT | {"stop", "presence_penalty", "frequency_penalty", "audio", "video", "document", "logit_bias"},
    "together": _PLAIN_CHAT - {"top_k"} | {"document", "parallel"},
    "openrouter": _PLAIN_CHAT - {"top_k"},
    "fireworks": _PLAIN_CHAT - {"top_k"} | {"document"},
    "cerebras": _TEXT_CHAT - {"image"} | {"presence_penalty", "frequency_penalty", "logit_bias", "n", "parallel"},
    "perplexity": _TEXT_CHAT - {"top_k", "image"}
    | {"tools", "choice", "parallel", "seed", "stop", "n", "logprobs", "logit_bias", "history of tools", "free json"},
}
_EXTRAS = frozenset(
    {
        "random_seed",
        "safe_prompt",
        "min_p",
        "repetition_penalty",
        "safety_model",
        "echo",
        "thinking",
        "usage",
        "context_management",
        "speed",
    }
)


def features_of(recording: Recording, asked: Asked) -> frozenset[str]:
    """What a recorded request makes use of, in the words of `CANNOT`."""
    request = recording.request or {}
    found = set(asked.params)
    found |= {"builtin"} if any(not name.startswith(("item", "block")) for name in asked.others) else set()
    found |= {"own block"} if any(name.startswith(("item", "block")) for name in asked.others) else set()
    found |= {"custom tool"} if "custom" in asked.others else set()
    found |= {"free json"} if "json" in found and "schema" not in found else set()
    found |= {"tools"} if asked.functions or asked.others else set()
    found |= {"choice"} if asked.choice not in {"auto", "none"} else set()
    found |= {"system between"} if any(segment.role == "system" for segment in asked.segments) else set()
    found |= {"history of tools"} if any(segment.calls for segment in asked.segments) else set()
    config = members(request.get("generationConfig"))
    found |= {"thinking"} if members(config.get("thinkingConfig")) else set()
    found |= {"extra"} if _EXTRAS & set(request) else set()
    return frozenset(found | set(_media(request)) | set(_rare(request)))


def _media(value: Any) -> Iterator[str]:
    """Kinds of media anywhere in a request's messages."""
    for name in ("messages", "input", "contents"):
        for held in _within(members(value).get(name)):
            kind = str(held.get("type") or "")
            mime = str(held.get("mimeType") or held.get("mime_type") or held.get("media_type") or "")
            if held.get("file_id") or "/files/" in str(held.get("fileUri") or held.get("file_uri") or ""):
                yield "file id"
            if kind in {"image", "image_url", "input_image"} or mime.startswith("image/"):
                yield "image"
            if kind == "input_audio" or mime.startswith("audio/"):
                yield "audio"
            if mime.startswith("video/"):
                yield "video"
            if kind in {"document", "file", "input_file"} or mime.startswith(("application/", "text/")):
                yield "document"


def _rare(request: Json) -> Iterator[str]:
    """Members that stand deep in a request and that no other API has."""
    for held in _within(request):
        if held.get("phase"):
            yield "phase"
        if held.get("prefix"):
            yield "extra"
        if "output_schema" in held:
            yield "output schema"
        if held.get("name") and held.get("role"):
            yield "name"


def _within(value: Any) -> Iterator[Json]:
    """Every object in a value, the value among them."""
    if isinstance(value, dict):
        held = members(value)
        yield held
        for inner in held.values():
            yield from _within(inner)
    for inner in each(value):
        yield from _within(inner)
