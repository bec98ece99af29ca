"""The training loop of supervised fine-tuning: packed rows, loss on answers, checkpoints."""

from nngpt.learning.tuning.checkpoint import Checkpoint
from nngpt.learning.tuning.curve import Point, Say, Watch
from nngpt.learning.tuning.examples import Example, encode, fitting
from nngpt.learning.tuning.loop import Tuning

__all__ = ["Checkpoint", "Example", "Point", "Say", "Tuning", "Watch", "encode", "fitting"]
