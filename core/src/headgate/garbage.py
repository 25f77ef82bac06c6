"""When the garbage collector may not run: it halts every thread while it walks all that a large configuration is made of."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Generator


@contextlib.contextmanager
def uncollected() -> Generator[None]:
    """No collection inside, where much is made that lives long; then it goes on if it did before."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
