"""Vendors whose answer is no single reply in its own dialect: how each puts it on the wire.

SageMaker: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_ResponseStream.html. Replicate:
https://replicate.com/docs/reference/http#models.get, https://replicate.com/docs/topics/predictions/create-a-prediction and
https://replicate.com/docs/topics/predictions/streaming.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from tests.replay.matrix_answers import REPLICATE, SOUND, SOUND_URL, Said, chat_answer
from tests.replay.reading import Json
from tests.replay.targets import canned, framed

from headgate.testing import Recorded, ReplayUpstream

Wire = Callable[[ReplayUpstream, Recorded, bool], None]
"""Lets an upstream give an answer, streamed or not."""
_MODEL = "openai/gpt-5"
_ID = "ufawqhfynnddngldkgtslldrkq"
_OVER = b"event: prediction\ndata: "
_PART = 48
"""Bytes in one part of SageMaker's: events are cut anywhere."""
_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer"}
_INPUT: Json = {
    "type": "object",
    "properties": {
        "prompt": _TEXT,
        "system_prompt": _TEXT,
        "messages": {"type": "array", "items": {"type": "object"}},
        "image_input": {"type": "array", "items": {"type": "string", "format": "uri"}},
        "max_completion_tokens": _COUNT,
        "reasoning_effort": {"allOf": [{"$ref": "#/components/schemas/reasoning_effort"}]},
        "verbosity": {"allOf": [{"$ref": "#/components/schemas/verbosity"}]},
    },
}
_SCHEMAS: Json = {
    "Input": _INPUT,
    "reasoning_effort": {"type": "string", "enum": ["minimal", "low", "medium", "high"]},
    "verbosity": {"type": "string", "enum": ["low", "medium", "high"]},
}
_HEARING: Json = {
    "properties": {"audio_file": _TEXT, "language": _TEXT, "prompt": _TEXT, "temperature": {"type": "number"}}
}
_SPEAKING: Json = {"properties": {"text": _TEXT, "voice_id": _TEXT, "speed": {"type": "number"}}}
_EDITING: Json = {"properties": {"prompt": _TEXT, "input_image": {"type": "string", "format": "uri"}}}
_TRANSLATING: Json = {"properties": {"audio": {"type": "string", "format": "uri"}, "translate": {"type": "boolean"}}}
_TRAINING: Json = {
    "required": ["input_images"],
    "properties": {"input_images": {"type": "string", "format": "uri"}, "steps": _COUNT, "trigger_word": _TEXT},
}
_MODELS: Mapping[str, Json] = {
    _MODEL: _SCHEMAS,
    "minimax/speech-02-turbo": {"Input": _SPEAKING},
    "openai/gpt-4o-transcribe": {"Input": _HEARING},
    "black-forest-labs/flux-kontext-pro": {"Input": _EDITING},
    "black-forest-labs/flux-redux-dev": {"Input": {"properties": {"redux_image": {"type": "string", "format": "uri"}}}},
    "openai/whisper": {"Input": _TRANSLATING},
    "ostris/flux-dev-lora-trainer": {"TrainingInput": _TRAINING},
}
"""What these models take: https://replicate.com/minimax/speech-02-turbo, https://replicate.com/openai/gpt-4o-transcribe/api/schema,
https://replicate.com/black-forest-labs/flux-kontext-pro, https://replicate.com/black-forest-labs/flux-redux-dev,
https://replicate.com/openai/whisper/api/schema,
https://replicate.com/ostris/flux-dev-lora-trainer/train
"""


def wire_of(name: str) -> Wire:
    """How the vendor of this provider answers."""
    return _WIRES.get(name, _at_once)


def streamed(dialect: str) -> Recorded:
    """`Hello` as a stream of this dialect; behind a stream of Replicate's stands the prediction that it comes to."""
    if dialect != REPLICATE:
        return canned(dialect, stream=True)
    over = _OVER + chat_answer(REPLICATE, Said("Hello")).body + b"\n\n"
    events = [*(_event("output", piece) for piece in ("He", "llo")), _event("done", "{}"), over]
    return Recorded(headers=(("content-type", "text/event-stream"),), body=b"".join(events), framing="chunked")


def _at_once(upstream: ReplayUpstream, answer: Recorded, is_stream: bool) -> None:
    upstream.answer("*", answer)


def _in_parts(upstream: ReplayUpstream, answer: Recorded, is_stream: bool) -> None:
    """The container's stream in the parts of an event stream."""
    if is_stream:
        pieces = [answer.body[at : at + _PART] for at in range(0, len(answer.body), _PART)]
        headers = (
            ("content-type", "application/vnd.amazon.eventstream"),
            ("x-amzn-sagemaker-content-type", "text/event-stream"),
        )
        answer = Recorded(headers=headers, body=b"".join(framed("PayloadPart", piece) for piece in pieces))
    upstream.answer("*", answer)


def _as_prediction(upstream: ReplayUpstream, answer: Recorded, is_stream: bool) -> None:
    """The model's schema, and a prediction: at once where it is over, else begun, with its stream and its end elsewhere."""
    api = "https://api.replicate.com/v1/predictions"
    events, _, over = answer.body.partition(_OVER)
    begun = Recorded.from_json(
        {
            "id": _ID,
            "model": _MODEL,
            "status": "starting",
            "output": None,
            "urls": {"get": f"{api}/{_ID}", "stream": f"https://stream.replicate.com/v1/files/{_ID}"},
        },
        201,
    )
    upstream.answer("*", answer)
    for model, schemas in _MODELS.items():
        version = {"id": "v", "openapi_schema": {"components": {"schemas": schemas}}}
        upstream.answer(f"/v1/models/{model}", Recorded.from_json({"latest_version": version}))
    upstream.answer(urlsplit(SOUND_URL).path, Recorded(headers=(("content-type", "audio/mpeg"),), body=SOUND))
    upstream.answer(f"/v1/models/{_MODEL}/predictions", begun if is_stream else answer)
    upstream.answer(f"/v1/files/{_ID}", answer.varied(body=events))
    upstream.answer(f"/v1/predictions/{_ID}", Recorded(body=over))


def _event(name: str, data: str) -> bytes:
    return f"event: {name}\nid: 1690212292:0\ndata: {data}\n\n".encode()


_WIRES: Mapping[str, Wire] = {"sagemaker": _in_parts, "replicate": _as_prediction}
