"""A GGUF file is converted once, quietly, into a folder with the same weights and tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray
from safetensors import safe_open

from nngpt.config import LLMConfig
from nngpt.generation.models import chat, embedded
from nngpt.generation.models.loading import _gguf_as_folder, load_base, load_tokenizer
from nngpt.records import Message, Prompt

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TOKENS = (*"abcdefghijklmnopqrstuvwxyz", "Ġ", "ab", *SPECIAL)
END, TURN = TOKENS.index("<|endoftext|>"), TOKENS.index("<|im_end|>")
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"
WIDTH = 256
SHAPES = {
    "token_embd": (len(TOKENS), WIDTH),
    "output_norm": (WIDTH,),
    "blk.0.attn_norm": (WIDTH,),
    "blk.0.ffn_norm": (WIDTH,),
    "blk.0.attn_q": (WIDTH, WIDTH),
    "blk.0.attn_k": (WIDTH // 2, WIDTH),
    "blk.0.attn_v": (WIDTH // 2, WIDTH),
    "blk.0.attn_output": (WIDTH, WIDTH),
    "blk.0.ffn_gate": (WIDTH, WIDTH),
    "blk.0.ffn_up": (WIDTH, WIDTH),
    "blk.0.ffn_down": (WIDTH, WIDTH),
}
CODE_SHAPES = SHAPES | {
    "output": (len(TOKENS), WIDTH),
    "blk.0.attn_q.bias": (WIDTH,),
    "blk.0.attn_k.bias": (WIDTH // 2,),
    "blk.0.attn_v.bias": (WIDTH // 2,),
}
KINDS = {
    "token_embd": Kind.Q5_0,
    "output": Kind.Q8_0,
    "blk.0.attn_q": Kind.Q5_0,
    "blk.0.attn_v": Kind.Q8_0,
    "blk.0.attn_output": Kind.Q4_K,
    "blk.0.ffn_down": Kind.Q6_K,
}
"""The kinds of blocks in the file of qwen2.5-coder-0.5b."""
NAMES = {
    "token_embd": "model.embed_tokens",
    "output": "lm_head",
    "blk.0.attn_q": "model.layers.0.self_attn.q_proj",
    "blk.0.attn_v": "model.layers.0.self_attn.v_proj",
    "blk.0.attn_output": "model.layers.0.self_attn.o_proj",
    "blk.0.ffn_down": "model.layers.0.mlp.down_proj",
}
SCALES = {Kind.Q4_K: (0, 2), Kind.Q6_K: (208,)}
"""Offsets in a block of its float16 scales."""
CODE_MODEL = embedded.MODELS["qwen2.5-coder-0.5b"]


def write_gguf(
    path: Path, architecture: str, shapes: Mapping[str, tuple[int, ...]], kinds: Mapping[str, Kind]
) -> dict[str, NDArray[np.float32]]:
    """Write a model of one layer with random weights; return them as the file holds them."""
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_context_length(32)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // 2)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    types = [gguf.TokenType.CONTROL if one in SPECIAL else gguf.TokenType.NORMAL for one in TOKENS]
    writer.add_token_types(types)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(END)
    writer.add_pad_token_id(END)
    writer.add_eos_token_id(TURN)
    writer.add_chat_template(TEMPLATE)
    chance, weights = np.random.default_rng(1), {}
    for name, shape in shapes.items():
        kind = kinds.get(name, Kind.F32)
        raw = quantised(chance.normal(size=shape).astype("f4"), kind, chance)
        full = name if name.endswith("bias") else f"{name}.weight"
        writer.add_tensor(full, raw, raw_dtype=kind)
        weights[name] = gguf.dequantize(raw, kind).reshape(shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


def quantised(
    weight: NDArray[np.float32], kind: Kind, chance: np.random.Generator
) -> NDArray[np.generic]:
    """Return a weight in blocks of a kind; random blocks of the kinds that gguf cannot write."""
    if kind not in SCALES:
        raw = gguf.quantize(weight, kind)
        assert np.abs(gguf.dequantize(raw, kind) - weight).max() < 0.2
        return raw
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = chance.integers(256, size=(weight.size // elements, size), dtype=np.uint8)
    for offset in SCALES[kind]:
        scale = chance.uniform(0.001, 0.01, size=(len(blocks), 1)).astype("f2")
        blocks[:, offset : offset + 2] = scale.view(np.uint8)
    return blocks.reshape(len(weight), -1)


def halves(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    return weight.astype("f2").astype("f4")


def test_a_gguf_file_is_converted_once_and_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NNGPT_CACHE", str(tmp_path / "cache"))
    weights = write_gguf(tmp_path / "tiny.gguf", "llama", SHAPES, {})
    config = LLMConfig(model=str(tmp_path / "tiny.gguf"), device="cpu", dtype="float32")
    first = load_base(config)
    printed = capfd.readouterr()
    expected = "Converting tiny.gguf for its first use; this takes a minute …\n"
    assert (printed.out, printed.err) == ("", expected)
    again = load_base(config)
    assert capfd.readouterr() == ("", "")
    for base in (first, again):
        assert base.tokenizer("abc").input_ids == [TOKENS.index("ab"), TOKENS.index("c")]
        state = base.model.state_dict()
        found = state["model.layers.0.mlp.down_proj.weight"].numpy()
        assert np.array_equal(found, halves(weights["blk.0.ffn_down"]))
        assert base.model.config.tie_word_embeddings


def test_mixed_blocks_and_an_output_of_its_own_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNGPT_CACHE", str(tmp_path / "cache"))
    weights = write_gguf(tmp_path / "code.gguf", "qwen2", CODE_SHAPES, KINDS)
    base = load_base(LLMConfig(model=str(tmp_path / "code.gguf"), device="cpu", dtype="float32"))
    state = base.model.state_dict()
    for name, theirs in NAMES.items():
        assert np.array_equal(state[f"{theirs}.weight"].numpy(), halves(weights[name])), name
    bias = state["model.layers.0.self_attn.k_proj.bias"].numpy()
    assert np.array_equal(bias, halves(weights["blk.0.attn_k.bias"]))
    assert not base.model.config.tie_word_embeddings
    tokenizer = base.tokenizer
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (TURN, END)
    text = chat.render(tokenizer, Prompt("", "", "full", (Message("user", "ab"),), "c"))
    assert text == "<|im_start|>ab<|im_end|>c"
    ab, c = TOKENS.index("ab"), TOKENS.index("c")
    assert chat.encode(tokenizer, text) == [TOKENS.index("<|im_start|>"), ab, TURN, c]


REAL = {
    "model.embed_tokens": (Kind.Q5_0, 150_590_848, 896),
    "lm_head": (Kind.Q8_0, 5_947_776, 896),
    "model.layers.0.self_attn.v_proj": (Kind.Q8_0, 254_945_408, 896),
    "model.layers.0.self_attn.o_proj": (Kind.Q5_0, 253_837_440, 896),
    "model.layers.0.mlp.down_proj": (Kind.Q6_K, 244_187_008, 4864),
    "model.layers.23.mlp.down_proj": (Kind.Q4_K, 407_829_120, 4864),
}
"""Kind, offset and row length of tensors in the file of the code model, whose digest is pinned.

`gguf.GGUFReader` takes 14 s to list them."""


@pytest.mark.skipif(
    embedded.cached_file(CODE_MODEL) is None, reason=f"no {CODE_MODEL.name} (nngpt models pull)"
)
def test_the_real_code_model_has_the_weights_and_tokens_of_its_file() -> None:
    rows, file = 8, embedded.path(CODE_MODEL.name)
    with safe_open(_gguf_as_folder(file) / "model.safetensors", "numpy") as folder:
        shapes = [folder.get_slice(name).get_shape() for name in folder.keys()]  # noqa: SIM118 (no dict)
        assert sum(map(math.prod, shapes)) == CODE_MODEL.parameters
        for name, (kind, offset, width) in REAL.items():
            elements, size = gguf.GGML_QUANT_SIZES[kind]
            count = rows * width // elements * size
            raw = np.fromfile(file, np.uint8, count, offset=offset).reshape(rows, -1)
            found = folder.get_slice(f"{name}.weight")[:rows]
            assert np.array_equal(found, halves(gguf.dequantize(raw, kind))), name
    tokenizer = load_tokenizer(CODE_MODEL.name)
    prompt = Prompt("", "", "full", (Message("user", "Hi 12"),), "```python\n")
    text = chat.render(tokenizer, prompt)
    assert text.endswith("<|im_start|>user\nHi 12<|im_end|>\n<|im_start|>assistant\n```python\n")
    # The marks of the template are one token each.
    turn = [151644, 872, 198, 13048, 220, 16, 17, 151645, 198]
    start = text.index("<|im_start|>user")
    assert chat.encode(tokenizer, text[start:])[: len(turn)] == turn
    assert tokenizer.decode(chat.encode(tokenizer, text)) == text
    assert tokenizer.decode(turn, skip_special_tokens=True) == "user\nHi 12\n"
