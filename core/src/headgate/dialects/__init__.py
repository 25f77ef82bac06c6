"""Dialects: the wire formats of an operation, as pure functions without I/O.

Facts per vendor live in the dialect modules; what the facts mean lives in `headgate.chat`.
"""

from headgate.dialects.anthropic.messages import AnthropicMessages
from headgate.dialects.codec import ChatCodec, CodecChat
from headgate.dialects.cohere_rerank import CohereRerank
from headgate.dialects.counts import AnthropicCount, CountDialect, GoogleCount, ResponsesCount
from headgate.dialects.gaps import Gaps, Policy
from headgate.dialects.google.embed import GoogleEmbed, GoogleEmbedOne
from headgate.dialects.google.generate import GoogleGenerate
from headgate.dialects.google.live import GoogleLive
from headgate.dialects.interface import (
    ChatDialect,
    Dialect,
    EmbedDialect,
    EventView,
    Form,
    Framer,
    RerankDialect,
    StreamDecoder,
    StreamEncoder,
    TextPlace,
    WholeDialect,
)
from headgate.dialects.openai.chat import OpenAIChat
from headgate.dialects.openai.embeddings import OpenAIEmbeddings
from headgate.dialects.openai.media import OpenAIImages, OpenAISpeech, OpenAITranscription
from headgate.dialects.openai.moderations import OpenAIModerations
from headgate.dialects.openai.realtime import OpenAIRealtime
from headgate.dialects.openai.text import OpenAICompletions
from headgate.dialects.responses.dialect import OpenAIResponses
from headgate.dialects.session import Meter, SessionDialect
from headgate.dialects.sse import Ending, SseFramer

__all__ = [
    "AnthropicCount",
    "AnthropicMessages",
    "ChatCodec",
    "ChatDialect",
    "CodecChat",
    "CohereRerank",
    "CountDialect",
    "Dialect",
    "EmbedDialect",
    "Ending",
    "EventView",
    "Form",
    "Framer",
    "Gaps",
    "GoogleCount",
    "GoogleEmbed",
    "GoogleEmbedOne",
    "GoogleGenerate",
    "GoogleLive",
    "Meter",
    "OpenAIChat",
    "OpenAICompletions",
    "OpenAIEmbeddings",
    "OpenAIImages",
    "OpenAIModerations",
    "OpenAIRealtime",
    "OpenAIResponses",
    "OpenAISpeech",
    "OpenAITranscription",
    "Policy",
    "RerankDialect",
    "ResponsesCount",
    "SessionDialect",
    "SseFramer",
    "StreamDecoder",
    "StreamEncoder",
    "TextPlace",
    "WholeDialect",
]
