"""DashScope: rankings in Jina's shape; pictures, sound, fine-tuning and counting by its own API; completions in one region.

Sources: `ranking`, `dashscope_pictures`, `dashscope_sound`, `dashscope_tuning`, `counting` and
https://www.alibabacloud.com/help/en/model-studio/completions (Beijing alone; what stands behind the gap is told by marks in the
prompt). Its SDK tells the regions' hosts (`dashscope` 2.0, `set_region`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import urlsplit

import msgspec
from typing_extensions import override

from headgate.body import decode_object
from headgate.dialects import Dialect, Gaps
from headgate.errors import UnsupportedField
from headgate.exchange import Exchange
from headgate.operations import (
    COMPLETIONS,
    COUNT_TOKENS,
    COUNTS,
    FINE_TUNING,
    IMAGES_EDIT,
    IMAGES_GENERATE,
    SPEECH,
    TRANSCRIPTIONS,
    TRANSLATIONS,
)
from headgate.provider import DeploymentConfig, operation_of
from headgate.relay import Decode
from headgate.tallying import ESTIMATE
from headgate.upstream import Upstream
from headgate_compatible.vendors import dashscope_pictures as pictures
from headgate_compatible.vendors import dashscope_sound as sound
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.counting import Counting, DashScopeCount
from headgate_compatible.vendors.dashscope_tuning import DashScopeTuning
from headgate_compatible.vendors.jina import JinaShaped
from headgate_compatible.vendors.reshaped import Reshaped, Shape
from headgate_compatible.vendors.spoken import Located, Spoken

_COMPATIBLE = "/compatible-mode/v1"
"""Where OpenAI's API ends, beside the vendor's own."""

_SPEECH = "/services/audio/tts/SpeechSynthesizer"
"""Where CosyVoice and Qwen-Audio-TTS speak."""
_VENDOR = ".aliyuncs.com"
_BEIJING = ("dashscope.aliyuncs.com", ".cn-beijing.maas.aliyuncs.com")
_UNCOUNTED = (
    *(b'"tools"', b'"tool_calls"', b'"functionCall"', b'"source"', b'"image_url"', b'"input_image"', b'"input_file"'),
    *(b'"input_audio"', b'"inlineData"', b'"inline_data"', b'"fileData"', b'"file_data"'),
)
"""What a request holds that is more than texts, in the words of the clients' APIs."""
_MARKS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")


def encode_completion(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request with its `suffix` in the prompt, the very same bytes where it has none.

    Raises UnsupportedField for a suffix to other than one text.
    """
    members = decode_object(body)
    suffix, prompt = members.pop("suffix", None), members.get("prompt")
    if not suffix:
        return body
    if not isinstance(prompt, str) or not isinstance(suffix, str):
        raise UnsupportedField(f"`suffix` cannot be sent: `{gaps.target}` takes it with one text alone", param="suffix")
    before, behind, gap = _MARKS
    return msgspec.json.encode({**members, "prompt": f"{before}{prompt}{behind}{suffix}{gap}"})


class DashScope(Spoken, JsonForms, Reshaped, Counting, JinaShaped):
    """Alibaba Cloud Model Studio."""

    sound_in: ClassVar[Located] = sound.address_in
    own_dialects: ClassVar[Mapping[str, str]] = {
        **JinaShaped.own_dialects,
        COUNT_TOKENS.name: DashScopeCount.name,
        FINE_TUNING.name: DashScopeTuning.name,
    }
    codecs: ClassVar[Mapping[str, Dialect]] = {
        **JinaShaped.codecs,
        DashScopeCount.name: DashScopeCount(),
        DashScopeTuning.name: DashScopeTuning(),
    }
    forms: ClassVar[Mapping[str, Encode]] = {
        TRANSCRIPTIONS.name: sound.encode_transcript,
        TRANSLATIONS.name: sound.encode_translation,
        IMAGES_EDIT.name: pictures.encode_form,
    }
    answers: ClassVar[Mapping[str, Decode]] = {
        TRANSCRIPTIONS.name: sound.decode_transcript,
        IMAGES_EDIT.name: pictures.decode,
    }
    bare: ClassVar[frozenset[str]] = frozenset({TRANSCRIPTIONS.name, TRANSLATIONS.name})
    shapes: ClassVar[Mapping[str, Shape]] = {
        COMPLETIONS.name: Shape(encode_completion),
        SPEECH.name: Shape(sound.encode_speech),
        IMAGES_EDIT.name: Shape(pictures.encode_edit, pictures.decode),
        IMAGES_GENERATE.name: Shape(pictures.encode, pictures.decode),
    }

    def __init__(self, deployment: str, config: DeploymentConfig, upstream: Upstream) -> None:
        super().__init__(deployment, config, upstream)
        host = urlsplit(self.url).hostname or ""
        if host.endswith(_VENDOR) and not host.endswith(_BEIJING):
            held = {name: dialect for name, dialect in self.dialects.items() if name != COMPLETIONS.name}
            self.dialects = held  # pyright: ignore[reportAttributeAccessIssue] - this deployment's own

    @override
    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:
        if ex.operation in COUNTS and any(each in ex.source for each in _UNCOUNTED):
            return ESTIMATE, ""
        return super().spoken(ex, model)

    @override
    def shape_of(self, ex: Exchange) -> Shape | None:
        return Shape(sound.encode_cosy) if _is_cosy(ex) else super().shape_of(ex)

    @override
    def url_for(self, ex: Exchange) -> str:
        return self.url_at(ex, _SPEECH) if _is_cosy(ex) else super().url_for(ex)

    @override
    def url_at(self, ex: Exchange, target: str) -> str:
        base = super().url_at(ex, "")
        return (base.removesuffix(_COMPATIBLE) + "/api/v1" if base.endswith(_COMPATIBLE) else base) + target


def _is_cosy(ex: Exchange) -> bool:
    """Whether a call is for speech at the address of CosyVoice."""
    return operation_of(ex) == SPEECH.name and ex.attempt is not None and sound.is_cosy(ex.attempt.model)
