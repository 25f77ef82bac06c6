"""Vertex AI as a provider.

Facts: https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest
"""

from headgate_vertex.config import VertexConfig
from headgate_vertex.provider import Vertex

__all__ = ["Vertex", "VertexConfig"]
