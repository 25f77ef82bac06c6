"""The model list as each official package reads it, whole and by pages, and single models; only what a key may use."""

# google-genai's signatures name types of optional dependencies that are not installed.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import anthropic
import openai
import pytest
from anthropic import Anthropic, AsyncAnthropic
from google import genai
from google.genai import errors, types
from openai import AsyncOpenAI, OpenAI
from tests.door.upstream import Upstream, json_response, reply_with
from tests.harness import CANARY, GATEWAY_KEY, Gateway, ask, eventually_idle, head, merged

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
"""The google-genai package's own: it inherits from a class of aiohttp."""
LIMITED_KEY = "hg-limited-77c0d1f2"
ALIASES = ["m", "fast", "down", "claude", "gemini", "local/llama3.2:8b"]
EVERYTHING = [*ALIASES, "mock/*", "demo/echo", "dead/*", "claude/*", "cohere/*", "deepinfra/*", "jina/*", "gemini/*"]
MINE = ["fast", "local/llama3.2:8b", "demo/echo"]


@pytest.fixture(scope="module")
def locked_gateway(tmp_path_factory: pytest.TempPathFactory, sdk_config: Mapping[str, Any]) -> Iterator[Gateway]:
    """A gateway with a key for everything, one for three models, and an alias with a slash and a colon in it."""
    keys = [
        {"name": "app", "key": GATEWAY_KEY},
        {"name": "limited", "key": LIMITED_KEY, "models": ["fast", "demo/echo", "local/*"]},
    ]
    changes = {
        "auth": {"mode": "keys"},
        "plugins": [{"keys": {"keys": keys}}],
        "models": {"local/llama3.2:8b": "demo/echo"},
    }
    gateway = Gateway(tmp_path_factory.mktemp("listing"), merged(sdk_config, changes))
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture
async def gateway(locked_gateway: Gateway) -> AsyncIterator[Gateway]:
    """The module's gateway; no exchange may be running on it when the test is over."""
    yield locked_gateway
    await eventually_idle(locked_gateway)


def googles(gateway: Gateway, key: str) -> genai.Client:
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=gateway.url, timeout=10_000))


async def test_openai_lists(client: OpenAI, async_client: AsyncOpenAI) -> None:
    """Aliases come first, then each deployment's models; one that names none is shown as open to any."""
    listed = list(client.models.list())
    assert [model.id for model in listed] == EVERYTHING
    assert {model.object for model in listed} == {"model"}
    assert [model.id async for model in async_client.models.list()] == EVERYTHING


@pytest.mark.parametrize("name", ["fast", "demo/echo", "local/llama3.2:8b", "mock/any-model"])
def test_single_models(client: OpenAI, claude: Anthropic, gemini: genai.Client, name: str) -> None:
    """Each package gets one model by its name, slashes, colons and all, also one of a deployment that names none."""
    assert client.models.retrieve(name).id == name
    assert claude.models.retrieve(name).id == name
    assert gemini.models.get(model=name).name == f"models/{name}"


def test_anthropic_lists(claude: Anthropic) -> None:
    """One page holds all that fits, with every member the package's type needs."""
    page = claude.models.list()
    assert [model.id for model in page.data] == EVERYTHING
    assert (page.has_more, page.first_id, page.last_id) == (False, "m", "gemini/*")
    first = page.data[0]
    assert (first.type, first.display_name, first.lifecycle, first.created_at.year) == ("model", "m", "active", 1970)
    assert [model.id for model in claude.beta.models.list(betas=["nobody-knows-2030-01-01"])] == EVERYTHING


@pytest.mark.parametrize("limit", [1, 3, len(EVERYTHING) - 1, len(EVERYTHING), 1000])
async def test_anthropic_pages(claude: Anthropic, async_claude: AsyncAnthropic, limit: int) -> None:
    """The package walks all pages, forwards and backwards, and meets every model once."""
    assert [model.id for model in claude.models.list(limit=limit)] == EVERYTHING
    assert [model.id async for model in async_claude.models.list(limit=limit)] == EVERYTHING
    pages = claude.models.list(limit=limit, before_id=EVERYTHING[-1]).iter_pages()
    backwards = [[model.id for model in page.data] for page in pages]
    assert [name for page in reversed(backwards) for name in page] == EVERYTHING[:-1]


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"after_id": "nobody"}, "after_id"),
        ({"before_id": "nobody"}, "before_id"),
        ({"after_id": "m", "before_id": "fast"}, "before_id"),
    ],
)
def test_pages_that_there_are_not(claude: Anthropic, asked: Any, param: str) -> None:
    """What asks for no page of the list is refused in Anthropic's envelope, which names the parameter and the request."""
    with pytest.raises(anthropic.BadRequestError, match=param) as caught:
        claude.models.list(**asked)
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id == caught.value.response.headers["x-headgate-request-id"]


@pytest.mark.parametrize("size", [1, 4, len(EVERYTHING), 5000])
async def test_google_pages(gemini: genai.Client, size: int) -> None:
    """The package walks all pages by their tokens, on both its faces."""
    names = [f"models/{name}" for name in EVERYTHING]
    config = types.ListModelsConfig(page_size=size)
    pager = gemini.models.list(config=config)
    assert len(pager.page) == min(size, len(names))
    assert [model.name for model in pager] == names
    assert [model.name async for model in await gemini.aio.models.list(config=config)] == names


def test_google_tells_what_a_model_does(gemini: genai.Client) -> None:
    """The methods are those that a deployment behind the name can carry out."""
    demo, messages = gemini.models.get(model="fast"), gemini.models.get(model="claude")
    chat = ["generateContent", "streamGenerateContent", "countTokens"]
    assert demo.supported_actions == [*chat, "embedContent", "batchEmbedContents"]
    assert messages.supported_actions == chat
    assert demo.display_name == "fast"


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_google_at_every_version(gateway: Gateway, version: str) -> None:
    """At `v1` the package asks OpenAI's path, and is known by its headers."""
    options = types.HttpOptions(base_url=gateway.url, api_version=version)
    with genai.Client(api_key=GATEWAY_KEY, http_options=options) as google:
        assert [model.name for model in google.models.list(config={"page_size": 3})][-1] == "models/gemini/*"
        assert google.models.get(model="demo/echo").name == "models/demo/echo"
        with pytest.raises(errors.ClientError, match="is not known") as caught:
            google.models.get(model="nobody")
    assert caught.value.status == "NOT_FOUND"


@pytest.mark.parametrize("token", ["bm9ib2R5", "!", "_w=="])
def test_googles_pages_that_there_are_not(gemini: genai.Client, token: str) -> None:
    """A token of no page is an error in Google's envelope."""
    with pytest.raises(errors.ClientError, match="pageToken") as caught:
        gemini.models.list(config={"page_token": token})
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")


def test_a_key_sees_only_its_models(gateway: Gateway, client: OpenAI, claude: Anthropic) -> None:
    """Every shape lists what the key may use, and nothing else can be looked up; the error does not tell that it is there."""
    limited, own = client.with_options(api_key=LIMITED_KEY), claude.with_options(api_key=LIMITED_KEY)
    assert [model.id for model in limited.models.list()] == MINE
    assert [model.id for model in own.models.list(limit=2)] == MINE
    with googles(gateway, LIMITED_KEY) as google:
        assert [model.name for model in google.models.list()] == [f"models/{name}" for name in MINE]
        with pytest.raises(errors.ClientError, match="`smoked` is not known") as googles_error:
            google.models.get(model="smoked")
        with pytest.raises(errors.ClientError, match="`claude` is not known"):
            google.models.get(model="claude")
    with pytest.raises(openai.NotFoundError, match="`mock/any` is not known") as openais:
        limited.models.retrieve("mock/any")
    with pytest.raises(anthropic.NotFoundError, match="`down` is not known") as anthropics:
        own.models.retrieve("down")
    assert googles_error.value.status == "NOT_FOUND"
    assert openais.value.code == "model_not_found"
    assert anthropics.value.type == "not_found_error"


def test_keys_that_are_not_known(gateway: Gateway, client: OpenAI, claude: Anthropic) -> None:
    """A wrong key is refused in the envelope of whoever sends it."""
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-wrong").models.list()
    with pytest.raises(anthropic.AuthenticationError) as caught:
        claude.with_options(api_key="sk-wrong").models.list()
    with googles(gateway, "wrong") as google, pytest.raises(errors.ClientError) as googles_error:
        google.models.list()
    assert caught.value.type == "authentication_error"
    assert (googles_error.value.code, googles_error.value.status) == (401, "UNAUTHENTICATED")


async def test_googles_key_in_the_query(gateway: Gateway) -> None:
    """`?key=` carries the gateway's key as it carries Google's."""
    target = f"/v1beta/models?pageSize=1&key={GATEWAY_KEY}".encode()
    answer = await ask(gateway, head(b"", target, b"GET"))
    assert [model["name"] for model in answer.json["models"]] == ["models/m"]


async def test_a_vendor_that_is_named_answers_itself(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """With `x-headgate-provider` one model is the vendor's to tell of, and to delete."""
    upstream.script = reply_with(json_response({"id": "ft:1", "object": "model", "created": 5, "owned_by": "me"}))
    named = {"x-headgate-provider": "mock"}
    assert (await async_client.models.retrieve("ft:1", extra_headers=named)).created == 5
    await async_client.models.delete("ft:1", extra_headers=named)
    assert [(call.method, call.target) for call in upstream.calls] == [
        ("GET", "/v1/models/ft:1"),
        ("DELETE", "/v1/models/ft:1"),
    ]
    assert upstream.calls[0].header("authorization") == f"Bearer {CANARY}"
