"""The providers of this package by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from headgate.provider import Provider
from headgate_azure.foundry import AzureFoundry
from headgate_azure.openai import AzureOpenAI


class _AzureAI(AzureFoundry):
    """Foundry by the name that Portkey has for it; it is the real name that the environment switches on."""

    @override
    @classmethod
    def from_environment(cls) -> Mapping[str, Any] | None:
        return None


def catalogue() -> Mapping[str, type[Provider]]:
    """Provider classes by the names that configurations use."""
    return {AzureOpenAI.name: AzureOpenAI, AzureFoundry.name: AzureFoundry, "azure-ai": _AzureAI}
