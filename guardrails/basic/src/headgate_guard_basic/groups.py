"""Texts that read as one: the parts of one message or one field, judged each on its own and joined."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headgate.dialects import TextPlace


class Group:
    """Adjacent texts of one message and field. `texts` are what a check leaves of them."""

    __slots__ = ("path", "places", "role", "texts")

    def __init__(self, path: tuple[str | int, ...], role: str = "assistant") -> None:
        self.path = path
        self.role = role
        self.places: list[TextPlace] = []
        self.texts: list[str] = []

    @property
    def where(self) -> str:
        """Its place, as `messages[0].content`."""
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path).removeprefix(".")

    @property
    def text(self) -> str:
        """All of it, joined as a model reads it."""
        return self.texts[0] if len(self.texts) == 1 else "".join(self.texts)

    def replace(self, text: str) -> None:
        """Make `text` the joined text: parts before and behind what differs stay, the last one that differs gets it all."""
        start, end = 0, len(self.texts)
        head = tail = 0
        while start < end - 1 and text.startswith(self.texts[start], head):
            head += len(self.texts[start])
            start += 1
        while end - 1 > start and text[head : len(text) - tail].endswith(self.texts[end - 1]):
            tail += len(self.texts[end - 1])
            end -= 1
        self.texts[start:end] = ["" for _ in range(start, end - 1)] + [text[head : len(text) - tail]]


def groups_of(places: Iterable[TextPlace]) -> list[Group]:
    """Group texts by message (or item of another list) and channel, in the order of their first part."""
    groups: dict[tuple[object, ...], Group] = {}
    for place in places:
        key = (*place.path[:2], place.channel)
        group = groups.get(key)
        if group is None:
            group = groups[key] = Group(place.path, place.role)
        group.places.append(place)
        group.texts.append(place.text)
    return list(groups.values())


def changes_of(groups: Iterable[Group]) -> Sequence[tuple[TextPlace, str]]:
    """The places whose text is no longer what it was, with their new text."""
    return [
        (place, text)
        for group in groups
        for place, text in zip(group.places, group.texts, strict=True)
        if text != place.text
    ]
