"""Packed rows give the loss and the gradients of the pairs one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_model import examples, tiny_model
from torch.nn.functional import cross_entropy

from nngpt.config import LearningConfig
from nngpt.finetuning.sft.attention import attend, can_pack
from nngpt.finetuning.sft.checkpoint import Checkpoint
from nngpt.finetuning.sft.loop import TrainingLoop
from nngpt.finetuning.sft.loss import output_weight, token_losses
from nngpt.finetuning.sft.packing import (
    PackedRow,
    RowSpan,
    SpanLengths,
    TokenizedPair,
    one_per_row,
    pack,
)


def one_by_one(model: Any, chosen: Sequence[TokenizedPair]) -> torch.Tensor:
    """Return the mean loss per answer token, computed in the plain way."""
    total, tokens = torch.zeros(()), 0
    for example in chosen:
        ids = torch.tensor([example.prompt + example.answer])
        logits = model(input_ids=ids).logits[0, len(example.prompt) - 1 : -1]
        total = total + cross_entropy(logits, torch.tensor(example.answer), reduction="sum")
        tokens += len(example.answer)
    return total / tokens


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("settings", [{}, {"gradient_checkpointing": True}, {"packing": False}])
@pytest.mark.parametrize("budget", [1, 30, 1000])
def test_a_step_has_the_gradients_of_its_examples(
    settings: dict[str, bool], budget: int, tmp_path: Any
) -> None:
    scale = 4.0 if budget == 30 else None  # of the logits: then the loss takes the model's own
    plain = tiny_model(scale=scale)
    expected = one_by_one(plain, examples())
    expected.backward()
    wanted = gradients(plain)

    model = tiny_model(scale=scale)
    seen: dict[str, torch.Tensor] = {}
    learning = LearningConfig(
        epochs=1, batch_size=7, max_grad_norm=1e9, tokens_per_batch=budget, **settings
    )
    tuning = TrainingLoop(model, learning, "adamw", seed=1)
    points = tuning.run(
        examples(),
        examples(),
        Checkpoint(tmp_path / "unused", "", 1e9),
        lambda point: seen.update(gradients(model)) if point.step == 1 else None,
        lambda _: None,
    )
    assert points[0].held_out == pytest.approx(expected.item(), abs=1e-5)
    assert points[1].loss == pytest.approx(expected.item(), abs=1e-5)
    assert points[1].tokens == sum(len(e.answer) for e in examples())
    assert seen.keys() == wanted.keys() and len(wanted) == 12
    for name, gradient in wanted.items():
        torch.testing.assert_close(seen[name], gradient, atol=1e-6, rtol=1e-4)
    assert model.get_base_model().config._attn_implementation == "sdpa", "it was put back"


def test_flash_attention_would_see_the_same() -> None:
    """The kernel needs a GPU: here its documented mask is computed and compared."""
    (row,) = pack(examples(), 1000)
    lengths = SpanLengths.of(row.spans, torch.device("cpu"))
    seen: list[list[int]] = []
    for span in range(len(row.spans)):
        first, last = lengths.query_starts[span : span + 2].tolist()
        begin, end = lengths.key_starts[span : span + 2].tolist()
        keys = lengths.keys[begin:end].tolist()
        seen += [keys[: len(keys) - (last - 1 - query)] for query in range(first, last)]
    tokens = len(row.ids)
    alone = [[k for k in range(tokens) if sees(row, q, k)] for q in range(tokens)]
    assert seen == alone
    assert lengths.longest_key == max(map(len, alone))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_flash_attention_sees_the_same_on_a_gpu() -> None:
    (row,) = pack(examples(), 1000)
    torch.manual_seed(1)
    shapes = [(1, heads, len(row.ids), 64) for heads in (6, 2, 2)]
    inputs = [
        torch.randn(s, device="cuda", dtype=torch.bfloat16, requires_grad=True) for s in shapes
    ]
    up = torch.randn(1, len(row.ids), 6, 64, device="cuda")
    found = []
    for lengths in (SpanLengths.of(row.spans, torch.device("cuda")), None):
        output, _ = attend(None, *inputs, None, spans=row.spans, lengths=lengths)
        found.append([output, *torch.autograd.grad((output * up).sum(), inputs)])
    for once, spanwise in zip(*found, strict=True):
        assert (once - spanwise).norm() < 0.01 * spanwise.norm()


def sees(row: PackedRow, query: int, key: int) -> bool:
    span = next(s for s in row.spans if s.start <= query < s.stop)
    first, stop = span.prefix or (0, 0)
    return first <= key < stop or span.start <= key <= query


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_loss_in_chunks_is_cross_entropy(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    weight = torch.randn(50, 16, dtype=dtype)
    hidden = torch.randn(1100, 16, dtype=dtype, requires_grad=True)
    targets = torch.randint(50, (1100,))
    expected = cross_entropy((hidden @ weight.T).float(), targets, reduction="none")
    scales = 2.0 ** -(torch.arange(1100) % 4)  # exact, whatever is rounded before
    (wanted,) = torch.autograd.grad(expected @ scales, hidden)
    losses = token_losses(hidden, weight, targets)
    (gradient,) = torch.autograd.grad(losses @ scales, hidden)
    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(gradient, wanted)


def test_logits_that_are_scaled_are_left_to_the_model() -> None:
    plain = tiny_model().get_base_model()
    assert output_weight(plain) is plain.lm_head.weight
    assert output_weight(tiny_model(scale=4.0).get_base_model()) is None


def test_a_shared_prompt_is_read_once() -> None:
    pairs = [TokenizedPair((1, 2, 3), (4, 5, 9)), TokenizedPair((1, 2, 3), (6, 9))]
    (row,) = pack(pairs, 100)
    assert row == PackedRow(
        ids=[1, 2, 3, 4, 5, 6],
        positions=[0, 1, 2, 3, 4, 3],
        spans=[RowSpan(0, 3), RowSpan(3, 5, (0, 3)), RowSpan(5, 6, (0, 3))],
        sources=[2, 3, 4, 2, 5],
        targets=[4, 5, 9, 6, 9],
        pairs=pairs,
    )
    (compared,) = pack([TokenizedPair((1, 2, 3), (4, 5, 9), (6, 9))], 1)
    assert replace(compared, pairs=pairs) == row


def test_rows_keep_the_budget() -> None:
    rows = pack(examples(), 20)
    assert max(len(row.ids) for row in rows) <= 20 < len(pack(examples(), 1000)[0].ids)
    learned = sorted(token for row in rows for token in row.targets)
    assert learned == sorted(token for example in examples() for token in example.answer)
    assert len(pack(examples(), 1)) == len(examples())
    assert [row.targets for row in one_per_row(TokenizedPair((1,), (2, 3), (4,)))] == [[2, 3], [4]]


def test_attention_that_is_not_plain_is_not_replaced() -> None:
    model = tiny_model().get_base_model()
    assert can_pack(model)
    model.config.sliding_window = 4096
    assert not can_pack(model)
