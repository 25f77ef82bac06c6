"""Dialects: the wire formats of an operation, as pure functions without I/O.

Facts per vendor live in the dialect modules; what the facts mean lives in `headgate.chat`.
"""

from headgate.dialects.interface import ChatDialect, Dialect, Ending, EventView, StreamDecoder, StreamEncoder, TextPlace
from headgate.dialects.openai_chat import OpenAIChat
from headgate.dialects.openai_text import OpenAICompletions, OpenAIEmbeddings

__all__ = [
    "ChatDialect",
    "Dialect",
    "Ending",
    "EventView",
    "OpenAIChat",
    "OpenAICompletions",
    "OpenAIEmbeddings",
    "StreamDecoder",
    "StreamEncoder",
    "TextPlace",
]
