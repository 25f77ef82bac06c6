"""What a dialect cannot express: refused by name, or left out and said, but never lost without a word."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal, cast

from headgate.errors import UnsupportedField

Policy = Literal["refuse", "drop"]
GROUPS = frozenset({"functionCallingConfig", "generationConfig", "reasoning", "toolConfig"})
"""Members that only group fields, each of which is named by itself."""

_NEEDS = {
    "conversation": "send the whole conversation as `input`",
    "previous_response_id": "enable the plugin `responses`, or send the whole conversation as `input`",
}
"""What to do about fields that callers rely on most."""
_KEPT = frozenset({"compaction", "item_reference", "mcp_approval_response"})
_RETURNED = "_call_output"
"""Kinds of blocks in a model's turn that stand for turns before them, or are what the caller found: they are needed.

https://platform.openai.com/docs/api-reference/responses/create
"""


class Gaps:
    """Collects what one request loses on its way to the provider `target`, which is spoken to in `dialect`.

    `policy` is for what changes the meaning of a request. What only hints, such as a cache mark, is left out under either
    policy; `hints` names such fields of the client's dialect. `dropped` names all that was left out, for the reply header
    `x-headgate-dropped`.
    """

    __slots__ = ("_dropped", "_hints", "_policy", "dialect", "target")

    def __init__(self, target: str, policy: Policy = "refuse", hints: Collection[str] = (), dialect: str = "") -> None:
        self.target = target
        self.dialect = dialect
        self._policy = policy
        self._hints = hints
        self._dropped: dict[str, None] = {}

    @property
    def dropped(self) -> list[str]:
        """The fields that were left out, in the order in which that was found."""
        return list(self._dropped)

    def refuse(self, field: str, why: str = "") -> None:
        """`field` changes what is asked for and cannot be said. Raises UnsupportedField unless the policy is to drop."""
        if self._policy == "refuse":
            why = why or _NEEDS.get(field, "")
            reason = f": {why}" if why else ""
            raise UnsupportedField(
                f"`{field}` cannot be sent to `{self.target}`{reason}; leave it out, or let it be dropped with"
                " `x-headgate-unsupported: drop`",
                param=field,
            )
        self.skip(field)

    def most(self, field: str, values: tuple[str, ...], limit: int) -> tuple[str, ...]:
        """The first `limit` of `values`; to be told more than that is refused, or what fits is kept and `field` is named."""
        if len(values) > limit:
            self.refuse(field, f"there are at most {limit} there")
        return values[:limit]

    def foreign_file(self, place: str) -> None:
        """The file at `place` is named by the id that another vendor gave it at its upload: no other account holds it."""
        self.refuse(
            f"{place}.file_id", "a file can only be read by the provider that holds it, so send its bytes or its URL"
        )

    def foreign_block(self, place: str, raw: Mapping[str, Any], dialect: str, *, is_echo: bool) -> None:
        """A block that only `dialect` understands. What a provider did in its own turn is left out where that comes back."""
        kind = str(raw.get("type") or "")
        is_thought = kind == "item_reference" and str(raw.get("id")).startswith("rs_")
        if is_echo and (is_thought or (kind not in _KEPT and not kind.endswith(_RETURNED))):
            self.skip(f"{place.partition('.')[0]}.provider_items")
        else:
            self.refuse(place, f"a block of `{dialect}` is understood there alone")

    def skip(self, field: str) -> None:
        """`field` is only a hint and is left out."""
        self._dropped[field] = None

    def no_effort(self, effort: str | None) -> None:
        """Thinking is switched off, so an effort that stands beside the switch goes unsaid."""
        if effort not in {None, "none"}:
            self.skip("reasoning_effort")

    def keep(self, field: str) -> None:
        """`field` is sent after all, in a member that only this vendor has."""
        self._dropped.pop(field, None)

    def extra(self, members: Mapping[str, Any], place: str = "", *, hints: Collection[str] = ()) -> None:
        """Every member that another dialect brought along and this one has no place for; null and empty ones ask for nothing."""
        for name, value in members.items():
            if value is None or value in ([], {}):
                continue
            field = f"{place}.{name}" if place else name
            if name in hints or name in self._hints:
                self.skip(field)
            elif isinstance(value, dict) and name in GROUPS:
                self.extra(cast("Mapping[str, Any]", value), field, hints=hints)
            else:
                self.refuse(field)
