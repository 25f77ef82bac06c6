"""What the Claude models take, by family and version: the one place to add a model.

Sources, read in November 2026 under https://platform.claude.com/docs/en/: `about-claude/models/overview` (output
limits), `build-with-claude/thinking-troubleshooting` (thinking types, defaults, what is rejected),
`build-with-claude/effort` (levels), `build-with-claude/thinking` (sampling, forced tools),
`build-with-claude/structured-outputs`, `build-with-claude/mid-conversation-system-messages`, and the migration guides
of the 5.5 models. Limits of retired models: https://github.com/anomalyco/models.dev
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

Style = Literal["none", "manual", "both", "adaptive"]
_LEVELS = ("low", "medium", "high")


class Claude(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model. `max_output` is in tokens.

    `thinking` is how it is asked to think: with a budget of tokens (`manual`), by itself (`adaptive`), `both` or `none`.
    `thinks` says whether it does so unasked, `off` which `thinking.type` stops it, empty where nothing does. `efforts`
    are the levels it takes, lowest first. `samples` says which of temperature, top_p and top_k it takes: `all`, `one` of
    the first two at a time, or `none` but the defaults. `forces` says whether `tool_choice` may be any or a name,
    `structures` whether there are output_config.format and strict tools, `instructs` whether a system message may stand
    between turns.
    """

    max_output: int
    thinking: Style = "adaptive"
    thinks: bool = True
    off: Literal["", "disabled", "between_tools"] = "disabled"
    efforts: tuple[str, ...] = (*_LEVELS, "xhigh", "max")
    samples: Literal["all", "one", "none"] = "none"
    forces: bool = True
    structures: bool = True
    instructs: bool = True


UNKNOWN = Claude(max_output=32_000, samples="all")
"""A model that is not in the table, such as a deployment under a name of its own: its vendor says what it cannot do."""

_ALWAYS = Claude(max_output=128_000, off="", forces=False)
_FABLE_5 = Claude(max_output=128_000, off="")
_V3 = Claude(
    max_output=4096, thinking="none", thinks=False, efforts=(), samples="all", structures=False, instructs=False
)
_V35 = replace(_V3, max_output=8192)
_V4 = replace(_V3, max_output=64_000, thinking="manual")
_V4_5 = replace(_V4, samples="one", structures=True)
_V4_6 = replace(_V4_5, max_output=128_000, thinking="both", efforts=(*_LEVELS, "max"))

TABLE: dict[str, dict[tuple[int, int], Claude]] = {
    "fable": {(5, 0): _FABLE_5, (5, 1): _ALWAYS, (5, 2): _ALWAYS},
    "mythos": {
        (0, 0): Claude(max_output=128_000, thinking="both", off="", efforts=(*_LEVELS, "max"), instructs=False),
        (5, 0): _FABLE_5,
        (5, 1): _ALWAYS,
        (5, 2): _ALWAYS,
    },
    "opus": {
        (3, 0): _V3,
        (4, 0): replace(_V4, max_output=32_000),
        (4, 1): replace(_V4, max_output=32_000, samples="one"),
        (4, 5): replace(_V4_5, efforts=_LEVELS),
        (4, 6): _V4_6,
        (4, 7): Claude(max_output=128_000, thinks=False, instructs=False),
        (4, 8): Claude(max_output=128_000, thinks=False),
        (5, 0): Claude(max_output=128_000),
        (5, 5): _ALWAYS,
    },
    "sonnet": {
        (3, 0): _V3,
        (3, 5): _V35,
        (3, 7): _V4,
        (4, 0): _V4,
        (4, 5): _V4_5,
        (4, 6): _V4_6,
        (5, 0): Claude(max_output=128_000, instructs=False),
        (5, 5): Claude(max_output=128_000, off="between_tools", forces=False),
    },
    "haiku": {
        (3, 0): _V3,
        (3, 5): _V35,
        (4, 5): _V4_5,
        (5, 5): Claude(max_output=128_000),
    },
}

_OLDER = re.compile(r"claude-(\d)(?:-(\d))?-(opus|sonnet|haiku)")
_NEWER = re.compile(r"claude-(opus|sonnet|haiku|fable|mythos)(?:-(\d{1,2})(?!\d))?(?:-(\d{1,2})(?!\d))?")


def claude_of(model: str) -> Claude:
    """The facts of a model by its id on any platform: prefixes, dates and `v1:0` behind it do not matter.

    A version that is not known has those of the one before it; what is no Claude by its name has UNKNOWN.
    """
    name = model.lower().replace(".", "-").replace("_", "-")
    older, newer = _OLDER.search(name), _NEWER.search(name)
    if older is not None:
        major, minor, family = older.groups()
    elif newer is not None:
        family, major, minor = newer.groups()
    else:
        return UNKNOWN
    version = (int(major or 0), int(minor or 0))
    rows = TABLE[family]
    known = [at for at in rows if at <= version]
    return rows[max(known)] if known else UNKNOWN
