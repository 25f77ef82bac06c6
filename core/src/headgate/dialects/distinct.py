"""Names and ids of which no two may be alike, as a vendor wants them that come from a client who is free to repeat them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

_ROOM = 8
"""Characters that a number and its mark may take up."""


class Distinct:
    """What is taken gets a number behind it, `a`, `a_2`, `a_3`, in time that does not grow with how many there are.

    `limit` is in characters; names that are alike once they went through `fold` are one name.
    """

    __slots__ = ("_fold", "_limit", "_mark", "_numbers", "_taken")

    def __init__(
        self, limit: int, taken: Iterable[str] = (), *, mark: str = "_", fold: Callable[[str], str] = str
    ) -> None:
        self._limit = limit
        self._mark = mark
        self._fold = fold
        self._taken = set(map(fold, taken))
        self._numbers: dict[str, int] = {}

    def take(self, name: str) -> str:
        """`name`, or with a number behind it where there was one like it."""
        found, stem = name, self._fold(name)[: self._limit - _ROOM]
        number = self._numbers.get(stem, 1)
        while self._fold(found) in self._taken:
            number += 1
            suffix = f"{self._mark}{number}"
            found = name[: self._limit - len(suffix)] + suffix
        self._numbers[stem] = number
        self._taken.add(self._fold(found))
        return found
