"""The provider behind every row: OpenAI's, with a base URL to fill in and the row's quirks applied."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal
from urllib.parse import quote

import msgspec
from msgspec import field, structs
from typing_extensions import override

from headgate.caller import above, passed_path
from headgate.chat import ChatRequest, File, Image
from headgate.dialects import Gaps
from headgate.errors import Problem, StartupError
from headgate.exchange import Exchange
from headgate.operations import CHAT, CHAT_OPERATIONS, GENERATE, MESSAGES, RESPONSES
from headgate.provider import DeploymentConfig, operation_of
from headgate.suggest import did_you_mean
from headgate.upstream import Credential, Upstream, origin_of
from headgate_compatible import policy
from headgate_compatible.responses import has_strange_tools
from headgate_compatible.row import Operation, Quirks, Row
from headgate_openai import OpenAI

Json = dict[str, Any]

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_SCHEME = re.compile(r"https?://")
_SHAPED = frozenset({"chat", "completions", "embeddings"})
"""Operations whose bodies are OpenAI's but for the quirks; those of others are the dialect's, or opaque."""
_ANTHROPIC = frozenset({"messages", "count_tokens"})
_CHOSEN = frozenset({MESSAGES.name, RESPONSES.name})
"""Operations that a deployment may have translated although the vendor has them."""
AS_IT_IS = frozenset({"anthropic.messages", "google.generate", "openai.responses"})
"""Dialects in which a vendor's differences from OpenAI's chat mean nothing: such a request is encoded as the client said it."""
_VERSION = b"2023-06-01"
"""The version of the Messages API for callers that name none: https://platform.claude.com/docs/en/api/versioning"""


DIALECTS: Mapping[str, str] = {
    **OpenAI.dialects,
    "images.variations": "openai.images",
    "messages": "anthropic.messages",
    GENERATE.name: GENERATE.dialect,
    "rerank": "cohere.rerank",
    "count_tokens": "",
}
"""Every operation a row may list, and its dialect."""
_USUAL: tuple[Operation, ...] = ("chat", "completions", "embeddings", "passthrough")


class VendorConfig(DeploymentConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A deployment of a row. `vars` fills the placeholders of its base URL.

    `responses` says how clients of Responses are served where the vendor has that API too: by it (`native`), by translation
    into its chat (`chat`), or by it unless a request has tools that it is not known to take (`auto`); `messages` likewise. Empty
    is as the row says: `auto` and `native` for most.
    """

    vars: dict[str, str] = field(default_factory=dict[str, str])
    responses: Literal["auto", "native", "chat", ""] = ""
    messages: Literal["native", "chat", ""] = ""


class CompatibleConfig(VendorConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A deployment of a server no row describes: `row` says how it differs from OpenAI, `operations` what it has.

    A client that speaks a chat dialect the server has not is translated into one it has.
    """

    row: Quirks = Quirks()
    operations: list[Operation] = field(default_factory=lambda: list(_USUAL))


class Compatible(OpenAI):
    """An OpenAI-compatible server. Used by its own name it takes `base_url` and `row` from the configuration.

    A missing base URL or placeholder is a StartupError that names it. A vendor with a class of its own overrides `think`
    and `finish`, which concern translated requests.
    """

    name = "compatible"
    base_url = ""
    key_env = ""
    docs = ""
    evidence = "documents"
    tier: ClassVar[Literal["row", "dialect", "native"]] = "row"
    dialects: ClassVar[Mapping[str, str]] = {name: DIALECTS[name] for name in _USUAL}
    paths: ClassVar[Mapping[str, str]] = {
        **OpenAI.paths,
        "images.variations": "/images/variations",
        "messages": "/messages",
        GENERATE.name: "/models",
        "rerank": "/rerank",
        "count_tokens": "/messages/count_tokens",
    }
    forwarded = ("idempotency-key",)
    own_dialects: ClassVar[Mapping[str, str]] = {}
    """Operations that this vendor has in a dialect of its own, which then stands in `codecs`."""
    origins_of_thought: ClassVar[frozenset[str]] = frozenset()
    Config = CompatibleConfig
    takes_custom_tools = False
    own_config: ClassVar[type[VendorConfig]] = VendorConfig
    """What a deployment of this vendor's row may say."""
    row: ClassVar[Row | None] = None

    def __init__(self, deployment: str, config: DeploymentConfig, upstream: Upstream) -> None:
        base, problems = self._filled(config)
        try:
            super().__init__(deployment, structs.replace(config, base_url=base), upstream)
        except StartupError as error:
            problems += error.problems
        if problems:
            raise StartupError(problems)
        self.quirks: Quirks = self.row or Quirks()
        if isinstance(config, CompatibleConfig):
            self.quirks = config.row
            self.dialects = {name: DIALECTS[name] for name in config.operations}  # pyright: ignore[reportAttributeAccessIssue] - this deployment's own
        if not self.quirks.keeps_responses:
            self.keeps_responses = False  # pyright: ignore[reportAttributeAccessIssue] - as above
            self.left_out = {**self.left_out, "responses": ("store",)}
        said = config if isinstance(config, VendorConfig) else VendorConfig(provider=self.name)
        self._ways: Mapping[str, str] = {
            RESPONSES.name: said.responses or self.quirks.responses,
            MESSAGES.name: said.messages or self.quirks.messages,
        }
        self._vendor_headers = {name.lower().encode(): value.encode() for name, value in self.quirks.headers.items()}

    @override
    @classmethod
    def from_environment(cls) -> Mapping[str, Any] | None:
        if cls.row is None or not all(os.environ.get(variable) for variable in cls.row.vars_env.values()):
            return None
        return super().from_environment()

    @override
    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:
        if self._has(ex.operation.name, model) and not (ex.operation.name in _CHOSEN and self._is_by_chat(ex)):
            return super().spoken(ex, model)
        others = (name for name in self.dialects if name in CHAT_OPERATIONS and name != ex.operation.name)
        chats = (name for name in others if self._has(name, model))
        return next(((name, self.dialects[name]) for name in chats), None)

    def _is_by_chat(self, ex: Exchange) -> bool:
        """Whether a request for Responses or Messages is better translated, though the vendor may have that API."""
        if CHAT.name not in self.dialects or ex.operation.name not in self.dialects:
            return False
        way = self._ways[ex.operation.name]
        return way == "chat" or (way == "auto" and has_strange_tools(ex.source, self.quirks.responses_tools))

    def _has(self, operation: str, model: str) -> bool:
        """Whether this model is there for an operation that not every model has."""
        words = self.quirks.only.get(operation)
        return not words or any(word in model.lower() for word in words)

    # what is sent

    def elsewhere(self, ex: Exchange) -> str:
        """The whole address of an operation that the vendor has on another host; empty for one below the base URL.

        Only for the vendor itself: a base URL of somebody else's has everything below it.
        """
        if self.row is None or ex.base_url or self.url != self.base_url:
            return ""
        path = self.row.paths.get(operation_of(ex), "")
        return path if _SCHEME.match(path) else ""

    @override
    def credential(self, ex: Exchange) -> Credential | None:
        held, there = super().credential(ex), self.elsewhere(ex)
        return structs.replace(held, origins=frozenset({origin_of(there)})) if held is not None and there else held

    @override
    def url_for(self, ex: Exchange) -> str:
        url = self.elsewhere(ex) or self._url_below(ex)
        return url + _method_of(ex) if operation_of(ex) == GENERATE.name else url

    def _url_below(self, ex: Exchange) -> str:
        """The address of an operation below the base URL, or beside it."""
        url = super().url_for(ex)
        operation = operation_of(ex)
        if operation in self.quirks.paths and not _SCHEME.match(self.quirks.paths[operation]):
            usual = self.paths.get(operation) or passed_path(ex)
            rest = "" if operation in self.paths else usual.removeprefix("/" + operation.replace(".", "/"))
            return _beside(url.removesuffix(usual), self.quirks.paths[operation]) + rest
        if operation == "passthrough" and re.match(r"/v1/models(?=/|$)", ex.path) and not ex.base_url:
            return self.url + self.quirks.models_path + url[len(self.url) + len("/models") :]
        return url

    def engine_for(self, ex: Exchange) -> Upstream:  # noqa: ARG002 - for vendors that differ by operation
        """What sends a call whose answer is told in other words."""
        return self.upstream

    @override
    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        if operation_of(ex) not in _ANTHROPIC:
            return self._vendor_headers
        asked = {name: ex.headers[name] for name in (b"anthropic-version", b"anthropic-beta") if name in ex.headers}
        return {b"anthropic-version": _VERSION, **asked, **self._vendor_headers}

    @override
    def body_for(self, ex: Exchange) -> bytes:
        body = super().body_for(ex)
        if operation_of(ex) not in _SHAPED or not self.quirks.concerns(body):
            return body
        gaps = Gaps(self.name, self.policy(ex))
        body = self.quirks.apply(body, gaps)
        ex.tell_dropped(gaps.dropped)
        return body

    # translated requests

    @override
    def adapt(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        if gaps.dialect in AS_IT_IS:
            return request
        return self.think(policy.adapt(request, self.quirks, gaps), gaps)

    def think(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        """The request with its wishes about thinking as this model takes them."""
        quirks = self.quirks
        thinking = policy.think(request.thinking, quirks.efforts, gaps, quirks.switch)
        return structs.replace(request, thinking=thinking)

    @override
    def finish_body(self, body: bytes, request: ChatRequest, gaps: Gaps) -> bytes:
        if gaps.dialect in AS_IT_IS:
            return body
        thoughts = self.quirks.thoughts
        is_renamed = thoughts not in {"", "reasoning_content"} and b'"reasoning_content"' in body
        has_sound = bool(self.quirks.sound) and b'"input_audio"' in body
        if request.thinking is None and not (is_renamed or has_sound) and type(self).finish is Compatible.finish:
            return body
        members: Json = msgspec.json.decode(body)
        policy.say_thinking(members, request.thinking, self.quirks.switch)
        if "thinking_budget" in members or "thinking_budget" in members.get("chat_template_kwargs", {}):
            gaps.keep("thinking.budget_tokens")
        if has_sound:
            policy.say_sound(members, self.quirks.sound)
        for message in members["messages"] if is_renamed else ():
            if "reasoning_content" in message:
                message["reasoning"] = message.pop("reasoning_content")
        self.finish(members, request, gaps)
        return msgspec.json.encode(members)

    def finish(self, body: Json, request: ChatRequest, gaps: Gaps) -> None:
        """Put into an encoded request what only this vendor has. The default changes nothing."""

    @override
    def fetches(self, part: Image | File) -> bool:
        return self.quirks.fetches

    def _filled(self, config: DeploymentConfig) -> tuple[str, list[Problem]]:
        """The base URL with its placeholders filled, and what stands in the way of it."""
        template = config.base_url or self.base_url
        if not template:
            return "", [Problem("`base_url` is missing: set it to the server's address, up to and with `/v1`")]
        given = config.vars if isinstance(config, VendorConfig) else {}
        names = _PLACEHOLDER.findall(template)
        problems = [
            Problem(f"`vars.{name}` is no placeholder of `{template}`{did_you_mean(name, names)}")
            for name in given
            if name not in names
        ]
        variables = self.row.vars_env if self.row else {}
        for name in names:
            variable = variables.get(name, "")
            value = given.get(name) or os.environ.get(variable, "")
            if not value:
                hint = f", or the environment variable `{variable}`" if variable else ""
                problems.append(Problem(f"`vars.{name}` is missing: set it{hint}"))
            template = template.replace(f"{{{name}}}", _bare(value) or "missing")
        return template, problems


def _method_of(ex: Exchange) -> str:
    """The model and the method of a call in Google's words: https://ai.google.dev/api/generate-content"""
    model = quote(ex.attempt.model if ex.attempt is not None else ex.model, safe="")
    return f"/{model}:streamGenerateContent?alt=sse" if ex.stream else f"/{model}:generateContent"


def _bare(value: str) -> str:
    """A value for a placeholder: hosts are often given with their scheme and a trailing slash."""
    return _SCHEME.sub("", value, count=1).rstrip("/")


def _beside(base: str, path: str) -> str:
    """`base` and `path`; each leading `/..` of the path leaves a last part of the base behind, if it has one."""
    below = path
    while below.startswith("/.."):
        below = below.removeprefix("/..")
    return above(base, (len(path) - len(below)) // len("/..")) + below
