"""The one table of operations: which method and path means what, and how large a body it may have."""

from __future__ import annotations

import msgspec

KIB = 1024
MIB = 1024 * KIB


class Operation(msgspec.Struct, frozen=True):
    """What is asked. `dialect` is the wire format its client side speaks, empty where the body is opaque."""

    name: str
    method: str
    path: str
    dialect: str
    body_bytes: int
    has_model: bool = True
    can_stream: bool = False


CHAT = Operation("chat", "POST", "/v1/chat/completions", "openai.chat", 32 * MIB, can_stream=True)
COMPLETIONS = Operation("completions", "POST", "/v1/completions", "openai.completions", 8 * MIB, can_stream=True)
EMBEDDINGS = Operation("embeddings", "POST", "/v1/embeddings", "openai.embeddings", 16 * MIB)
MODELS = Operation("models", "GET", "/v1/models", "", 64 * KIB, has_model=False)
PASSTHROUGH = Operation("passthrough", "*", "/v1/*", "", 64 * MIB, has_model=False)

OPERATIONS = (CHAT, COMPLETIONS, EMBEDDINGS, MODELS, PASSTHROUGH)
