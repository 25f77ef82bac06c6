"""What the core itself does in the pipeline: names resolved to deployments, models allowed, callers without keys."""

from __future__ import annotations

from typing import Any, cast

import pytest

from headgate.builtin import ANONYMOUS, CallerCredential, Core, ModelRoute, OpenAccess, bearer, gateway_key
from headgate.context import Context
from headgate.errors import Forbidden, InvalidRequest, ModelNotFound, RequestError, Unauthenticated
from headgate.exchange import Exchange, Principal, Target
from headgate.operations import CHAT, PASSTHROUGH
from headgate.provider import Provider
from headgate.secret import Secret
from headgate.state import MemoryStateStore

MODELS = {"fast": Target(deployment="demo", model="echo"), "smart": Target(strategy="fallback")}
ANYTHING = Target(deployment="openai")


def find(name: str) -> Provider | None:
    return cast("Provider", object()) if name in {"demo", "openai"} else None


def exchange(model: str = "", principal: Principal | None = None, /, **headers: str) -> Exchange:
    held = {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}
    ex = Exchange(CHAT if model else PASSTHROUGH, held, request_id="r", trace_id="t")
    ex.model = model
    ex.principal = principal
    return ex


async def routed(ex: Exchange, *, anything: bool = False) -> Target | None:
    return await ModelRoute({**MODELS, "*": ANYTHING} if anything else MODELS, find).route(ex)


async def error_of(ex: Exchange) -> RequestError:
    with pytest.raises(RequestError) as caught:
        await routed(ex)
    return caught.value


# where to


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("fast", MODELS["fast"]),
        ("smart", MODELS["smart"]),
        ("demo/echo", Target(deployment="demo", model="echo")),
        ("openai/meta/llama", Target(deployment="openai", model="meta/llama")),
        ("openai/", Target(deployment="openai")),
    ],
)
async def test_a_model_is_an_alias_or_a_deployments(model: str, expected: Target) -> None:
    """An alias first, then the deployment before the first slash."""
    assert await routed(exchange(model)) == expected


@pytest.mark.parametrize("model", ["gpt-4o", "meta/llama", "fastest"])
async def test_other_models_go_to_the_star(model: str) -> None:
    """With the alias `*` any name is passed on as it is; without it an unknown one is refused."""
    assert await routed(exchange(model), anything=True) == ANYTHING
    error = await error_of(exchange(model))
    assert (type(error), error.param) == (ModelNotFound, "model")


async def test_an_unknown_model_says_what_was_meant() -> None:
    """The nearest alias."""
    assert "did you mean `fast`?" in (await error_of(exchange("fasst"))).message


async def test_a_huge_model_name_is_not_repeated() -> None:
    """A name of megabytes, which nobody meant, costs neither the reply nor the search for a near one."""
    error = await error_of(exchange("a" * 300_000))
    assert len(error.message) < 1000


@pytest.mark.parametrize(
    ("headers", "model", "expected"),
    [
        ({"x_headgate_provider": "openai"}, "gpt-4o", Target(deployment="openai", model="gpt-4o")),
        ({"x_portkey_provider": "@openai"}, "gpt-4o", Target(deployment="openai", model="gpt-4o")),
        ({"x_portkey_virtual_key": "openai"}, "gpt-4o", Target(deployment="openai", model="gpt-4o")),
        ({"x_headgate_provider": "openai"}, "fast", Target(deployment="openai", model="fast")),
        ({"x_headgate_provider": "openai"}, "openai/gpt-4o", Target(deployment="openai", model="gpt-4o")),
        ({"x_headgate_provider": "openai"}, "meta/llama", Target(deployment="openai", model="meta/llama")),
        ({"x_headgate_provider": "openai", "x_portkey_provider": "demo"}, "a", Target(deployment="openai", model="a")),
        ({"x_headgate_provider": "openai"}, "", Target(deployment="openai")),
    ],
)
async def test_a_header_names_the_deployment(headers: dict[str, str], model: str, expected: Target) -> None:
    """Under Headgate's name or Portkey's; then the model is the deployment's own."""
    assert await routed(exchange(model, **headers)) == expected


@pytest.mark.parametrize(
    ("ex", "kind", "code"),
    [
        (exchange("x", x_headgate_provider="nobody"), ModelNotFound, "model_not_found"),
        (exchange(), InvalidRequest, "missing_provider"),
        (exchange("fast", x_headgate_config="{}"), InvalidRequest, "no_router"),
    ],
)
async def test_what_cannot_be_routed(ex: Exchange, kind: type[RequestError], code: str) -> None:
    """Each refusal says what is missing."""
    error = await error_of(ex)
    assert (type(error), error.error_code) == (kind, code)


# who may


@pytest.mark.parametrize(
    ("models", "model", "headers", "allowed"),
    [
        ((), "anything", {}, True),
        (("fast",), "fast", {}, True),
        (("fast",), "smart", {}, False),
        (("openai/*",), "openai/gpt-4o", {}, True),
        (("openai/*",), "openai", {}, False),
        (("openai/*",), "demo/echo", {}, False),
        (("openai/gpt-4o",), "openai/gpt-4o-mini", {}, False),
        (("*",), "anything", {}, True),
        (("openai/gpt-4o",), "gpt-4o", {"x_headgate_provider": "openai"}, True),
        (("openai/gpt-4o",), "gpt-4o", {"x_headgate_provider": "@openai"}, True),
        (("fast",), "fast", {"x_headgate_provider": "openai"}, False),
        (("demo/*",), "demo/echo", {"x_headgate_provider": "openai"}, False),
        (("openai/*",), "x", {"x_portkey_virtual_key": "demo"}, False),
        (("openai/*",), "", {"x_headgate_provider": "demo"}, False),
        (("openai/*",), "", {"x_headgate_provider": "openai"}, True),
    ],
)
async def test_a_key_may_be_limited_to_models(
    models: tuple[str, ...], model: str, headers: dict[str, str], allowed: bool
) -> None:
    """The name that counts is the one that is called: with the deployment a header names before it."""
    ex = exchange(model, Principal("k", models=models), **headers)
    route = ModelRoute(MODELS, find)
    if allowed:
        await route.admit(ex)
        return
    with pytest.raises(Forbidden) as caught:
        await route.admit(ex)
    assert caught.value.error_code == "model_not_allowed"


async def test_only_callers_with_their_own_key_choose_the_host() -> None:
    """A custom host never gets the gateway's credentials (the caller would read them)."""
    route = ModelRoute(MODELS, find)
    for principal in (None, Principal("k"), ANONYMOUS):
        with pytest.raises(Forbidden):
            await route.admit(exchange("fast", principal, x_portkey_custom_host="https://evil.example"))
    await route.admit(exchange("fast", Principal("k", credential=Secret("s")), x_headgate_custom_host="https://a.b"))


# callers without a gateway key


async def test_open_access_takes_everybody() -> None:
    """One anonymous principal for all."""
    assert await OpenAccess().authenticate(exchange("fast")) == ANONYMOUS


@pytest.mark.parametrize(
    "headers",
    [{"authorization": "Bearer sk-1"}, {"authorization": "bearer  sk-1 "}, {"api_key": "sk-1"}, {"x_api_key": "sk-1"}],
)
async def test_a_callers_own_key_is_used_and_not_kept(headers: dict[str, str]) -> None:
    """The principal is a digest of the key, and the key itself is a secret."""
    ex = exchange("fast", **headers)
    principal = await CallerCredential(lambda text: f"digest of {len(text)}").authenticate(ex)
    assert principal is not None
    assert (principal.key, principal.credential) == ("digest of 4", Secret("sk-1"))
    assert "sk-1" not in repr(principal)
    assert principal.tenant == "key:digest of 4"


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Basic eA=="}, {"authorization": "Bearer "}, {"api_key": ""}]
)
async def test_without_a_key_there_is_no_passthrough(headers: dict[str, str]) -> None:
    """Nothing to call the provider with."""
    with pytest.raises(Unauthenticated) as caught:
        await CallerCredential(str).authenticate(exchange("fast", **headers))
    assert caught.value.error_code == "missing_api_key"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"authorization": "Bearer a"}, "a"),
        ({"authorization": "BEARER a"}, "a"),
        ({"authorization": "Bearer a b"}, "a b"),
        ({"authorization": "Bearer"}, None),
        ({"authorization": "a"}, None),
        ({}, None),
    ],
)
def test_the_bearer_token(headers: dict[str, str], expected: str | None) -> None:
    """RFC 6750: the scheme's case does not matter."""
    assert bearer(exchange("x", **headers)) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"authorization": "Bearer a"}, "a"),
        ({"authorization": "Bearer dummy", "x_headgate_api_key": "a"}, "a"),
        ({"authorization": "Bearer dummy", "x_portkey_api_key": " a "}, "a"),
        ({"api_key": "a"}, "a"),
        ({"x_api_key": "a"}, "a"),
        ({"x_headgate_api_key": " ", "authorization": "Bearer b"}, None),
        ({}, None),
    ],
)
def test_the_gateway_key(headers: dict[str, str], expected: str | None) -> None:
    """The gateway's own header first, then what the vendors' SDKs send."""
    assert gateway_key(exchange("x", **headers)) == expected


def test_the_core_registers_its_dialects_and_store() -> None:
    """What every gateway has."""
    chat = {"openai.chat", "openai.responses", "anthropic.messages", "google.generate"}
    embeds = {"openai.embeddings", "google.embed", "google.embed_one"}
    texts = embeds | {"openai.completions", "openai.moderations", "cohere.rerank"}
    others = texts | {"openai.images", "openai.speech", "openai.transcription", "openai.realtime", "google.live"}
    counts = {"anthropic.count", "google.count", "openai.count"}
    assert {dialect.name for dialect in Core().dialects()} == chat | others | counts
    context: Any = type("Sample", (), {"state_bytes": 1000})()
    store: Any = Core().stores()["memory"](cast("Context", context))
    assert isinstance(store, MemoryStateStore)
