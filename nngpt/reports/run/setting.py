"""Read what a run's figures depend on besides its records: task, threshold, known networks."""

from __future__ import annotations

from pydantic import ValidationError

from nngpt.config import Config, completed
from nngpt.data.loading import data_source
from nngpt.errors import UserError
from nngpt.finetuning.corpus.networks import starting_networks
from nngpt.generation.contract import make_reader
from nngpt.records import Candidate
from nngpt.reports.analysis.study import StudySetting
from nngpt.store import RunRecord


def read_setting(run: RunRecord) -> StudySetting:
    """Return a run's setting; a corpus that cannot be read any more is left out, with a note."""
    stored = completed(run.config)
    notes = []
    pairs, corpus, classes = 0, dict[str, Candidate](), None
    try:
        pairs, corpus, classes = _known(Config.model_validate(stored))
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        notes.append(f"This nngpt does not know the configuration's {key}: the corpus is left out.")
    except UserError as error:
        notes.append(f"The corpus is left out: {error.line()}")
    return StudySetting(
        dataset=str(stored["task"]["dataset"]),
        threshold=float(stored["task"]["threshold"]),
        likeness=float(stored["novelty"]["threshold"]),
        shingle=int(stored["novelty"]["shingle"]),
        classes=classes,
        pairs=pairs,
        corpus=corpus,
        notes=tuple(notes),
    )


def _known(config: Config) -> tuple[int, dict[str, Candidate], int]:
    """Return the corpus's number of pairs, the networks known before the run, and the classes.

    Raises:
        UserError: the corpus or the adapter cannot be read.
    """
    source = data_source(config)
    pairs, networks = starting_networks(config, make_reader(config, source))
    return pairs, networks, source.classes
