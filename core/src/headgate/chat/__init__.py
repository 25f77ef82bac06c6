"""The canonical chat model: what a chat request, reply and stream mean, independent of any vendor's wire format.

Every dialect decodes into these frozen Structs and encodes from them, so N dialects cost N codecs. A request that
stays in its own dialect never comes here: its bytes are forwarded.
"""

from headgate.chat.events import (
    ErrorEvent,
    ExtraDelta,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    Start,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
)
from headgate.chat.messages import (
    Audio,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from headgate.chat.reply import ChatReply, Choice, FinishReason, Usage
from headgate.chat.request import ChatRequest, ResponseFormat, Sampling, Tool, ToolChoice

__all__ = [
    "Audio",
    "ChatReply",
    "ChatRequest",
    "Choice",
    "ErrorEvent",
    "ExtraDelta",
    "File",
    "Finish",
    "FinishReason",
    "Image",
    "Message",
    "Opaque",
    "Part",
    "Reasoning",
    "ReasoningDelta",
    "Refusal",
    "RefusalDelta",
    "ResponseFormat",
    "Role",
    "Sampling",
    "Start",
    "StreamEvent",
    "Text",
    "TextDelta",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallStart",
    "ToolChoice",
    "ToolResult",
    "Usage",
    "UsageEvent",
]
