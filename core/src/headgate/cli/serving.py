"""`headgate serve`."""

from __future__ import annotations

import argparse
import os
import socket
from pathlib import Path

from headgate.cli.config import find_config
from headgate.errors import Problem, StartupError
from headgate.server.run import Process, bind_each
from headgate.server.supervisor import Loader, Supervisor, greet


def serve(arguments: argparse.Namespace) -> int:
    """Run the gateway until it is told to stop."""
    path = find_config(arguments.config)
    load = Loader(path, Path.cwd())
    settings = load.ahead().config.server
    host: str = arguments.host or settings.host
    port: int = settings.port if arguments.port is None else arguments.port
    workers: int = arguments.workers or settings.workers
    try:
        sockets = bind_each(host, port, workers)
    except OSError as error:
        known = error.errno and not isinstance(error, socket.gaierror)
        reason = os.strerror(error.errno or 0).lower() if known else (error.strerror or str(error)).lower()
        raise StartupError(
            [Problem(f"cannot listen on {host}:{port}: {reason}; choose another with --host and --port")]
        ) from None
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{sockets[0].getsockname()[1]}"
    if workers == 1:
        return Process(load, sockets[0], url).run(greet)
    return Supervisor(workers, path, sockets, url, load().digest).run()
