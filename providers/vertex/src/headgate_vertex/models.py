"""Which of Vertex AI's interfaces a model is called through, by its name.

Sources: https://cloud.google.com/vertex-ai/generative-ai/docs/models,
https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude and .../partner-models/mistral
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

Interface = Literal["gemini", "claude", "mistral", "openai"]

_PUBLISHED = re.compile(r"(?:publishers/)?(google|anthropic|mistralai)/(?:models/)?(.+)")
_TUNED = re.compile(r"(?:endpoints/)?(\d+)")
_GEMINI = re.compile(r"gemini-|learnlm-|codechat-|text-|textembedding-|medlm-")
_MISTRAL = re.compile(r"(?:mistral|codestral)-")
_HOSTED = "-maas"
"""How the names of open models end that Google hosts, Gemma among them: those speak OpenAI's dialect alone."""


class Model(Struct, frozen=True):
    """A model: through which interface it is called, its id there, and the path of it below a location."""

    interface: Interface
    id: str
    path: tuple[str, ...]


def find_model(name: str) -> Model:
    """The model of that name. Its publisher may stand before it; digits alone are the endpoint of a tuned Gemini."""
    tuned = _TUNED.fullmatch(name)
    if tuned:
        return Model("gemini", name, ("endpoints", tuned[1]))
    published = _PUBLISHED.fullmatch(name)
    publisher, model = (published[1], published[2]) if published else ("", name)
    if publisher == "anthropic" or model.startswith("claude-"):
        return Model("claude", model, ("publishers", "anthropic", "models", model))
    if not model.endswith(_HOSTED) and (publisher == "mistralai" or (not publisher and _MISTRAL.match(model))):
        return Model("mistral", model, ("publishers", "mistralai", "models", model))
    if not model.endswith(_HOSTED) and (publisher == "google" or _GEMINI.match(model)):
        return Model("gemini", model, ("publishers", "google", "models", model))
    return Model("openai", name, ("endpoints", "openapi"))
