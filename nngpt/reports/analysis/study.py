"""All figures of a run's report, computed from the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import ValidationError

from nngpt.config import Config, completed
from nngpt.data.loading import data_source
from nngpt.errors import UserError
from nngpt.finetuning.corpus.networks import starting_networks
from nngpt.generation.contract import make_reader
from nngpt.records import Arm, Candidate
from nngpt.reports.analysis.costs import Costs, Reached, costs, read_reached
from nngpt.reports.analysis.full_training import Ranking, ranking
from nngpt.reports.analysis.genealogy import LineageNode, genealogy
from nngpt.reports.analysis.lead import Lead, leads
from nngpt.reports.analysis.novelty import NetworkPlace, places
from nngpt.reports.analysis.pareto import Front, fronts
from nngpt.reports.analysis.proxies import ProxyRanks, proxy_ranks
from nngpt.reports.analysis.refusals import RefusalCount, refusal_counts
from nngpt.reports.analysis.trajectory import CyclePoint, Gate, funnel, trajectory
from nngpt.reports.analysis.uplift import Comparison, comparisons
from nngpt.statistics import Estimate, share
from nngpt.store import AttemptRecord, RunRecord, Store


@dataclass(frozen=True)
class StudySetting:
    """What the figures depend on besides the run's records.

    Attributes:
        threshold: admission threshold on accuracy, 0…1.
        likeness: Jaccard similarity above which a network is a near-duplicate.
        shingle: number of tokens in a shingle.
        classes: number of classes of the data set, None if unknown.
        pairs: number of pairs in the configured corpus.
        corpus: networks known before the run, by name.
        notes: sentences about missing data.
    """

    dataset: str
    threshold: float
    likeness: float = 0.9
    shingle: int = 10
    classes: int | None = None
    pairs: int = 0
    corpus: Mapping[str, Candidate] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()


class LoopTotals(NamedTuple):
    """Written first answers, their valid share, the best accuracy, admissions with repairs."""

    written: int
    valid: Estimate | None
    best: Estimate | None
    admitted: int


@dataclass(frozen=True)
class Study:
    """All figures of a run.

    Attributes:
        arms: arms that wrote, the loop first.
        attempts: all attempts with their code, in the order of writing.
        funnels: each arm's gates; () if none of its attempts is settled.
        places: similarity of each trained network to known ones.
        leads: the loop's lead over each control arm after each cycle.
        refusals: refused first answers by arm, cycle, stage and reason.
        ranking: None if no candidate was trained to completion.
        proxies: () if no network has zero-cost proxies.
        reached: what it took each arm to reach an accuracy.
        initial: number of training pairs older than the run.
    """

    run: RunRecord
    setting: StudySetting
    arms: tuple[Arm, ...]
    attempts: tuple[AttemptRecord, ...] = field(repr=False)
    points: Mapping[Arm, tuple[CyclePoint, ...]]
    funnels: Mapping[Arm, tuple[Gate, ...]]
    places: tuple[NetworkPlace, ...]
    comparisons: tuple[Comparison, ...]
    leads: Mapping[Arm, tuple[Lead, ...]]
    writers: tuple[LineageNode, ...]
    fronts: tuple[Front, ...]
    refusals: tuple[RefusalCount, ...]
    ranking: Ranking | None
    proxies: tuple[ProxyRanks, ...]
    costs: Costs
    reached: tuple[Reached, ...]
    initial: int

    @property
    def loop(self) -> tuple[CyclePoint, ...]:
        """Figures of the loop's cycles, () if it has written nothing."""
        return self.points.get(Arm.LOOP, ())

    @property
    def cycles(self) -> int:
        """Last cycle in which an arm wrote, 0 if none did."""
        return max((p.cycle for arm in self.points.values() for p in arm), default=0)

    @property
    def totals(self) -> LoopTotals:
        """The loop's figures over all cycles."""
        written = sum(p.written for p in self.loop)
        return LoopTotals(
            written,
            share(sum(len(p.accuracies) for p in self.loop), written),
            max((p.best for p in self.loop if p.best), key=lambda e: e.value, default=None),
            sum(p.admitted + p.repairs_admitted for p in self.loop),
        )

    def of(self, arm: Arm) -> list[AttemptRecord]:
        """Return one arm's attempts."""
        return [a for a in self.attempts if a.arm is arm]


def read_setting(run: RunRecord) -> StudySetting:
    """Return the setting of a run's study; an unreadable corpus is left out, with a note."""
    stored = completed(run.config)
    notes = []
    pairs, corpus, classes = 0, dict[str, Candidate](), None
    try:
        config = Config.model_validate(stored)
        source = data_source(config)
        pairs, corpus = starting_networks(config, make_reader(config, source))
        classes = source.classes
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


def read_study(store: Store, run: RunRecord, setting: StudySetting) -> Study:
    """Compute all figures of a run's study. Raises: StoreError if the database cannot be read."""
    arms = tuple(store.arms(run.id))
    attempts = tuple(store.attempts(run.id, with_code=True))
    of = {arm: [a for a in attempts if a.arm is arm] for arm in arms}
    near = tuple(places(attempts, setting.corpus, setting.shingle))
    summaries = {arm: store.summary(run.id, arm) for arm in arms}
    initial, limit = _initial(store, run, setting), setting.threshold
    fixed = bool(run.config.get("evaluation", {}).get("fixed"))
    points = {arm: trajectory(summaries[arm], of[arm], near, limit, initial, fixed) for arm in arms}
    every = [summary for arm in arms for summary in summaries[arm]]
    chance = 1 / setting.classes if setting.classes else None
    spent = costs(store.activities(run.id), store.forecasts(run.id), every)
    ranked = ranking(store.confirmations(run.id), attempts)
    full = {one.attempt: one.full.value for one in (ranked.confirmed if ranked else ())}
    return Study(
        run=run,
        setting=setting,
        arms=arms,
        attempts=attempts,
        points=points,
        funnels={arm: funnel(summaries[arm]) for arm in arms},
        places=near,
        comparisons=comparisons(points, limit, chance),
        leads=leads(store.outcomes(run.id), chance),
        writers=genealogy(store.adapters(run.id), attempts),
        fronts=fronts(attempts),
        refusals=refusal_counts(attempts),
        ranking=ranked,
        proxies=proxy_ranks(attempts, full),
        costs=spent,
        reached=read_reached(store, run, attempts, spent),
        initial=initial,
    )


def _initial(store: Store, run: RunRecord, setting: StudySetting) -> int:
    """Return the first adapter's pairs that the run had not admitted; else the corpus's."""
    has_corpus = completed(run.config)["learning"]["corpus"] is not None
    for cycle, adapter in store.adapters(run.id).items() if has_corpus else ():
        return max(
            0, adapter.pairs + adapter.held_out - len(store.admitted(run.id, upto_cycle=cycle))
        )
    return setting.pairs
