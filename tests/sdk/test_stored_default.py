"""Stored responses with the `openai` package, on the configuration that `headgate init` writes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import openai
import pytest
import yaml
from openai import OpenAI
from tests.harness import GATEWAY_KEY, Gateway

OTHER_KEY = "hg-other-2b7d90c4"
DEMO = "Hello from the Headgate demo. You said: "


@pytest.fixture(scope="module")
def default_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The sample configuration as it stands, but for two keys of known text."""
    config: dict[str, Any] = yaml.safe_load(files("headgate.config").joinpath("headgate.yaml").read_text("utf-8"))
    keys = [{"name": "app", "key": GATEWAY_KEY}, {"name": "other", "key": OTHER_KEY}]
    config["plugins"] = [{"keys": {"keys": keys}} if name == "keys" else name for name in config["plugins"]]
    gateway = Gateway(tmp_path_factory.mktemp("default"), config)
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture
def client(default_gateway: Gateway) -> Iterator[OpenAI]:
    """The client of one tenant."""
    with OpenAI(base_url=f"{default_gateway.url}/v1", api_key=GATEWAY_KEY, max_retries=0, timeout=10) as held:
        yield held


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_conversation(client: OpenAI, is_stream: bool) -> None:
    """Created, gone on from, retrieved, listed and deleted; whole or streamed, with nothing set up for it."""
    if is_stream:
        with client.responses.stream(model="fast", input="first") as stream:
            one = stream.get_final_response()
    else:
        one = client.responses.create(model="fast", input="first")
    assert one.output_text == DEMO + "first"
    assert client.responses.retrieve(one.id).output_text == one.output_text
    two = client.responses.create(model="fast", input="second", previous_response_id=one.id)
    assert (two.output_text, two.previous_response_id) == (DEMO + "second", one.id)
    listed = [
        item.model_dump()["content"][0]["text"] for item in client.responses.input_items.list(two.id, order="asc")
    ]
    assert listed == ["first", DEMO + "first", "second"]
    with pytest.raises(openai.BadRequestError, match="Cannot cancel a synchronous response"):
        client.responses.cancel(one.id)
    client.responses.delete(one.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(one.id)
    assert client.responses.retrieve(two.id).id == two.id


def test_another_tenant(client: OpenAI, default_gateway: Gateway) -> None:
    """What one key made is unknown to another one, and cannot be gone on from."""
    one = client.responses.create(model="fast", input="secret")
    with OpenAI(base_url=f"{default_gateway.url}/v1", api_key=OTHER_KEY, max_retries=0, timeout=10) as other:
        for ask in (other.responses.retrieve, other.responses.delete, other.responses.cancel):
            with pytest.raises(openai.NotFoundError):
                ask(one.id)
        with pytest.raises(openai.NotFoundError):
            other.responses.input_items.list(one.id)
        with pytest.raises(openai.BadRequestError) as refused:
            other.responses.create(model="fast", input="go on", previous_response_id=one.id)
    assert refused.value.code == "previous_response_not_found"
    assert client.responses.retrieve(one.id).output_text == DEMO + "secret"
