"""The benchmark of HPO engines: pools of trials, regret, frozen folds, distances."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from nngpt.data.transform_names import dashed
from nngpt.errors import ModelError, UserError
from nngpt.prediction.hpo import surrogate
from nngpt.prediction.hpo.benchmark import bench, proposal_scores
from nngpt.prediction.hpo.folds import NetworkFolds, make_folds, read_folds, write_folds
from nngpt.prediction.hpo.pools import distance, median_of_best, pools
from nngpt.prediction.hpo.proposal import DEFAULT, HPOTask, Proposal
from nngpt.prediction.hpo.trial_features import NAMES, Vocabulary, table
from nngpt.prediction.runs import History


@pytest.fixture(scope="module")
def frozen(trials: History) -> NetworkFolds:
    return make_folds(trials)


def test_a_pool_holds_distinct_settings_of_one_network_in_one_place(trials: History) -> None:
    found = pools(trials, 1)
    assert found and all(len(pool.runs) >= 10 for pool in found)
    for pool in found:
        assert {(run.network, run.place) for run in pool.runs} == {(pool.network, pool.place)}
        settings = [(r.transform, *sorted(r.hyperparameters.items())) for r in pool.runs]
        assert len(set(settings)) == len(settings)
        assert pool.accuracies.tolist() == [run.accuracies[0] for run in pool.runs]
    assert len(pools(trials, 1, least=5)) > len(found)


def test_regret(trials: History) -> None:
    pool = pools(trials, 1)[0]
    best, worst = int(pool.accuracies.argmax()), int(pool.accuracies.argmin())
    assert pool.regret(best) == 0
    assert pool.regret(worst) == np.ptp(pool.accuracies)
    assert pool.regret([worst, best]) == 0
    assert 0 < pool.random_regret < pool.regret(worst)


def test_frozen_folds_are_read_back_and_changes_are_refused(
    trials: History, frozen: NetworkFolds, tmp_path: Path
) -> None:
    path = tmp_path / "folds.json"
    write_folds(frozen, path)
    assert read_folds(path) == frozen
    assert frozen.of("DenseNet") in range(10)
    changed = path.read_text().replace('[0, "', '[1, "', 1)
    assert changed != path.read_text()
    path.write_text(changed)
    with pytest.raises(UserError, match="the folds were changed after freezing"):
        read_folds(path)
    path.write_text("{}")
    with pytest.raises(UserError, match=r"holds no folds.*nngpt hpo bench"):
        read_folds(path)


def test_the_targets_rank_trials_within_their_pool(trials: History) -> None:
    known = pools(trials, 1, least=5)
    rows = table(known, trials.codes, trials.transforms, Vocabulary.of(known))
    assert rows.inputs.shape == (len(rows.pools), len(NAMES))
    share, rank = surrogate.share_of_best(rows), surrogate.rank(rows)
    for number, pool in enumerate(known):
        own = rows.pools == number
        assert rank[own].max() == 1 and -0.2 <= share[own].min() <= share[own].max() <= 1
        if pool.accuracies.max() > 0.25:
            assert share[own][pool.accuracies.argmax()] == 1
        assert (np.argsort(rank[own], kind="stable") == np.argsort(pool.accuracies)).all() or (
            len(set(pool.accuracies)) < len(pool.accuracies)
        )


def test_an_engine_that_only_proposes_picks_the_nearest_trial(
    trials: History, frozen: NetworkFolds
) -> None:
    class Oracle:
        """Proposes the best trial of a pool; its answers about mnist are not valid."""

        def propose(self, task: HPOTask, count: int) -> list[Proposal]:
            if task.place.dataset == "mnist":
                raise ModelError("cut off")
            (pool,) = (p for p in known if (p.place, codes[p.network]) == (task.place, task.code))
            run = pool.runs[int(pool.accuracies.argmax())]
            values = dict(run.hyperparameters)
            batch = int(values.pop("batch"))
            return [Proposal("oracle", values, batch, dashed(run.transform or ""), 1)]

        def close(self) -> None:
            pass

    known, codes, answers = pools(trials, 1), trials.codes, Counter[str]()
    engines = {"oracle": partial(proposal_scores, engine=Oracle(), answers=answers)}
    _, found = bench(trials, frozen, (1,), engines, lambda _: None)
    on_mnist = sum(pool.place.dataset == "mnist" for pool in known)
    assert answers == {"asked": len(known), "invalid": on_mnist} and on_mnist
    assert found.first[0] < 0.5 * found.first[0] / found.share, "half of random's at most"


def test_distances_ignore_missing_settings(trials: History) -> None:
    pool = pools(trials, 1)[0]
    own = pool.runs[3].hyperparameters
    assert distance(pool, own)[3] == 0
    assert (distance(pool, {}) == 0).all()
    middle = median_of_best([pool])
    best = pool.runs[int(pool.accuracies.argmax())].hyperparameters
    assert middle["lr"] == pytest.approx(best["lr"]) and DEFAULT["lr"] == 0.01
