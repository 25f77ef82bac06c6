"""Write a tiny llama model with random weights: what it says is noise, how it is served is real.

Runs in the environment that `build.py` makes, which holds `gguf` and `numpy`; the project's own has neither.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LAYERS, WIDTH, HIDDEN, HEADS, CONTEXT = 2, 64, 128, 4, 32768
SPECIAL = ("<unk>", "<s>", "</s>")
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}\n{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant\n{% endif %}"
)


def vocabulary() -> list[bytes]:
    """Three special tokens, one for every byte, and common words, so that a text is rarely all bytes."""
    words = (" the", " a", " of", " and", " to", "user", "assistant", "system", " hello", " world", "{", "}", '"', ":")
    return [
        *(name.encode() for name in SPECIAL),
        *(b"<0x%02X>" % byte for byte in range(256)),
        *(word.replace(" ", "\u2581").encode() for word in words),
        *(bytes([byte]) for byte in range(ord(" ") + 1, 127) if chr(byte) not in '{}":'),
        "\u2581".encode(),
    ]


def token_types() -> Iterator[int]:
    """Unknown, control, byte, normal: the numbers of llama.cpp's token types."""
    for at in range(len(vocabulary())):
        if at < len(SPECIAL):
            yield 2 if at == 0 else 3
        else:
            yield 6 if at < len(SPECIAL) + 256 else 1


def shapes(size: int) -> dict[str, tuple[int, ...]]:
    """Every tensor of the model by name."""
    layer = {
        "attn_norm": (WIDTH,),
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (WIDTH, WIDTH),
        "attn_v": (WIDTH, WIDTH),
        "attn_output": (WIDTH, WIDTH),
        "ffn_norm": (WIDTH,),
        "ffn_gate": (HIDDEN, WIDTH),
        "ffn_up": (HIDDEN, WIDTH),
        "ffn_down": (WIDTH, HIDDEN),
    }
    return {
        "token_embd.weight": (size, WIDTH),
        "output_norm.weight": (WIDTH,),
        "output.weight": (size, WIDTH),
        **{f"blk.{at}.{name}.weight": shape for at in range(LAYERS) for name, shape in layer.items()},
    }


def write(path: Path) -> None:
    """Write the model; the same bytes every time."""
    gguf: Any = importlib.import_module("gguf")
    numpy: Any = importlib.import_module("numpy")
    words = vocabulary()
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([-float(at) for at in range(len(words))])
    writer.add_token_types(list(token_types()))
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_space_prefix(value=False)
    writer.add_chat_template(TEMPLATE)
    random = numpy.random.default_rng(7)
    for name, shape in shapes(len(words)).items():
        values = numpy.ones(shape) if "norm" in name else random.normal(0, 0.3, shape)
        writer.add_tensor(name, values.astype(numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(Path(sys.argv[1]))
