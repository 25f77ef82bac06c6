"""Files of OpenAI's clients at Fireworks: datasets, made by one call, filled by a second, and read at signed addresses.

Sources: https://docs.fireworks.ai/fine-tuning/fine-tuning-via-api, https://docs.fireworks.ai/api-reference/upload-dataset-files,
https://docs.fireworks.ai/api-reference/get-dataset-download-endpoint, https://docs.fireworks.ai/guides/batch-inference, and the
types of https://github.com/fw-ai-external/python-sdk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

from typing_extensions import override

from headgate.dialects import Gaps
from headgate.dialects.files import FILE, FILE_ACTIONS, FileDialect, file_object, purpose_of
from headgate.dialects.jobs import Action, Asked, VendorCall, as_object, seconds_of
from headgate.dialects.openai.members import Json, Members
from headgate.errors import InvalidRequest, ProviderFailed
from headgate_compatible.vendors.batches import FireworksKept

_PURPOSES = ("batch", "fine-tune")
_STATUS = {"UPLOADING": "uploaded", "READY": "processed"}
_ERRORS = "error-data"
"""The file of failed requests beside the results of a batch, as those who download both call it."""
_NAME_LENGTH = 63


class FireworksFiles(FireworksKept, FileDialect):
    """Datasets of Fireworks. Clients name them, so the id of one that is uploaded here begins with its purpose.

    The vendor refuses one of which it is not told how many lines it will have, and holds nobody to it: that is not on its pages,
    but reported by those who call it. A client may say it in `exampleCount`.
    """

    name = "fireworks.files"
    kind = "datasets"
    fields: ClassVar[tuple[str, ...]] = ("exampleCount",)
    most_bytes: ClassVar[int | None] = 150 * 1024 * 1024
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {
        **FILE_ACTIONS,
        "content": ("GET", "/{id}:getDownloadEndpoint"),
    }

    @override
    def encode_new(self, asked: Members, fresh: str, gaps: Gaps) -> VendorCall:
        purpose = purpose_of(asked, _PURPOSES, gaps.target)
        dataset: Json = {
            "displayName": asked.need(FILE, str)[:_NAME_LENGTH],
            "userUploaded": {},
            "exampleCount": asked.find("exampleCount", str) or "1",
        }
        return VendorCall("POST", self.path, body={"datasetId": f"{purpose}-{fresh}", "dataset": dataset})

    @override
    def following(self, asked: Asked, said: Sequence[Any]) -> VendorCall | None:
        if asked.action != "create":
            return super().following(asked, said)
        return VendorCall("POST", f"{self._place(said)}:upload", file=FILE) if len(said) == 1 else None

    @override
    def undoing(self, asked: Asked, said: Sequence[Any]) -> VendorCall | None:
        return VendorCall("DELETE", self._place(said)) if asked.action == "create" and said else None

    def _place(self, said: Sequence[Any]) -> str:
        """Where the dataset stands that the first call made. Raises ProviderFailed."""
        made = str(as_object(said[0]).get("name") or "").rpartition("/")[2]
        if not made:
            raise ProviderFailed("the provider answered with no dataset", code="upstream_bad_reply")
        return f"{self.path}/{quote(made, safe='')}"

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        """A dataset, or the answer to an upload, which has OpenAI's shape but for its id and purpose."""
        known = self.short(said.get("name") or said.get("id")) or ""
        status: Json = said.get("status") or {}
        is_bad = status.get("code", "OK") != "OK"
        told: Json = {
            "id": known,
            "bytes": said.get("bytes") or asked.body.get("bytes") or 0,
            "created_at": seconds_of(said.get("created_at") or said.get("createTime")) or 0,
            "filename": said.get("filename") or said.get("displayName") or known,
            "purpose": "batch_output" if said.get("sourceJobName") else _purpose_in(known),
        }
        state = said.get("state")
        return file_object(
            told, "error" if is_bad else _STATUS.get(str(state), "uploaded"), state, status.get("message")
        )

    @override
    def urls_in(self, said: Json, asked: Asked) -> Sequence[str]:
        named: Mapping[str, str] = said.get("filenameToSignedUrls") or {}
        found = [named[each] for each in sorted(named) if each.rpartition("/")[2] != _ERRORS]
        if not found:
            raise InvalidRequest(f"there is nothing in `{asked.id}`", param="file_id", code="no_content")
        return found


def _purpose_in(known: str) -> str:
    """What a dataset is for, by the id that it got here."""
    return next((each for each in _PURPOSES if known.startswith(f"{each}-")), "user_data")
