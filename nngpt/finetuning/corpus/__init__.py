"""Training pairs made from the LEMUR mirror."""

from nngpt.finetuning.corpus.answers import Writer, longest_answer
from nngpt.finetuning.corpus.build import Choice, Corpus, Progress, build
from nngpt.finetuning.corpus.building import BuildCheck, build_check
from nngpt.finetuning.corpus.converting import Conversion, convert
from nngpt.finetuning.corpus.files import check_new, facts, write_corpus
from nngpt.finetuning.corpus.mirror import Recorded, read_networks
from nngpt.finetuning.corpus.recombining import recombine

__all__ = [
    "BuildCheck",
    "Choice",
    "Conversion",
    "Corpus",
    "Progress",
    "Recorded",
    "Writer",
    "build",
    "build_check",
    "check_new",
    "convert",
    "facts",
    "longest_answer",
    "read_networks",
    "recombine",
    "write_corpus",
]
