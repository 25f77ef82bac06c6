"""BytePlus: embeddings at an address of their own, one text a call, no forms for pictures (see `edits`), and jobs elsewhere.

Sources: https://docs.byteplus.com/en/docs/ModelArk/1523520: its models embed texts, pictures and videos, and what one call holds
is one vector; `/embeddings` beside it answers 404, as those who asked it report. Batches and tuning are jobs of the control
plane, `ark.{region}.byteplusapi.com`, whose calls are signed with access keys: https://docs.byteplus.com/en/docs/ModelArk/1298459.
Regions end in a number there (`eu-west-1`), and in base URLs they do not (`ark.eu-west.bytepluses.com`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import ClassVar
from urllib.parse import urlsplit

from msgspec.structs import replace
from typing_extensions import override

from headgate.dialects import Dialect
from headgate.errors import InvalidRequest, Problem, ProviderFailed, StartupError
from headgate.exchange import Exchange
from headgate.operations import BATCHES, EMBEDDINGS, FINE_TUNING, IMAGES_EDIT
from headgate.provider import DeploymentConfig, operation_of
from headgate.relay import Secrets
from headgate.secret import Secret
from headgate.upstream import Credential, Tls, Upstream, UpstreamRequest, origin_of
from headgate_compatible.provider import VendorConfig
from headgate_compatible.vendors import edits
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.byteplus_jobs import ArkBatches, ArkTuning, Settings, is_place
from headgate_compatible.vendors.byteplus_signature import AccessKey, sign
from headgate_compatible.vendors.embeddings import BytePlusEmbeddings
from headgate_compatible.vendors.fanned import Fanned
from headgate_compatible.vendors.reshaped import Reshaped, Shape

_SIGNED = frozenset({BATCHES.name, FINE_TUNING.name})
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d+")
_HOST = re.compile(r"ark\.([a-z]{2,4}(?:-[a-z]+)+)(-\d+)?\.bytepluses\.com")


class BytePlusConfig(VendorConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A deployment of BytePlus. Calls for `batches` and `fine_tuning.jobs` are signed with `access_key_id` and its secret, and go
    to the vendor's control plane of `region`, without the deployment's own `headers` and `tls`; empty is the region of
    `base_url` where that is the vendor's. `jobs` says where their results go and whose they are.
    """

    access_key_id: str = ""
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    region: str = ""
    jobs: Settings = Settings()


class BytePlus(Fanned, JsonForms, Reshaped):
    """BytePlus ModelArk, and the jobs of its control plane."""

    own_config: ClassVar[type[VendorConfig]] = BytePlusConfig
    own_dialects: ClassVar[Mapping[str, str]] = {
        EMBEDDINGS.name: BytePlusEmbeddings.name,
        BATCHES.name: ArkBatches.name,
        FINE_TUNING.name: ArkTuning.name,
    }
    codecs: ClassVar[Mapping[str, Dialect]] = {
        BytePlusEmbeddings.name: BytePlusEmbeddings(),
        ArkBatches.name: ArkBatches(),
        ArkTuning.name: ArkTuning(),
    }
    forms: ClassVar[Mapping[str, Encode]] = {IMAGES_EDIT.name: partial(edits.from_form, words=edits.BYTEPLUS)}
    shapes: ClassVar[Mapping[str, Shape]] = {IMAGES_EDIT.name: edits.in_json(edits.BYTEPLUS)}

    def __init__(self, deployment: str, config: DeploymentConfig, upstream: Upstream) -> None:
        super().__init__(deployment, config, upstream)
        settings = config if isinstance(config, BytePlusConfig) else BytePlusConfig(provider=self.name)
        region = settings.region or _region_in(self.url)
        problems = [Problem(told) for told in _problems_of(settings, region)]
        if problems:
            raise StartupError(problems)
        self._access = _access_of(settings, region)
        self._control = f"https://ark.{region}.byteplusapi.com"
        self.codecs = {  # pyright: ignore[reportAttributeAccessIssue] - this deployment's own
            **type(self).codecs,
            ArkBatches.name: ArkBatches(settings.jobs),
            ArkTuning.name: ArkTuning(settings.jobs),
        }

    @override
    def prepare(self, ex: Exchange) -> UpstreamRequest:
        request = super().prepare(ex)
        return replace(request, tls=Tls()) if self._is_apart(ex) else request

    @override
    def headers_for(self, ex: Exchange) -> dict[bytes, bytes]:
        """The deployment's own headers may hold secrets, which are for its base URL."""
        own = self._own_headers if self._is_apart(ex) else {}
        return {name: value for name, value in super().headers_for(ex).items() if name not in own}

    def _is_apart(self, ex: Exchange) -> bool:
        """Whether a call goes to the control plane, which is not where the deployment's base URL is."""
        return operation_of(ex) in _SIGNED and origin_of(self._control) not in self.origins

    @override
    def url_at(self, ex: Exchange, target: str) -> str:
        """A call for a job, at the control plane of the region. Raises InvalidRequest where another base URL is asked for."""
        if ex.base_url:
            raise InvalidRequest(
                "jobs of BytePlus are signed for its own control plane, not for another base URL",
                code="unsupported_operation",
            )
        return self._control + target

    @override
    def credential(self, ex: Exchange) -> Credential | None:
        """The control plane takes no API key, and nobody's else is answered with the deployment's signature."""
        held, operation = super().credential(ex), operation_of(ex)
        if operation not in _SIGNED:
            return held
        target = ex.attempt.target if ex.attempt is not None else None
        is_own = ex.principal is not None and ex.principal.credential is not None
        if is_own or (target is not None and target.credential is not None):
            raise InvalidRequest(
                f"`{operation}` at BytePlus is signed, so it cannot be asked for with a key of the caller's own",
                code="unsupported_operation",
            )
        if self._access is None:
            raise InvalidRequest(
                f"`{operation}` at BytePlus takes no API key: set `access_key_id` and `secret_access_key`",
                code="unsupported_operation",
            )
        return None

    @override
    def secrets_of(self, ex: Exchange) -> Secrets:
        known = (self._access.secret, self._access.token) if self._access is not None else ()
        return (*super().secrets_of(ex), *(secret.reveal_bytes() for secret in known if secret is not None))

    @override
    async def authorize(self, request: UpstreamRequest) -> UpstreamRequest:
        """A call for a job signed, at the deployment's own control plane alone; others go as they are."""
        if self._access is None or request.credential is not None:
            return request
        if origin_of(request.url) != origin_of(self._control):
            raise ProviderFailed("the deployment's access key is not bound to this origin", code="upstream_denied")
        now = datetime.now(UTC)
        headers = sign(request.method, request.url, request.headers, request.body, self._access, now)
        return replace(request, headers=headers)


def _region_in(url: str) -> str:
    """The region that the vendor's own base URL names; empty for one of somebody else's."""
    found = _HOST.fullmatch(urlsplit(url).hostname or "")
    return found[1] + (found[2] or "-1") if found else ""


def _problems_of(settings: BytePlusConfig, region: str) -> Iterator[str]:
    """What of the settings for jobs cannot work."""
    if bool(settings.access_key_id) != (settings.secret_access_key is not None):
        yield "`access_key_id` and `secret_access_key` must be set together"
    elif settings.secret_access_key is None and settings.session_token is not None:
        yield "`session_token` needs `access_key_id` and `secret_access_key`"
    if region and not _REGION.fullmatch(region):
        yield f"`region` `{region}` is no region of BytePlus such as `ap-southeast-1`"
    elif settings.access_key_id and not region:
        yield (
            "`region` is missing: jobs go to the vendor's control plane, and `base_url` does not say which;"
            " set it, for example to `ap-southeast-1`"
        )
    if settings.jobs.output and not is_place(settings.jobs.output):
        yield "`jobs.output` must be a folder in TOS, such as `tos://bucket/results/`"


def _access_of(settings: BytePlusConfig, region: str) -> AccessKey | None:
    """The key that signs; None where there is none."""
    secret = settings.secret_access_key
    return None if secret is None else AccessKey(settings.access_key_id, secret, region, settings.session_token)
