"""Models that cannot be told not to think: the least of their efforts stands for none at all."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.chat import Thinking
from headgate.dialects import Gaps
from headgate_compatible import policy


def always(thinking: Thinking | None, known: Sequence[str], gaps: Gaps) -> Thinking | None:
    """What is asked of a model that always thinks, in its `known` words, the least first. Another effort is named."""
    if thinking is None or not known or policy.effort_of(thinking) != "none":
        return policy.think(thinking, known, gaps)
    gaps.skip("reasoning_effort")
    return Thinking(known[0], is_shown=thinking.is_shown, summary=thinking.summary)
