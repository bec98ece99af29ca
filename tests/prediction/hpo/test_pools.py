"""Pools of recorded trials, what a pick gives away, and folds that nobody changes unseen."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from nngpt.errors import UserError
from nngpt.prediction.hpo import folds, surrogate
from nngpt.prediction.hpo.bench import bench
from nngpt.prediction.hpo.defaults import DEFAULT, distance, middle_of_best
from nngpt.prediction.hpo.folds import Folds
from nngpt.prediction.hpo.pools import pools, random_regret, regret
from nngpt.prediction.hpo.rows import NAMES, Vocabulary, rows
from nngpt.prediction.runs import History


@pytest.fixture(scope="module")
def frozen(trials: History) -> Folds:
    return folds.make(trials.codes, Counter(run.network for run in trials.runs))


def test_a_pool_is_one_network_in_one_place_with_each_setting_once(trials: History) -> None:
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


def test_folds_keep_relatives_together_and_name_their_hash(
    trials: History, frozen: Folds, tmp_path: Path
) -> None:
    path = tmp_path / "folds.json"
    folds.write(frozen, path)
    assert folds.read(path) == frozen
    assert frozen.of("DenseNet") in range(10)
    changed = path.read_text().replace('[0, "', '[1, "', 1)
    assert changed != path.read_text()
    path.write_text(changed)
    with pytest.raises(UserError, match="the folds were changed after freezing"):
        folds.read(path)
    path.write_text("{}")
    with pytest.raises(UserError, match=r"holds no folds.*nngpt hpo bench"):
        folds.read(path)


def test_what_is_learned_of_a_trial_is_its_place_in_its_pool(trials: History) -> None:
    known = pools(trials, 1, least=5)
    table = rows(known, trials.codes, trials.transforms, Vocabulary.of(known))
    assert table.inputs.shape == (len(table.pools), len(NAMES))
    share, rank = surrogate.share_of_best(table), surrogate.rank(table)
    for number, pool in enumerate(known):
        own = table.pools == number
        assert rank[own].max() == 1 and -0.2 <= share[own].min() <= share[own].max() <= 1
        if pool.accuracies.max() > 0.25:
            assert share[own][pool.accuracies.argmax()] == 1
        assert (np.argsort(rank[own], kind="stable") == np.argsort(pool.accuracies)).all() or (
            len(set(pool.accuracies)) < len(pool.accuracies)
        )


def test_the_surrogate_gives_away_less_than_chance(trials: History, frozen: Folds) -> None:
    found = {one.engine: one for one in bench(trials, frozen, (1,), lambda _: None)}
    assert found.keys() == {"random", "default", "constant", "surrogate"}
    assert found["random"].share == 1 and found["random"].top3 is None
    best = found["surrogate"]
    assert best.first[0] < found["random"].first[0] and best.share < 0.8
    assert best.top3 is not None and best.top3[0] <= best.first[0]
    assert best.first[1] <= best.first[0] <= best.first[2]
    assert best.pools == len(pools(trials, 1))


def test_distances_leave_out_what_is_missing(trials: History) -> None:
    pool = pools(trials, 1)[0]
    own = pool.runs[3].hyperparameters
    assert distance(pool, own)[3] == 0
    assert (distance(pool, {}) == 0).all()
    middle = middle_of_best([pool])
    best = pool.runs[int(pool.accuracies.argmax())].hyperparameters
    assert middle["lr"] == pytest.approx(best["lr"]) and DEFAULT["lr"] == 0.01
