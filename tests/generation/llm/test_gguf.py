"""A GGUF file is converted once, quietly, into a folder with the same weights."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from nngpt.config import LLMConfig
from nngpt.generation.models.loading import load_base

TOKENS = (*"abcdefghijklmnopqrstuvwxyz", "Ġ", "ab", "<end>")
WIDTH, INNER = 8, 16
SHAPES = {
    "token_embd": (len(TOKENS), WIDTH),
    "output_norm": (WIDTH,),
    "blk.0.attn_norm": (WIDTH,),
    "blk.0.ffn_norm": (WIDTH,),
    "blk.0.attn_q": (WIDTH, WIDTH),
    "blk.0.attn_k": (WIDTH // 2, WIDTH),
    "blk.0.attn_v": (WIDTH // 2, WIDTH),
    "blk.0.attn_output": (WIDTH, WIDTH),
    "blk.0.ffn_gate": (INNER, WIDTH),
    "blk.0.ffn_up": (INNER, WIDTH),
    "blk.0.ffn_down": (WIDTH, INNER),
}


def write_gguf(path: Path) -> dict[str, NDArray[np.float32]]:
    """Write a model of one layer; return its weights."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(32)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // 2)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(TOKENS.index("<end>"))
    writer.add_eos_token_id(TOKENS.index("<end>"))
    chance = np.random.default_rng(1)
    weights = {name: chance.normal(size=shape).astype("f4") for name, shape in SHAPES.items()}
    for name, weight in weights.items():
        writer.add_tensor(f"{name}.weight", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


def test_a_gguf_file_is_converted_once_and_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NNGPT_CACHE", str(tmp_path / "cache"))
    weights = write_gguf(tmp_path / "tiny.gguf")
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
        halves = weights["blk.0.ffn_down"].astype("f2").astype("f4")
        assert np.array_equal(state["model.layers.0.mlp.down_proj.weight"].numpy(), halves)
