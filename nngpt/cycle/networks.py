"""Train given networks outside a run (`nngpt evaluate`, `nngpt hpo`, `nngpt rag`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nngpt.config import Config
from nngpt.config import load as load_config
from nngpt.cycle.parts import open_evaluator
from nngpt.errors import UserError
from nngpt.generation.contract import Reader
from nngpt.generation.contract.answers import Answer, write
from nngpt.generation.contract.network_file import NetworkFile
from nngpt.protocols import Executor, Log
from nngpt.records import (
    Candidate,
    Evaluation,
    Refusal,
    content_hash,
    derive_seed,
)
from nngpt.reports.attempts import outcome_line

if TYPE_CHECKING:
    from nngpt.prediction.hpo.proposal import HPOTask, Proposal, Train

Outcome = Evaluation | Refusal


def evaluate_networks(
    config: Config,
    networks: Sequence[tuple[str, NetworkFile | Refusal]],
    log: Log,
    report: Callable[[str, Outcome], None],
) -> list[tuple[str, Outcome]]:
    """Evaluate given networks: train and judge each as a cycle would.

    Args:
        networks: name and network, as `read_network` or `read_class` returns it.
        report: called with each name and outcome as soon as it is known.

    Raises: UserError if the executor cannot run here.
    """
    outcomes: list[tuple[str, Outcome]] = []
    with open_evaluator(config, log) as (reader, executor):
        for name, network in networks:
            outcome = _evaluate(name, network, reader, executor, config.seed, log)
            report(name, outcome)
            outcomes.append((name, outcome))
    return outcomes


def _evaluate(
    name: str,
    network: NetworkFile | Refusal,
    reader: Reader,
    executor: Executor,
    seed: int,
    log: Log,
) -> Outcome:
    """Train one given network; report what its training assumes."""
    if isinstance(network, Refusal):
        return network
    candidate = reader.read_file(network)
    if isinstance(candidate, Refusal):
        return candidate
    for note in reader.notes(network):
        log(f"{name}: {note}")
    return executor.evaluate(candidate, derive_seed(seed, "train", content_hash(network.code)))


@contextmanager
def open_training(
    load: Callable[[], Config], log: Log, purpose: str, task: HPOTask
) -> Iterator[Train]:
    """Open a function that trains the network of an HPO task in the sandbox, always with one seed.

    Args:
        load: returns the configuration with the task's data set, which may not exist.
        purpose: "search", which logs a line for each training, or "run".

    Raises: UserError if the contract refuses the network, or the executor cannot run here.
    """
    seed = derive_seed(task.seed, purpose, content_hash(task.code))
    with open_evaluator(load(), log) as (reader, executor):
        candidate = reader.read(write(Answer(task.code, task.space.fixed()[0])))
        if not isinstance(candidate, Candidate):
            refused = f"refused at {candidate.stage}: {candidate.reason}"
            raise UserError(refused, hint=candidate.detail)

        def train(proposal: Proposal) -> Outcome:
            outcome = executor.evaluate(proposal.applied(candidate), seed)
            if purpose == "search":
                log(f"{proposal.settings}: {outcome_line(outcome)}")
            return outcome

        yield train


@contextmanager
def open_block_training(sandbox: str | None) -> Iterator[Callable[[str], Outcome]]:
    """Open a function that trains the network of a library's block for one epoch on 64 images.

    The contract is not checked, because it does not apply to library code.
    """
    extra = [] if sandbox is None else [f"evaluation.sandbox={sandbox}"]
    config = load_config(None, [*_BLOCK_SETTINGS, *extra])
    values, batch = config.evaluation.hyperparameters, config.evaluation.batch
    with open_evaluator(config, lambda _: None) as (_, executor):
        yield lambda code: executor.evaluate(
            Candidate(code, code, "full", values, "norm", batch), 0
        )


_BLOCK_SETTINGS = (
    "prompt.template=full",
    "task.dataset=mnist",
    "task.train_limit=64",
    "task.validation_limit=64",
    "task.max_parameters=null",
    "evaluation.batch=16",
    "evaluation.threads=1",
    "evaluation.limit_s=60",
    'evaluation.hyperparameters={"lr": 0.01, "momentum": 0.9}',
)
