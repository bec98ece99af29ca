"""Mode `cell`: the LLM writes the six operations of a cell of NAS-Bench-201; a template the rest.

An answer is a JSON string of six letters (`nngpt.data.nasbench201.Cell`), to which
`sampling.constrain` can hold the LLM.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from nngpt.data.nasbench201 import LETTERS, Cell
from nngpt.generation.contract import answers
from nngpt.generation.contract.answers import Answer
from nngpt.generation.contract.candidate import Defaults, make_candidate
from nngpt.generation.contract.reader import Reader
from nngpt.protocols import PromptMode
from nngpt.records import Candidate, Prompt, Refusal, Stage


class CellMode(PromptMode):
    """Answers are one cell; they have no settings."""

    schema: Mapping[str, Any] = Cell.model_json_schema()

    def read(self, answer: str, reader: Reader) -> Candidate | Refusal:
        """Return the network of the answer's cell, or why there is none."""
        try:
            cell = Cell.model_validate_json(answer)
        except ValidationError:
            return Refusal(Stage.PARSE, "no JSON string of six letters", answers.opening(answer))
        code = reader.template.network_code(reader.task, operations=cell.operations)
        written = cell.model_dump_json()
        return make_candidate(Answer(code, {}), code, written, reader.prompt, reader.defaults)

    def novelty_text(self, candidate: Candidate) -> str:
        """Return what the cell computes: the same text for isomorphic cells."""
        return Cell.model_validate_json(candidate.written).unique

    def known_answer(self, candidate: Candidate, prompt: Prompt, defaults: Defaults) -> str:
        """Return the network's cell."""
        return candidate.written

    def changed(self, answer: str, changes: int, chance: random.Random) -> str:
        """Return the cell with so many of its operations exchanged for others."""
        letters = Cell.model_validate_json(answer).root.split()
        for place in chance.sample(range(len(letters)), min(changes, len(letters))):
            letters[place] = chance.choice([x for x in LETTERS if x != letters[place]])
        return Cell(" ".join(letters)).model_dump_json()

    def crossed(self, answer: str, other: str, chance: random.Random) -> str:
        """Return a cell with each operation from one of the two, drawn uniformly."""
        cells = (Cell.model_validate_json(text).root.split() for text in (answer, other))
        return Cell(" ".join(map(chance.choice, zip(*cells, strict=True)))).model_dump_json()


def create() -> CellMode:
    """Return the prompt mode `cell`."""
    return CellMode()
