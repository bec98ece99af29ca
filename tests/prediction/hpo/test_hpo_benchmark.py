"""The benchmark of HPO engines: pools of trials, regret, frozen folds, distances."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from nngpt.data.transform_names import dashed
from nngpt.errors import ModelError, UserError
from nngpt.prediction.groups import FEWEST_GROUPS
from nngpt.prediction.hpo import surrogate
from nngpt.prediction.hpo.benchmark import Question, bench, regrets
from nngpt.prediction.hpo.folds import NetworkFolds, make_folds, read_folds, write_folds
from nngpt.prediction.hpo.pools import distance, median_of_best, pools
from nngpt.prediction.hpo.proposal import DEFAULT, HPOTask, Proposal
from nngpt.prediction.hpo.trial_features import NAMES, Vocabulary, table
from nngpt.prediction.hpo.trial_scores import proposal_scores, search_scores
from nngpt.prediction.runs import History
from nngpt.statistics import wilson


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


def test_regret_and_rmse_by_hand() -> None:
    first = ask((0.9, 0.6, 0.3), {"llm": (1, 2, 0)}, "a", {"llm": None})
    second = ask((0.5, 0.3), {"llm": (1, 0)}, "b", {"llm": "cut off"})
    random, llm, random_of_two, llm_of_two = regrets([first, second], (1, 2))[:4]
    assert (llm.engine, llm.evaluations, llm.pools, llm.components) == ("llm", 1, 2, 2)
    assert llm.mean == (pytest.approx((0.3 + 0.2) / 2), None, None)
    assert llm.rmse == (pytest.approx(((0.4**2 + 0.7**2) / 2) ** 0.5), None, None)
    assert llm.least_rmse == pytest.approx(((0.1**2 + 0.5**2) / 2) ** 0.5)
    assert random.mean[0] == pytest.approx((0.3 + 0.1) / 2)
    squares = (0.1**2 + 0.4**2 + 0.7**2) / 3, (0.5**2 + 0.7**2) / 2
    assert random.rmse[0] == pytest.approx((sum(squares) / 2) ** 0.5)
    assert random.share == 1 and llm.share == pytest.approx(0.25 / 0.2)
    assert llm_of_two.mean[0] == pytest.approx(0.3 / 2)
    assert random_of_two.mean[0] == pytest.approx(0.3 / 3 / 2), "2 of 3 pairs have the best"
    assert random.valid is None and llm.valid is not None
    assert (llm.valid.hits, llm.valid.interval) == (1, wilson(1, 2))


def test_intervals_come_from_resampling_components() -> None:
    picks = {"llm": (1,)}
    questions = [ask((1.0, 0.5 + n / 100), picks, str(n), {}) for n in range(FEWEST_GROUPS)]
    found = regrets(questions, (1,))[1]
    for mean, low, high in (found.mean, found.rmse):
        assert low is not None and high is not None and low < mean < high
        assert high - low == pytest.approx(4 * 0.0577 / FEWEST_GROUPS**0.5, rel=0.2)


def ask(
    accuracies: tuple[float, ...],
    picks: dict[str, tuple[int, ...]],
    component: str,
    refused: dict[str, str | None],
) -> Question:
    return Question("Net", "a/b/acc", 1, component, 0, accuracies, picks, refused)


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

    known, codes = pools(trials, 1), trials.codes
    engines = {"oracle": partial(proposal_scores, engine=Oracle())}
    questions = bench(trials, frozen, (1,), engines, lambda _: None)
    assert [one.network for one in questions] == [pool.network for pool in known]
    _, found = regrets(questions, (1,))
    others = sum(pool.place.dataset != "mnist" for pool in known)
    assert found.valid is not None
    assert (found.valid.hits, found.valid.count) == (others, len(known)) and others < len(known)
    assert found.share < 0.5
    for one in questions:
        if "mnist" not in one.place:
            assert one.accuracies[one.picks["oracle"][0]] == one.accuracies[0]


def test_a_search_tries_different_trials_and_the_same_ones_again(
    trials: History, frozen: NetworkFolds
) -> None:
    engines = {"optuna": partial(search_scores, budget=8)}
    found = bench(trials, frozen, (1,), engines, lambda _: None, limit=5)
    assert found == bench(trials, frozen, (1,), engines, lambda _: None, limit=5)
    assert len(found) == 5
    for one in found:
        assert len(set(one.picks["optuna"])) == 8
    random, optuna = regrets(found, (8,))
    assert optuna.mean[0] < random.mean[0] / random.share, "better than one random pick"


def test_distances_ignore_missing_settings(trials: History) -> None:
    pool = pools(trials, 1)[0]
    own = pool.runs[3].hyperparameters
    assert distance(pool, own)[3] == 0
    assert (distance(pool, {}) == 0).all()
    middle = median_of_best([pool])
    best = pool.runs[int(pool.accuracies.argmax())].hyperparameters
    assert middle["lr"] == pytest.approx(best["lr"]) and DEFAULT["lr"] == 0.01
