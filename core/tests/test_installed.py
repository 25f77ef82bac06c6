"""What is installed is listed without importing it, and imported with words for everything that can go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import Distribution, EntryPoint, PathDistribution
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from headgate.config import Installed
from headgate.config.installed import CATALOGUES, PLUGINS, PROVIDERS, distribution_of
from headgate.errors import StartupError
from headgate.hooks import Hooks
from headgate.provider import Provider


class Guard(Hooks):
    pass


class Vendor(Provider):
    name = "vendor"


class Row(Provider):
    name = "row"


def rows() -> Mapping[str, type[Provider]]:
    return {"row": Row, "vendor": Row}


class Point(EntryPoint):
    """An entry point that loads what it is given, or raises it; `loads` counts."""

    def __init__(self, name: str, group: str, found: Any, dist: Distribution | None = None) -> None:
        super().__init__(name, f"sample:{name}", group)
        vars(self).update(found=found, dist=dist, loads=[])

    @override
    def load(self) -> Any:
        vars(self)["loads"].append(1)
        found = vars(self)["found"]
        if isinstance(found, BaseException):
            raise found
        return found


def distribution(folder: Path, name: str) -> Distribution:
    held = folder / f"{name}-1.2.dist-info"
    held.mkdir()
    (held / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    return PathDistribution(held)


def problem(installed: Installed, kind: str, name: str) -> str:
    with pytest.raises(StartupError) as caught:
        getattr(installed, kind)(name)
    assert len(caught.value.problems) == 1
    return caught.value.problems[0].message


def test_plugins_are_listed_without_being_imported() -> None:
    """A list costs no import: code of packages nobody enabled does not run."""
    point = Point("guard", PLUGINS, AssertionError("imported"))
    installed = Installed([point, Point("vendor", PROVIDERS, AssertionError("imported"))])
    assert list(installed.plugins()) == ["guard"]
    assert installed.providers() == ["vendor"]
    assert vars(point)["loads"] == []


def test_an_enabled_plugin_is_imported() -> None:
    """Its class and where it comes from."""
    point = Point("guard", PLUGINS, Guard)
    assert Installed([point]).plugin("guard") == (Guard, point)


def test_a_plugin_that_is_not_installed() -> None:
    """Named with what was meant, or with what there is."""
    installed = Installed([Point("guard-basic", PLUGINS, Guard), Point("keys", PLUGINS, Guard)])
    assert "did you mean `guard-basic`" in problem(installed, "plugin", "gaurd-basic")
    assert "installed are guard-basic, keys" in problem(installed, "plugin", "zzz")
    assert "installed are none" in problem(Installed([]), "plugin", "zzz")


@pytest.mark.parametrize("found", [5, object(), Provider, Guard(), "Guard"])
def test_a_plugin_must_be_a_hooks_class(found: Any) -> None:
    """Anything else is refused by its place."""
    assert "`sample:x` is no subclass of `headgate.Hooks`" in problem(
        Installed([Point("x", PLUGINS, found)]), "plugin", "x"
    )


@pytest.mark.parametrize("found", [5, Hooks, Provider("d", Provider.Config(provider="x"), object())])  # type: ignore[arg-type]
def test_a_provider_must_be_a_provider_class(found: Any) -> None:
    """Anything else is refused by its place."""
    words = problem(Installed([Point("x", PROVIDERS, found)]), "provider", "x")
    assert "`sample:x` is no subclass of `headgate.Provider`" in words


@pytest.mark.parametrize(
    "error", [ImportError("no module `y`"), AttributeError("x"), RuntimeError("x"), SyntaxError("x")]
)
def test_a_package_that_cannot_be_imported(tmp_path: Path, error: Exception) -> None:
    """Whatever its import raises, the package is named with the reason."""
    owner = distribution(tmp_path, "sample-dist")
    installed = Installed([Point("x", PLUGINS, error, owner), Point("y", PROVIDERS, error, owner)])
    for kind, name in (("plugin", "x"), ("provider", "y")):
        words = problem(installed, kind, name)
        assert f"`{name}` of package `sample-dist` cannot be imported: {type(error).__name__}" in words


def test_a_name_claimed_twice_is_a_problem_when_it_is_used(tmp_path: Path) -> None:
    """Both packages are named; others are not hindered."""
    one, two = distribution(tmp_path, "one"), distribution(tmp_path, "two")
    points = [
        Point("x", PLUGINS, Guard, one),
        Point("x", PLUGINS, Guard, two),
        Point("p", PROVIDERS, Vendor, one),
        Point("p", PROVIDERS, Vendor, two),
        Point("fine", PLUGINS, Guard, one),
    ]
    installed = Installed(points)
    assert list(installed.plugins()) == ["fine", "x"]
    assert installed.plugin("fine")[0] is Guard
    for kind, name in (("plugin", "x"), ("provider", "p")):
        assert problem(installed, kind, name) == f"`{name}` is claimed by `one` and `two`; uninstall one of them"


def test_catalogues_bring_rows() -> None:
    """A package of its own goes before a row of the same name; unknown names are nobody's."""
    own, catalogue = Point("vendor", PROVIDERS, Vendor), Point("sample", CATALOGUES, rows)
    installed = Installed([own, catalogue])
    assert installed.providers() == ["row", "vendor"]
    assert (installed.provider("row"), installed.provider("vendor"), installed.provider("x")) == (Row, Vendor, None)
    assert (installed.origin("row"), installed.origin("vendor"), installed.origin("x")) == (catalogue, own, None)
    assert vars(catalogue)["loads"] == [1]


@pytest.mark.parametrize("found", [ImportError("x"), lambda: 1 / 0, lambda: None, 5])
def test_a_broken_catalogue_is_named(tmp_path: Path, found: Any) -> None:
    """A catalogue that cannot be imported, called or read is a problem with its package's name."""
    point = Point("sample", CATALOGUES, found, distribution(tmp_path, "sample-dist"))
    assert "sample" in problem(Installed([point]), "provider", "row")


def test_entry_points_of_other_groups_are_left_alone() -> None:
    """What is not ours is not listed."""
    installed = Installed([Point("x", "pytest11", 5), Point("y", PLUGINS, Guard)])
    assert list(installed.plugins()) == ["y"]
    assert installed.providers() == []


def test_where_an_entry_point_comes_from(tmp_path: Path) -> None:
    """Name and version of its distribution; nothing for one that has none."""
    assert distribution_of(Point("x", PLUGINS, 5, distribution(tmp_path, "one"))) == ("one", "1.2")
    assert distribution_of(Point("x", PLUGINS, 5)) == ("", "")


def test_this_environment_can_be_read() -> None:
    """The real entry points are found, whatever is installed."""
    installed = Installed()
    assert set(installed.plugins()) >= set()
    assert all(isinstance(name, str) for name in installed.plugins())
