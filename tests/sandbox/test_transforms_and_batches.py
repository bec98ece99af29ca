"""Transforms and batches, in this process."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nngpt.data import transform_names
from nngpt.sandbox import transforms
from nngpt.sandbox.training_loop import TrainingData, answering_batches

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.2, 0.1)


def images(count: int = 6, size: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("name", transform_names.names())
def test_every_name_makes_float_images_of_one_shape(name: str) -> None:
    pipeline = transforms.build(name, MEAN, STD)
    trained, answered = pipeline.train(images()), pipeline.answer(images())
    assert trained.dtype == answered.dtype == torch.float32
    assert trained.shape == answered.shape
    assert torch.equal(answered, pipeline.answer(images()))


def test_norm_and_echo() -> None:
    echo = transforms.build("echo", MEAN, STD).answer(images())
    norm = transforms.build("norm", MEAN, STD).answer(images())
    assert torch.equal(echo, images().float() / 255)
    mean, std = (torch.tensor(v)[None, :, None, None] for v in (MEAN, STD))
    torch.testing.assert_close(norm, (echo - mean) / std)


def test_flips_and_crops_differ_between_images() -> None:
    torch.manual_seed(0)
    many = images(1).float().expand(200, -1, -1, -1)
    flipped = transforms.flip(many)
    kept = (flipped == many).flatten(1).all(1)
    assert 60 < int(kept.sum()) < 140
    assert torch.equal(flipped[~kept], many[~kept].flip(-1))
    assert len(torch.unique(transforms.crop(many).flatten(1), dim=0)) > 50


def test_a_crop_moves_the_image_and_repeats_the_border() -> None:
    torch.manual_seed(1)
    ramp = torch.arange(8.0).expand(50, 1, 8, 8)
    moved = transforms.crop(ramp)
    shifted = {tuple(range(-4 + i, 4 + i)) for i in range(9)}
    possible = {tuple(min(max(v, 0), 7) for v in row) for row in shifted}
    assert {tuple(int(v) for v in row) for row in moved[:, 0, 0]} == possible


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("norm_256_flip", transform_names.TransformSpec(256, False, True, True)),
        (" echo ", transform_names.TransformSpec(None, False, False, False)),
        ("norm-32-crop-flip", transform_names.TransformSpec(32, True, True, True)),
        ("norm-0", None),
        ("norm-9999", None),
        ("normal", None),
        ("transform = v2.Compose([])", None),
    ],
)
def test_transform_names_are_parsed(name: str, spec: transform_names.TransformSpec | None) -> None:
    assert transform_names.spec(name) == spec


def test_answering_skips_random_steps() -> None:
    source = """
import torch
from torchvision.transforms import v2
transform = v2.Compose([
    v2.Compose([v2.RandomCrop(6), v2.ColorJitter(0.5)]), v2.RandomErasing(1.0),
    v2.RandomApply([v2.Grayscale(3)]), v2.ToTensor(), v2.Normalize((0.5,) * 3, (0.5,) * 3)])
"""
    with pytest.warns(UserWarning, match="ToTensor"):
        pipeline = transforms.build(source, MEAN, STD)
    expected = (images()[:, :, 1:7, 1:7].float() / 255 - 0.5) / 0.5
    torch.testing.assert_close(pipeline.answer(images()), expected)
    assert pipeline.train(images()).shape == expected.shape


@pytest.mark.parametrize(
    ("count", "batch", "sizes"),
    [(10, 4, [4, 4, 2]), (9, 4, [4, 4]), (1, 4, [1]), (3, 1, [1, 1, 1]), (4, 8, [4])],
)
def test_training_batches(count: int, batch: int, sizes: list[int]) -> None:
    data = TrainingData(images(count), torch.arange(count), batch, Tensor.float, seed=3)
    assert len(data) == len(sizes)
    batches = list(data)
    assert [len(labels) for _, labels in batches] == sizes
    assert all(torch.equal(x, images(count)[y].float()) for x, y in batches)
    assert list(data) == []
    seen = torch.cat([labels for _, labels in batches])
    assert len(set(seen.tolist())) == sum(sizes)


def test_the_seed_determines_the_order() -> None:
    def order(seed: int) -> list[int]:
        data = TrainingData(images(50), torch.arange(50), 8, Tensor.float, seed)
        return [int(y) for _, labels in data for y in labels]

    assert order(1) == order(1) != order(2)


@pytest.mark.parametrize(
    ("count", "batch", "sizes"),
    [(10, 4, [4, 4, 2]), (9, 4, [4, 5]), (1, 4, [1]), (5, 4, [5]), (8, 4, [4, 4])],
)
def test_answering_batches_never_hold_a_single_last_image(
    count: int, batch: int, sizes: list[int]
) -> None:
    parts = list(answering_batches(images(count), batch))
    assert [len(part) for part in parts] == sizes
    assert torch.equal(torch.cat(parts), images(count))
