"""Snowflake: embeddings at an address and in words of their own.

Source: https://docs.snowflake.com/en/developer-guide/snowflake-rest-api/cortex-embed/cortex-embed-introduction, whose OpenAPI
document is https://github.com/snowflakedb/snowflake-rest-api-specs/blob/main/specifications/cortex-embed.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from headgate.dialects import Dialect
from headgate_compatible.provider import Compatible
from headgate_compatible.vendors.embeddings import SnowflakeEmbeddings


class Snowflake(Compatible):
    """Snowflake Cortex."""

    own_dialects: ClassVar[Mapping[str, str]] = {"embeddings": SnowflakeEmbeddings.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {SnowflakeEmbeddings.name: SnowflakeEmbeddings()}
