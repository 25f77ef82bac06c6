"""Fireworks: OpenAI's shape, rankings in that of a list, sound on hosts of its own, pictures, jobs and datasets below an account.

Sources: https://docs.fireworks.ai/api-reference/rerank-documents, https://docs.fireworks.ai/guides/querying-asr-models and, for
pictures, those of `pictures` and `fireworks_edits`
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import ClassVar

from msgspec.structs import replace
from typing_extensions import override

from headgate.caller import passed_path
from headgate.dialects import Dialect
from headgate.exchange import Exchange
from headgate.operations import IMAGES_EDIT, IMAGES_GENERATE, PASSTHROUGH
from headgate.provider import DeploymentConfig, operation_of
from headgate.relay import Decode
from headgate.upstream import Credential, Upstream, origin_of
from headgate_compatible.provider import VendorConfig
from headgate_compatible.vendors import fireworks_edits, pictures
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.awaited import Awaited
from headgate_compatible.vendors.batches import ACCOUNT_ENV, FireworksBatches
from headgate_compatible.vendors.datasets import FireworksFiles
from headgate_compatible.vendors.places import path_of
from headgate_compatible.vendors.rerank import ListedRerank
from headgate_compatible.vendors.reshaped import Reshaped, Shape
from headgate_compatible.vendors.tuning import FireworksTuning

SOUND, FAST_SOUND = "https://audio-prod.api.fireworks.ai/v1", "https://audio-turbo.api.fireworks.ai/v1"
"""Where models hear, and where those with `turbo` in their name do."""
_INFERENCE = "/inference/v1"
"""Where models answer; what is administered, jobs too, stands beside it in `/v1`."""
_TASKS: Mapping[str, str] = {IMAGES_EDIT.name: "", IMAGES_GENERATE.name: "/text_to_image"}
"""What stands behind the model in the address of a workflow."""
_DATASETS = re.compile(r"/v1/accounts/[^/]+/datasets(?=[/:]|$)")
"""What jobs read and write, all that is passed on of an account: https://docs.fireworks.ai/api-reference/upload-dataset-files"""


class FireworksConfig(VendorConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A deployment of Fireworks. `account_id` says whose files, batches and tuning jobs it has; else the environment does."""

    account_id: str = ""


class Fireworks(JsonForms, Reshaped):
    """Fireworks AI. A deployment with a `base_url` of its own has everything there."""

    own_dialects: ClassVar[Mapping[str, str]] = {
        "rerank": ListedRerank.name,
        "files": FireworksFiles.name,
        "batches": FireworksBatches.name,
        "fine_tuning.jobs": FireworksTuning.name,
    }
    codecs: ClassVar[Mapping[str, Dialect]] = {
        each.name: each for each in (ListedRerank(), FireworksFiles(), FireworksBatches(), FireworksTuning())
    }
    shapes: ClassVar[Mapping[str, Shape]] = {
        IMAGES_EDIT.name: Shape(fireworks_edits.encode, fireworks_edits.decode),
        IMAGES_GENERATE.name: Shape(pictures.encode_fireworks, pictures.decode_file),
    }
    forms: ClassVar[Mapping[str, Encode]] = {IMAGES_EDIT.name: fireworks_edits.encode_form}
    answers: ClassVar[Mapping[str, Decode]] = {IMAGES_EDIT.name: fireworks_edits.decode}
    own_config: ClassVar[type[VendorConfig]] = FireworksConfig

    def __init__(self, deployment: str, config: DeploymentConfig, upstream: Upstream) -> None:
        super().__init__(deployment, config, upstream)
        told = config.account_id if isinstance(config, FireworksConfig) else ""
        account = (told or os.environ.get(ACCOUNT_ENV, "")).removeprefix("accounts/").strip("/")
        kept = (FireworksFiles(account), FireworksBatches(account), FireworksTuning(account))
        self.codecs = {**type(self).codecs, **{each.name: each for each in kept}}  # pyright: ignore[reportAttributeAccessIssue] - this deployment's own

    @override
    def url_at(self, ex: Exchange, target: str) -> str:
        base = super().url_at(ex, "")
        return (base.removesuffix(_INFERENCE) + "/v1" if base.endswith(_INFERENCE) else base) + target

    @override
    def url_for(self, ex: Exchange) -> str:
        if ex.operation is PASSTHROUGH and _DATASETS.match(ex.path):
            return self.url_at(ex, passed_path(ex))
        task = _TASKS.get(operation_of(ex))
        if task is not None and ex.attempt is not None:
            return f"{super().url_for(ex)}/{path_of(ex.attempt.model)}{task}"
        host = self._host_of(ex)
        return host + self.paths[operation_of(ex)] if host else super().url_for(ex)

    @override
    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        headers = super().vendor_headers(ex)
        return {**headers, b"accept": b"image/png"} if operation_of(ex) == IMAGES_GENERATE.name else headers

    @override
    def engine_for(self, ex: Exchange) -> Upstream:
        return Awaited(self.upstream, fireworks_edits.JOBS) if operation_of(ex) == IMAGES_EDIT.name else self.upstream

    @override
    def credential(self, ex: Exchange) -> Credential | None:
        held, host = super().credential(ex), self._host_of(ex)
        return replace(held, origins=frozenset({origin_of(host)})) if held and host else held

    def _host_of(self, ex: Exchange) -> str:
        """The host of a call for sound; empty for any other."""
        if not operation_of(ex).startswith("audio.") or self.url != self.base_url or ex.base_url:
            return ""
        return FAST_SOUND if ex.attempt is not None and "turbo" in ex.attempt.model else SOUND
