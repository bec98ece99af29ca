"""HPO engine that searches a grid with boosted trees learned from LEMUR's trials."""

from __future__ import annotations

from pathlib import Path

from nngpt.plugins import PluginOptions
from nngpt.prediction.hpo.grid import best_of_grid
from nngpt.prediction.hpo.proposal import EngineContext, HPOTask, Proposal
from nngpt.prediction.hpo.surrogate import SurrogateFile, default_path
from nngpt.prediction.model_file import file_to_use


class Options(PluginOptions):
    """`surrogate`: file that `nngpt hpo train` wrote; None for one's own, else the packaged."""

    surrogate: Path | None = None


class SurrogateEngine:
    """Proposes the points of a grid that the surrogate scores best."""

    immediate = True

    def __init__(self, path: Path) -> None:
        self._file = SurrogateFile(path)

    def propose(self, task: HPOTask, count: int) -> list[Proposal]:
        """Return the best points of the grid. Raises: as `best_of_grid`."""
        return best_of_grid(self._file, task, count)

    def close(self) -> None:
        """Do nothing: the engine holds no resources."""


def create(context: EngineContext, *, options: Options) -> SurrogateEngine:
    """Return the HPO engine `surrogate`. Raises: UserError if its file is damaged."""
    return SurrogateEngine(options.surrogate or file_to_use(default_path()))
