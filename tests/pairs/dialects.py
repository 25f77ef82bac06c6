"""Every dialect of chat that is installed, found where the gateway finds them, so that a new one is tried without a word here."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import msgspec
from providers.replicate.tests.replicate_wire import WIDE, inputs

from headgate.builtin import Core
from headgate.chat import ChatReply, ChatRequest, StreamEvent
from headgate.config.installed import Installed
from headgate.dialects import ChatDialect, Dialect, Gaps
from headgate.provider import Provider
from headgate.secret import Secret
from headgate.testing import ReplayUpstream
from headgate_replicate import ReplicateChat

MODELS = {
    "anthropic.messages": "claude-sonnet-4-6",
    "bedrock.converse": "anthropic.claude-sonnet-4-6",
    "cohere.chat": "command-a-03-2025",
    "google.generate": "gemini-3-pro-preview",
    "ollama.chat": "llama3.1",
    "replicate.prediction": "o/n",
}
"""A model of each vendor whose dialect depends on it; any other is called `m`."""
OF_A_MODEL = {ReplicateChat.name: ReplicateChat(inputs(WIDE))}
"""Dialects in which each model takes inputs of its own, for one that takes all there are: what others do not take they refuse."""
SETTINGS: dict[str, dict[str, str]] = {"bedrock": {"region": "us-east-1"}}
"""What a deployment of a vendor needs beside its key."""
CLIENTS: dict[str, ChatDialect] = {
    dialect.name: dialect for dialect in Core().dialects() if isinstance(dialect, ChatDialect)
}
"""What clients of the gateway speak."""


def _spoken() -> dict[str, ChatDialect]:
    found: dict[str, Dialect] = dict(CLIENTS)
    installed = Installed()
    for name in installed.providers():
        provider = installed.provider(name)
        codecs = provider.codecs.values() if provider is not None else ()
        found |= {dialect.name: dialect for dialect in codecs if dialect.name not in CLIENTS}
    return {name: dialect for name, dialect in (found | OF_A_MODEL).items() if isinstance(dialect, ChatDialect)}


SPOKEN = _spoken()
"""What providers speak: the same, and the dialects that packages bring along."""


def model_of(name: str) -> str:
    """A model that a provider of this dialect has."""
    return MODELS.get(name, "m")


def vendor_of(name: str) -> Provider:
    """A deployment of a vendor that speaks this dialect: the one it is called after, where there is one."""
    installed = Installed()
    found = [each for each in map(installed.provider, installed.providers()) if each and name in each.dialects.values()]
    kind = next((each for each in found if each.name == name.partition(".")[0]), found[0])
    config = {"provider": kind.name, "api_key": "sk-pairs", **SETTINGS.get(kind.name, {})}
    return kind(
        kind.name, msgspec.convert(config, kind.Config, dec_hook=lambda _, value: Secret(value)), ReplayUpstream({})
    )


def dropping(name: str) -> Gaps:
    """Gaps that let everything go and note it."""
    return Gaps(name, "drop")


def stream_of(dialect: ChatDialect, events: Iterable[StreamEvent], request: ChatRequest) -> bytes:
    """The bytes of a stream in this dialect."""
    encoder = dialect.stream_encoder(request)
    return b"".join((*map(encoder.feed, events), encoder.end()))


def events_of(dialect: ChatDialect, data: bytes, cuts: Iterable[int] = ()) -> list[StreamEvent]:
    """What a stream says that arrives in pieces, cut at these places."""
    framer, decoder = dialect.framer(), dialect.stream_decoder()
    places = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    pieces = [data[begin:end] for begin, end in pairwise(places)]
    frames = [frame for piece in pieces for frame in framer.feed(piece)]
    events = [event for frame in (*frames, *framer.end()) for event in decoder.feed(frame)]
    return [*events, *decoder.end()]


def whole_of(dialect: ChatDialect, reply: ChatReply, request: ChatRequest) -> ChatReply:
    """A reply as this dialect writes it and reads it again."""
    return dialect.decode_reply(dialect.encode_reply(reply, request))
