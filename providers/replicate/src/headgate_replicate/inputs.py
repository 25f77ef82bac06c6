"""What a model on Replicate takes, read from the schema it publishes: makers name the same thing differently.

Source: https://replicate.com/docs/reference/http#models.get; the names are those of the models of Anthropic, DeepSeek, Google,
Meta and OpenAI there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from msgspec import Struct

from headgate.dialects.openai.members import Json, as_object
from headgate.errors import InvalidRequest

NAMES: Mapping[str, tuple[str, ...]] = {
    "system": ("system_prompt", "system_instruction"),
    "max_tokens": ("max_completion_tokens", "max_output_tokens", "max_tokens", "max_new_tokens"),
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "top_k": ("top_k",),
    "seed": ("seed",),
    "presence_penalty": ("presence_penalty",),
    "frequency_penalty": ("frequency_penalty",),
    "stop": ("stop_sequences", "stop"),
    "images": ("image_input", "images", "image"),
    "effort": ("reasoning_effort", "thinking_level"),
    "budget": ("thinking_budget_tokens", "thinking_budget"),
    "verbosity": ("verbosity",),
}
"""Where a model may take what a caller asks for: the first of these names that its schema has."""
PROMPTS = ("prompt", "messages")
"""What a model that is asked in words has one of."""


class Field(Struct, frozen=True):
    """One input: its name, its JSON type (empty where the schema says none), and the words it may be."""

    name: str
    kind: str = ""
    words: tuple[str, ...] = ()


class Inputs(Struct, frozen=True):
    """The inputs of one model, by name."""

    fields: Mapping[str, Field] = {}

    def find(self, meaning: str) -> Field | None:
        """The input for one of `NAMES`; None when the model has none."""
        return self.find_first(NAMES[meaning])

    def find_first(self, names: Iterable[str]) -> Field | None:
        """The first of these inputs that the model has; None when it has none of them."""
        return next((self.fields[name] for name in names if name in self.fields), None)

    def first(self, names: Sequence[str]) -> Field:
        """The first of these inputs that the model has. Raises InvalidRequest when it has none of them."""
        found = self.find_first(names)
        if found is None:
            wanted = " or ".join(f"`{name}`" for name in names)
            told = f"the model takes no {wanted} by the schema it publishes, so only passthrough reaches it"
            raise InvalidRequest(told, param="model", code="unsupported_model")
        return found

    @property
    def has_messages(self) -> bool:
        """Whether a history of several turns can be told."""
        return "messages" in self.fields


def read_inputs(described: Json) -> Inputs:
    """The inputs in a model's or a version's description; none where it tells none."""
    schemas = schemas_of(described)[1]
    properties = as_object((as_object(schemas.get("Input")) or {}).get("properties")) or {}
    return Inputs({name: _field(name, as_object(said) or {}, schemas) for name, said in properties.items()})


def schemas_of(described: Json) -> tuple[Json, Json]:
    """The version in a model's or a version's description, and the schemas that it publishes."""
    version = as_object(described.get("latest_version")) or described
    components = as_object((as_object(version.get("openapi_schema")) or {}).get("components")) or {}
    return version, as_object(components.get("schemas")) or {}


def _field(name: str, said: Json, schemas: Json) -> Field:
    """A property; one of a choice of words refers to another schema."""
    parts = [said, *cast("list[Any]", said.get("allOf") or ())]
    shapes = [as_object(schemas.get(_target_of(part))) or as_object(part) or {} for part in parts]
    kinds, choices = [shape.get("type") for shape in shapes], [shape.get("enum") for shape in shapes]
    words = next((cast("list[object]", each) for each in choices if isinstance(each, list)), ())
    kind = next((each for each in kinds if isinstance(each, str)), "")
    return Field(name, kind, tuple(word for word in words if isinstance(word, str)))


def _target_of(part: object) -> str:
    reference: Any = (as_object(part) or {}).get("$ref")
    return reference.rpartition("/")[2] if isinstance(reference, str) else ""
