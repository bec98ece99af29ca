"""Training pairs made from the LEMUR mirror."""

from nngpt.learning.corpus.answers import Writer, longest_answer
from nngpt.learning.corpus.build import Choice, Corpus, Progress, build
from nngpt.learning.corpus.building import BuildCheck, build_check
from nngpt.learning.corpus.converting import Conversion, convert
from nngpt.learning.corpus.files import check_new, facts, write_corpus
from nngpt.learning.corpus.mirror import Recorded, read_networks
from nngpt.learning.corpus.recombining import recombine

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
