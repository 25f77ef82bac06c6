"""Configurations of Vertex AI: where project, place and credentials come from, and what cannot work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from providers.vertex.tests.vertex_wire import (
    USER,
    deploy,
)

from headgate.errors import StartupError
from headgate.secret import Secret
from headgate.testing import ReplayUpstream
from headgate_vertex import Vertex, VertexConfig


def test_the_project_comes_from_the_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the deployment says comes first, then its credentials, then the environment."""
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "of-environment")
    key = tmp_path / "key.json"
    key.write_text('{"type": "service_account", "project_id": "of-key", "private_key": "k"}')
    assert deploy(project="", credentials=None, credentials_file=str(key)).project == "of-key"
    assert deploy(project="").project == "of-environment"
    assert deploy().project == "my-project"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"project": ""}, "`project` is missing"),
        ({"project": "a/b"}, "`project`"),
        ({"location": "evil.example/"}, "`location`"),
        ({"credentials": Secret("{}")}, "`credentials` cannot be used"),
        ({"credentials": None, "credentials_file": "/nowhere.json"}, "`credentials_file` cannot be read"),
        ({"api_key": Secret("AIza")}, "exclude each other"),
    ],
)
def test_configurations_that_cannot_work(config: dict[str, Any], words: str) -> None:
    """They are refused at the start, by name."""
    with pytest.raises(StartupError) as caught:
        deploy(**config)
    assert words in str(caught.value)
    assert "user-secret" not in str(caught.value)


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Project and location together switch it on."""
    assert Vertex.from_environment() is None
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    assert Vertex.from_environment() is None
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "us-central1")
    assert Vertex.from_environment() == {"provider": "vertex", "project": "p", "location": "us-central1"}
    assert deploy(project="", location="").location == "us-central1"


def test_a_reload_sees_what_was_written() -> None:
    """The configuration that a deployment shows is the one it was given."""
    config = VertexConfig(provider="vertex", project="p", credentials=Secret(USER))
    assert Vertex("main", config, ReplayUpstream()).config is config
