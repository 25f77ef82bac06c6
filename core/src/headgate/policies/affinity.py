"""Sending the same conversation to the same target, so that its provider's prompt cache stays warm, without overloading it.

Rendezvous hashing (Thaler and Ravishankar, 1998) with bounded load (Mirrokni, Thorup and Zadimoghaddam, 2016,
https://arxiv.org/abs/1608.01350).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

BOUND = 1.25


def ranking(key: bytes, names: Sequence[str], weights: Sequence[float] | None = None) -> list[int]:
    """The indexes of `names`, the best home of `key` first; targets of weight 0 are left out.

    When a name goes only the keys that it had move; each other keeps its place. The share of a name follows its weight.
    """
    scored: list[tuple[float, int]] = []
    for index, name in enumerate(names):
        weight = 1.0 if weights is None else weights[index]
        if weight > 0:
            digest = hashlib.blake2b(key + b"\0" + name.encode(), digest_size=8).digest()
            uniform = (int.from_bytes(digest, "big") + 1) / (2**64 + 1)
            scored.append((-weight / math.log(uniform), index))
    return [index for _, index in sorted(scored, reverse=True)]


def bounded(
    order: Sequence[int],
    in_flight: Mapping[int, int],
    bound: float = BOUND,
    weights: Mapping[int, float] | None = None,
) -> int:
    """The first of `order` whose load with one more call is within `bound` times its share; the first when there is none.

    `in_flight` counts the calls under way by index. Shares follow `weights`, by index too, and are equal without them.
    Raises ValueError when `order` is empty.
    """
    if not order:
        raise ValueError("there is no target to choose from")
    total = sum(in_flight.get(index, 0) for index in order) + 1
    shares = {index: 1.0 if weights is None else weights[index] for index in order}
    unit = bound * total / sum(shares.values())
    fits = (index for index in order if in_flight.get(index, 0) + 1 <= math.ceil(unit * shares[index]))
    return next(fits, order[0])
