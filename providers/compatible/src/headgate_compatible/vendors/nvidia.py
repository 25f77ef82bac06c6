"""NVIDIA: embeddings that must be told what a text is, rankings and pictures at addresses of their own, and what only servers of
one's own (NIMs) have.

Sources: https://docs.api.nvidia.com/nim/reference/nvidia-llama-3_2-nv-rerankqa-1b-v2-infer (hosted),
https://docs.nvidia.com/nim/nemo-retriever/text-reranking/latest/using-reranking.html (servers of one's own),
https://docs.api.nvidia.com/nim/reference/black-forest-labs-flux_1-dev-infer (pictures, hosted; a server of one's own makes them
as OpenAI does: https://docs.nvidia.com/nim/visual-genai/latest/index.html),
https://docs.nvidia.com/nim/large-language-models/2.1.4/reference/api-reference.html (Responses, Messages and counting: servers of
one's own) and, for their sound, those of `nvidia_sound` and `nvidia_sessions`
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote

from msgspec.structs import replace
from typing_extensions import override

from headgate.dialects import Dialect, Gaps
from headgate.errors import ProviderError
from headgate.exchange import Exchange, Reply
from headgate.opening import open_session
from headgate.operations import IMAGES_GENERATE, REALTIME, RERANK, SPEECH, TRANSCRIPTIONS
from headgate.provider import DeploymentConfig, operation_of
from headgate.relay import passed_headers, relayed_error
from headgate.upstream import Credential, Upstream, UpstreamRequest, origin_of
from headgate_compatible.vendors import nvidia_sessions, nvidia_sound, pictures
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.embeddings import NvidiaEmbeddings
from headgate_compatible.vendors.places import path_of
from headgate_compatible.vendors.ranking import NvidiaRerank
from headgate_compatible.vendors.reshaped import Reshaped, Shape

RETRIEVAL = "https://ai.api.nvidia.com/v1/retrieval"
PICTURES = "https://ai.api.nvidia.com/v1/genai"
_APART = frozenset({IMAGES_GENERATE.name, RERANK.name})
"""Operations on a host of their own, where NVIDIA runs the model."""
_HOSTED = frozenset({"chat", "completions", "embeddings", "rerank", "images.generate", "passthrough"})
"""Operations of what NVIDIA runs; others are of servers of one's own."""


class Nvidia(JsonForms, Reshaped):
    """NVIDIA's hosted models, and with a `base_url` a NIM of one's own, which has more operations."""

    own_dialects: ClassVar[Mapping[str, str]] = {"embeddings": NvidiaEmbeddings.name, "rerank": NvidiaRerank.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {
        NvidiaEmbeddings.name: NvidiaEmbeddings(),
        NvidiaRerank.name: NvidiaRerank(),
    }
    shapes: ClassVar[Mapping[str, Shape]] = {
        IMAGES_GENERATE.name: Shape(pictures.encode_nvidia, pictures.decode_nvidia)
    }

    forms: ClassVar[Mapping[str, Encode]] = {TRANSCRIPTIONS.name: nvidia_sound.to_transcribe}

    def __init__(self, deployment: str, config: DeploymentConfig, upstream: Upstream) -> None:
        super().__init__(deployment, config, upstream)
        if self.url == self.base_url:
            hosted = {name: dialect for name, dialect in self.dialects.items() if name in _HOSTED}
            self.dialects = hosted  # pyright: ignore[reportAttributeAccessIssue] - this deployment's own

    @override
    def socket_query(self, ex: Exchange) -> Mapping[str, str]:
        return nvidia_sessions.QUERY

    @override
    def session_writer(self, ex: Exchange) -> Callable[[bytes], Sequence[bytes]] | None:
        model = ex.attempt.model if ex.attempt is not None else ex.model
        return partial(nvidia_sessions.with_model, model=model)

    @override
    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        return self._call_session(ex) if operation_of(ex) == REALTIME.name else super().call(ex)

    async def _call_session(self, ex: Exchange) -> Reply:
        """Ask for the token of a session, and open it with that. An error of the first call is the answer."""
        asked = nvidia_sessions.asking(self.prepare(ex), self.url_at(ex, nvidia_sessions.PATH))
        secrets = self.secrets_of(ex)
        try:
            response = await self.upstream.send(asked)
            try:
                body = await response.read()
            finally:
                response.close()
            if response.status != 200:
                headers = passed_headers(response.headers, secrets)
                return relayed_error(ex, response.status, headers, body, secrets)
            token = nvidia_sessions.token_in(body)
        except ProviderError as error:
            error.blame(self.name, self.deployment)
            raise
        request = nvidia_sessions.with_token(self.prepare_socket(ex), token)
        origin = replace(self._origin, secrets=(*secrets, token.encode()) if token else secrets)
        return await open_session(ex, self.upstream, request, origin, self.authorize)

    @override
    def prepare(self, ex: Exchange) -> UpstreamRequest:
        request = super().prepare(ex)
        if operation_of(ex) != SPEECH.name:
            return request
        gaps = Gaps(self.name, self.policy(ex))
        request = nvidia_sound.as_form(request, gaps)
        ex.tell_dropped(gaps.dropped)
        return request

    @override
    def shape_of(self, ex: Exchange) -> Shape | None:
        return super().shape_of(ex) if self._is_hosted(ex) else None

    @override
    def url_for(self, ex: Exchange) -> str:
        operation = operation_of(ex)
        if ex.attempt is None or operation not in _APART or not self._is_hosted(ex):
            return super().url_for(ex)
        if operation == IMAGES_GENERATE.name:
            return f"{PICTURES}/{path_of(ex.attempt.model)}"
        return f"{RETRIEVAL}/{quote(ex.attempt.model.replace('.', '_'))}/reranking"

    @override
    def credential(self, ex: Exchange) -> Credential | None:
        held = super().credential(ex)
        is_apart = operation_of(ex) in _APART and self._is_hosted(ex)
        return replace(held, origins=frozenset({origin_of(RETRIEVAL)})) if held and is_apart else held

    def _is_hosted(self, ex: Exchange) -> bool:
        """Whether the call is for a model that NVIDIA hosts."""
        return self.url == self.base_url and not ex.base_url
