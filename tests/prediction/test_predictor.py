"""The predictor: its errors, intervals, notes and file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from nngpt.errors import UserError
from nngpt.prediction import boosting, groups, predictor_training, targets
from nngpt.prediction.cross_validation import PredictionErrors, cross_validate
from nngpt.prediction.groups import FEWEST_GROUPS
from nngpt.prediction.model_file import write_models
from nngpt.prediction.places import Place, described
from nngpt.prediction.predictor import FORMAT, Predictor
from nngpt.prediction.runs import History, data_hash

SVHN = Place("img-classification", "svhn", "acc")


@pytest.fixture(scope="module")
def by_family(history: History) -> dict[str, PredictionErrors]:
    """Return the errors on unseen families after two epochs, by way to predict."""
    return {f.what: f for f in cross_validate(history, ("family",), (2,), lambda _: None)}


def test_the_predictor_beats_the_baselines_on_unseen_families(
    history: History, by_family: dict[str, PredictionErrors]
) -> None:
    found, predictor = by_family, by_family["predictor"]
    assert predictor.runs == len(history.runs)
    assert predictor.rmse[0] < found["best so far + mean gain"].rmse[0]
    assert predictor.rmse[0] < found["last accuracy"].rmse[0]
    assert predictor.coverage is not None and 0.8 < predictor.coverage[0] < 0.97
    assert predictor.groups < FEWEST_GROUPS and predictor.rmse[1:] == (None, None)
    assert sum(n for n, _ in predictor.by_place.values()) == predictor.runs


@pytest.mark.parametrize("split", ["place", "reference"])
def test_other_splits(history: History, split: str) -> None:
    first, *_ = cross_validate(history, (split,), (1,), lambda _: None)
    assert first.what == "predictor"
    assert 0 < first.rmse[0] < 0.4 and first.coverage is not None


def test_learning_from_fewer_groups_raises_the_error_on_the_same_runs(
    history: History, by_family: dict[str, PredictionErrors]
) -> None:
    a_third = next(cross_validate(history, ("family",), (2,), lambda _: None, share=0.3))
    assert a_third.runs == by_family["predictor"].runs
    assert a_third.rmse[0] > by_family["predictor"].rmse[0]


def test_no_prediction_depends_on_its_own_group(history: History) -> None:
    """Inverting the true values of one fold does not change its own predictions."""
    table = predictor_training.RunTable(history)
    folds = groups.folds(groups.by_family(history.runs, history.codes), 4)
    inputs, truth = table.inputs(1, with_place=True), targets.best(table.runs)
    trees = boosting.Boosting(rounds=20)

    def points(values: np.ndarray) -> np.ndarray:
        category = inputs.shape[1] - 1
        same = boosting.Regression(trees, inputs, values, category, folds, lambda raw: raw, values)
        return same.cross()[0]

    turned = np.where(folds == 2, 1 - truth, truth)
    before, after = points(truth), points(turned)
    assert (before[folds == 2] == after[folds == 2]).all()
    assert (before[folds != 2] != after[folds != 2]).any()


def test_the_conformal_quantile_rounds_up() -> None:
    assert boosting.quantile(np.arange(1.0, 10.0), 0.9) == 9
    assert boosting.quantile(np.arange(1.0, 20.0), 0.9) == 18
    assert boosting.quantile(np.arange(1.0, 9.0), 0.9) == float("inf")


def test_a_prediction_is_never_below_the_known_accuracies(
    predictor_file: Path, history: History
) -> None:
    predictor = Predictor(predictor_file)
    code = history.codes["VGG"]
    settings = {"lr": 0.01, "momentum": 0.9, "batch": 64}
    for seen in ((), (0.2,), (0.5, 0.93), (0.5, 0.9, 0.99), (0.3,) * 60):
        found = predictor.predict(code, SVHN, settings, "norm_32", seen)
        best, stop = found.accuracy, found.stop
        assert max(seen, default=0) <= best.low <= best.value <= best.high <= 1
        assert 1 <= stop.low <= stop.value <= stop.high <= targets.EPOCHS
        assert found.epochs == {0: 0, 1: 1, 2: 2, 3: 2, 60: 5}[len(seen)]
        assert found.notes == ()
    promising = predictor.predict(code, SVHN, settings, "norm_32", (0.6, 0.8))
    poor = predictor.predict(code, SVHN, settings, "norm_32", (0.2, 0.22))
    assert promising.accuracy.value > poor.accuracy.value


def test_unknown_inputs_are_noted_and_widen_the_interval(
    predictor_file: Path, history: History
) -> None:
    predictor = Predictor(predictor_file)
    settings = {"lr": 0.01, "momentum": 0.9, "batch": 64}
    birds = Place("img-classification", "birds", "acc")
    asked = (history.codes["VGG"], settings, None, (0.4, 0.5))
    known = predictor.predict(asked[0], SVHN, *asked[1:])
    strange = predictor.predict(asked[0], birds, *asked[1:])
    assert "the predictor was not trained on img-classification/birds/acc" in strange.notes[0]
    assert strange.notes[1] == "unknown data set birds"
    width = strange.accuracy.high - strange.accuracy.low
    assert width > known.accuracy.high - known.accuracy.low
    with_classes = predictor.predict(asked[0], birds, *asked[1:], facts=described(200))
    assert len(with_classes.notes) == 1
    bare = predictor.predict(None, SVHN, {"lr": 0.1}, "mine")
    assert bare.notes == (
        "assumed: momentum 0.9, batch 64",
        "unknown transform mine: treated as none",
    )


def test_single_predictions_use_the_same_features_as_training(
    predictor_file: Path, history: History
) -> None:
    """Predicting runs one by one and as a table gives the same accuracies."""
    predictor, table = Predictor(predictor_file), predictor_training.RunTable(history)
    expert = predictor.expert("familiar", 2)
    accuracy, _ = expert.predict(
        table.inputs(2, with_place=True), targets.best_so_far(table.runs, 2)
    )
    for number in range(0, len(table.runs), 7):
        run = table.runs[number]
        asked = (run.place, run.hyperparameters, run.transform, run.accuracies[:2])
        one = predictor.predict(history.codes[run.network], *asked)
        assert one.notes == ()
        assert one.accuracy.value == pytest.approx(accuracy.point[number])


def test_replacing_the_file_does_not_change_an_open_predictor(
    predictor_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "p.zip"
    path.write_bytes(predictor_file.read_bytes())
    predictor = Predictor(path)
    before = predictor.predict(None, SVHN, {}, None, (0.3,))
    path.unlink()
    assert predictor.predict(None, SVHN, {}, None, (0.3,)) == before
    assert predictor.predict(None, SVHN, {}, None, (0.3, 0.4)).epochs == 2


def test_epochs_after_the_50th_are_ignored(predictor_file: Path) -> None:
    predictor = Predictor(predictor_file)
    curve = (0.3,) * 50
    assert predictor.predict(None, SVHN, {}, None, (*curve, 0.95)) == predictor.predict(
        None, SVHN, {}, None, curve
    )
    with pytest.raises(UserError, match="after epoch 51 is 42"):
        predictor.predict(None, SVHN, {}, None, (*curve, 42))


def test_too_few_groups_to_learn_from(history: History) -> None:
    with pytest.raises(UserError, match="nothing is left to learn from"):
        list(cross_validate(history, ("place",), (1,), lambda _: None, share=0.01))


@pytest.mark.parametrize(("wrong", "hint"), [(42.0, "write 0.42"), (-0.1, ""), (float("nan"), "")])
def test_accuracies_outside_0_to_1_are_refused(
    predictor_file: Path, wrong: float, hint: str
) -> None:
    with pytest.raises(UserError, match=r"the accuracy after epoch 2 is .*not in 0…1") as error:
        Predictor(predictor_file).predict(None, SVHN, {}, None, (0.3, wrong))
    assert hint in error.value.hint


def test_training_is_deterministic(history: History, predictor_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "again.zip"
    predictor_training.train(history, path, lambda _: None, (1,))
    one, two = Predictor(predictor_file), Predictor(path)
    assert one.predict(None, SVHN, {}, None, (0.3,)) == two.predict(None, SVHN, {}, None, (0.3,))
    with zipfile.ZipFile(predictor_file) as whole, zipfile.ZipFile(path) as part:
        trees = [name for name in part.namelist() if name.endswith(".txt")]
        assert len(trees) == 8
        assert all(part.read(name) == whole.read(name) for name in trees)
    hashes = {predictor.card["data_sha256"] for predictor in (one, two)}
    assert hashes == {data_hash(history)}
    fewer = History(history.runs[1:], history.codes, history.transforms)
    assert data_hash(fewer) not in hashes


def test_a_file_of_the_same_models_has_the_same_bytes(
    predictor_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees = dict(vars(Predictor(predictor_file).expert("familiar", 1)))
    made = []
    for number, year in enumerate((1999.0, 2026.0)):
        monkeypatch.setattr("time.time", lambda year=year: (year - 1970) * 31_557_600)
        file = tmp_path / f"{number}.zip"
        write_models(file, FORMAT, {"card": {}}, {name: m.value for name, m in trees.items()})
        made.append(file.read_bytes())
    assert made[0] == made[1]


def test_damaged_files(predictor_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no predictor.*nngpt predictor train"):
        Predictor(tmp_path / "none.zip")
    cut = tmp_path / "cut.zip"
    cut.write_bytes(predictor_file.read_bytes()[:5000])
    with pytest.raises(UserError, match="is not a predictor, or is damaged"):
        Predictor(cut)
    hollow = tmp_path / "hollow.zip"
    with zipfile.ZipFile(predictor_file) as whole, zipfile.ZipFile(hollow, "w") as part:
        part.writestr("predictor.json", whole.read("predictor.json"))
    with pytest.raises(UserError, match="is not a predictor, or is damaged"):
        Predictor(hollow).predict(None, SVHN, {}, None)
    flipped = bytearray(predictor_file.read_bytes())
    flipped[40:4000] = bytes(b ^ 0xFF for b in flipped[40:4000])
    (tmp_path / "flipped.zip").write_bytes(flipped)
    with pytest.raises(UserError, match="is not a predictor, or is damaged"):
        Predictor(tmp_path / "flipped.zip")
    wrong = tmp_path / "wrong.zip"
    with zipfile.ZipFile(predictor_file) as whole, zipfile.ZipFile(wrong, "w") as part:
        for name in whole.namelist():
            part.writestr(name, "tree" if name.endswith(".txt") else whole.read(name))
    with pytest.raises(UserError, match="is not a predictor, or is damaged"):
        Predictor(wrong).predict(None, SVHN, {}, None)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("predictor.json", '{"format": 99}')
    with pytest.raises(UserError, match="another version"):
        Predictor(tmp_path / "other.zip")
