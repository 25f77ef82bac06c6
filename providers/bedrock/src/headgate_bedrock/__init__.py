"""Amazon Bedrock as a provider.

Facts: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html
"""

from headgate_bedrock.converse import BedrockConverse
from headgate_bedrock.provider import Bedrock, BedrockConfig, Guardrail

__all__ = ["Bedrock", "BedrockConfig", "BedrockConverse", "Guardrail"]
