"""What a plugin is given when it starts: the outbound client, shared state, other plugins' checks, a place for files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headgate.errors import Problem, StartupError
from headgate.exchange import Target
from headgate.fleet import Fleet
from headgate.hooks import Check, CheckFactory, ModelFacts, StateStore
from headgate.routing import Asked, Known, decode_target
from headgate.secret import GatewaySecret
from headgate.state import MAX_BYTES
from headgate.suggest import did_you_mean
from headgate.upstream import Upstream

if TYPE_CHECKING:
    import httpx2


class Context:
    """Given to `Hooks.configure` and `Hooks.start`. It outlives reloads and always shows the newest configuration.

    `state_dir` is where the gateway keeps small files of its own; `secret` keys its digests; `url` is where it
    listens, for messages to people; `state` is the store for shared state, `state_bytes` what one in memory may hold.
    `fleet` is how the deployments are doing, `find_facts` what the plugins know of a deployment's model, None for nothing.
    """

    def __init__(self, upstream: Upstream, state_dir: Path, url: str) -> None:
        self.upstream = upstream
        self.state_dir = state_dir
        self.url = url
        self.secret = GatewaySecret(state_dir)
        self.known = Known((), {})
        self.state: StateStore
        self.state_bytes = MAX_BYTES
        self.fleet = Fleet(is_sparing=True)
        self.find_facts: Callable[[str, str], ModelFacts | None] = lambda _deployment, _model: None
        self.announcements: list[str] = []
        self._http: httpx2.AsyncClient | None = None

    @property
    def deployments(self) -> Collection[str]:
        """The names of what is configured below `providers:`."""
        return self.known.deployments

    @property
    def http(self) -> httpx2.AsyncClient:
        """An httpx2 client over the gateway's outbound path: same pool, same address rules, no redirects."""
        if self._http is None:
            import httpx2

            from headgate.upstream.httpx import UpstreamTransport  # costs 120 ms, and few plugins call out

            self._http = httpx2.AsyncClient(transport=UpstreamTransport(self.upstream), trust_env=False)
        return self._http

    def check(self, name: str, parameters: Mapping[str, Any]) -> Check:
        """A configured check by id; an id without a dot is taken from `default.`. StartupError names what is wrong."""
        return make_check(self.known.checks, name, parameters)

    def decode_target(self, value: Any, asked: Asked | None = None) -> Target:
        """A routing config as a tree, `asked` for one that came with a request. StartupError lists every problem with it."""
        target = decode_target(value, self.known, asked=asked)
        if target.targets:
            self.fleet.watch(target)
        return target

    def announce(self, text: str) -> None:
        """Say something to the person who started the gateway, once it is ready. Shown on the terminal, never logged."""
        self.announcements.append(text)

    async def close(self) -> None:
        """Close the outbound client."""
        if self._http is not None:
            await self._http.aclose()


def make_check(checks: Mapping[str, CheckFactory], name: str, parameters: Mapping[str, Any]) -> Check:
    """A configured check by id; an id without a dot is taken from `default.`. StartupError names what is wrong."""
    full = name if "." in name else f"default.{name}"
    factory = checks.get(full)
    if factory is None:
        hint = did_you_mean(full, checks)
        raise StartupError([Problem(f"check `{name}` is not known{hint}; enable the guardrail that brings it")])
    try:
        return factory(parameters)
    except (TypeError, ValueError) as error:
        raise StartupError([Problem(f"check `{name}`: {error}")]) from None
