"""The training loop of supervised fine-tuning: packed rows, loss on answers, checkpoints."""

from nngpt.finetuning.tuning.checkpoint import Checkpoint
from nngpt.finetuning.tuning.curve import Point, Watch
from nngpt.finetuning.tuning.examples import Example, encode, fitting
from nngpt.finetuning.tuning.loop import Tuning

__all__ = ["Checkpoint", "Example", "Point", "Say", "Tuning", "Watch", "encode", "fitting"]
