"""The contract of every reward, and the values of each of ours."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import rollouts
from rollouts import LAYERS, OTHER, TASK, boasting, new_measure, refused, trained

from nngpt import plugins
from nngpt.config import RLConfig
from nngpt.errors import ConfigError, PluginError
from nngpt.finetuning.rl.scoring import known_networks, make_terms
from nngpt.protocols import Reward
from nngpt.records import Rollout, Stage
from nngpt.sandbox.exit_reasons import HOSTILE

NAMES = [*plugins.names("reward"), "finetuning.rollouts"]
RUNGS = ["parse", "contract", "build", "forward", "trains"]
GROUP = [
    *(refused(stage) for stage in Stage),
    *(refused(Stage.JUDGE, reason) for reason in sorted(HOSTILE)),
    trained(accuracy=0.0),
    trained(accuracy=1.0),
    trained(OTHER, accuracy=0.1, parameters=0),
    trained("x", accuracy=0.3, parameters=10**15),
]


def make(name: str) -> Reward:
    known = known_networks(new_measure, {"corpus": rollouts.candidate()})
    return make_terms({name: 1.0}, TASK, known, new_measure)[name]


@pytest.fixture(params=NAMES)
def reward(request: pytest.FixtureRequest) -> Reward:
    return make(request.param)


@pytest.fixture
def score() -> Callable[..., list[float]]:
    return lambda name, *group: make(name).score(group)


# ---------------------------------------------------------------- every reward


def test_it_follows_the_protocol(reward: Reward) -> None:
    assert isinstance(reward, Reward)
    assert -1 <= reward.low <= 0 <= reward.high <= 1
    assert reward.low < reward.high


def test_values_are_finite_and_in_range(reward: Reward) -> None:
    for group in (GROUP, GROUP[:1], GROUP[-1:], [trained()] * 3, []):
        values = reward.score(group)
        assert len(values) == len(group)
        assert all(math.isfinite(v) and reward.low <= v <= reward.high for v in values)


def test_the_same_group_earns_the_same(reward: Reward) -> None:
    assert reward.score(GROUP) == reward.score(GROUP)
    assert reward.score(GROUP[::-1]) == reward.score(GROUP)[::-1], "the order does not matter"


@pytest.mark.parametrize("name", plugins.names("reward"))
def test_claims_gain_nothing(name: str) -> None:
    """An untrue claim may avoid a penalty, but gains nothing."""
    honest, boast = trained(accuracy=0.4), boasting(trained(accuracy=0.4))
    reward = make(name)
    if reward.high > 0:
        assert reward.score([honest, trained(OTHER)]) == reward.score([boast, trained(OTHER)])
    else:
        assert reward.score([boast])[0] <= 0


@pytest.mark.parametrize("name", plugins.names("reward"))
def test_an_unparsed_answer_gets_no_reward(name: str) -> None:
    assert make(name).score([refused(Stage.PARSE)])[0] <= 0


# ---------------------------------------------------------------- each of ours


@pytest.mark.parametrize(
    ("stage", "climbed"),
    [
        (Stage.PARSE, 0),
        (Stage.CONTRACT, 1),
        (Stage.SAFETY, 1),
        (Stage.BUILD, 2),
        (Stage.FORWARD, 3),
        (Stage.TRAIN, 4),
        (Stage.JUDGE, 4),
        (None, 5),
    ],
)
def test_rungs(stage: Stage | None, climbed: int) -> None:
    rollout = refused(stage) if stage else trained(accuracy=0.0)
    values = [make(name).score([rollout])[0] for name in RUNGS]
    assert values == [1.0] * climbed + [0.0] * (5 - climbed)


@pytest.mark.parametrize("reason", sorted(HOSTILE))
def test_an_attack_keeps_only_the_rungs_of_our_own_reading(reason: str) -> None:
    values = [make(name).score([refused(Stage.JUDGE, reason)])[0] for name in RUNGS]
    assert values == [1.0, 1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(("accuracy", "paid"), [(0.0, 0.0), (0.1, 0.0), (0.55, 0.5), (1.0, 1.0)])
def test_accuracy_above_chance(
    score: Callable[..., list[float]], accuracy: float, paid: float
) -> None:
    assert score("accuracy", trained(accuracy=accuracy)) == [pytest.approx(paid)]
    assert score("accuracy", refused(Stage.TRAIN)) == [0.0]


def test_only_trained_networks_are_rewarded_for_novelty(score: Callable[..., list[float]]) -> None:
    for name in ("corpus-novelty", "group-novelty"):
        assert score(name, refused(Stage.BUILD), trained(OTHER))[0] == 0.0
        assert score(name, refused(Stage.BUILD), trained(OTHER))[1] == 1.0


def test_copies_of_the_corpus_get_no_reward(score: Callable[..., list[float]]) -> None:
    changed = LAYERS.replace("nn.MaxPool2d(2)", "nn.AvgPool2d(2), nn.Sigmoid()")
    copy, near, far = score("corpus-novelty", trained(LAYERS), trained(changed), trained(OTHER))
    assert copy == 0.0 < near < far == 1.0


def test_copies_in_a_group_get_no_reward(score: Callable[..., list[float]]) -> None:
    assert score("group-novelty", *[trained()] * 3) == [0.0, 0.0, 0.0]
    assert score("group-novelty", trained(), trained(), trained(OTHER)) == [0.0, 0.0, 1.0]
    assert score("group-novelty", trained()) == [1.0]


def test_parameters_cost_and_failing_costs_no_less(score: Callable[..., list[float]]) -> None:
    half, full, failed = (trained(), trained(parameters=10**9), refused(Stage.BUILD))
    assert score("parameter-budget", half, full, failed) == [-0.5, -1.0, -1.0]


def test_mistakes_are_named() -> None:
    known = new_measure()
    with pytest.raises(PluginError, match="Did you mean 'accuracy'"):
        make_terms({"acuracy": 1.0}, TASK, known, new_measure)
    unlimited = TASK.__class__(**{**vars(TASK), "max_parameters": None})
    with pytest.raises(ConfigError, match=r"task\.max_parameters"):
        make_terms({"parameter-budget": 1.0}, unlimited, known, new_measure)


def test_the_default_rewards_exist() -> None:
    weights = RLConfig().rewards
    terms = make_terms(weights, TASK, new_measure(), new_measure)
    best: Rollout = trained(OTHER, accuracy=1.0)
    copied = [trained(accuracy=0.1)] * 2
    total = {
        name: sum(weights[term] * terms[term].score(group)[0] for term in terms)
        for name, group in {
            "best": [best],
            "copied": copied,
            "text": [refused(Stage.PARSE)],
        }.items()
    }
    assert total["text"] == 0.0 < total["copied"] < total["best"]
