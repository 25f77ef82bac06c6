"""JSON in no shape at all, made of the words and names that OpenAI chat knows."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Values = st.SearchStrategy[Any]

WORDS = st.text(max_size=6)


def _words(text: str) -> list[str]:
    return text.split()


ODD_WORDS = _words(
    "text function image_url thinking auto json_schema user assistant tool stop {} custom file data:,"
    " data:a/b;base64,AA reasoning.text reasoning.summary reasoning.encrypted url_citation allowed_tools"
    " enabled input_audio refusal"
)
ODD_NAMES = _words(
    "type text role content function name arguments id index delta message custom tool_calls finish_reason"
    " image_url url refusal usage choices error prompt_tokens input reasoning_content reasoning"
    " reasoning_details data format signature summary thinking audio images annotations url_citation"
    " start_index extra_content google thought_signature provider_items dialect cache_control file"
    " file_data tool_call_id logprobs code x_groq metadata raw service_tier"
)
REQUEST_NAMES = _words(
    "model messages tools tool_choice stop stream_options response_format n metadata functions"
    " function_call thinking reasoning reasoning_effort logit_bias web_search_options modalities"
)
ODD: Values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(ODD_WORDS) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(ODD_NAMES), inner, max_size=4),
    max_leaves=14,
)
FIELDS: Values = st.dictionaries(st.sampled_from(ODD_NAMES), ODD, max_size=3)


def with_role(role: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "role": role}


ROLES = st.sampled_from(["user", "assistant", "tool", "function"])
MESSAGES: Values = st.lists(st.builds(with_role, ROLES, FIELDS), min_size=1, max_size=2)
CHOICES: Values = st.lists(
    st.fixed_dictionaries(
        {}, optional={"delta": FIELDS, "message": FIELDS, "index": ODD, "finish_reason": ODD, "logprobs": ODD}
    ),
    max_size=2,
)
