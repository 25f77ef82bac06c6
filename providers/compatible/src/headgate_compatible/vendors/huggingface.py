"""Hugging Face: embeddings by the provider `hf-inference`, which has no API in OpenAI's shape for them.

Sources: https://huggingface.co/docs/inference-providers/tasks/feature-extraction and, for the address,
https://github.com/huggingface/huggingface_hub/blob/main/src/huggingface_hub/inference/_providers/hf_inference.py
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from typing_extensions import override

from headgate.dialects import Dialect
from headgate.exchange import Exchange
from headgate.provider import operation_of
from headgate_compatible.provider import Compatible
from headgate_compatible.vendors.embeddings import HuggingFaceEmbeddings
from headgate_compatible.vendors.places import path_of


class HuggingFace(Compatible):
    """Hugging Face's router. Embeddings stand beside its API in OpenAI's shape, each model at an address of its own."""

    own_dialects: ClassVar[Mapping[str, str]] = {"embeddings": HuggingFaceEmbeddings.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {HuggingFaceEmbeddings.name: HuggingFaceEmbeddings()}

    @override
    def url_for(self, ex: Exchange) -> str:
        url = super().url_for(ex)
        if ex.attempt is None or operation_of(ex) != "embeddings":
            return url
        root = url.removesuffix(self.paths["embeddings"]).removesuffix("/v1")
        return f"{root}/hf-inference/models/{path_of(ex.attempt.model)}/pipeline/feature-extraction"
