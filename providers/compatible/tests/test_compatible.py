"""Rows: each decodes and calls the right place; a row of one's own is a closed set."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
import pytest
from providers.compatible.tests.calls import BY_NAME, FILLED, VARS, VENDORS, deploy, deploy_row, exchange, held, row_of
from typing_extensions import override

from headgate.errors import UnsupportedField
from headgate.provider import Provider
from headgate.secret import Secret
from headgate.testing import ProviderContract, ReplayUpstream
from headgate.testing.providers import SECRET
from headgate.upstream import origin_of
from headgate_compatible import Compatible, catalogue
from headgate_compatible.provider import DIALECTS
from headgate_compatible.vendors import CODE

WANTED = {
    "groq", "together", "fireworks", "deepseek", "mistral", "xai", "openrouter", "perplexity", "cerebras", "sambanova",
    "nvidia", "deepinfra", "vllm", "ollama-openai", "lmstudio", "llamacpp", "huggingface", "cloudflare", "databricks",
    "moonshot", "hyperbolic", "novita", "nebius", "ai21", "voyage", "jina",
}  # fmt: skip
PORTKEY = {
    "302ai", "ai21", "aibadgr", "bytez", "cerebras", "cometapi", "cortex", "dashscope", "databricks", "deepbricks",
    "deepinfra", "deepseek", "featherless-ai", "fireworks-ai", "github", "groq", "huggingface", "hyperbolic",
    "inference-net", "iointelligence", "jina", "krutrim", "lemonfox-ai", "lightning", "lingyi", "matterai", "minimax",
    "mistral-ai", "monsterapi", "moonshot", "ncompass", "nebius", "nextbit", "novita-ai", "nscale", "openrouter",
    "ovhcloud", "perplexity-ai", "predibase", "recraft-ai", "reka-ai", "sambanova",
    "siliconflow", "together-ai", "upstage", "voyage", "workers-ai", "x-ai", "z-ai", "zhipu",
}  # fmt: skip
"""The names that Portkey has for vendors whose API is OpenAI's."""
MODELS: Mapping[tuple[str, str], str] = {
    ("ovhcloud", "audio.speech"): "nvr-tts-en-us",
}
"""Models to ask for where not every one will do."""
ELSEWHERE: Mapping[str, Mapping[str, str]] = {
    "bytez": dict.fromkeys(
        ("embeddings", "images.generate", "audio.speech", "audio.transcriptions"), "https://api.bytez.com:443"
    ),
    "matterai": dict.fromkeys(("responses", "messages"), "https://api2.matterai.so:443"),
    "monsterapi": dict.fromkeys(
        ("images.generate", "images.edit", "audio.speech", "audio.transcriptions"), "https://api.monsterapi.ai:443"
    ),
    "ncompass": {"embeddings": "https://api.gcp.ncompass.tech:443"},
    "ovhcloud": {"audio.speech": "https://nvr-tts-en-us.endpoints.kepler.ai.cloud.ovh.net:443"},
    "nvidia": dict.fromkeys(("rerank", "images.generate"), "https://ai.api.nvidia.com:443"),
    "fireworks": dict.fromkeys(
        ("audio.transcriptions", "audio.translations"), "https://audio-prod.api.fireworks.ai:443"
    ),
    "jina": {"chat": "https://deepsearch.jina.ai:443"},
    "inference-net": dict.fromkeys(("files", "batches"), "https://batch.inference.net:443"),
    "huggingface": dict.fromkeys(
        ("embeddings", "images.generate", "images.edit", "audio.speech", "audio.transcriptions"),
        "https://router.huggingface.co:443",
    ),
    "cloudflare": dict.fromkeys(
        (
            *("completions", "rerank", "images.generate", "images.edit"),
            *("audio.speech", "audio.transcriptions", "audio.translations"),
        ),
        "https://api.cloudflare.com:443",
    ),
    "novita": dict.fromkeys(
        ("images.generate", "images.edit", "images.variations", "audio.speech", "audio.transcriptions"),
        "https://api.novita.ai:443",
    ),
    "deepinfra": {"rerank": "https://api.deepinfra.com:443"},
    "vercel": dict.fromkeys(
        ("images.edit", "audio.speech", "audio.transcriptions"), "https://ai-gateway.vercel.sh:443"
    ),
}
"""Operations that a vendor has at another address."""
OTHERS_ALONE: Mapping[str, frozenset[str]] = {
    "dashscope": frozenset({"completions"}),
    "nvidia": frozenset(
        {"responses", "messages", "count_tokens", "images.edit", "audio.speech", "audio.transcriptions"}
    ),
    "siliconflow": frozenset({"files", "batches"}),
}
"""Operations that a vendor has at other base URLs than the usual one alone: servers of one's own, or another country's."""
LOCAL = {"vllm": 8000, "ollama-openai": 11434, "lmstudio": 1234, "llamacpp": 8080}


class TestMistral(ProviderContract):
    """A renamed field is what is sent; all rows are in `test_contract`."""

    provider = catalogue()["mistral"]
    request = b'{"seed":7, "model":"sample-model","messages":[{"role":"user","content":"hi"}]}'

    @override
    def forwarded(self, body: bytes) -> bytes:
        return b'{"random_seed":7,"model":"sample-model","messages":[{"role":"user","content":"hi"}]}'


class TestOwnRow(ProviderContract):
    """So does a row of one's own."""

    provider = Compatible
    config: ClassVar[Mapping[str, Any]] = {
        "api_key": SECRET,
        "base_url": "https://lab.example/v1",
        "row": {"refuse": ["logit_bias"], "headers": {"x-team": "lab"}},
    }

    @override
    def test_missing_key_is_refused(self) -> None:
        """A server of one's own may need no key."""
        assert self.deploy(ReplayUpstream(), api_key=None).config.api_key is None


def url_of(provider: Provider, operation: str, model: str = "m", path: str = "/v1/files") -> str:
    """Where an operation that the vendor has natively goes."""
    body = {"model": model} if BY_NAME[operation].has_model else b""
    return provider.url_for(exchange(provider, body, operation, path=path, method="GET"))


# the catalogue


def test_every_wanted_vendor_has_a_row() -> None:
    """The promised vendors are there, by their own names and by Portkey's, and no name stands for two."""
    names = [name for vendor in VENDORS for name in (vendor, *row_of(vendor).aliases)]
    assert set(VENDORS) >= WANTED
    assert set(names) >= PORTKEY
    assert sorted(names) == sorted(catalogue())
    assert len(names) == len(set(names))
    assert set(CODE) <= set(VENDORS)


def test_importing_reads_nothing() -> None:
    """No TOML file is opened by the import; the first question opens them all."""
    code = (
        "import sys\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == 'open' else None)\n"
        "import headgate_compatible\n"
        "before = [name for name in opened if name.endswith('.toml')]\n"
        "headgate_compatible.catalogue()\n"
        "print(len(before), len([name for name in opened if name.endswith('.toml')]))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.split() == ["0", str(len(VENDORS))]


@pytest.mark.parametrize("name", VENDORS)
def test_row_is_whole(name: str) -> None:
    """A row is named as its file, tells its source, and its facts stand on the provider class."""
    row, kind = row_of(name), catalogue()[name]
    assert row.name == name
    assert row.docs.startswith("https://")
    assert row.base_url.startswith("http://127.0.0.1:" if row.keyless else "https://")
    assert not row.base_url.endswith("/")
    assert bool(row.key_env) != row.keyless
    assert (kind.name, kind.base_url, kind.key_env, kind.docs) == (name, row.base_url, row.key_env, row.docs)
    assert (kind.is_keyless, kind.auth) == (row.keyless, () if row.keyless else ("key",))
    assert (kind.tier, kind.evidence) == ("dialect" if name in CODE else "row", row.evidence)
    assert list(kind.dialects) == row.operations
    assert issubclass(kind, Compatible)


@pytest.mark.parametrize("name", VENDORS)
def test_row_holds_nothing_idle(name: str) -> None:
    """What a row says of an operation or of thinking concerns something that it has."""
    row = row_of(name)
    assert set(row.paths) | set(row.only) <= set(row.operations)
    assert not (set(row.refuse) & set(row.rename)) and not (set(row.refuse) & set(row.drop))  # noqa: PT018 - one thought
    assert len(set(row.operations)) == len(row.operations)


@pytest.mark.parametrize("name", VENDORS)
def test_row_calls_the_right_place(name: str) -> None:
    """Each operation of a row goes to its path below the filled-in base URL, with the key bound to that origin."""
    provider, row = deploy_row(name, responses="native", messages="native"), row_of(name)
    base = row.base_url.format(**FILLED)
    for operation in row.operations:
        if operation in OTHERS_ALONE.get(name, ()):
            assert operation not in provider.dialects
            continue
        word = MODELS.get((name, operation)) or row.only.get(operation, ["m"])[0]
        url = url_of(provider, operation, word)
        elsewhere = ELSEWHERE.get(name, {}).get(operation)
        if operation not in row.paths and not elsewhere:
            assert url == base + Compatible.paths.get(operation, "/files")
        assert origin_of(url) == (elsewhere or origin_of(base))
    ex = exchange(provider, {"model": "m"}, row.operations[0])
    request = provider.prepare(ex)
    if row.keyless:
        assert (request.credential, request.private_hosts) == (None, frozenset({"127.0.0.1"}))
    else:
        assert request.credential is not None
        assert request.credential.origins == frozenset({origin_of(request.url)})
        assert request.credential.field() == (row.key_header.encode(), f"{row.key_prefix}sk".encode())
        assert request.private_hosts == frozenset()


@pytest.mark.parametrize(
    ("name", "operation", "model", "url"),
    [
        ("dashscope", "rerank", "m", "https://dashscope-intl.aliyuncs.com/compatible-api/v1/reranks"),
        ("deepseek", "messages", "m", "https://api.deepseek.com/anthropic/v1/messages"),
        ("deepseek", "completions", "m", "https://api.deepseek.com/beta/completions"),
        ("deepseek", "audio.speech", "m", "https://api.deepseek.com/v1/tools/tts"),
        ("deepinfra", "messages", "m", "https://api.deepinfra.com/anthropic/v1/messages"),
        ("moonshot", "messages", "m", "https://api.moonshot.ai/anthropic/v1/messages"),
        ("novita", "messages", "m", "https://api.novita.ai/anthropic/v1/messages"),
        ("zai", "messages", "m", "https://api.z.ai/api/anthropic/v1/messages"),
        ("dashscope", "messages", "m", "https://dashscope-intl.aliyuncs.com/apps/anthropic/v1/messages"),
        ("databricks", "messages", "claude-x", "https://dbc-1.cloud.example/serving-endpoints/anthropic/v1/messages"),
        ("openrouter", "images.generate", "m", "https://openrouter.ai/api/v1/images"),
        ("openrouter", "images.edit", "m", "https://openrouter.ai/api/v1/images"),
        ("recraft", "images.variations", "m", "https://external.api.recraft.ai/v1/images/variateImage"),
        ("perplexity", "responses", "openai/gpt-5", "https://api.perplexity.ai/v1/responses"),
        ("perplexity", "files", "m", "https://api.perplexity.ai/v1/files"),
        ("writer", "chat", "m", "https://api.writer.com/v1/chat"),
    ],
)
def test_operations_with_a_path_of_their_own(name: str, operation: str, model: str, url: str) -> None:
    """Where a vendor has an operation at another path, that is where it goes."""
    assert url_of(deploy_row(name), operation, model) == url


@pytest.mark.parametrize(
    ("operation", "path"),
    [("files", "/v1/files/f-1/content"), ("batches", "/v1/batches"), ("batches", "/v1/batches/b-1")],
)
def test_what_stands_below_an_operation_follows_its_own_path(operation: str, path: str) -> None:
    """Ids and what is asked of them stay behind the vendor's path, also below a base URL of one's own."""
    assert url_of(deploy_row("perplexity"), operation, path=path) == "https://api.perplexity.ai" + path
    own = deploy_row("perplexity", base_url="https://own.example/p")
    assert url_of(own, operation, path=path) == "https://own.example/p" + path


@pytest.mark.parametrize("name", VENDORS)
def test_other_operations(name: str) -> None:
    """A chat operation that a row does not list is translated into one it does; others cannot be asked of it."""
    provider, row = deploy_row(name), row_of(name)
    has_chat = any(BY_NAME[each].is_chat for each in row.operations)
    for operation in DIALECTS.keys() - {"count_tokens", "responses.input_tokens", *row.operations}:
        spoken = provider.spoken(exchange(provider, b'{"model":"m"}', operation), "m")
        assert (spoken is not None) == (has_chat and BY_NAME[operation].is_chat), operation


@pytest.mark.parametrize("name", [name for name in VENDORS if row_of(name).refuse])
async def test_row_refuses_fields(name: str) -> None:
    """Each refused field is a 400 that names vendor and field, and nothing is sent."""
    upstream = ReplayUpstream()
    provider = deploy_row(name, upstream)
    for field in row_of(name).refuse:
        body: dict[str, Any] = {"model": "m", "messages": [], field: 2}
        with pytest.raises(UnsupportedField, match=f"`{field}` cannot be sent to `{name}`") as caught:
            await provider.call(exchange(provider, body))
        assert (caught.value.status, caught.value.param) == (400, field)
    assert upstream.requests == []


@pytest.mark.parametrize("name", [name for name in VENDORS if {"chat", "embeddings"} & set(row_of(name).operations)])
def test_row_renames_fields(name: str) -> None:
    """Renamed fields get the vendor's name in their old place; a body that no quirk concerns keeps every byte."""
    provider, row = deploy_row(name), row_of(name)
    operation = "chat" if "chat" in row.operations else "embeddings"
    body = {"model": "m", "x": 1, **dict.fromkeys(row.rename, 7), "y": 1.5}
    sent = held(provider.prepare(exchange(provider, body, operation)))
    assert list(msgspec.json.decode(sent)) == ["model", "x", *row.rename.values(), "y"]
    plain = b'{ "model":"m", "messages" :[ ] ,"temperature":1.0}'
    assert provider.prepare(exchange(provider, plain, operation)).body == plain


@pytest.mark.parametrize("name", VENDORS)
def test_environment_switches_rows_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendor is switched on by its key variable once its placeholders have values too; servers and aliases never are."""
    row, kind = row_of(name), catalogue()[name]
    for variable in (row.key_env, *row.vars_env.values()):
        if variable:
            monkeypatch.delenv(variable, raising=False)
    assert kind.from_environment() is None
    if row.keyless:
        monkeypatch.setenv(f"{name.upper()}_API_KEY", "sk")
        assert kind.from_environment() is None
        return
    monkeypatch.setenv(row.key_env, "sk")
    switched_on = {"provider": name, "api_key": f"env:{row.key_env}"}
    assert kind.from_environment() == (None if row.vars_env else switched_on)
    for placeholder, variable in row.vars_env.items():
        monkeypatch.setenv(variable, VARS[placeholder])
    assert kind.from_environment() == switched_on
    assert deploy_row(name, vars={}).url == row.base_url.format(**FILLED)
    assert [catalogue()[alias].from_environment() for alias in row.aliases] == [None] * len(row.aliases)


def test_an_alias_is_the_same_vendor() -> None:
    """Whoever writes Portkey's name gets the vendor under its own."""
    kind = catalogue()["together-ai"]
    assert issubclass(kind, catalogue()["together"])
    assert kind.name == "together"
    assert deploy(kind, api_key=Secret("sk")).url == "https://api.together.ai/v1"


@pytest.mark.parametrize(("name", "port"), LOCAL.items())
def test_own_servers_are_on_loopback(name: str, port: int) -> None:
    """Servers of one's own default to loopback, need no key, and take one when given."""
    provider = deploy_row(name, api_key=Secret("sk"))
    request = provider.prepare(exchange(provider))
    assert request.url == f"http://127.0.0.1:{port}/v1/chat/completions"
    assert request.credential is not None
    assert deploy_row(name).prepare(exchange(provider)).credential is None
