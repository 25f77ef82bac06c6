"""Every provider that is installed, as one deployment of a gateway, and the model to ask for each of its operations."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.replay.clients import DIALECTS
from tests.replay.vendors import KEY

from headgate.config import Installed
from headgate.operations import CHAT_OPERATIONS
from headgate.provider import Provider

REASONS = Path(__file__).parent / "reasoning.toml"
LEFT_OUT = frozenset({"demo"})
"""The demo calls nobody."""
_KEYS: Mapping[str, Mapping[str, str]] = {
    "sagemaker": {"access_key_id": "AKIDEXAMPLE", "secret_access_key": KEY},
}
"""What stands in the place of an API key where there are none."""
_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "aibadgr": {"messages": "native"},
    "azure-foundry": {"resource": "matrix"},
    "azure-openai": {"resource": "matrix"},
    "byteplus": {
        "access_key_id": "AKLTEXAMPLE",
        "secret_access_key": KEY,
        "region": "ap-southeast-1",
        "jobs": {"output": "tos://matrix-bucket/results/"},
    },
    "bedrock": {"region": "us-east-1", "batches": {"role_arn": "arn:aws:iam::123456789012:role/BatchServiceRole"}},
    "compatible": {
        "base_url": "https://compatible.example/v1",
        "row": {"efforts": ["low", "medium", "high"]},
    },
    "featherless": {"messages": "native"},
    "fireworks": {"account_id": "matrix"},
    "lightning": {"messages": "native"},
    "llamacpp": {"responses": "native", "messages": "native"},
    "matterai": {"responses": "native", "messages": "native"},
    "minimax": {"responses": "native"},
    "mistral": {"responses": "native"},
    "oracle": {
        "tenancy": "ocid1.tenancy.oc1..matrix",
        "user": "ocid1.user.oc1..matrix",
        "fingerprint": ":".join(["20"] * 16),
        "compartment_id": "ocid1.compartment.oc1..matrix",
    },
    "sagemaker": {"region": "us-east-1"},
    "vertex": {"project": "matrix", "location": "us-central1"},
    "zai": {"responses": "native"},
    "zhipu": {"responses": "native"},
}
"""What a deployment must say beside its key; rows say which placeholders they have."""
_ELSEWHERE: Mapping[tuple[str, str], Mapping[str, Any]] = {
    **{("bedrock", each): {each: "native"} for each in ("chat", "responses", "messages")},
    **{
        ("sagemaker", each): {"has_routes": True, "served_models": {"some-model": "some-model"}}
        for each in ("responses", "messages", "count_tokens")
    },
    ("dashscope", "completions"): {"base_url": "https://dashscope.aliyuncs.com/compatible-mode/v1"},
    ("vertex", "rerank"): {"location": "global"},
    **{("siliconflow", each): {"base_url": "https://api.siliconflow.cn/v1"} for each in ("files", "batches")},
    **{
        ("nvidia", operation): {"base_url": "https://nim.example/v1"}
        for operation in (
            *("responses", "messages", "count_tokens"),
            *("images.edit", "audio.speech", "audio.transcriptions", "realtime"),
        )
    },
}
"""What a deployment says instead where a vendor has an operation at another place than the rest, or only if it is wanted."""
_PLAIN = "some-model"
_THOUGHTS: Mapping[str, str] = {"minimax": "details", "mistral": "parts"}
"""Where vendors think that have no member for it: in `reasoning_details`, or in parts of the content."""
_MODELS: Mapping[str, Mapping[str, str]] = {
    "anthropic": {"": "claude-sonnet-4-5"},
    "azure-foundry": {"": "gpt-5.1", "messages": "claude-sonnet-4-5", "count_tokens": "claude-sonnet-4-5"},
    "azure-openai": {"": "gpt-5.1"},
    "bedrock": {
        "converse": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "chat": "openai.gpt-oss-20b-1:0",
        "responses": "openai.gpt-oss-20b-1:0",
        "messages": "anthropic.claude-opus-4-7",
        "completions": "meta.llama3-3-70b-instruct-v1:0",
        "embeddings": "cohere.embed-english-v3",
        "rerank": "cohere.rerank-v3-5:0",
        "images.generate": "stability.stable-image-core-v1:1",
        "images.edit": "stability.stable-image-ultra-v1:1",
        "batches": "openai.gpt-oss-20b-1:0",
        "count_tokens": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    },
    "byteplus": {"batches": "seed-1-6-250915", "fine_tuning.jobs": "seed-1-6-250915"},
    "cloudflare": {"audio.translations": "@cf/openai/whisper-large-v3-turbo"},
    "cohere": {"chat": "command-a-reasoning-08-2025"},
    "databricks": {"messages": "databricks-claude-sonnet-4-5", "responses": "databricks-gpt-5"},
    "deepseek": {"": "deepseek-flash"},
    "google": {
        "": "gemini-2.5-flash",
        "images.edit": "gemini-2.5-flash-image",
        "audio.speech": "gemini-3.8-flash-tts",
        "audio.transcriptions": "gemini-3.5-transcribe",
    },
    "groq": {"": "openai/gpt-oss-120b"},
    "novita": {
        "images.generate": "seedream-5.0-lite",
        "images.edit": "seedream-5.0-lite",
        "images.variations": "reimagine",
        "audio.speech": "minimax-speech-2.8-hd",
        "audio.transcriptions": "glm-asr",
    },
    "openai": {"": "gpt-5.1"},
    "ovhcloud": {"audio.speech": "nvr-tts-en-us"},
    "replicate": {
        "": "openai/gpt-5",
        "audio.speech": "minimax/speech-02-turbo",
        "audio.transcriptions": "openai/gpt-4o-transcribe",
        "audio.translations": "openai/whisper",
        "images.edit": "black-forest-labs/flux-kontext-pro",
        "images.variations": "black-forest-labs/flux-redux-dev",
        "fine_tuning.jobs": "ostris/flux-dev-lora-trainer",
    },
    "perplexity": {"chat": "sonar-pro", "responses": "openai/gpt-5.1"},
    "vertex": {
        "": "gemini-2.5-flash",
        "messages": "claude-sonnet-4-5@20250929",
        "count_tokens": "claude-sonnet-4-5@20250929",
        "chat": "meta/llama-4-scout-maas",
        "responses": "xai/grok-4.20-reasoning",
        "completions": "codestral-2",
        "embeddings": "text-embedding-005",
        "images.generate": "gemini-2.5-flash-image",
        "images.edit": "gemini-2.5-flash-image",
        "audio.speech": "gemini-3.8-flash-tts",
        "audio.transcriptions": "gemini-3.5-transcribe",
    },
    "xai": {"": "grok-4.3"},
}
"""Models where one decides what is spoken or can be asked, by operation; the empty name is any other operation."""
_BY_MODEL = frozenset(
    {
        *(("vertex", "messages"), ("vertex", "chat"), ("databricks", "messages"), ("perplexity", "responses")),
        ("bedrock", "converse"),
    }
)
"""Operations behind the first that clients of other dialects are translated into all the same, because of the model; and a
first one that they are translated into although there are others, unless a deployment wants these."""


@cache
def providers() -> Mapping[str, type[Provider]]:
    """Every provider class with a vendor, by its own name; a new one is among them by itself."""
    installed = Installed()
    kinds = {name: kind for name in installed.providers() if (kind := installed.provider(name)) is not None}
    return {name: kind for name, kind in kinds.items() if kind.name == name and name not in LEFT_OUT}


@cache
def _signing_key() -> str:
    """The file of a key that signs, in a folder that goes when this process does."""
    key = rsa.generate_private_key(65537, 2048)
    file = Path(_folder().name, "key.pem")
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(file)


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory()


def deployment_of(kind: type[Provider], operation: str = "") -> dict[str, Any]:
    """The configuration of a deployment of this provider, or of one for an operation that it has elsewhere."""
    key = _KEYS.get(kind.name, {"api_key": KEY} if kind.auth else {})
    placeholders: Mapping[str, str] = getattr(_row(kind), "vars_env", {})
    filled = {"vars": {each: f"{each.replace('_', '-')}.example" for each in placeholders}} if placeholders else {}
    return {
        "provider": kind.name,
        **key,
        **filled,
        **_SETTINGS.get(kind.name, {}),
        **({"key_file": _signing_key()} if kind.name == "oracle" else {}),
        **_ELSEWHERE.get((kind.name, operation), {}),
    }


def model_of(kind: type[Provider], operation: str) -> str:
    """The vendor's model to ask for this operation."""
    known, words = _MODELS.get(kind.name, {}), _only(kind)
    usual = f"some-{words[operation][0]}-model" if operation in words else _PLAIN
    return known.get(operation) or known.get("") or usual


def chat_operations(kind: type[Provider]) -> list[str]:
    """The provider's chat operations, that first which others are translated into."""
    return [each for each, dialect in kind.dialects.items() if each in CHAT_OPERATIONS and dialect]


def foreign_dialects(kind: type[Provider], operation: str) -> list[str]:
    """The clients that are translated into this operation of a provider; none where another operation takes them."""
    chats = chat_operations(kind)
    if (kind.name, operation) == ("vertex", "responses"):
        return []
    if kind.name == "vertex" or (kind.name, operation) in _BY_MODEL:
        own = {kind.dialects[operation], *(["openai.chat"] if kind.name == "databricks" else [])}
        return [each for each in DIALECTS if each not in own]
    if operation != chats[0]:
        return []
    words, model = _only(kind), model_of(kind, operation)
    native = {
        kind.dialects[each] for each in chats if not words.get(each) or any(word in model for word in words[each])
    }
    return [each for each in DIALECTS if each not in native]


def thoughts_of(kind: type[Provider]) -> str:
    """The member that a vendor of OpenAI's shape thinks in, or one of the words of `_THOUGHTS`."""
    return _THOUGHTS.get(kind.name) or getattr(_row(kind), "thoughts", "reasoning_content")


@cache
def undocumented() -> Mapping[str, Mapping[str, str]]:
    """Of providers that are not asked to think: what their vendors say of it, and why, by name."""
    return tomllib.loads(REASONS.read_text("utf-8"))


def reasoning_of(kind: type[Provider], cell: str) -> str:
    """What a cell says of reasoning that is left out: that thoughts are only answered, or that nothing is documented."""
    known = (word for word, names in undocumented().items() if kind.name in names)
    return next(known, cell) if cell == "left out" else cell


def _row(kind: type[Provider]) -> Any:
    return getattr(kind, "row", None)


def _only(kind: type[Provider]) -> Mapping[str, list[str]]:
    """The words that a model's name must hold, by operation."""
    return getattr(_row(kind), "only", {})
