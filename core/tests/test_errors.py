"""The error tree: its picture is true, and every error becomes the envelope OpenAI's clients read."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import msgspec
import pytest

from headgate import errors
from headgate.errors import (
    HeadgateError,
    InvalidRequest,
    Problem,
    ProviderError,
    ProviderFailed,
    ProviderTimeout,
    RateLimited,
    RequestError,
    StartupError,
)

_LINE = re.compile(r"^(?P<indent>[ │├└─]*)(?P<name>[A-Z]\w+)(?: +(?P<status>\d{3}))?", re.MULTILINE)


def pictured() -> Iterator[tuple[str, str, str | None]]:
    """Name, parent and status of every error in the module's picture."""
    tree = (errors.__doc__ or "").partition("::\n\n")[2].partition("\n\nA provider")[0]
    above: list[tuple[int, str]] = []
    for match in _LINE.finditer(inspect.cleandoc(tree)):
        depth = len(match["indent"])
        while above and above[-1][0] >= depth:
            above.pop()
        yield match["name"], above[-1][1] if above else "", match["status"]
        above.append((depth, match["name"]))


def public() -> dict[str, type[HeadgateError]]:
    held = vars(errors).values()
    return {kind.__name__: kind for kind in held if isinstance(kind, type) and issubclass(kind, HeadgateError)}


def test_the_picture_shows_every_error_under_its_parent() -> None:
    """The tree at the top of the module is the tree of the classes, with their statuses."""
    classes = public()
    drawn = list(pictured())
    assert {name for name, _, _ in drawn} == set(classes)
    for name, parent, status in drawn:
        base = classes[name].__bases__[0]
        assert (name, base.__name__ if parent else "") == (name, parent)
        if status is not None:
            assert getattr(classes[name], "status") == int(status), name  # noqa: B009 - the root has none


@pytest.mark.parametrize("kind", [kind for kind in public().values() if issubclass(kind, RequestError)])
def test_every_error_has_an_envelope(kind: type[RequestError]) -> None:
    """Message, type and code reach the client in OpenAI's shape, whatever the error."""
    error = kind("it went `wrong`")
    assert msgspec.json.decode(error.envelope()) == {
        "error": {"message": "it went `wrong`", "type": kind.type, "param": None, "code": kind.code}
    }
    assert 400 <= kind.status < 600
    assert str(error) == "it went `wrong`"


def test_code_and_param_can_be_given() -> None:
    """A more exact code replaces the class's own in the envelope and leaves the class alone."""
    error = InvalidRequest("no", code="missing_model", param="model")
    held = msgspec.json.decode(error.envelope())["error"]
    assert (held["code"], held["param"]) == ("missing_model", "model")
    assert InvalidRequest.code == "invalid_request"


def test_extra_members_stand_beside_the_error() -> None:
    """`extra` adds members next to `error`, as Portkey's `hook_results` does."""
    held = msgspec.json.decode(RequestError("x", extra={"hook_results": {"a": 1}}).envelope())
    assert held["hook_results"] == {"a": 1}
    assert held["error"]["message"] == "x"


def test_a_provider_error_names_its_provider() -> None:
    """The provider stands in the envelope, so that a client knows who failed; the deployment does not."""
    error = ProviderFailed("x", provider="openai", deployment="secret-name")
    assert msgspec.json.decode(error.envelope())["provider"] == "openai"
    assert "secret-name" not in error.envelope().decode()
    assert (error.provider, error.deployment) == ("openai", "secret-name")
    assert "provider" not in msgspec.json.decode(ProviderTimeout("x").envelope())


def test_retryable_is_what_may_pass_by_itself() -> None:
    """Only overload, rate limits and the provider's side may go away when tried again."""
    retryable = {name for name, kind in public().items() if getattr(kind, "retryable", False)}
    assert retryable == {"RateLimited", "Overloaded", "ProviderError", "ProviderFailed", "ProviderTimeout"}
    assert issubclass(ProviderTimeout, ProviderError)
    assert RateLimited("x", retry_after_s=2.5).retry_after_s == 2.5


def test_a_startup_error_lists_every_problem() -> None:
    """Each problem has a line of its own, with its place before it when it has one."""
    error = StartupError([Problem("`a` is wrong", "f.yaml:3:1"), Problem("`b` is missing")])
    assert str(error) == "f.yaml:3:1: `a` is wrong\n`b` is missing"
    assert [problem.message for problem in error.problems] == ["`a` is wrong", "`b` is missing"]


def test_every_error_is_documented() -> None:
    """Each class says in its own words what happened."""
    for name, kind in public().items():
        assert "__doc__" in vars(kind), name
        assert kind.__doc__, name
