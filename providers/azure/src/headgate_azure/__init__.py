"""Azure OpenAI and Microsoft Foundry as providers.

Facts: https://learn.microsoft.com/en-us/azure/foundry/openai/api-version-lifecycle
"""

from headgate_azure.catalogue import catalogue
from headgate_azure.config import AzureConfig, FoundryConfig
from headgate_azure.foundry import AzureFoundry
from headgate_azure.openai import AzureOpenAI

__all__ = ["AzureConfig", "AzureFoundry", "AzureOpenAI", "FoundryConfig", "catalogue"]
