"""What is installed: plugins and providers that packages announce through entry points. Nothing is imported to list it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from headgate.errors import Problem, StartupError
from headgate.hooks import Hooks
from headgate.provider import Provider
from headgate.suggest import did_you_mean, name_in, shown

PLUGINS = "headgate.plugins"
PROVIDERS = "headgate.providers"
CATALOGUES = "headgate.catalogues"


class Installed:
    """The entry points of this environment, read once. Two packages that claim one name are a problem when it is used."""

    def __init__(self, found: Iterable[EntryPoint] | None = None) -> None:
        points = (
            list(found)
            if found is not None
            else [point for group in (PLUGINS, PROVIDERS, CATALOGUES) for point in entry_points(group=group)]
        )
        self._points: dict[str, dict[str, list[EntryPoint]]] = {PLUGINS: {}, PROVIDERS: {}, CATALOGUES: {}}
        for point in points:
            self._points.setdefault(point.group, {}).setdefault(point.name, []).append(point)
        self._rows: Mapping[str, tuple[Any, EntryPoint]] | None = None

    def plugins(self) -> Mapping[str, EntryPoint]:
        """Installed plugins by name."""
        return {name: points[0] for name, points in sorted(self._points[PLUGINS].items())}

    def providers(self) -> list[str]:
        """Names of all installed providers, rows of catalogues included. Imports the catalogues."""
        return sorted({*self._points[PROVIDERS], *self._catalogue()})

    def plugin(self, name: str) -> tuple[type[Hooks], EntryPoint]:
        """Import the plugin class of a name. StartupError when it is not installed, claimed twice, or no Hooks."""
        point = self._single(PLUGINS, name)
        if point is None:
            known = self._points[PLUGINS]
            hint = did_you_mean(name, known) or f"; installed are {', '.join(sorted(known)) or 'none'}"
            raise StartupError([Problem(f"plugin `{name_in(name)}` is not installed{hint}")])
        loaded = _import(point)
        if not (isinstance(loaded, type) and issubclass(loaded, Hooks)):
            raise StartupError([Problem(f"plugin `{name}`: `{point.value}` is no subclass of `headgate.Hooks`")])
        return loaded, point

    def provider(self, name: str) -> type[Provider] | None:
        """The provider class of a name: a package of its own first, then the rows of catalogues. None when unknown."""
        point = self._single(PROVIDERS, name)
        if point is None:
            row = self._catalogue().get(name)
            if row is None:
                return None
            loaded, point = row
        else:
            loaded = _import(point)
        if not (isinstance(loaded, type) and issubclass(loaded, Provider)):
            raise StartupError([Problem(f"provider `{name}`: `{point.value}` is no subclass of `headgate.Provider`")])
        return loaded

    def origin(self, name: str) -> EntryPoint | None:
        """The entry point that brings a provider, for people who ask where it is from."""
        own = self._points[PROVIDERS].get(name)
        if own:
            return own[0]
        row = self._catalogue().get(name)
        return row[1] if row else None

    def _single(self, group: str, name: str) -> EntryPoint | None:
        points = self._points[group].get(name, [])
        if len(points) > 1:
            owners = " and ".join(sorted(f"`{distribution_of(point)[0]}`" for point in points))
            raise StartupError([Problem(f"`{name}` is claimed by {owners}; uninstall one of them")])
        return points[0] if points else None

    def _catalogue(self) -> Mapping[str, tuple[Any, EntryPoint]]:
        if self._rows is None:
            rows: dict[str, tuple[Any, EntryPoint]] = {}
            for name in self._points[CATALOGUES]:
                point = self._single(CATALOGUES, name)
                if point is not None:
                    rows.update({row: (kind, point) for row, kind in _rows_of(point).items()})
            self._rows = rows
        return self._rows


def distribution_of(point: EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution that an entry point belongs to."""
    return (point.dist.name, point.dist.version) if point.dist is not None else ("", "")


def _import(point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:
        raise _failed(point, "cannot be imported", error) from error


def _rows_of(point: EntryPoint) -> Mapping[str, Any]:
    """The rows of a catalogue: provider classes by name, which a function of its package returns."""
    make = _import(point)
    try:
        return dict(make())
    except Exception as error:
        raise _failed(point, "is no catalogue", error) from error


def _failed(point: EntryPoint, what: str, error: Exception) -> StartupError:
    owner = distribution_of(point)[0]
    return StartupError(
        [Problem(f"`{point.name}` of package `{owner}` {what}: {type(error).__name__}: {shown(str(error))}")]
    )
