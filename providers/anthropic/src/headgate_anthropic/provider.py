"""The Anthropic provider: Messages as the client wrote them, or translated into what the model takes."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, ClassVar

from typing_extensions import override

from headgate.chat import ChatRequest, File, Image
from headgate.dialects import Dialect, Gaps
from headgate.dialects.anthropic import policy as anthropic_policy
from headgate.dialects.anthropic.betas import with_betas
from headgate.dialects.jobs import Asked
from headgate.exchange import Exchange, RawHeaders, Reply
from headgate.operations import BATCHES, FILES, MESSAGES_BATCHES
from headgate.provider import DeploymentConfig, Provider, operation_of
from headgate.relay import retell
from headgate.upstream import Upstream
from headgate_anthropic.batches import RESULTS, AnthropicBatches, asks_for_results, with_results_here
from headgate_anthropic.files import AnthropicFiles
from headgate_anthropic.requests import with_params

VERSION = b"2023-06-01"
"""The API version of calls that name none, and of translated ones: the later 2026-10-21 takes no sampling parameters.
https://platform.claude.com/docs/en/api/versioning"""
_FILES = (FILES.name, AnthropicFiles.name)
_FILES_BETA = b"files-api-2025-04-14"
"""https://platform.claude.com/docs/en/build-with-claude/files"""


class Anthropic(Provider):
    """Anthropic, and whoever serves the Messages API at paths of the same names."""

    name = "anthropic"
    base_url = "https://api.anthropic.com/v1"
    key_env = "ANTHROPIC_API_KEY"
    docs = "https://platform.claude.com/docs/en/api/overview"
    evidence = "recorded"
    dialects: ClassVar[Mapping[str, str]] = {
        "messages": "anthropic.messages",
        "count_tokens": "",
        "files": AnthropicFiles.name,
        BATCHES.name: AnthropicBatches.name,
        MESSAGES_BATCHES.name: "",
        "passthrough": "",
    }
    codecs: ClassVar[Mapping[str, Dialect]] = {each.name: each for each in (AnthropicFiles(), AnthropicBatches())}
    paths: ClassVar[Mapping[str, str]] = {
        "messages": "/messages",
        "count_tokens": "/messages/count_tokens",
    }
    forwarded: ClassVar[tuple[str, ...]] = ("anthropic-beta",)
    key_header = "x-api-key"
    key_prefix = ""
    origins_of_thought = frozenset({"anthropic"})

    def __init__(self, deployment: str, config: DeploymentConfig, upstream: Upstream) -> None:
        super().__init__(deployment, config, upstream)
        batches = AnthropicBatches(self.account)
        self.codecs = {**type(self).codecs, batches.name: batches}  # pyright: ignore[reportAttributeAccessIssue] - this account's own

    @override
    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:
        """Files are told in OpenAI's shape, but to clients of Anthropic's; their content is the same for both, and the results
        of a batch are content for clients of OpenAI's.
        """
        if asks_for_results(ex):
            return BATCHES.name, AnthropicBatches.name
        found = super().spoken(ex, model)
        is_own = found == _FILES and (b"anthropic-version" in ex.headers or ex.path.endswith("/content"))
        return (FILES.name, "") if is_own else found

    @override
    def url_for(self, ex: Exchange) -> str:
        """Where the call goes; a client that asks for beta members by `?beta=true` keeps that."""
        url = super().url_for(ex)
        is_beta = not self.is_passed(ex) and not _is_translated(ex) and b"beta=true" in ex.query.split(b"&")
        return f"{url}?beta=true" if is_beta else url

    @override
    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        if ex.operation is MESSAGES_BATCHES and not ex.path.endswith(RESULTS):
            return self._call_batches(ex)
        return super().call(ex)

    async def _call_batches(self, ex: Exchange) -> Reply:
        """What is told of a batch says where its results are: here, since the client asks there with its gateway key."""

        def decode(headers: RawHeaders, body: bytes) -> Reply:
            return Reply(200, headers, with_results_here(ex, body))

        return await retell(ex, self.upstream, *await self.ready(ex), decode)

    @override
    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        """The API version, which every call must name: the client's own where its body goes out as it came.

        A body that is translated names the betas that blocks of its history need.
        """
        if not _is_translated(ex) and operation_of(ex) != BATCHES.name:
            version = {b"anthropic-version": ex.headers.get(b"anthropic-version") or VERSION}
            return {**version, b"anthropic-beta": _with_files(ex)} if ex.operation is FILES else version
        body = ex.attempt.body if ex.attempt is not None else None
        betas = with_betas(ex.headers.get(b"anthropic-beta", b""), body or b"")
        return {b"anthropic-version": VERSION, **({b"anthropic-beta": betas} if betas else {})}

    @override
    async def complete_asked(self, ex: Exchange, asked: Asked, gaps: Gaps) -> Asked:
        if operation_of(ex) != BATCHES.name or asked.action != "create" or ex.attempt is None:
            return asked
        return await with_params(asked, self, ex.attempt.target.deployment, self.policy(ex), gaps)

    @override
    def adapt(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        return anthropic_policy.adapt(request, gaps)

    @override
    def finish_body(self, body: bytes, request: ChatRequest, gaps: Gaps) -> bytes:
        return anthropic_policy.finish_body(body, request)

    @override
    def fetches(self, part: Image | File) -> bool:
        return anthropic_policy.fetches(part)


def _with_files(ex: Exchange) -> bytes:
    """The client's betas, and that of files where it names none."""
    named = ex.headers.get(b"anthropic-beta", b"")
    return named if b"files-api-" in named else b",".join(beta for beta in (named, _FILES_BETA) if beta)


def _is_translated(ex: Exchange) -> bool:
    """Whether the body is another than the client's dialect has."""
    spoken = ex.attempt.dialect if ex.attempt is not None else None
    return spoken is not None and ex.dialect is not None and spoken.name != ex.dialect.name
