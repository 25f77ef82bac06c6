"""The vendors: a row of data each, and beside it the code of those whom the quirks of a row cannot describe.

They live together in one package, since each is a few lines and all share this base; a vendor is known by its name, so
one that outgrows this gets a distribution of its own and nobody notices.
"""

from collections.abc import Mapping

from headgate_compatible.provider import Compatible
from headgate_compatible.vendors.ai21 import AI21
from headgate_compatible.vendors.ai302 import AI302
from headgate_compatible.vendors.byteplus import BytePlus
from headgate_compatible.vendors.bytez import Bytez
from headgate_compatible.vendors.cloudflare import Cloudflare
from headgate_compatible.vendors.dashscope import DashScope
from headgate_compatible.vendors.databricks import Databricks
from headgate_compatible.vendors.deepinfra import DeepInfra
from headgate_compatible.vendors.deepseek import DeepSeek
from headgate_compatible.vendors.fireworks import Fireworks
from headgate_compatible.vendors.groq import Groq
from headgate_compatible.vendors.huggingface import HuggingFace
from headgate_compatible.vendors.hyperbolic import Hyperbolic
from headgate_compatible.vendors.inference_net import InferenceNet
from headgate_compatible.vendors.jina import Jina, JinaShaped
from headgate_compatible.vendors.krutrim import Krutrim
from headgate_compatible.vendors.lemonfox import Lemonfox
from headgate_compatible.vendors.minimax import MiniMax
from headgate_compatible.vendors.mistral import Mistral
from headgate_compatible.vendors.monsterapi import MonsterAPI
from headgate_compatible.vendors.moonshot import Moonshot
from headgate_compatible.vendors.nebius import Nebius
from headgate_compatible.vendors.novita import Novita
from headgate_compatible.vendors.nvidia import Nvidia
from headgate_compatible.vendors.ollama_shaped import OllamaShaped
from headgate_compatible.vendors.openrouter import OpenRouter
from headgate_compatible.vendors.ovhcloud import OVHcloud
from headgate_compatible.vendors.perplexity import Perplexity
from headgate_compatible.vendors.predibase import Predibase
from headgate_compatible.vendors.recraft import Recraft
from headgate_compatible.vendors.reka import Reka
from headgate_compatible.vendors.sambanova import SambaNova
from headgate_compatible.vendors.siliconflow import SiliconFlow
from headgate_compatible.vendors.snowflake import Snowflake
from headgate_compatible.vendors.together import Together
from headgate_compatible.vendors.vercel import Vercel
from headgate_compatible.vendors.voyage import Voyage
from headgate_compatible.vendors.writer import Writer
from headgate_compatible.vendors.xai import XAI
from headgate_compatible.vendors.zai import Zai
from headgate_compatible.vendors.zhipu import Zhipu

CODE: Mapping[str, type[Compatible]] = {
    "302ai": AI302,
    "ai21": AI21,
    "byteplus": BytePlus,
    "bytez": Bytez,
    "cloudflare": Cloudflare,
    "dashscope": DashScope,
    "databricks": Databricks,
    "deepinfra": DeepInfra,
    "deepseek": DeepSeek,
    "fireworks": Fireworks,
    "groq": Groq,
    "huggingface": HuggingFace,
    "hyperbolic": Hyperbolic,
    "inference-net": InferenceNet,
    "jina": Jina,
    "krutrim": Krutrim,
    "lemonfox": Lemonfox,
    "llamacpp": JinaShaped,
    "minimax": MiniMax,
    "mistral": Mistral,
    "monsterapi": MonsterAPI,
    "moonshot": Moonshot,
    "nebius": Nebius,
    "novita": Novita,
    "nvidia": Nvidia,
    "ollama-openai": OllamaShaped,
    "openrouter": OpenRouter,
    "ovhcloud": OVHcloud,
    "perplexity": Perplexity,
    "predibase": Predibase,
    "recraft": Recraft,
    "reka": Reka,
    "sambanova": SambaNova,
    "scaleway": JinaShaped,
    "siliconflow": SiliconFlow,
    "snowflake": Snowflake,
    "together": Together,
    "vercel": Vercel,
    "vllm": JinaShaped,
    "voyage": Voyage,
    "writer": Writer,
    "xai": XAI,
    "zai": Zai,
    "zhipu": Zhipu,
}
"""The class beside a row, by the name of the row."""
