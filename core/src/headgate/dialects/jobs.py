"""What a vendor keeps for its client, batches and fine-tuning jobs above all, where its API for that is not OpenAI's.

The client speaks OpenAI's shape. A vendor's codec says which calls carry out what is asked, and tells the answers in that shape.
Sources: https://platform.openai.com/docs/api-reference/batch, https://platform.openai.com/docs/api-reference/fine-tuning
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, cast
from urllib.parse import quote, urlencode

from msgspec import Struct
from typing_extensions import override

from headgate.dialects.gaps import Gaps
from headgate.dialects.interface import TextPlace, WordlessDialect
from headgate.dialects.openai.members import Json, Members
from headgate.errors import InvalidRequest, ProviderFailed, UnsupportedField
from headgate.forms import Part

Action = Literal[
    "create", "list", "retrieve", "cancel", "events", "checkpoints", "pause", "resume", "delete", "content"
]
_ON_ALL: Mapping[str, Action] = {"POST": "create", "GET": "list"}
_ON_ONE: Mapping[tuple[str, str], Action] = {
    ("GET", ""): "retrieve",
    ("POST", "cancel"): "cancel",
    ("GET", "events"): "events",
    ("GET", "checkpoints"): "checkpoints",
    ("POST", "pause"): "pause",
    ("POST", "resume"): "resume",
    ("DELETE", ""): "delete",
    ("GET", "content"): "content",
}
USUAL_ACTIONS: Mapping[Action, tuple[str, str]] = {
    "create": ("POST", ""),
    "list": ("GET", ""),
    "retrieve": ("GET", "/{id}"),
    "cancel": ("POST", "/{id}/cancel"),
}
"""What nearly every vendor has, and where, behind its path for jobs."""
_LISTS = frozenset({"list", "events", "checkpoints"})
_TOLD = _LISTS | {"content"}
_CHANGES = frozenset({"cancel", "pause", "resume"})
_ENDS = {
    "completed": "completed_at",
    "failed": "failed_at",
    "expired": "expired_at",
    "cancelled": "cancelled_at",
    "cancelling": "cancelling_at",
}
DAY = "24h"
"""The one window that OpenAI documents for a batch, and what its clients must send."""
UNDONE: Mapping[str, tuple[str, str]] = {
    "cancelled": ("batch_cancelled", "the batch was cancelled before this request was carried out"),
    "expired": ("batch_expired", "this request could not be carried out before the completion window expired"),
}
"""Codes and words of OpenAI's for requests of a batch that were not carried out, by why."""


class Asked(Struct, frozen=True):
    """What a client asks of an operation, in OpenAI's words. `id` is empty where it is of all that is kept; of what is new it
    is random, for vendors whose clients name it.
    """

    action: Action
    id: str = ""
    query: Mapping[str, str] = {}
    body: Json = {}


class VendorCall(Struct, frozen=True):
    """One call to the vendor; `path` stands below its base URL, `body` is None where it has none.

    `file` is the part of a form in which the client's file goes in the place of a body, behind the `fields` of that form. With
    `about` it goes behind that instead, in a body of the type `multipart/related` (RFC 2387); with `named` it is the body
    itself, and that header says its name. `form` are the parts of a form that is the body. `has_lines`: it is answered with
    the content of a file, in lines of JSON that are told one by one as they come (`KeptDialect.decode_line`).
    """

    method: str
    path: str
    query: Mapping[str, str] = {}
    body: Json | None = None
    file: str = ""
    fields: Mapping[str, str] = {}
    about: Json | None = None
    named: str = ""
    form: Sequence[Part] = ()
    has_lines: bool = False

    @property
    def target(self) -> str:
        """Path and query as a URL holds them."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path


def asked_for(
    method: str, parts: Sequence[str], query: Mapping[str, str], body: Json, collection: str = ""
) -> Asked | None:
    """What a request means, told by its method and the decoded `parts` of its path below the operation's; None for nothing.

    An id may begin with the vendor's name of a `collection`, whether its slash was escaped or not.
    """
    if collection and parts:
        parts = [*(parts[1:] if len(parts) > 1 and parts[0] == collection else parts)]
        parts[0] = parts[0].removeprefix(f"{collection}/")
    if not parts:
        action = _ON_ALL.get(method)
        return None if action is None else Asked(action, "", query, body)
    action = _ON_ONE.get((method, "/".join(parts[1:])))
    return None if action is None or not parts[0] else Asked(action, parts[0], query, body)


class KeptDialect(WordlessDialect):
    """A vendor's API for what it keeps. A codec sets `path` and `actions` and says how it is written and told.

    `actions` has the method and what stands behind `path` for everything the vendor can do; anything else is refused with 400.
    Encoding raises UnsupportedField and InvalidRequest, decoding ProviderFailed.
    """

    path: str = ""
    actions: ClassVar[Mapping[Action, tuple[str, str]]]
    posts_bodies: ClassVar[bool] = False
    """Whether the vendor wants an object in the body of a POST that has nothing to say."""
    thing: ClassVar[str] = "job"
    """What one of them is called in messages."""
    collection: ClassVar[str] = ""
    """What the vendor's ids name beside the thing itself: with `files` an id is `files/abc`, and `abc` stands in paths."""
    page: ClassVar[tuple[int, int]] = (20, 100)
    """How much of a list is told at once when nobody says how much, and at most."""

    @abstractmethod
    def encode_new(self, asked: Members, fresh: str, gaps: Gaps) -> VendorCall:
        """The first call that makes a new one. `asked` is the client's, without what asks for nothing; what is left there is
        refused. `fresh` is random.
        """

    @abstractmethod
    def decode_job(self, said: Json, asked: Asked) -> Json:
        """One of them, as the vendor tells it, in OpenAI's shape."""

    @abstractmethod
    def jobs_in(self, said: Any) -> Sequence[Json]:
        """Those on one page of the vendor's list."""

    def first_page(self) -> Mapping[str, str]:
        """The query for the first page of the vendor's list, as large as pages can be and the newest first where it has that."""
        return {}

    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:  # noqa: ARG002 - for vendors with pages
        """The query for the page behind those that are here; None behind the last one."""
        return None

    def decode_part(self, said: Any, asked: Asked) -> Sequence[Json]:  # noqa: ARG002 - for vendors that have some
        """The events or checkpoints of a job in OpenAI's shape, the newest first."""
        return ()

    def lines_in(self, said: Json, asked: Asked) -> Sequence[Json]:  # noqa: ARG002 - for vendors that tell files so
        """The lines of a file that stand on one page of the answer to `content`. InvalidRequest where they are not there."""
        raise InvalidRequest(f"`{asked.id}` has no content", param="file_id", code="unsupported_content")

    def next_lines(self, said: Json, asked: Asked) -> VendorCall | None:  # noqa: ARG002 - for vendors with pages
        """The call for the page of the content behind this one; None behind the last one."""
        return None

    def decode_line(self, line: bytes, asked: Asked, before: Sequence[Any]) -> Json | None:  # noqa: ARG002 - see VendorCall.has_lines
        """A line of a file as the vendor tells it, for the client; None for one that is not of this file. `before` is what the
        calls said that came before. Raises ProviderFailed for what is no such line.
        """
        raise ProviderFailed("the provider answered with lines", code="upstream_bad_reply")

    def encode_call(self, asked: Asked, gaps: Gaps) -> VendorCall:
        """The first call that `asked` takes. Raises InvalidRequest for what the vendor cannot do."""
        if asked.action not in self.actions:
            raise InvalidRequest(
                f"`{gaps.target}` cannot {asked.action} a {self.thing} of `{self.operation}`"
                if asked.action not in _TOLD
                else f"`{gaps.target}` has no {asked.action} of `{self.operation}`",
                code="unsupported_operation",
            )
        method, behind = self.actions[asked.action]
        path = self.path + behind.replace("{id}", quote(asked.id, safe=""))
        gaps.extra({name: value for name, value in asked.query.items() if not _is_page(asked, name)})
        self._limit_of(asked)
        if asked.action == "create":
            held = Members({name: value for name, value in asked.body.items() if value not in (None, {}, [])})
            call = self.encode_new(held, asked.id, gaps)
            gaps.extra(held.rest())
            return call
        gaps.extra(asked.body)
        query: Mapping[str, str] = self.first_page() if asked.action == "list" else {}
        return VendorCall(method, path, query, {} if method == "POST" and self.posts_bodies else None)

    def following(self, asked: Asked, said: Sequence[Any]) -> VendorCall | None:
        """The call that follows: for the next page of a list, or for the job itself where a change was answered with nothing."""
        if asked.action == "list":
            query = None if _is_enough(self._found(said), asked, self._limit_of(asked)) else self.next_page(said)
            method, behind = self.actions["list"]
            return None if query is None else VendorCall(method, self.path + behind, query)
        if asked.action not in _CHANGES or said[-1] or len(said) > 1:
            return None
        return self._retrieval(asked.id)

    def _retrieval(self, known: str) -> VendorCall:
        """The call for the one of this id."""
        method, behind = self.actions["retrieve"]
        return VendorCall(method, self.path + behind.replace("{id}", quote(known, safe="")))

    def decode_answer(self, asked: Asked, said: Sequence[Any]) -> Json:
        """The answer to the client. Raises InvalidRequest for an `after` that is not in the list."""
        if asked.action == "list":
            limit = self._limit_of(asked)
            return _page_of(self._found(said), asked, limit, is_whole=self.next_page(said) is None)
        if asked.action in _LISTS:
            return _page_of(self.decode_part(said[-1], asked), asked, self._limit_of(asked), is_whole=True)
        told = self.decode_job(as_object(said[-1]), asked)
        if not told["id"]:
            raise ProviderFailed(f"the provider answered with no {self.thing}", code="upstream_bad_reply")
        return told

    def refusal_in(self, said: Any) -> tuple[int, bytes] | None:  # noqa: ARG002 - for vendors that tell errors so
        """The status and the body of the error that an answer is although its own status is a good one; None for no error."""
        return None

    def undoing(self, asked: Asked, said: Sequence[Any]) -> VendorCall | None:  # noqa: ARG002 - for vendors that take two calls
        """The call that takes back what the first ones made, where a later one failed."""
        return None

    def _found(self, said: Sequence[Any]) -> list[Json]:
        return [self.decode_job(job, Asked("retrieve")) for page in said for job in self.jobs_in(page)]

    def _limit_of(self, asked: Asked) -> int:
        usual, largest = self.page
        told = asked.query.get("limit")
        if told is None or asked.action not in _LISTS:
            return usual
        limit = _digits(told)
        if limit is None or not 0 < limit <= largest:
            raise InvalidRequest(f"`limit` must be a number from 1 to {largest}", param="limit")
        return limit

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return ()


class JobDialect(KeptDialect):
    """A vendor's API for jobs of one operation, which one call with a JSON body creates."""

    @abstractmethod
    def encode_job(self, asked: Members, gaps: Gaps) -> Json:
        """The body that creates a job, as `encode_new` has it."""

    @override
    def encode_new(self, asked: Members, fresh: str, gaps: Gaps) -> VendorCall:
        method, behind = self.actions["create"]
        return VendorCall(method, self.path + behind, body=self.encode_job(asked, gaps))


def as_object(said: Any) -> Json:
    """A vendor's answer that must be an object. Raises ProviderFailed."""
    if not isinstance(said, dict):
        raise ProviderFailed("the provider answered with no JSON object", code="upstream_bad_reply")
    return cast("Json", said)


def objects_in(said: Any, name: str = "") -> list[Json]:
    """The objects of a list that a vendor tells, or of its member `name`; none where that is absent. Raises ProviderFailed."""
    held: Any = (as_object(said).get(name) or []) if name else said
    if not isinstance(held, list):
        raise ProviderFailed("the provider answered with no list", code="upstream_bad_reply")
    return [as_object(each) for each in cast("list[Any]", held)]


def seconds_of(value: Any) -> int | None:
    """A time as a vendor tells it, a Unix time or RFC 3339, as OpenAI does: in whole seconds. None where it tells none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value)
    try:
        told = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return int((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp())


def batch(said: Mapping[str, Any], status: str, native: object, ended: int | None, errors: Sequence[Json] = ()) -> Json:
    """A batch in OpenAI's shape: what is `said` of it, its status, when it got that, and the vendor's own word for it."""
    ends = {_ENDS[status]: ended} if status in _ENDS else {}
    told = {"object": "list", "data": list(errors)} if errors else None
    return {"object": "batch", **said, "status": status, "errors": told, **ends, "native_status": native}


def usage_of(read: Any, written: Any, cached: Any = 0) -> Json | None:
    """The tokens of a batch in OpenAI's shape, from numbers or digits; None where the vendor tells none.

    That shape has no place for what is not known, so details that the vendor does not tell are 0.
    """
    prompt, answer = _digits(read), _digits(written)
    if prompt is None or answer is None:
        return None
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": _digits(cached) or 0},
        "output_tokens": answer,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + answer,
    }


def needed(asked: Members, name: str, why: str) -> str:
    """A text that the vendor must be told. Raises InvalidRequest (code `missing_` and the name) with the reason."""
    value = asked.find(name, str)
    if not value:
        raise InvalidRequest(f"`{name}` is missing: {why}", param=name, code=f"missing_{name}")
    return value


def endpoint_of(asked: Members, known: Sequence[str], target: str) -> str:
    """The endpoint that the lines of a batch are for. Raises UnsupportedField for one that the vendor runs no batches of."""
    endpoint = asked.need("endpoint", str)
    if endpoint not in known:
        raise UnsupportedField(
            f"`endpoint` cannot be `{endpoint}`: `{target}` runs batches of {', '.join(known)}", param="endpoint"
        )
    return endpoint


def no_file(asked: Members, target: str) -> None:
    """Raises UnsupportedField for a file of requests, at a vendor that reads them from the body of a new batch. Added in 0.1."""
    if asked.find("input_file_id", str):
        raise UnsupportedField(
            f"`input_file_id` names nothing that `{target}` reads: write the requests into `requests`, a list of "
            "`custom_id` and `body`",
            param="input_file_id",
        )


def within_a_day(asked: Members) -> None:
    """Raises UnsupportedField for a window other than `DAY`, at a vendor that knows no other. Added in 0.1."""
    if asked.find("completion_window", str) not in {None, DAY}:
        raise UnsupportedField(f"`completion_window` can only be `{DAY}` there", param="completion_window")


def own_members(asked: Members, names: Sequence[str]) -> Json:
    """Members of the vendor's own that a client may write beside OpenAI's, as they are."""
    held = {name: asked.take(name) for name in names}
    return {name: value for name, value in held.items() if value is not None}


def _is_page(asked: Asked, name: str) -> bool:
    return asked.action in _LISTS and name in {"after", "limit"}


def _digits(told: Any) -> int | None:
    """A number that is not negative, or its digits."""
    text = str(told)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _start_of(found: Sequence[Json], asked: Asked) -> int | None:
    """Where the page that is asked for begins; None when `after` is not among these."""
    after = asked.query.get("after")
    return 0 if not after else next((at + 1 for at, each in enumerate(found) if each.get("id") == after), None)


def _is_enough(found: Sequence[Json], asked: Asked, limit: int) -> bool:
    """Whether the page that is asked for is here, and whether more stands behind it is known."""
    start = _start_of(found, asked)
    return start is not None and len(found) > start + limit


def _page_of(found: Sequence[Json], asked: Asked, limit: int, *, is_whole: bool) -> Json:
    start = _start_of(found, asked)
    if start is None:
        raise InvalidRequest("`after` names nothing of this list", param="after")
    page = list(found[start : start + limit])
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
    has_more = len(found) > start + len(page) or not is_whole
    return {"object": "list", "data": page, **ends, "has_more": has_more}
