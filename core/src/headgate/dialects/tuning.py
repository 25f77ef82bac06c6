"""What a client asks of a new fine-tuning job in OpenAI's shape, for the codecs of vendors whose own is another.

Source: https://platform.openai.com/docs/api-reference/fine-tuning/create
"""

from __future__ import annotations

from collections.abc import Sequence

from headgate.dialects.gaps import Gaps
from headgate.dialects.openai.members import Members
from headgate.errors import InvalidRequest, UnsupportedField


def method_of(asked: Members, gaps: Gaps, known: Sequence[str]) -> tuple[str, Members, str]:
    """How is trained, by which numbers, and where they stand: in `method`, or in the older `hyperparameters`."""
    method = asked.inner_if_given("method")
    older = asked.inner_if_given("hyperparameters")
    if method is None:
        return "supervised", older or Members({}), "hyperparameters"
    kind = method.need("type", str)
    if kind not in known:
        raise UnsupportedField(
            f"`method.type` cannot be `{kind}`: `{gaps.target}` trains {', '.join(known)} by this API",
            param="method.type",
        )
    if older is not None:
        raise InvalidRequest(
            "`hyperparameters` stand in `method` already; leave one of them out", param="hyperparameters"
        )
    held = method.inner_if_given(kind)
    numbers = held.inner_if_given("hyperparameters") if held is not None else None
    return kind, numbers or Members({}), f"method.{kind}.hyperparameters"


def number_of(numbers: Members, name: str) -> int | None:
    """A whole number; None where the vendor is to find one."""
    if numbers.peek(name) == "auto":
        numbers.take(name)
    return numbers.find(name, int)
