"""Pictures, sound, moderations, files and jobs: where they go, and in which form."""

from __future__ import annotations

import pytest

from headgate.errors import UnsupportedField
from headgate.exchange import Attempt, Exchange, Principal, Target
from headgate.operations import OPERATIONS, Operation
from headgate.secret import Secret
from headgate.testing import Recorded, ReplayUpstream
from headgate.testing.providers import dialect_of
from headgate.upload import Upload
from headgate_openai import OpenAI, OpenAIConfig

OF_OTHERS = {"messages", "generate", "count_tokens", "generate.count_tokens", "generate.embed", "generate.embed_one"}
NAMES = [each.name for each in OPERATIONS]
NOT_ITS = OF_OTHERS | {"images.variations", "rerank", "models", "messages.batches"}
KIND = b"multipart/form-data; boundary=b"


def form(model: bytes) -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n' + model + b"\r\n--b--\r\n"


def exchange(operation: Operation, provider: OpenAI, target: Target | None = None, path: str = "") -> Exchange:
    headers = {b"content-type": KIND if operation.is_form else b"application/json"}
    dialect = dialect_of(operation.dialect) if operation.dialect else None
    ex = Exchange(operation, headers, request_id="r", trace_id="t", dialect=dialect, path=path)
    ex.principal, ex.body = Principal("k"), b"" if operation.is_form else b'{"model":"m"}'
    ex.attempt = Attempt(target or Target(deployment="main"), provider, "gpt", 0.0)
    return ex


async def uploaded(ex: Exchange) -> Upload:
    """The exchange's body as a form that came from a client."""
    pieces = [form(b"m"), b""]

    async def pull() -> bytes:
        return pieces.pop(0)

    upload = Upload(pull, lambda _: None, KIND, len(form(b"m")), b"b")
    await upload.find_model(1000)
    ex.upload = upload
    return upload


def deploy(upstream: ReplayUpstream | None = None) -> OpenAI:
    config = OpenAIConfig(provider="openai", api_key=Secret("sk-deployment"))
    return OpenAI("main", config, upstream or ReplayUpstream())


def test_nothing_is_forgotten() -> None:
    """OpenAI has every operation but those of other vendors and what it has retired, each in the dialect of the client."""
    assert set(OpenAI.dialects) == {name for name in NAMES if name not in NOT_ITS and not name.startswith("generate.")}
    for each in OPERATIONS:
        if each.name in OpenAI.dialects:
            assert OpenAI.dialects[each.name] == each.dialect


@pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if each.name in OpenAI.dialects], ids=lambda each: each.name
)
def test_every_operation_keeps_its_path(operation: Operation) -> None:
    """Each goes to the path below the base URL that the client called, trees with what stands below them."""
    provider = deploy()
    below = "/id-1/content" if operation.is_tree else ""
    path = "/v1/videos" if operation.name == "passthrough" else operation.path + below
    assert provider.url_for(exchange(operation, provider, path=path)) == f"https://api.openai.com{path}"


@pytest.mark.parametrize(
    "operation",
    [each for each in OPERATIONS if each.is_form and each.name in OpenAI.dialects],
    ids=lambda each: each.name,
)
async def test_a_form_is_sent_in_pieces(operation: Operation) -> None:
    """A form leaves with the model's own name, its content type and its length."""
    upstream = ReplayUpstream({"*": Recorded.from_json({"text": "heard"})})
    provider = deploy(upstream)
    ex = exchange(operation, provider)
    await uploaded(ex)
    assert (await provider.call(ex)).status == 200
    (request,) = upstream.requests
    assert request.body == form(b"gpt")
    assert dict(request.headers)[b"content-type"] == KIND
    assert request.pieces is not None
    assert request.pieces.length == len(form(b"gpt"))


async def test_overrides_of_a_form() -> None:
    """Numbers, truth values and texts are fields; what is no single value is refused by name."""
    provider = deploy()
    operation = next(each for each in OPERATIONS if each.name == "audio.transcriptions")
    target = Target(deployment="main", override_params={"temperature": 0.2, "stream": False, "language": "en"})
    ex = exchange(operation, provider, target)
    assert provider.fields_for(ex) == {"model": "gpt", "temperature": "0.2", "stream": "false", "language": "en"}
    for value in (["a"], {"a": 1}, None):
        with pytest.raises(UnsupportedField, match=r"`override_params\.include`"):
            provider.fields_for(exchange(operation, provider, Target(override_params={"include": value})))
