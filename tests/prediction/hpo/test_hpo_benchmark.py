"""The benchmark of HPO engines: pools of trials, regret, frozen folds, distances."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nngpt.config import Config
from nngpt.errors import UserError
from nngpt.prediction.hpo import surrogate
from nngpt.prediction.hpo.benchmark import bench, standard_engines
from nngpt.prediction.hpo.distance import distance, median_of_best
from nngpt.prediction.hpo.folds import NetworkFolds, make_folds, read_folds, write_folds
from nngpt.prediction.hpo.pools import pools, random_regret, regret
from nngpt.prediction.hpo.proposal import EngineContext
from nngpt.prediction.hpo.search_space import DEFAULT
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
    assert regret(pool, best) == 0
    assert regret(pool, worst) == np.ptp(pool.accuracies)
    assert regret(pool, [worst, best]) == 0
    assert 0 < random_regret(pool) < regret(pool, worst)


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


def test_the_surrogate_has_less_regret_than_random_picks(
    trials: History, frozen: NetworkFolds
) -> None:
    engines = standard_engines(EngineContext(Config()))
    found = {one.engine: one for one in bench(trials, frozen, (1,), engines, lambda _: None)}
    assert found.keys() == {"random", "default", "constant", "surrogate"}
    assert found["random"].share == 1 and found["random"].top3 is None
    best = found["surrogate"]
    assert best.first[0] < found["random"].first[0] and best.share < 0.8
    assert best.top3 is not None and best.top3[0] <= best.first[0]
    assert best.first[1] <= best.first[0] <= best.first[2]
    assert best.pools == len(pools(trials, 1))


def test_distances_ignore_missing_settings(trials: History) -> None:
    pool = pools(trials, 1)[0]
    own = pool.runs[3].hyperparameters
    assert distance(pool, own)[3] == 0
    assert (distance(pool, {}) == 0).all()
    middle = median_of_best([pool])
    best = pool.runs[int(pool.accuracies.argmax())].hyperparameters
    assert middle["lr"] == pytest.approx(best["lr"]) and DEFAULT["lr"] == 0.01
