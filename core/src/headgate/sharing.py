"""Breakers that several processes share through the state store: where one has found a deployment to fail, all leave it alone.

The request path never waits for the store: a task of its own tells and asks once a second. A store that is slow or away means
that each process knows what it has found itself.
"""

from __future__ import annotations

import asyncio

import structlog

from headgate.fleet import Fleet
from headgate.hooks import StateStore
from headgate.policies import Health

EVERY_S = 1.0
_PREFIX = b"breaker\0"

log = structlog.get_logger("headgate")


class SharedBreakers:
    """Tells the store which breakers of `fleet` have opened, and opens those that others have told of."""

    def __init__(self, fleet: Fleet, store: StateStore) -> None:
        self._fleet = fleet
        self._store = store
        self._told: dict[bytes, float] = {}
        self._failing = False

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.exchange()
                self._failing = False
            except Exception as error:  # stores come from plugins
                if not self._failing:
                    log.warning("breakers are not shared for now", error=f"{type(error).__name__}: {error}")
                self._failing = True

    async def exchange(self) -> None:
        """Tell and ask once."""
        for deployment, model, health in self._fleet.known():
            if "\0" in deployment:
                continue  # what a caller has brought is nobody else's
            key = _PREFIX + deployment.encode() + b"\0" + model.encode()
            if health.breaker.state == "closed":
                await self._ask(key, health)
            elif health.breaker.state == "open" and self._told.get(key) != health.breaker.opened_at:
                await self._tell(key, health)

    async def _tell(self, key: bytes, health: Health) -> None:
        wait_s = health.breaker.wait_s(self._fleet.clock())
        if wait_s > 0:
            await self._store.set(key, b"%.3f" % wait_s, wait_s)
        self._told[key] = health.breaker.opened_at

    async def _ask(self, key: bytes, health: Health) -> None:
        told = await self._store.get(key)
        now = self._fleet.clock()
        if told is None or health.breaker.state != "closed":
            return
        health.breaker.opened_elsewhere(now, min(float(told), health.rule.max_penalty_s))
        self._told[key] = health.breaker.opened_at
