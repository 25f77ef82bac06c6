"""The configuration: `headgate.yaml`, its defaults, its checks, and what is installed to compose it from."""

from headgate.config.document import Document, read_document
from headgate.config.installed import Installed
from headgate.config.load import Loaded, PluginEntry, load_file, load_text, load_zero
from headgate.config.model import Auth, Config, Limits, Server

__all__ = [
    "Auth",
    "Config",
    "Document",
    "Installed",
    "Limits",
    "Loaded",
    "PluginEntry",
    "Server",
    "load_file",
    "load_text",
    "load_zero",
    "read_document",
]
