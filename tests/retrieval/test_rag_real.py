"""Real blocks of torch and torchvision: the extracted class gives the original's output."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from retrieval.rag_trees import load

from nngpt.retrieval.extractor import Extractor
from nngpt.retrieval.library import Library
from nngpt.retrieval.sources import open_source

BLOCKS: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
    ("torch:torch.nn.modules.transformer.TransformerEncoderLayer",
     {"d_model": 16, "nhead": 2, "dim_feedforward": 32}, (2, 5, 16)),
    ("torch:torch.nn.modules.conv.Conv2d",
     {"in_channels": 3, "out_channels": 4, "kernel_size": 3}, (2, 3, 8, 8)),
    ("torchvision:torchvision.models.resnet.BasicBlock",
     {"inplanes": 8, "planes": 8}, (2, 8, 8, 8)),
    ("torchvision:torchvision.ops.misc.SqueezeExcitation",
     {"input_channels": 8, "squeeze_channels": 2}, (2, 8, 6, 6)),
    ("torchvision:torchvision.models.swin_transformer.SwinTransformerBlock",
     {"dim": 8, "num_heads": 2, "window_size": [4, 4], "shift_size": [2, 2]}, (2, 8, 8, 8)),
    ("torchvision:torchvision.models.squeezenet.SqueezeNet", {}, (1, 3, 64, 64)),
]  # fmt: skip


@pytest.fixture(scope="module")
def known() -> Extractor:
    return Extractor(Library([open_source("torchvision"), open_source("torch")]))


@pytest.mark.parametrize(("target", "arguments", "shape"), BLOCKS, ids=[b[0] for b in BLOCKS])
def test_a_real_block_is_the_same_function(
    target: str, arguments: dict[str, Any], shape: tuple[int, ...], known: Extractor
) -> None:
    extraction = known.extract(target)
    module, _, name = target.partition(":")[2].rpartition(".")
    first = getattr(importlib.import_module(module), name)(**arguments).eval()
    second = getattr(load(extraction), name)(**arguments).eval()
    second.load_state_dict(first.state_dict())
    x = torch.randn(shape)
    torch.testing.assert_close(second(x), first(x), rtol=0, atol=0)


def test_the_header_states_the_origin_and_the_file_is_reproducible(known: Extractor) -> None:
    target = "torchvision:torchvision.ops.misc.SqueezeExcitation"
    extraction = known.extract(target)
    again = Extractor(Library([open_source("torchvision")])).extract(target)
    assert again.code == extraction.code
    head = extraction.code.partition("\nimport")[0]
    for part in (target, "Licence: BSD-3-Clause", extraction.sha256, "torchvision.utils"):
        assert part in head
    assert extraction.licences == ("BSD-3-Clause",)


def test_the_file_does_not_depend_on_the_order_of_sets() -> None:
    code = (
        "from nngpt.retrieval.extractor import Extractor\n"
        "from nngpt.retrieval.library import Library\n"
        "from nngpt.retrieval.sources import open_source\n"
        "known = Extractor(Library([open_source('torchvision')]))\n"
        "print(known.extract('torchvision.models.detection.fcos.FCOS').code)\n"
    )
    files = set()
    for seed in ("1", "2"):
        made = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        files.add(made.stdout)
    assert len(files) == 1 and len(files.pop()) > 10_000
