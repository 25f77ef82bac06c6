"""Amazon Bedrock and Amazon SageMaker as providers.

Facts: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html and
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Operations_Amazon_SageMaker_Runtime.html
"""

from headgate_bedrock.converse import BedrockConverse
from headgate_bedrock.provider import Bedrock, BedrockConfig, Guardrail
from headgate_bedrock.sagemaker import SageMaker, SageMakerConfig

__all__ = ["Bedrock", "BedrockConfig", "BedrockConverse", "Guardrail", "SageMaker", "SageMakerConfig"]
