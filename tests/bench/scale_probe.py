"""Plugins that look at a gateway from inside. This file is copied beside the gateway: it imports nothing of the bench."""

import asyncio
import gc
import json
import os
import time
from pathlib import Path
from typing import Literal

from msgspec import Struct
from typing_extensions import override

from headgate import Context, Exchange, Hooks, hookimpl

FLUSH_S = 0.1


def _keep(*_: int) -> None:
    """Stands for `gc.freeze` and `gc.set_threshold` where Python's own settings are to stay."""


class ProbeConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`path`: where collections are noted. `gc`: the process's own settings, Python's, or none at all.

    `thresholds` take the place of the process's own, beside its other settings.
    """

    path: str
    gc: Literal["own", "python", "off"] = "own"
    thresholds: tuple[int, ...] = ()


class Probe(Hooks):
    """Notes every garbage collection as a line `[ended, generation, seconds]`, with `ended` monotonic seconds.

    It implements no request hook, so that it adds nothing to a request.
    """

    Config = ProbeConfig

    def __init__(self, config: ProbeConfig) -> None:
        self._config = config
        self._began = 0.0
        self._noted: list[tuple[float, int, float]] = []
        self._flushing: asyncio.Task[None] | None = None

    @override
    @hookimpl
    async def start(self, ctx: Context) -> None:
        if self._config.gc != "own":
            gc.__dict__.update(freeze=_keep, set_threshold=_keep)
        if self._config.thresholds:
            gc.set_threshold(*self._config.thresholds)
            gc.__dict__.update(set_threshold=_keep)
        if self._config.gc == "off":
            gc.disable()
        gc.callbacks.append(self._note)
        self._flushing = asyncio.create_task(self._flush())

    @override
    @hookimpl
    async def stop(self) -> None:
        gc.callbacks.remove(self._note)
        if self._flushing is not None:
            self._flushing.cancel()

    def _note(self, phase: str, info: dict[str, int]) -> None:
        now = time.monotonic()
        if phase == "start":
            self._began = now
        else:
            self._noted.append((now, info["generation"], now - self._began))

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            lines, self._noted = self._noted, []
            if lines:
                with Path(self._config.path).open("a") as out:  # noqa: ASYNC230 - a line or two
                    out.writelines(f"{json.dumps(line)}\n" for line in lines)


class CountConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`folder`: where each process leaves a file with its number of exchanges. `burn_ms`: CPU to spend on each one."""

    folder: str
    burn_ms: float = 0.0


class Count(Hooks):
    """Keeps the number of exchanges of its process in the file `PID.count`, and spends CPU on each of them."""

    Config = CountConfig

    def __init__(self, config: CountConfig) -> None:
        self._config = config
        self._count = 0
        self._flushing: asyncio.Task[None] | None = None

    @override
    @hookimpl
    async def start(self, ctx: Context) -> None:
        self._flushing = asyncio.create_task(self._flush(Path(self._config.folder, f"{os.getpid()}.count")))

    @override
    @hookimpl
    async def admit(self, ex: Exchange) -> None:
        self._count += 1
        end = time.thread_time() + self._config.burn_ms / 1000
        while time.thread_time() < end:
            pass

    @override
    @hookimpl
    async def stop(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()

    async def _flush(self, path: Path) -> None:
        while True:
            self._write(path)
            await asyncio.sleep(FLUSH_S)

    def _write(self, path: Path) -> None:
        """Put the number there in one step: a reader never sees an empty file."""
        new = path.with_suffix(".next")
        new.write_text(str(self._count))
        new.replace(path)
