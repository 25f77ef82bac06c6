"""Moonshot AI: efforts or a switch by the model, sampling that is fixed, and its own way to count tokens.

Sources: https://platform.kimi.ai/docs/guide/use-thinking-effort (Kimi K3 always thinks, with an effort and without the field
`thinking`), https://platform.kimi.ai/docs/guide/use-kimi-k2-thinking-model (Kimi K2.7 Code answers a switch that is off with an
error, and need not be told to think), https://platform.kimi.ai/docs/api/models-overview (any value but the fixed one is answered
with an error) and https://platform.moonshot.ai/docs/api/estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from msgspec.structs import replace
from typing_extensions import override

from headgate.chat import ChatRequest, Sampling
from headgate.dialects import Dialect, Gaps
from headgate_compatible.vendors.always import always
from headgate_compatible.vendors.counting import Counting, MoonshotCount

_ALWAYS: tuple[tuple[str, tuple[str, ...]], ...] = (("kimi-k3", ("low", "high", "max")), ("kimi-k2.7", ()))
"""Models that always think, by how their names begin, and their efforts; others have a switch."""
_FIXED = (("temperature", 1), ("top_p", 0.95), ("n", 1), ("presence_penalty", 0), ("frequency_penalty", 0))
"""Sampling of models that always think, which may be said or left out and is nothing else."""


class Moonshot(Counting):
    """Moonshot AI."""

    own_dialects: ClassVar[Mapping[str, str]] = {"count_tokens": MoonshotCount.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {MoonshotCount.name: MoonshotCount()}

    @override
    def think(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        known = next((efforts for name, efforts in _ALWAYS if request.model.startswith(name)), None)
        if known is None:
            return super().think(request, gaps)
        return replace(
            request,
            thinking=always(request.thinking, known, gaps),
            sampling=_as_fixed(request.sampling, request.model, gaps),
        )


def _as_fixed(sampling: Sampling, model: str, gaps: Gaps) -> Sampling:
    for name, value in _FIXED:
        if getattr(sampling, name) not in {None, value}:
            gaps.refuse(name, f"`{model}` has {value} for it and nothing else")
            sampling = replace(sampling, **{name: None})
    return sampling
