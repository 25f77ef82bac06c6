"""Rows: each decodes and calls the right place; quirks do what they say and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, ClassVar, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from headgate.dialects import OpenAIChat
from headgate.errors import InvalidRequest, StartupError, UnsupportedField
from headgate.exchange import Attempt, Exchange, Principal, Target
from headgate.operations import CHAT, COMPLETIONS, EMBEDDINGS, PASSTHROUGH, Operation
from headgate.provider import Provider
from headgate.secret import Secret
from headgate.testing import ProviderContract, ReplayUpstream
from headgate.testing.providers import SECRET
from headgate.upstream import origin_of
from headgate_compatible import Compatible, Quirks, Row, catalogue
from headgate_compatible.catalogue import provider_of, read_row

VENDORS = sorted(file.name.removesuffix(".toml") for file in files("headgate_compatible").joinpath("vendors").iterdir())
WANTED = {
    "groq", "together", "fireworks", "deepseek", "mistral", "xai", "openrouter", "perplexity", "cerebras", "sambanova",
    "nvidia", "deepinfra", "vllm", "ollama", "lmstudio", "llamacpp", "huggingface", "cloudflare", "databricks",
    "moonshot", "hyperbolic", "novita", "nebius",
}  # fmt: skip
LOCAL = {"vllm": 8000, "ollama": 11434, "lmstudio": 1234, "llamacpp": 8080}
VARS = {"account_id": "acc-1", "host": "https://dbc-1.cloud.example/"}
FILLED = {"account_id": "acc-1", "host": "dbc-1.cloud.example"}
PATHS = {"chat": "/chat/completions", "completions": "/completions", "embeddings": "/embeddings"}
OPERATIONS = {"chat": CHAT, "completions": COMPLETIONS, "embeddings": EMBEDDINGS, "passthrough": PASSTHROUGH}


class TestGroq(ProviderContract):
    """A plain row keeps what every provider promises."""

    provider = catalogue()["groq"]


class TestMistral(ProviderContract):
    """So does a row that renames fields, and the renamed body is what is sent."""

    provider = catalogue()["mistral"]
    request = b'{"seed":7, "model":"sample-model","messages":[{"role":"user","content":"hi"}]}'

    @override
    def forwarded(self, body: bytes) -> bytes:
        return b'{"random_seed":7,"model":"sample-model","messages":[{"role":"user","content":"hi"}]}'


class TestOllama(ProviderContract):
    """So does a keyless server on loopback."""

    provider = catalogue()["ollama"]
    config: ClassVar[Mapping[str, Any]] = {}
    key_setting = ""

    @override
    async def test_secret_never_comes_back(self) -> None:
        """Without a key there is none that could."""
        assert (await self._sent()).credential is None


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


def row_of(name: str) -> Row:
    return read_row(files("headgate_compatible").joinpath("vendors", f"{name}.toml").read_text("utf-8"))


def deploy(kind: type[Provider], **config: Any) -> Provider:
    held: dict[str, Any] = {"provider": kind.name, **config}
    return kind("mine", kind.Config(**held), ReplayUpstream())


def deploy_row(name: str, **config: Any) -> Provider:
    row = row_of(name)
    if row.vars_env:
        config.setdefault("vars", {placeholder: VARS[placeholder] for placeholder in row.vars_env})
    return deploy(catalogue()[name], **({} if row.keyless else {"api_key": Secret("sk")}), **config)


def own(row: Mapping[str, Any] | None = None, **config: Any) -> Provider:
    quirks = msgspec.convert(row or {}, Quirks)
    return deploy(Compatible, **{"base_url": "http://127.0.0.1:9000/v1", "row": quirks, **config})


def exchange(
    provider: Provider,
    body: bytes = b'{"model":"m","messages":[]}',
    operation: Operation = CHAT,
    overrides: Mapping[str, Any] | None = None,
    **request: Any,
) -> Exchange:
    dialect = OpenAIChat() if operation is CHAT else None
    ex = Exchange(operation, {}, request_id="r", trace_id="t", dialect=dialect, **request)
    ex.body = body
    ex.attempt = Attempt(Target(deployment="mine", override_params=overrides or {}), provider, "m", 0.0)
    return ex


def body_of(provider: Provider, body: bytes, overrides: Mapping[str, Any] | None = None) -> bytes:
    return provider.prepare(exchange(provider, body, overrides=overrides)).body


# the catalogue


def test_every_wanted_vendor_has_a_row() -> None:
    """The promised vendors are there, and the catalogue holds exactly the rows."""
    assert set(VENDORS) >= WANTED
    assert list(catalogue()) == VENDORS


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
    assert kind.is_keyless == row.keyless
    assert list(kind.dialects) == row.operations
    assert issubclass(kind, Compatible)


@pytest.mark.parametrize("name", VENDORS)
def test_row_calls_the_right_place(name: str) -> None:
    """Each operation of a row goes to its path below the filled-in base URL, with the key bound to that origin."""
    provider, row = deploy_row(name), row_of(name)
    base = row.base_url.format(**FILLED)
    for operation in row.operations:
        ex = exchange(provider, operation=OPERATIONS[operation], path="/v1/files", method="GET")
        request = provider.prepare(ex)
        assert request.url == base + PATHS.get(operation, "/files")
        if row.keyless:
            assert (request.credential, request.private_hosts) == (None, frozenset({"127.0.0.1"}))
        else:
            assert request.credential is not None
            assert request.credential.origins == frozenset({origin_of(base)})
            assert request.private_hosts == frozenset()


@pytest.mark.parametrize("name", VENDORS)
def test_row_refuses_other_operations(name: str) -> None:
    """An operation the row does not list is refused before anything is sent."""
    provider = deploy_row(name)
    for operation in OPERATIONS.keys() - set(row_of(name).operations):
        with pytest.raises(InvalidRequest, match=f"`{name}` has no operation `{operation}`"):
            provider.prepare(exchange(provider, operation=OPERATIONS[operation], path="/v1/files"))


@pytest.mark.parametrize("name", [name for name in VENDORS if row_of(name).refuse])
async def test_row_refuses_fields(name: str) -> None:
    """Each refused field is a 400 that names vendor and field, and nothing is sent."""
    provider = deploy_row(name)
    for field in row_of(name).refuse:
        body = msgspec.json.encode({"model": "m", "messages": [], field: 2})
        with pytest.raises(UnsupportedField, match=f"`{name}` .*`{field}`") as caught:
            await provider.call(exchange(provider, body))
        assert (caught.value.status, caught.value.param) == (400, field)
    assert cast("ReplayUpstream", provider.upstream).requests == []


@pytest.mark.parametrize("name", VENDORS)
def test_row_renames_fields(name: str) -> None:
    """Renamed fields get the vendor's name in their old place; a row without renames changes no byte."""
    provider, row = deploy_row(name), row_of(name)
    operation = CHAT if "chat" in row.operations else EMBEDDINGS
    body = msgspec.json.encode({"model": "m", "x": 1, **dict.fromkeys(row.rename, 7), "y": 1.5})
    sent = provider.prepare(exchange(provider, body, operation)).body
    assert list(json.loads(sent)) == ["model", "x", *row.rename.values(), "y"]
    plain = b'{ "model":"m", "messages" :[ ] ,"temperature":1.0}'
    assert provider.prepare(exchange(provider, plain, operation)).body == plain


@pytest.mark.parametrize("name", VENDORS)
def test_environment_switches_rows_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendor is switched on by its key variable once its placeholders have values too; an own server never is."""
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


@pytest.mark.parametrize(("name", "port"), LOCAL.items())
def test_own_servers_are_on_loopback(name: str, port: int) -> None:
    """Servers of one's own default to loopback, need no key, and take one when given."""
    provider = deploy_row(name, api_key=Secret("sk"))
    request = provider.prepare(exchange(provider))
    assert request.url == f"http://127.0.0.1:{port}/v1/chat/completions"
    assert request.credential is not None
    assert deploy_row(name).prepare(exchange(provider)).credential is None


# placeholders


def test_missing_placeholder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing placeholder and missing key are both reported, with the variable that would fill the first."""
    monkeypatch.delenv("CLOUDFLARE_ACCOUNT_ID", raising=False)
    with pytest.raises(StartupError) as caught:
        deploy(catalogue()["cloudflare"])
    first, second = (problem.message for problem in caught.value.problems)
    assert first == "`vars.account_id` is missing: set it, or the environment variable `CLOUDFLARE_ACCOUNT_ID`"
    assert "`api_key` is missing" in second


def test_vars_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value in the configuration wins over the environment."""
    monkeypatch.setenv("CLOUDFLARE_ACCOUNT_ID", "from-env")
    assert "/accounts/acc-1/" in deploy_row("cloudflare").url
    assert "/accounts/from-env/" in deploy_row("cloudflare", vars={}).url


def test_unknown_vars_are_refused() -> None:
    """A misspelt placeholder is an error with a suggestion."""
    with pytest.raises(StartupError, match="did you mean `account_id`"):
        deploy_row("cloudflare", vars={"account_id": "a", "acount_id": "b"})


def test_placeholders_of_ones_own() -> None:
    """A base URL in the configuration may hold placeholders too."""
    assert own(base_url="https://{zone}.lab.example/v1", vars={"zone": "eu"}).url == "https://eu.lab.example/v1"


# a row of one's own


def test_own_row_needs_a_base_url() -> None:
    """`compatible` without a base URL cannot start; a key is optional and the environment never switches it on."""
    with pytest.raises(StartupError, match="`base_url` is missing"):
        deploy(Compatible)
    assert own().prepare(exchange(own())).credential is None
    assert Compatible.from_environment() is None


def test_own_row_from_yaml() -> None:
    """The whole of a row of one's own decodes from configuration and does what it says."""
    config = msgspec.convert(
        {
            "provider": "compatible",
            "base_url": "http://127.0.0.1:9000/v1",
            "row": {"rename": {"seed": "random_seed"}, "refuse": ["logit_bias"], "headers": {"X-Team": "lab"}},
        },
        Compatible.Config,
    )
    provider = Compatible("mylab", config, ReplayUpstream())
    request = provider.prepare(exchange(provider, b'{"model":"m","seed":1,"messages":[]}'))
    assert request.body == b'{"model":"m","random_seed":1,"messages":[]}'
    assert dict(request.headers)[b"x-team"] == b"lab"
    with pytest.raises(UnsupportedField, match=r"`compatible` .*`logit_bias`"):
        body_of(provider, b'{"model":"m","logit_bias":{"1":5}}')


@pytest.mark.parametrize("field", ["renames", "keyless", "base_url"])
def test_own_row_is_a_closed_set(field: str) -> None:
    """Only the known quirks are accepted in a row of one's own, and a vendor's deployment takes none."""
    with pytest.raises(msgspec.ValidationError, match=field):
        msgspec.convert({"provider": "compatible", "row": {field: {}}}, Compatible.Config)
    with pytest.raises(msgspec.ValidationError, match="row"):
        msgspec.convert({"provider": "groq", "row": {}}, catalogue()["groq"].Config)


def test_rows_are_a_closed_set() -> None:
    """A TOML row with an unknown field, operation or tier is refused by name."""
    text = 'name = "x"\nbase_url = "https://x/v1"\ndocs = "https://x"\noperations = ["chat"]\n'
    assert read_row(text).tier == "community"
    for wrong, match in (("colour = 1", "colour"), ('tier = "gold"', "tier"), ("keyless = 1", "keyless")):
        with pytest.raises(msgspec.ValidationError, match=match):
            read_row(text + wrong)


def test_headers_of_the_deployment_win() -> None:
    """Headers in the deployment's configuration go before those of its row."""
    provider = own({"headers": {"x-team": "row"}}, headers={"X-Team": Secret("deployment")})
    assert dict(provider.prepare(exchange(provider)).headers)[b"x-team"] == b"deployment"


def test_openai_account_headers_stay_at_openai() -> None:
    """What OpenAI defines for its own accounts and betas is not sent to other vendors."""
    provider = own()
    ex = exchange(provider)
    ex.headers = {b"x-headgate-openai-project": b"p", b"openai-beta": b"b", b"idempotency-key": b"k"}
    sent = dict(provider.prepare(ex).headers)
    assert b"openai-project" not in sent
    assert b"openai-beta" not in sent
    assert sent[b"idempotency-key"] == b"k"


def test_models_path() -> None:
    """Passed-through model paths go where the vendor keeps them; names that only begin alike do not."""
    row = msgspec.structs.replace(row_of("vllm"), models_path="/api/models")
    provider = deploy(provider_of(row))

    def url(path: str, query: bytes = b"") -> str:
        return provider.prepare(exchange(provider, b"", PASSTHROUGH, method="GET", path=path, query=query)).url

    assert url("/v1/models/a%2Fb", b"x=1") == "http://127.0.0.1:8000/v1/api/models/a%2Fb?x=1"
    assert url("/v1/models") == "http://127.0.0.1:8000/v1/api/models"
    assert url("/v1/modelsets") == "http://127.0.0.1:8000/v1/modelsets"


def test_models_path_is_the_vendors_alone() -> None:
    """A caller's own host is no vendor of ours: its paths stay as the caller wrote them."""
    provider = deploy(provider_of(msgspec.structs.replace(row_of("vllm"), models_path="/api/models")))
    ex = exchange(provider, b"", PASSTHROUGH, method="GET", path="/v1/models/m")
    ex.base_url = "https://elsewhere.example/v1"
    ex.principal = Principal("caller", credential=Secret("sk"))
    assert provider.prepare(ex).url == "https://elsewhere.example/v1/models/m"


# what quirks do to a body


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("logit_bias", None), ("logit_bias", {}), ("n", 1), ("logprobs", False), ("frequency_penalty", 0),
        ("frequency_penalty", 0.0), ("presence_penalty", 0), ("tool_choice", "auto"), ("tools", []), ("seed", None),
    ],
)  # fmt: skip
def test_a_field_that_asks_nothing_is_not_refused(field: str, value: object) -> None:
    """Null and OpenAI's own default are forwarded as they are: they ask for nothing."""
    body = msgspec.json.encode({"model": "m", field: value})
    assert body_of(own({"refuse": [field]}), body) == body


@pytest.mark.parametrize(
    ("field", "value"), [("n", 2), ("logprobs", True), ("seed", 0), ("stop", []), ("tool_choice", "none"), ("x", False)]
)
def test_a_field_that_asks_is_refused(field: str, value: object) -> None:
    """Any other value is refused, zero and false included where they are not the documented default."""
    with pytest.raises(UnsupportedField, match=field):
        body_of(own({"refuse": [field]}), msgspec.json.encode({"model": "m", field: value}))


def test_an_escaped_name_is_still_refused() -> None:
    """Spelling a field with JSON escapes does not slip it past the row."""
    with pytest.raises(UnsupportedField, match="seed"):
        body_of(own({"refuse": ["seed"]}), b'{"model":"m","\\u0073eed":4}')


def test_nested_fields_are_left_alone() -> None:
    """Only top-level members are renamed or refused."""
    body = b'{"model":"m", "messages":[{"role":"user","content":"x","seed":1}], "tools":[{"n":2}]}'
    assert body_of(own({"refuse": ["n"], "rename": {"seed": "random_seed"}}), body) == body


def test_overrides_meet_the_quirks_too() -> None:
    """Parameters a target adds are renamed and refused like the caller's."""
    provider = own({"refuse": ["n"], "rename": {"seed": "random_seed"}})
    assert json.loads(body_of(provider, b'{"model":"m"}', {"seed": 3})) == {"model": "m", "random_seed": 3}
    with pytest.raises(UnsupportedField):
        body_of(provider, b'{"model":"m"}', {"n": 3})


def test_both_names_at_once() -> None:
    """A field beside the vendor's own name for it is an error unless one of them says nothing new."""
    provider = own({"rename": {"max_completion_tokens": "max_tokens"}})
    with pytest.raises(InvalidRequest, match="`max_completion_tokens` is sent as `max_tokens`"):
        body_of(provider, b'{"model":"m","max_tokens":1,"max_completion_tokens":2}')
    for body in (
        b'{"model":"m","max_tokens":2,"max_completion_tokens":2}',
        b'{"model":"m","max_tokens":2,"max_completion_tokens":null}',
        b'{"model":"m","max_completion_tokens":2,"max_tokens":null}',
    ):
        assert body_of(provider, body) == b'{"model":"m","max_tokens":2}'


def test_passthrough_bodies_are_opaque() -> None:
    """A passed-through body is not looked into."""
    provider = own({"refuse": ["n"], "rename": {"seed": "random_seed"}})
    ex = exchange(provider, b'{"n":2,"seed":1', PASSTHROUGH, path="/v1/x")
    assert provider.prepare(ex).body == b'{"n":2,"seed":1'


STRINGS = st.text(alphabet='a"\\\u00e9\u2028 :{', max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRINGS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), JSON), st.booleans())
def test_values_keep_their_bytes(members: dict[str, Any], is_spaced: bool) -> None:
    """Whatever a body holds, a rename moves values byte for byte and keeps their order."""
    body = json.dumps(members, separators=None if is_spaced else (",", ":")).encode()
    sent = Quirks(rename={"a": "A", "b": "B"}).apply(body, "x")
    assert list(json.loads(sent).items()) == [({"a": "A", "b": "B"}.get(k, k), v) for k, v in members.items()]
    for value in msgspec.json.decode(body, type=dict[str, msgspec.Raw]).values():
        assert bytes(value) in sent
    if members.keys().isdisjoint({"a", "b"}):
        assert sent == body
