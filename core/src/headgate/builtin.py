"""What the core itself does in the pipeline, as a plugin like any other, placed last: resolve the model, check that the
key may use it, and the auth modes that need no keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import unquote_plus

from typing_extensions import override

from headgate.dialects import (
    AnthropicCount,
    AnthropicMessages,
    CohereRerank,
    GoogleCount,
    GoogleEmbed,
    GoogleEmbedOne,
    GoogleGenerate,
    GoogleLive,
    OpenAIChat,
    OpenAICompletions,
    OpenAIEmbeddings,
    OpenAIImages,
    OpenAIModerations,
    OpenAIRealtime,
    OpenAIResponses,
    OpenAISpeech,
    OpenAITranscription,
    ResponsesCount,
)
from headgate.dialects.interface import Dialect
from headgate.errors import Forbidden, InvalidRequest, ModelNotFound, RequestError, RouteNotFound, Unauthenticated
from headgate.exchange import Exchange, Principal, Target, caching_of
from headgate.hooks import Hooks, StoreFactory, hookimpl
from headgate.operations import MESSAGES, PASSTHROUGH, RESPONSES, named_below
from headgate.provider import Provider
from headgate.secret import Secret
from headgate.state import MemoryStateStore
from headgate.suggest import MAX_NAME, did_you_mean, shown

_STATE = ", or enable the plugin `responses`, which knows who keeps a response"
ANONYMOUS = Principal("anonymous", allow_config=True)

FindProvider = Callable[[str], Provider | None]
"""A deployment by name; in `passthrough` mode also any installed provider by its own name."""


class Core(Hooks):
    """Registers the core's dialects and store, and gives every exchange its last word on who and where."""

    @override
    @hookimpl
    def dialects(self) -> list[Dialect]:
        return [
            OpenAIChat(),
            OpenAIResponses(),
            AnthropicMessages(),
            GoogleGenerate(),
            OpenAICompletions(),
            OpenAIEmbeddings(),
            GoogleEmbed(),
            GoogleEmbedOne(),
            OpenAIImages(),
            OpenAISpeech(),
            OpenAITranscription(),
            OpenAIModerations(),
            OpenAIRealtime(),
            GoogleLive(),
            CohereRerank(),
            AnthropicCount(),
            GoogleCount(),
            ResponsesCount(),
        ]

    @override
    @hookimpl
    def stores(self) -> Mapping[str, StoreFactory]:
        return {"memory": lambda ctx: MemoryStateStore(max_bytes=ctx.state_bytes)}


class ModelRoute(Hooks):
    """Resolves what the caller named: a model alias, `deployment/model`, or the header `x-headgate-provider`."""

    def __init__(self, models: Mapping[str, Target], find: FindProvider) -> None:
        self._models = models
        self._find = find
        self._caching = {name: found for name, target in models.items() if (found := caching_of(target)) is not None}

    @override
    @hookimpl
    async def admit(self, ex: Exchange) -> None:
        principal = ex.principal
        if ex.option("custom-host") and (principal is None or principal.credential is None):
            raise Forbidden(
                "`x-headgate-custom-host` needs the auth mode `passthrough`", code="custom_host_not_allowed"
            )
        if self._caching and ex.caching is None:
            ex.caching = self._caching.get(self._name(ex.model))
        if principal is None or not principal.models:
            return
        named = _named(ex.options())
        wanted = f"{named}/{_within(named, ex.model)}" if named else self._name(ex.model)
        if wanted and not principal.allows(wanted):
            param = None if named else "model"
            raise Forbidden(f"this key may not use model `{_cut(wanted)}`", code="model_not_allowed", param=param)

    @override
    @hookimpl
    async def route(self, ex: Exchange) -> Target | None:
        options = ex.options()
        if options.get("config"):
            raise InvalidRequest("no router takes `x-headgate-config`: enable `router-standard`", code="no_router")
        named = _named(options) if options else ""
        if named:
            return self._leaf(named, ex.model)
        name = self._name(ex.model)
        target = self._models.get(name)
        if target is not None:
            return target
        deployment, slash, model = name.partition("/")
        if slash and self._find(deployment) is not None:
            return Target(deployment=deployment, model=model)
        anything = self._models.get("*")
        if anything is not None and ex.model:
            return anything
        if not ex.model and ex.operation.has_model:
            raise InvalidRequest(
                "`model` is missing; name it, or the deployment in the header `x-headgate-provider`",
                param="model",
                code="missing_model",
            )
        if not ex.model:
            raise _nowhere(ex)
        hint = did_you_mean(ex.model, self._models)
        raise ModelNotFound(
            f"model `{_cut(ex.model)}` is not known{hint}: use an alias of `models:`, or `deployment/model`",
            param="model",
        )

    def _leaf(self, name: str, model: str) -> Target:
        if self._find(name) is None:
            raise ModelNotFound(f"deployment `{_cut(name)}` is not known (header `x-headgate-provider`)")
        return Target(deployment=name, model=_within(name, model))

    def _name(self, model: str) -> str:
        """A model as the allow-lists know it: Portkey writes `@deployment/model`. Other names may begin with `@` too."""
        if "/" not in model:
            return model
        deployment, _, _ = model.removeprefix("@").partition("/")
        return model.removeprefix("@") if self._find(deployment) is not None else model


def _within(deployment: str, model: str) -> str:
    """A model's name inside a deployment that is named beside it, which callers may repeat before the model."""
    for prefix in (f"{deployment}/", f"@{deployment}/"):
        if model.startswith(prefix):
            return model.removeprefix(prefix)
    return model


def _nowhere(ex: Exchange) -> RequestError:
    """What to tell a request that names neither a model nor a deployment. At another vendor's paths, what there is of those."""
    also = _STATE if ex.path.startswith(f"{RESPONSES.path}/") else ""
    hint = f"name the deployment in the header `x-headgate-provider`{also}"
    prefix = next((held for held in (MESSAGES.path, "/v1beta") if ex.path.startswith(f"{held}/")), None)
    if prefix is None or ex.operation is not PASSTHROUGH:
        return InvalidRequest(hint, code="missing_provider")
    there = named_below(prefix)
    return RouteNotFound(f"there is nothing at `{shown(ex.path)}`; there are {there}; to send it to a vendor, {hint}")


def _cut(name: str) -> str:
    return shown(name, MAX_NAME)


def _named(options: Mapping[str, str]) -> str:
    """The deployment a header names; Portkey's older clients call it a virtual key."""
    return (options.get("provider") or options.get("virtual-key") or "").removeprefix("@")


class OpenAccess(Hooks):
    """Auth mode `open`: everybody may call, as one anonymous principal."""

    @override
    @hookimpl
    async def authenticate(self, ex: Exchange) -> Principal | None:
        return ANONYMOUS


class CallerCredential(Hooks):
    """Auth mode `passthrough`: the caller brings the provider's key. It is used for this exchange and kept nowhere.

    The principal is a digest of the key, so caches and limits stay apart between callers.
    """

    def __init__(self, digest: Callable[[str], str]) -> None:
        self._digest = digest

    @override
    @hookimpl
    async def authenticate(self, ex: Exchange) -> Principal | None:
        key = bearer(ex) or _vendor_key(ex)
        if not key:
            raise Unauthenticated(
                "no key was given; send the provider's key as `Authorization: Bearer KEY`", code="missing_api_key"
            )
        ex.base_url = ex.custom_host = (ex.option("custom-host") or "").rstrip("/")
        return Principal(self._digest(key), credential=Secret(key))


_KEY_HEADERS = (b"api-key", b"x-api-key", b"x-goog-api-key")
"""Where the SDKs of Azure, Anthropic and Google put a key."""


def gateway_key(ex: Exchange) -> str | None:
    """The gateway key of a request: `x-headgate-api-key`, `x-portkey-api-key`, `Authorization: Bearer`, or where a vendor's
    SDK puts its key: `api-key`, `x-api-key`, `x-goog-api-key`, the query parameter `key`.

    The gateway's own header comes first because Portkey's clients send a placeholder as bearer token beside it.
    """
    return (ex.option("api-key") or bearer(ex) or _vendor_key(ex) or "").strip() or None


def _vendor_key(ex: Exchange) -> str:
    headers = ex.headers
    for name in _KEY_HEADERS:
        if name in headers:
            return headers[name].decode("latin-1")
    if ex.query.find(b"key=") < 0:
        return ""
    return next((unquote_plus(part[4:].decode("latin-1")) for part in ex.query.split(b"&") if part[:4] == b"key="), "")


def bearer(ex: Exchange) -> str | None:
    """The token of `Authorization: Bearer TOKEN` (RFC 6750)."""
    scheme, _, key = (ex.header("authorization") or "").partition(" ")
    return (key.strip() or None) if scheme.lower() == "bearer" else None
