"""The one table of operations: which method and path means what, and how large a body it may have."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

KIB = 1024
MIB = 1024 * KIB


class Operation(msgspec.Struct, frozen=True):
    """What is asked. `dialect` is the wire format its client side speaks, empty where the body is opaque.

    `method` names what it takes as an `allow` header does, `*` takes all. `is_tree`: what stands below `path` belongs to it.
    `is_chat`: any chat dialect of a provider will do, since it can be translated. `errors` is the dialect of error replies,
    where that is not `dialect`; an operation with neither answers as `client_dialect` says.

    Where the model stands: a member of the JSON body; with `is_form` a field of a multipart form, which is sent on as it
    comes; with `is_model_in_path` the path. `is_model_optional`: a provider has a model for requests that name none.
    `is_resource`: the model is named as Google names resources (`models/m`). `is_streamed`: bodies of any kind are sent on as
    they come.
    `aliases` are further paths at which clients know it. `is_socket`: it is a WebSocket, whose model stands in the query, and
    `body_bytes` is the size of one message; with `is_model_in_message` the client's first message names the model, and is the
    body.
    """

    name: str
    method: str
    path: str
    dialect: str
    body_bytes: int
    has_model: bool = True
    can_stream: bool = False
    is_chat: bool = False
    is_model_in_path: bool = False
    errors: str = ""
    is_form: bool = False
    is_model_optional: bool = False
    is_streamed: bool = False
    is_tree: bool = False
    aliases: tuple[str, ...] = ()
    is_socket: bool = False
    is_model_in_message: bool = False
    is_resource: bool = False

    def takes(self, method: str) -> bool:
        """Whether this is one of its methods."""
        return self.method in {"*", method} or method in self.method.split(", ")


def _form(name: str, path: str, dialect: str, body_bytes: int) -> Operation:
    return Operation(name, "POST", path, dialect, body_bytes, can_stream=True, is_form=True, is_model_optional=True)


def _tree(
    name: str,
    path: str,
    body_bytes: int,
    *,
    has_model: bool = False,
    is_streamed: bool = False,
    method: str = "GET, POST, DELETE",
) -> Operation:
    return Operation(
        name,
        method,
        path,
        "",
        body_bytes,
        has_model=has_model,
        is_model_optional=True,
        is_streamed=is_streamed,
        is_tree=True,
    )


def _chat(name: str, path: str, dialect: str, *, is_model_in_path: bool = False) -> Operation:
    return Operation(
        name, "POST", path, dialect, 32 * MIB, can_stream=True, is_chat=True, is_model_in_path=is_model_in_path
    )


CHAT = _chat("chat", "/v1/chat/completions", "openai.chat")
RESPONSES = _chat("responses", "/v1/responses", "openai.responses")
MESSAGES = _chat("messages", "/v1/messages", "anthropic.messages")
GENERATE = _chat("generate", "/v1beta/models/{model}:generateContent", "google.generate", is_model_in_path=True)
COUNT_TOKENS = Operation(
    "count_tokens",
    "POST",
    "/v1/messages/count_tokens",
    "",
    32 * MIB,
    errors="anthropic.messages",
)
GENERATE_COUNT = Operation(
    "generate.count_tokens",
    "POST",
    "/v1beta/models/{model}:countTokens",
    "",
    32 * MIB,
    is_model_in_path=True,
    errors="google.generate",
)
RESPONSES_COUNT = msgspec.structs.replace(
    COUNT_TOKENS, name="responses.input_tokens", path="/v1/responses/input_tokens", errors="openai.responses"
)
COUNTS = frozenset({COUNT_TOKENS, GENERATE_COUNT, RESPONSES_COUNT})
"""Operations that count the tokens of a chat request."""
COMPLETIONS = Operation("completions", "POST", "/v1/completions", "openai.completions", 8 * MIB, can_stream=True)
EMBEDDINGS = Operation("embeddings", "POST", "/v1/embeddings", "openai.embeddings", 16 * MIB)
EMBED_CONTENTS = Operation(
    "generate.embed",
    "POST",
    "/v1beta/models/{model}:batchEmbedContents",
    "google.embed",
    16 * MIB,
    is_model_in_path=True,
)
EMBED_CONTENT = msgspec.structs.replace(
    EMBED_CONTENTS, name="generate.embed_one", path="/v1beta/models/{model}:embedContent", dialect="google.embed_one"
)
EMBEDS = frozenset({EMBED_CONTENTS, EMBED_CONTENT})
"""Operations that any provider of `embeddings` can carry out, by translation."""
RERANK = Operation("rerank", "POST", "/v1/rerank", "cohere.rerank", 16 * MIB, aliases=("/v2/rerank",))
"""Cohere's own clients call version 2: https://docs.cohere.com/reference/rerank"""
IMAGES_GENERATE = Operation(
    "images.generate",
    "POST",
    "/v1/images/generations",
    "openai.images",
    16 * MIB,
    can_stream=True,
    is_model_optional=True,
)
IMAGES_EDIT = _form("images.edit", "/v1/images/edits", "openai.images", 256 * MIB)
IMAGES_VARIATIONS = _form("images.variations", "/v1/images/variations", "openai.images", 64 * MIB)
SPEECH = Operation("audio.speech", "POST", "/v1/audio/speech", "openai.speech", 8 * MIB)
TRANSCRIPTIONS = _form("audio.transcriptions", "/v1/audio/transcriptions", "openai.transcription", 128 * MIB)
TRANSLATIONS = _form("audio.translations", "/v1/audio/translations", "openai.transcription", 128 * MIB)
MODERATIONS = Operation(
    "moderations", "POST", "/v1/moderations", "openai.moderations", 32 * MIB, is_model_optional=True
)
FILES = _tree("files", "/v1/files", 520 * MIB, is_streamed=True)
UPLOADS = _tree("uploads", "/v1/uploads", 80 * MIB, is_streamed=True)
BATCHES = _tree("batches", "/v1/batches", MIB)
FINE_TUNING = _tree("fine_tuning.jobs", "/v1/fine_tuning/jobs", MIB, has_model=True)
MESSAGES_BATCHES = _tree("messages.batches", "/v1/messages/batches", 257 * MIB, is_streamed=True)
"""Anthropic's: a new one holds its requests. https://platform.claude.com/docs/en/build-with-claude/batch-processing"""
GENERATE_FILES = _tree("generate.files", "/v1beta/files", MIB)
"""Files of the Gemini API, https://ai.google.dev/api/files; what they hold comes by `GENERATE_UPLOADS`."""
GENERATE_UPLOADS = _tree("generate.uploads", "/upload", 2049 * MIB, is_streamed=True)
"""Uploads to the Gemini API, of files and into file search stores: one whole, or a session that takes it in pieces."""
GENERATE_BATCH = Operation(
    "generate.batch", "POST", "/v1beta/models/{model}:batchGenerateContent", "", 32 * MIB, is_model_in_path=True
)
"""A new batch of the Gemini API, of answers or of embeddings. https://ai.google.dev/gemini-api/docs/batch-api"""
GENERATE_BATCHES = _tree("generate.batches", "/v1beta/batches", MIB, method="GET, POST, PATCH, DELETE")
GENERATE_CACHES = msgspec.structs.replace(
    _tree("generate.caches", "/v1beta/cachedContents", 64 * MIB, has_model=True, method="GET, POST, PATCH, DELETE"),
    aliases=("/v1/cachedContents",),
    is_resource=True,
)
"""Cached contents of the Gemini API. https://ai.google.dev/api/caching"""
BY_GOOGLE = {FILES: GENERATE_FILES, BATCHES: GENERATE_BATCHES}
"""What clients of Google's mean by OpenAI's paths: google-genai calls `v1` where nobody says `v1beta`."""
REALTIME = Operation(
    "realtime", "GET", "/v1/realtime", "openai.realtime", 16 * MIB, is_model_optional=True, is_socket=True
)
VERTEX_LIVE = "/ws/google.cloud.aiplatform.{version}.LlmBidiService/BidiGenerateContent"
_LIVE = tuple(
    slash + path.format(version=version)
    for path, versions in (
        (
            "/ws/google.ai.generativelanguage.{version}.GenerativeService.BidiGenerateContent",
            ("v1beta", "v1alpha", "v1"),
        ),
        (VERTEX_LIVE, ("v1beta1", "v1")),
    )
    for slash in ("", "/")  # Google's clients put it below a base URL that ends in one
    for version in versions
)
GENERATE_LIVE = Operation(
    "generate.live",
    "GET",
    _LIVE[0],
    "google.live",
    16 * MIB,
    errors=GENERATE.dialect,
    aliases=_LIVE[1:],
    is_socket=True,
    is_model_in_message=True,
    is_resource=True,
)
"""Gemini's Live API, https://ai.google.dev/api/live, and where Vertex AI has it."""
MODELS = Operation("models", "GET, HEAD", "/v1/models", "", 64 * KIB, has_model=False)
GENERATE_MODELS = msgspec.structs.replace(MODELS, name="generate.models", path="/v1beta/models")
LISTINGS = (MODELS, GENERATE_MODELS)
"""Operations that list models; what stands below their paths is one model."""
PASSTHROUGH = Operation("passthrough", "*", "/v1/*", "", 64 * MIB, has_model=False)
ROOTS = ("/v1", "/v1beta", "/v1beta1")
"""Below these everything else is passed through: OpenAI's and Anthropic's version, Google's, Vertex AI's early one."""

OPERATIONS = (
    CHAT,
    RESPONSES,
    MESSAGES,
    GENERATE,
    COUNT_TOKENS,
    GENERATE_COUNT,
    RESPONSES_COUNT,
    COMPLETIONS,
    EMBEDDINGS,
    EMBED_CONTENTS,
    EMBED_CONTENT,
    RERANK,
    IMAGES_GENERATE,
    IMAGES_EDIT,
    IMAGES_VARIATIONS,
    SPEECH,
    TRANSCRIPTIONS,
    TRANSLATIONS,
    MODERATIONS,
    FILES,
    UPLOADS,
    BATCHES,
    FINE_TUNING,
    MESSAGES_BATCHES,
    GENERATE_FILES,
    GENERATE_UPLOADS,
    GENERATE_BATCH,
    GENERATE_BATCHES,
    GENERATE_CACHES,
    REALTIME,
    GENERATE_LIVE,
    MODELS,
    GENERATE_MODELS,
    PASSTHROUGH,
)
CHAT_OPERATIONS = frozenset({each.name for each in OPERATIONS if each.is_chat} | {"converse"})
"""Operations whose dialects can be translated into each other; some of them only providers speak."""

FIXED = {
    path: each
    for each in OPERATIONS
    if each is not PASSTHROUGH and not each.is_model_in_path
    for path in (each.path, *each.aliases)
}
"""Operations that stand at fixed paths, or above others, by each of these paths."""
SOCKETS = frozenset({path for path, each in FIXED.items() if each.is_socket})
"""Paths at which WebSockets are spoken."""
TREES = {f"{path}/": each for path, each in FIXED.items() if each.is_tree}
"""Operations that everything below a path belongs to, by how such paths begin."""
_GOOGLE = re.compile(
    r"(?:/v1beta/(?:models/)?|/v1/models/|/v1(?:beta1)?/(?=(?:projects|publishers)/))(.+):(\w+)", re.DOTALL
)
"""A model and what is asked of it. Clients leave `models` out where a name has a slash, as `tunedModels/x` has."""
_RESOURCE = re.compile(
    r"(?:projects/[^/]+/locations/[^/]+/)?(?:publishers/(?:google|([^/]+))/)?(?:models/)?(.+)", re.DOTALL
)
_METHODS = {
    "generateContent": GENERATE,
    "streamGenerateContent": GENERATE,
    "countTokens": GENERATE_COUNT,
    "embedContent": EMBED_CONTENT,
    "batchEmbedContents": EMBED_CONTENTS,
    "batchGenerateContent": GENERATE_BATCH,
    "asyncBatchEmbedContent": GENERATE_BATCH,
}
_OPERATION = "/operations/"
"""What follows a model's path in the name of a call that takes long: https://ai.google.dev/gemini-api/docs/video"""
_GOOGLE_CLIENT = (b"x-goog-api-key", b"x-goog-api-client")
_OF_GOOGLE = ("/v1beta", f"{GENERATE_UPLOADS.path}/")


def find_tree(path: str) -> Operation | None:
    """The operation that everything below a path like this one belongs to. `path` is decoded."""
    return next((each for start, each in TREES.items() if path.startswith(start)), None)


def find_listing(path: str) -> Operation | None:
    """The operation that a path of one model belongs to. `path` is decoded."""
    found = next((each for each in LISTINGS if path.startswith(each.path + "/")), None)
    return None if found is None or _OPERATION in path else found


class Named(msgspec.Struct, frozen=True):
    """What a path with a model in it says. https://ai.google.dev/api/generate-content"""

    operation: Operation
    model: str
    stream: bool


def find_named(path: str) -> Named | None:
    """What a path of the form `/v1beta/models/{model}:{method}` asks, or `/v1/…`; None for any other. `path` is decoded.

    The Vercel AI SDK asks `/v1beta/{model}:{method}` for models with a slash in their name. Clients of Vertex AI ask
    `/v1beta1/projects/{project}/locations/{location}/publishers/google/models/{model}:{method}`, of which the front may be
    missing: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference
    """
    found = _GOOGLE.fullmatch(path) if path.startswith("/v1") and ":" in path else None
    operation = _METHODS.get(found[2]) if found is not None else None
    if found is None or operation is None:
        return None
    return Named(operation, model_of(found[1]), found[2].startswith("stream"))


def model_of(resource: str) -> str:
    """A model's name in one of a resource: `models/m`, `projects/p/locations/l/publishers/google/models/m`.

    Another publisher than Google stays before it (`anthropic/m`), as google-genai writes `anthropic/m` as a resource.
    """
    found = _RESOURCE.fullmatch(resource)
    if found is None:
        return resource
    return f"{found[1]}/{found[2]}" if found[1] else found[2]


def client_dialect(path: str, headers: Mapping[bytes, bytes]) -> str:
    """Whose client asks, told by the path and what vendors' SDKs send: the dialect of its errors, empty for OpenAI's.

    https://platform.claude.com/docs/en/api/versioning has the header `anthropic-version`; google-genai sends
    `x-goog-api-client` with every request.
    """
    if path.startswith(_OF_GOOGLE):
        return GENERATE.dialect
    if path.startswith(MESSAGES.path + "/") or b"anthropic-version" in headers:
        return MESSAGES.dialect
    return GENERATE.dialect if any(name in headers for name in _GOOGLE_CLIENT) else ""


def named_below(prefix: str) -> str:
    """What there is below a path, as a message names it: `` `POST /v1/messages`, `POST /v1/messages/count_tokens` ``."""
    methods = [("POST", f"/v1beta/models/{{model}}:{method}") for method in _METHODS]
    paths = [(each.method, each.path) for each in OPERATIONS if not each.is_model_in_path]
    single = [(each.method, f"{each.path}/{{model}}") for each in LISTINGS]
    there = [f"`{method} {path}`" for method, path in (*paths, *single, *methods) if path.startswith(prefix)]
    return ", ".join(there)
