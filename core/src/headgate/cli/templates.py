"""The packages that `headgate new` writes. Their files are templates in the folder `new` beside this module."""

from __future__ import annotations

import keyword
from importlib.resources import files
from string import Template

from msgspec import Struct


class Shape(Struct, frozen=True):
    """What differs between the kinds of packages. `prefix` stands before the name, in the distribution and the entry."""

    group: str
    description: str
    dependencies: tuple[str, ...]
    prefix: str = ""


SHAPES = {
    "plugin": Shape("plugins", "A plugin for Headgate", ("headgate>=0.1,<0.2", "msgspec>=0.20")),
    "provider": Shape("providers", "A provider for Headgate", ("headgate>=0.1,<0.2", "headgate-openai>=0.1,<0.2")),
    "guardrail": Shape("plugins", "A guardrail for Headgate", ("headgate>=0.1,<0.2", "msgspec>=0.20"), "guard-"),
}
_TAKEN = {
    "Any", "Blocked", "Check", "CheckFactory", "Context", "DeploymentConfig", "Exchange", "Forbidden", "Hooks",
    "Mapping", "OpenAI", "Sequence", "Struct", "Verdict", "Words",
}  # fmt: skip


def render(kind: str, name: str) -> dict[str, str]:
    """File contents by relative path. `kind` is plugin, provider or guardrail; `name` is in lower case with dashes."""
    shape = SHAPES[kind]
    entry = shape.prefix + name
    module = f"headgate_{entry.replace('-', '_')}"
    test_file = f"test_{name.replace('-', '_')}.py"
    values = {
        "name": name,
        "entry": entry,
        "distribution": f"headgate-{entry}",
        "module": module,
        "class_name": class_name(kind, entry),
        "variable": f"{name.upper().replace('-', '_')}_API_KEY",
        "test_file": test_file,
        "group": shape.group,
        "description": shape.description,
        "dependencies": ", ".join(f'"{dependency}"' for dependency in shape.dependencies),
    }
    return {
        "pyproject.toml": _fill("pyproject.toml", values),
        "README.md": _fill(f"{kind}/README.md", values),
        f"src/{module}/__init__.py": _fill(f"{kind}/package.py", values),
        f"src/{module}/py.typed": "",
        f"tests/{test_file}": _fill(f"{kind}/test.py", values),
    }


def class_name(kind: str, entry: str) -> str:
    """The class of an entry point: `spend-cap` is `SpendCap`. One that is a keyword or taken gets its kind behind it."""
    words = "".join(word.capitalize() for word in entry.split("-"))
    return words + kind.capitalize() if keyword.iskeyword(words) or words in _TAKEN else words


def _fill(path: str, values: dict[str, str]) -> str:
    return Template(files("headgate.cli").joinpath("new", f"{path}.txt").read_text("utf-8")).substitute(values)
