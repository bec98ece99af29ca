"""Make evaluations from judged trainings, and pool several trainings of one candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nngpt.config import EvaluationConfig
from nngpt.records import EpochResult, Evaluation, Trial, canonical_json
from nngpt.sandbox.folds import Fold
from nngpt.sandbox.jobs import AnyJudge, JobResult


class EvaluationFactory:
    """Makes evaluations of one training protocol.

    Args:
        device: "cpu" or "cuda".
        level: containment level in force, with its layers.
    """

    def __init__(self, evaluation: EvaluationConfig, device: str, level: str) -> None:
        self._evaluation, self._device, self._level = evaluation, device, level

    def make(self, result: JobResult[AnyJudge], seed: int, fold: Fold) -> Evaluation:
        """Return the evaluation of a training whose judge is done."""
        judge, ended = result.judge, result.ended
        last = judge.epochs[-1]
        protocol = self._evaluation.protocol()
        if judge.would_stop is not None:
            protocol["would_stop"] = judge.would_stop
        if judge.ceiling is not None:
            protocol["ceiling"] = round(judge.ceiling, 4)
        return Evaluation(
            epochs=tuple(judge.epochs),
            claimed_parameters=judge.parameters,
            seconds=result.seconds,
            device=self._device,
            seed=seed,
            sandbox=self._level,
            peak_memory_mb=round(ended.maxrss_mb, 1) if ended else None,
            cpu_s=ended.cpu_s if ended else None,
            claimed_flops=judge.flops,
            claimed_latency_ms=judge.latency_ms,
            claimed_batches=judge.batches,
            protocol=canonical_json(protocol),
            trials=(Trial(seed, fold.number, last.accuracy, last.total),),
        )


def combined(results: Sequence[Evaluation]) -> Evaluation:
    """Pool several trainings of one candidate: sum answers, seconds and batches."""
    if len(results) == 1:
        return results[0]
    return replace(
        results[0],
        epochs=tuple(_pooled(epochs) for epochs in zip(*(r.epochs for r in results), strict=True)),
        seconds=sum(r.seconds for r in results),
        cpu_s=sum(r.cpu_s or 0 for r in results),
        peak_memory_mb=max((r.peak_memory_mb or 0 for r in results), default=None),
        claimed_batches=sum(r.claimed_batches or 0 for r in results),
        trials=tuple(trial for r in results for trial in r.trials),
    )


def _pooled(epochs: tuple[EpochResult, ...]) -> EpochResult:
    correct, total = sum(e.correct for e in epochs), sum(e.total for e in epochs)
    seconds = sum(e.seconds for e in epochs)
    return EpochResult(epochs[0].epoch, correct / total, correct, total, seconds)
