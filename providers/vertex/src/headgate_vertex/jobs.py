"""What batches and tuning jobs of Vertex AI share: they stand below a project and a location, and end alike.

Sources: https://docs.cloud.google.com/gemini-enterprise-agent-platform/reference/rest/v1/JobState and, for the lists,
`googleapis/googleapis`, google/cloud/aiplatform/v1/job_service.proto and genai_tuning_service.proto.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

from typing_extensions import override

from headgate.dialects import Gaps
from headgate.dialects.jobs import USUAL_ACTIONS, Action, Asked, JobDialect, VendorCall, as_object, objects_in
from headgate.dialects.openai.members import Json
from headgate.errors import InvalidRequest

GLOBAL = "global"
"""The location that is everywhere. What it cannot do: https://docs.cloud.google.com/gemini-enterprise-agent-platform/resources/locations"""


class VertexJobs(JobDialect):
    """Jobs of one `kind`. Those of another location are another deployment's; an id is the last piece of a full name."""

    kind: ClassVar[str]
    STATES: ClassVar[Mapping[str, str]]
    is_regional: ClassVar[bool] = False
    """Whether there are none at the location `global`."""
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {**USUAL_ACTIONS, "cancel": ("POST", "/{id}:cancel")}

    def __init__(self, project: str = "", location: str = "") -> None:
        self.project, self.location = project, location
        self.path = f"/projects/{quote(project, safe=':')}/locations/{location}/{self.kind}"

    @override
    def encode_call(self, asked: Asked, gaps: Gaps) -> VendorCall:
        if not self.project:
            raise InvalidRequest(
                f"`{self.operation}` need a deployment with a `project`: express mode has none", code="missing_project"
            )
        if self.is_regional and self.location == GLOBAL:
            raise InvalidRequest(
                f"there are no `{self.operation}` at the location `{GLOBAL}`: use a deployment with a region as its"
                " `location`, such as `us-central1`",
                code="unsupported_location",
            )
        return super().encode_call(asked, gaps)

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(said, self.kind)

    @override
    def first_page(self) -> Mapping[str, str]:
        return {"pageSize": "100"}

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        token = as_object(said[-1]).get("nextPageToken")
        return {**self.first_page(), "pageToken": str(token)} if token else None

    def status_of(self, said: Json) -> str:
        """The state of a job in OpenAI's words; one that nobody knows here has not ended."""
        return self.STATES.get(str(said.get("state")).removeprefix("JOB_STATE_"), self.STATES["RUNNING"])


def last_of(name: Any) -> str:
    """The last piece of a resource's full name; empty where there is none."""
    return str(name or "").rpartition("/")[2]


def trouble_in(said: Any) -> Json:
    """What the vendor says went wrong: a code of https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto."""
    status = as_object(said)
    return {"code": str(status.get("code") or "failed"), "message": str(status.get("message") or "")}
