"""OCI Generative AI as a provider: where each operation is, and what proves who calls.

Sources: https://docs.oracle.com/en-us/iaas/Content/generative-ai/openai-compatible-api.htm and, for signatures in the place of a
key there, https://docs.oracle.com/en-us/iaas/Content/generative-ai/oci-genai-auth.htm and the packages `oci-genai-auth` and
`oci-openai`. The API of its own is https://docs.oracle.com/en-us/iaas/api/#/en/generative-ai-inference/20231130/, its types are
those of `oci` 2.189.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar

from msgspec.structs import replace
from typing_extensions import override

from headgate.dialects import Dialect, Gaps
from headgate.errors import BodyTooLarge, InvalidRequest, Problem, ProviderFailed, StartupError
from headgate.exchange import Exchange, Reply
from headgate.operations import EMBEDDINGS, MODERATIONS, RERANK
from headgate.provider import DeploymentConfig, operation_of
from headgate.relay import retell
from headgate.secret import Secret
from headgate.upload import Upload
from headgate.upstream import Credential, Upstream, UpstreamRequest, UpstreamResponse, origin_of
from headgate.upstream.fanout import Fanout
from headgate_compatible import Compatible, Row
from headgate_compatible.provider import DIALECTS, VendorConfig
from headgate_oracle import moderations
from headgate_oracle.signature import Named, Signer, read_profile, signer_of
from headgate_oracle.texts import OracleEmbeddings, OracleRerank

_ACTIONS = "/../../20231130/actions"
"""Where the API of its own is, from that of OpenAI's."""
NATIVE = frozenset({EMBEDDINGS.name, RERANK.name, MODERATIONS.name})
"""Operations of that, which takes signatures alone."""
MOST_BYTES = 32 * 1024 * 1024
"""How large an upload may be that is signed, for which it must be here whole."""

ROW = Row(
    name="oracle",
    base_url="https://inference.generativeai.{region}.oci.oraclecloud.com/openai/v1",
    key_env="OCI_GENAI_API_KEY",
    docs="https://docs.oracle.com/en-us/iaas/Content/generative-ai/openai-compatible-api.htm",
    # responses: https://docs.oracle.com/en-us/iaas/Content/generative-ai/responses-api.htm
    # files: https://docs.oracle.com/en-us/iaas/Content/generative-ai/files.htm
    # speech: https://docs.oracle.com/en-us/iaas/Content/generative-ai/xai-grok-tts.htm
    # all want a project, `headers: {openai-project: OCID}`: https://docs.oracle.com/en-us/iaas/Content/generative-ai/use-project.htm
    operations=[
        *("chat", "responses", "embeddings", "rerank", "audio.speech", "moderations", "files", "passthrough"),
    ],
    # OpenAI's format (https://docs.oracle.com/en-us/iaas/Content/generative-ai/chat-completions-api.htm) with the words of
    # https://docs.oracle.com/en-us/iaas/tools/java/3.72.0/com/oracle/bmc/generativeaiinference/model/GenericChatRequest.html
    efforts=["minimal", "low", "medium", "high"],
    rename={"max_completion_tokens": "max_tokens"},
    paths={
        EMBEDDINGS.name: f"{_ACTIONS}/embedText",
        RERANK.name: f"{_ACTIONS}/rerankText",
        MODERATIONS.name: f"{_ACTIONS}/applyGuardrails",
    },
    # https://docs.oracle.com/en-us/iaas/Content/generative-ai/agentic-regions.htm
    only={"responses": ["google.", "openai.", "xai."]},
    vars_env={"region": "OCI_REGION"},
)
_OWN: Mapping[str, str] = {EMBEDDINGS.name: OracleEmbeddings.name, RERANK.name: OracleRerank.name}


class OracleConfig(VendorConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A deployment of OCI Generative AI.

    `api_key` is one of its own. Calls without one, and those to the API that takes none, are signed with the key of a `profile`
    of OCI's `config_file`, or that of `tenancy`, `user`, `fingerprint` and `key_file`, opened by `pass_phrase`; they count on
    `compartment_id`.
    """

    config_file: str = ""
    profile: str = ""
    tenancy: str = ""
    user: str = ""
    fingerprint: str = ""
    key_file: str = ""
    pass_phrase: Secret | None = None
    compartment_id: str = ""


class Oracle(Compatible):
    """OCI Generative AI: its OpenAI-compatible API with a key or signed, its own signed."""

    name = ROW.name
    base_url = ROW.base_url
    key_env = ROW.key_env
    docs = ROW.docs
    evidence = "documents"
    tier = "dialect"
    auth: ClassVar[tuple[str, ...]] = ("key", "signing key")
    dialects: ClassVar[Mapping[str, str]] = {each: {**DIALECTS, **_OWN}[each] for each in ROW.operations}
    codecs: ClassVar[Mapping[str, Dialect]] = {
        OracleEmbeddings.name: OracleEmbeddings(),
        OracleRerank.name: OracleRerank(),
    }
    Config = OracleConfig
    row = ROW

    def __init__(self, deployment: str, config: DeploymentConfig, upstream: Upstream) -> None:
        settings = config if isinstance(config, OracleConfig) else OracleConfig(provider=self.name)
        named = _named(settings)
        profile = read_profile(named)
        region = settings.vars.get("region") or profile.get("region", "")
        filled = {**settings.vars, "region": region} if region and not settings.base_url else settings.vars
        super().__init__(deployment, replace(settings, vars=filled), upstream)
        self.config = config  # as it was written, which is how a reload tells whether it has changed
        self._signer: Signer | None = signer_of(named, profile) if named.is_given else None
        if self._signer is not None and not settings.compartment_id:
            raise StartupError(
                [Problem("`compartment_id` is missing: set it to the OCID of who pays for what is signed")]
            )
        self._compartment = settings.compartment_id
        self.codecs = {  # pyright: ignore[reportAttributeAccessIssue] - this deployment's own
            OracleEmbeddings.name: OracleEmbeddings(self._compartment),
            OracleRerank.name: OracleRerank(self._compartment),
        }

    @override
    def requires_key(self) -> bool:
        return not (isinstance(self.config, OracleConfig) and _named(self.config).is_given)

    @override
    def credential(self, ex: Exchange) -> Credential | None:
        """No key goes to the API of its own, and nobody's else is answered with the deployment's signature."""
        held, operation = super().credential(ex), operation_of(ex)
        if operation not in NATIVE:
            return held
        if _is_callers(ex):
            raise InvalidRequest(
                f"`{operation}` at Oracle is signed, so it cannot be asked for with a key of the caller's own",
                code="unsupported_operation",
            )
        if self._signer is None:
            raise InvalidRequest(
                f"`{operation}` at Oracle takes no API key: set `profile`, or `tenancy`, `user` and so on, and `compartment_id`",
                code="unsupported_operation",
            )
        return None

    @override
    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        """Signed calls of the OpenAI-compatible API say in a header who pays, others have it in their bodies, or a key."""
        headers = super().vendor_headers(ex)
        if (
            self._signer is None
            or not self._compartment
            or operation_of(ex) in NATIVE
            or self.credential(ex) is not None
        ):
            return headers
        compartment = self._compartment.encode()
        return {**headers, b"compartmentid": compartment, b"opc-compartment-id": compartment}

    @override
    async def authorize(self, request: UpstreamRequest) -> UpstreamRequest:
        """`request` signed, unless a key goes along with it. A signature is for the deployment's own origin alone."""
        signer = self._signer
        if request.credential is not None or signer is None:
            return request
        if origin_of(request.url) not in self.origins:
            raise ProviderFailed("the deployment's signing key is not bound to this origin", code="upstream_denied")
        if request.pieces is not None:
            whole = b"".join([piece async for piece in request.pieces.source])
            request = replace(request, body=whole, pieces=None)
        now = datetime.now(UTC)
        signed = await asyncio.to_thread(signer.sign, request.method, request.url, request.headers, request.body, now)
        return replace(request, headers=signed)

    @override
    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        if ex.operation is MODERATIONS:
            return self._judge(ex)
        if ex.upload is not None and self._signer is not None and self.credential(ex) is None:
            return self._held(ex, ex.upload)
        return super().call(ex)

    async def _held(self, ex: Exchange, upload: Upload) -> Reply:
        """A call whose body comes in pieces, which is read whole since its digest is signed. Raises BodyTooLarge."""
        if upload.length is not None and upload.length > MOST_BYTES:
            raise BodyTooLarge(
                f"an upload that is signed can have {MOST_BYTES} bytes at most: use a deployment with a key"
            )
        await upload.read(MOST_BYTES)
        return await super().call(ex)

    async def _judge(self, ex: Exchange) -> Reply:
        """Have each text judged, which is a call of its own."""
        attempt = ex.attempt
        if attempt is None:
            raise InvalidRequest("there is nothing to be judged", param="input")
        gaps = Gaps(self.name, self.policy(ex))
        asked = ex.body_for(attempt.model, attempt.target.override_params)
        attempt.body = moderations.encode(asked, self._compartment, gaps)
        ex.tell_dropped(gaps.dropped)
        decode = partial(moderations.decode, model=attempt.model, sent=attempt.body)
        engine = Fanout(self._sent, self.upstream.close)
        return await retell(ex, engine, self.prepare(ex), self._origin, decode)

    async def _sent(self, request: UpstreamRequest) -> UpstreamResponse:
        return await self.upstream.send(await self.authorize(request))


def _named(config: OracleConfig) -> Named:
    """What a deployment says of the key that signs."""
    return Named(
        config.config_file,
        config.profile,
        config.tenancy,
        config.user,
        config.fingerprint,
        config.key_file,
        config.pass_phrase,
    )


def _is_callers(ex: Exchange) -> bool:
    """Whether a call goes with a key that is not the deployment's."""
    target = ex.attempt.target if ex.attempt is not None else None
    is_own = ex.principal is not None and ex.principal.credential is not None
    return is_own or (target is not None and target.credential is not None)
