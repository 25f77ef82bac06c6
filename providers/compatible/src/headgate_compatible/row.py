"""What a row may say about a vendor, and what its quirks do to a request body.

The set of quirks is closed: a vendor that needs more gets a class beside its row, in `vendors/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from headgate.dialects import Gaps
from headgate.errors import InvalidRequest
from headgate_compatible.responses import ToolKind, Way
from headgate_compatible.turns import ASSISTANT, changed, with_known

Operation = Literal[
    "chat",
    "responses",
    "responses.input_tokens",
    "messages",
    "generate",
    "completions",
    "embeddings",
    "rerank",
    "count_tokens",
    "images.generate",
    "images.edit",
    "images.variations",
    "audio.speech",
    "audio.transcriptions",
    "audio.translations",
    "moderations",
    "files",
    "uploads",
    "batches",
    "fine_tuning.jobs",
    "realtime",
    "passthrough",
]
Evidence = Literal["recorded", "types", "documents"]
Media = Literal["image", "audio", "file", "video"]
OptionalField = Literal[
    "images",
    "metadata",
    "name",
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
    "store",
    "top_k",
    "user",
    "verbosity",
]
"""Fields that not every vendor has; `images` is that of an assistant's message."""

_members = msgspec.json.Decoder(dict[str, Raw])
_DEVELOPER = b'"developer"'
_SYSTEM = Raw(b'"system"')
_DEFAULTS: Mapping[str, Any] = {
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "n": 1,
    "parallel_tool_calls": True,
    "presence_penalty": 0,
    "service_tier": "auto",
    "tool_choice": "auto",
    "tools": [],
}
"""What OpenAI documents as the default of a field: sent or left out, it asks for nothing."""


class Quirks(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a server differs from OpenAI. What stands from `knows` to `flat` concerns translated requests alone.

    - `rename` maps request fields to the vendor's names, `refuse` names those it cannot honour, `drop` hints it answers
      with an error, `omit` values that go without saying; without `developer` that role is sent as `system`.
    - `turn` names what a turn of the assistant may hold beside its role and content, where any other member is an error.
    - `knows` names optional fields, `takes` media, `formats` those of answers beside text; `max_stop` counts stop sequences.
    - `efforts` are its words for `reasoning_effort` (none: it has no such field), `switch` is the field that turns thinking
      on and off (or, `reasoning/effort`, the one that holds the effort), `thoughts` the one in which earlier thinking goes back.
    - Without `fetches` pictures are sent by their bytes; with `flat` the texts of one message are one string. `sound` says how
      sound goes where it is not bare base64 in `input_audio`: in a part `audio_url`, or there behind `data:;base64,`.
    - With `system_first` instructions stand in one message, the first, as for every model of Qwen; the user says later ones.
    - `headers` go with every call. `paths` says where operations are (each leading `/..` leaves a last part of the base URL
      behind; the id of a file or a batch follows; a whole address is on another host of the vendor's), `models_path` where
      models are listed.
    - `only` names for a chat operation the words one of which a model's name must hold; for other models it is translated.
    - Without `keeps_responses` nothing can go on from a response by its id, and `store` is not sent. `responses_tools` names
      the kinds of tools beside functions that its Responses take; requests with others are translated into its chat, with
      `responses: chat` all of them, and those of Messages with `messages: chat`.
    """

    rename: dict[str, str] = {}
    refuse: list[str] = []
    drop: list[str] = []
    omit: dict[str, Any] = {}
    turn: list[str] = []
    developer: bool = False
    knows: list[OptionalField] = []
    efforts: list[str] = []
    switch: Literal["thinking", "enable_thinking", "chat_template_kwargs", "reasoning", "reasoning/effort", ""] = ""
    formats: tuple[Literal["json_object", "json_schema"], ...] = ("json_object", "json_schema")
    takes: tuple[Media, ...] = ("image",)
    max_stop: int | None = None
    thoughts: Literal["reasoning_content", "reasoning", "reasoning_details", ""] = "reasoning_content"
    fetches: bool = True
    sound: Literal["audio_url", "data_url", ""] = ""
    flat: bool = False
    system_first: bool = False
    headers: dict[str, str] = {}
    paths: dict[str, str] = {}
    models_path: str = "/models"
    only: dict[str, list[str]] = {}
    keeps_responses: bool = True
    responses_tools: list[ToolKind] = []
    responses: Way = "auto"
    messages: Literal["native", "chat"] = "native"

    def concerns(self, body: bytes) -> bool:
        """Whether a body has to be looked into at all."""
        if self.rename or self.refuse or self.drop or self.omit or (self.turn and ASSISTANT in body):
            return True
        return not self.developer and _DEVELOPER in body

    def apply(self, body: bytes, gaps: Gaps) -> bytes:
        """`body` as the vendor takes it; the very same bytes where no quirk concerns it.

        `gaps` is told of refused fields that ask for something, and of hints that are left out. Raises InvalidRequest
        where a renamed field meets one that already has the vendor's name.
        """
        members = _members.decode(body)
        before = dict(members)
        self._take_out(members, gaps)
        for field, name in self.rename.items():
            _keep_one(members, field, name)
        if not self.developer and _DEVELOPER in bytes(members.get("messages", b"")):
            members["messages"] = changed(members["messages"], _DEVELOPER, _as_system)
        if self.turn and ASSISTANT in bytes(members.get("messages", b"")):
            members["messages"] = with_known(members["messages"], self.turn, gaps)
        if members == before and self.rename.keys().isdisjoint(members):
            return body
        return msgspec.json.encode({self.rename.get(field, field): value for field, value in members.items()})

    def _take_out(self, members: dict[str, Raw], gaps: Gaps) -> None:
        """Take out what cannot be sent, in the order of the body."""
        for field in list(members):
            if field in self.refuse and _asks(field, members[field]):
                gaps.refuse(field)
                del members[field]
            elif field in self.drop:
                if msgspec.json.decode(members[field]) is not None:
                    gaps.skip(field)
                del members[field]
            elif field in self.omit and msgspec.json.decode(members[field]) == self.omit[field]:
                del members[field]


class Row(Quirks, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One vendor. `base_url` may hold `{placeholders}`; `vars_env` names the environment variables that fill them.

    `docs` is the page the facts come from, `evidence` what the tests rest on. `aliases` are names that Portkey has for the
    vendor. The key goes into `key_header` behind `key_prefix`. A `keyless` row is a server of one's own.
    """

    name: str
    base_url: str
    docs: str
    operations: list[Operation]
    key_env: str = ""
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    evidence: Evidence = "documents"
    aliases: list[str] = []
    keyless: bool = False
    vars_env: dict[str, str] = {}


def _asks(field: str, value: Raw) -> bool:
    decoded = msgspec.json.decode(value)
    return decoded is not None and (field not in _DEFAULTS or decoded != _DEFAULTS[field])


def _keep_one(members: dict[str, Raw], field: str, name: str) -> None:
    """Of a field and the vendor's name for it leave at most one: null says nothing, and the same twice is once."""
    if field not in members or name not in members:
        return
    mine, theirs = bytes(members[field]), bytes(members[name])
    if mine in {theirs, b"null"}:
        del members[field]
    elif theirs == b"null":
        del members[name]
    else:
        raise InvalidRequest(f"`{field}` is sent as `{name}` here and both are given: send one of them", param=field)


def _as_system(members: dict[str, Raw], _at: int) -> dict[str, Raw]:
    return {**members, "role": _SYSTEM}
