"""OCI Generative AI as a provider: Oracle's OpenAI-compatible API, and its own, whose calls are signed.

Facts: https://docs.oracle.com/en-us/iaas/Content/generative-ai/openai-compatible-api.htm and the package `oci`
"""

from headgate_oracle.provider import Oracle, OracleConfig

__all__ = ["Oracle", "OracleConfig"]
