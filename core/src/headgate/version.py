"""The version, read once from the installed distribution."""

from importlib.metadata import PackageNotFoundError, version


def _read() -> str:
    try:
        return version("headgate")
    except PackageNotFoundError:
        return "0.0.0"


VERSION = _read()
