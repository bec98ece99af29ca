"""Single networks from Python: train, predict, compare, and take from libraries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from nngpt import config, plugins
from nngpt.api.runs import Network, Run
from nngpt.downloads import silent
from nngpt.errors import UserError
from nngpt.files import read_text
from nngpt.protocols import Log
from nngpt.records import Novelty, Refusal

if TYPE_CHECKING:
    from torch import nn

    from nngpt.generation.contract.network_file import NetworkFile
    from nngpt.novelty.dedup.collection import Network as FoundNetwork
    from nngpt.prediction.hpo.proposal import HPOTask, Proposal, Train
    from nngpt.prediction.predictor import Prediction
    from nngpt.retrieval.extractor import Extraction

AnyNetwork: TypeAlias = "str | Path | type[nn.Module] | nn.Module | Network"
"""A file (`Path`, or text without a line break), source text, a class, a module, or a network of
a run. Of a module only its class is used: its weights and its constructor's arguments are not."""

Paths: TypeAlias = str | Path | Iterable[str | Path]


@dataclass(frozen=True)
class Trained:
    """Outcome of a training.

    Attributes:
        accuracy: validation accuracy after the last epoch, 0…1; None if it was refused.
        low, high: ends of the accuracy's 95% interval, None if there is none.
        curve: validation accuracy after each epoch, 0…1.
        parameters: number of trainable parameters.
        seconds: wall time.
        device: "cpu" or "cuda".
        refused: gate and reason, "" if it was trained.
    """

    accuracy: float | None
    low: float | None
    high: float | None
    curve: tuple[float, ...]
    parameters: int | None
    seconds: float | None
    device: str
    refused: str


@dataclass(frozen=True)
class Duplicate:
    """A network that deduplication would remove.

    Attributes:
        network: its name: the shortest unambiguous path.
        like: name of the network that is kept.
        similarity: Jaccard similarity of the two, 0…1.
        level: level at which they are alike, such as "lexical".
    """

    network: str
    like: str
    similarity: float
    level: str


def evaluate(
    network: AnyNetwork,
    data: str | Path = "mnist",
    *,
    epochs: int | None = None,
    class_name: str | None = None,
    init: str | None = None,
    name: str | Path = "smoke-mnist",
    settings: Mapping[str, Any] | None = None,
    log: Log = silent,
) -> Trained:
    """Train a network in the sandbox and judge it on the validation images, as a cycle does.

    Args:
        data: name of a data set, or a folder of images.
        epochs: number of epochs; None for the configuration's.
        class_name: class of the network if its file has several.
        init: arguments of its constructor, such as "num_classes={classes}, depth=3".
        name: configuration with protocol and limits.
        settings: settings to change, by key path, such as `{"task.train_limit": None}`.
        log: called with lines about data set and assumptions.

    Raises:
        UserError: a file, setting or argument is wrong, or the sandbox cannot run here.
        ExecutionError: the sandbox itself does not work.
    """
    from nngpt.cycle.networks import evaluate_networks
    from nngpt.generation.contract.network_file import faults_line
    from nngpt.statistics import accuracy

    chosen = {"task.dataset": str(data), "prompt.template": "full", **(settings or {})}
    chosen |= {} if epochs is None else {"evaluation.epochs": epochs}
    loaded = config.load(name, config.as_overrides(chosen))
    networks = [("network", _read(network, class_name, init))]
    ((_, outcome),) = evaluate_networks(loaded, networks, log, lambda *_: None)
    if isinstance(outcome, Refusal):
        why = f"{outcome.stage}: {faults_line(outcome)}"
        return Trained(None, None, None, (), None, None, "", why)
    found = accuracy(*outcome.result)
    return Trained(
        accuracy=found.value,
        low=found.low,
        high=found.high,
        curve=tuple(epoch.accuracy for epoch in outcome.epochs),
        parameters=outcome.claimed_parameters,
        seconds=outcome.seconds,
        device=outcome.device,
        refused="",
    )


def predict(
    network: AnyNetwork,
    data: str | Path,
    *,
    accuracies: Sequence[float] = (),
    hyperparameters: Mapping[str, float] | None = None,
    transform: str | None = None,
    classes: int | None = None,
    shape: tuple[int, int, int] | None = None,
    class_name: str | None = None,
    init: str | None = None,
    predictor: str | Path | None = None,
) -> Prediction:
    """Predict the final accuracy and the stopping epoch of a training, without training.

    Args:
        data: name of a data set, in nngpt or LEMUR, or a folder of images.
        accuracies: accuracy after each known epoch from the first on, 0…1.
        hyperparameters: `lr`, `batch`, `momentum` …; missing ones are assumed, with a note.
        transform: name of the transform in LEMUR.
        classes: number of classes of a data set that is not known.
        shape: (c, h, w) of its images.
        class_name, init: as for `evaluate`.
        predictor: file of a predictor of your own.

    Raises: UserError if an argument is wrong, or nothing is known of the data set.
    """
    from nngpt.prediction.data_description import describe_data
    from nngpt.prediction.model_file import file_to_use
    from nngpt.prediction.places import IMAGE_CLASSIFICATION, Place, lemur_name
    from nngpt.prediction.predictor import Predictor, default_path

    found = _tunable(network, class_name, init)
    described = describe_data(str(data), None, classes, shape)
    place = Place(IMAGE_CLASSIFICATION, lemur_name(described.name), "acc")
    model = Predictor(Path(predictor) if predictor else file_to_use(default_path()))
    if described.unknown and str(place) not in model.places:
        raise UserError(described.unknown)
    given = dict(hyperparameters or {})
    predicted = model.predict(found.code, place, given, transform, accuracies, described.facts)
    return replace(predicted, notes=(*found.notes, *predicted.notes))


def hyperparameters(
    network: AnyNetwork,
    data: str | Path,
    *,
    epochs: int = 1,
    count: int = 1,
    engine: str = "surrogate",
    options: Mapping[str, Any] | None = None,
    max_batch: int = 256,
    max_side: int | None = None,
    class_name: str | None = None,
    init: str | None = None,
    settings: Mapping[str, Any] | None = None,
    log: Log = silent,
) -> tuple[Proposal, ...]:
    """Propose hyperparameters, batch size and transform for a network, the best first.

    Args:
        data: name of a data set, in nngpt or LEMUR, or a folder of images.
        epochs: length of the training.
        count: number of different proposals.
        engine: HPO engine, with its `options`; "optuna" trains the network in the sandbox.
        max_batch: largest batch size to propose.
        max_side: largest side of a resized image in pixels.
        class_name, init: as for `evaluate`.
        settings: settings of the trainings to change, by key path.
        log: called with lines about trainings.

    Raises: UserError if an argument is wrong; PluginError if there is no such engine.
    """
    from nngpt.prediction.data_description import describe_data
    from nngpt.prediction.hpo.proposing import make_task, propose

    found, described = _tunable(network, class_name, init), describe_data(str(data))
    chosen = {"prompt.template": "full", **(settings or {}), "evaluation.epochs": epochs}
    loaded = config.load(None, config.as_overrides(chosen))
    task = make_task(found, described, loaded, None, max_batch, max_side)

    def training(purpose: str, task: HPOTask) -> AbstractContextManager[Train]:
        from nngpt.cycle.networks import open_training  # slow to import, seldom needed

        images = config.as_overrides({**chosen, "task.dataset": str(data)})
        return open_training(lambda: config.load(None, images), log, purpose, task)

    proposals = propose(task, described, loaded, training, engine, options or {}, count)
    return tuple(replace(one, notes=(*found.notes, *one.notes)) for one in proposals)


def duplicates(
    paths: Paths,
    *,
    threshold: float = 0.9,
    levels: Sequence[str] = ("exact", "lexical"),
) -> tuple[Duplicate, ...]:
    """Return the near-duplicates among networks, most similar first.

    Args:
        paths: folders, .py and .jsonl files.
        threshold: Jaccard similarity above which two networks are duplicates, 0…1.
        levels: ways to compare, cheapest first.

    Raises: UserError if a path cannot be read.
    """
    from nngpt.novelty.dedup.collection import DedupSettings
    from nngpt.novelty.dedup.pipeline import deduplicate

    settings = DedupSettings(tuple(levels), threshold)
    outcome = deduplicate(_networks(paths), settings)
    found = [
        Duplicate(one.network.name, one.neighbour, one.similarity, one.level)
        for one in outcome.removed
        if one.neighbour is not None and one.similarity is not None
    ]
    return tuple(sorted(found, key=lambda one: (-one.similarity, one.network)))


def novelty(network: AnyNetwork, known: Run | Paths, *, threshold: float = 0.9) -> Novelty:
    """Compare a network with known ones, as whole files; return the similarity to the nearest.

    Args:
        known: a run (its admitted networks), or folders, .py and .jsonl files.
        threshold: Jaccard similarity above which it is a near-duplicate, 0…1.

    Raises: UserError if a path cannot be read.
    """
    settings = config.NoveltyConfig(threshold=threshold)
    measure = plugins.create("novelty measure", settings.measure, settings)
    known_code = known.codes() if isinstance(known, Run) else _codes(known)
    for name, code in known_code.items():
        measure.add(name, code)
    return cast("Novelty", measure.compare(_source(network)))


def extract(target: str, libraries: str | Sequence[str] = ()) -> Extraction:
    """Return a library's class with everything it needs, as one file that imports only torch.

    Args:
        target: `module.Class`, such as "torchvision.ops.misc.SqueezeExcitation".
        libraries: installed packages, wheels, sdists or folders; by default the package with which
            the name begins.

    Raises: UserError if there is no such class; ExtractionRefused if it needs another package.
    """
    from nngpt.retrieval.extractor import Extractor
    from nngpt.retrieval.library import Library
    from nngpt.retrieval.sources import open_source

    given = [libraries] if isinstance(libraries, str) else list(libraries)
    names = given or [target.partition(":")[0].partition(".")[0]]
    return Extractor(Library([open_source(name) for name in names])).extract(target)


def _read(network: AnyNetwork, class_name: str | None, init: str | None) -> NetworkFile | Refusal:
    """Read a network that the user gave in any form. Raises: UserError."""
    from nngpt.generation.contract.network_file import read_class, read_network

    if isinstance(network, Network):
        return read_network(network.code, class_name, init)
    if isinstance(network, str | Path):
        return read_network(_path(network) or str(network), class_name, init)
    return read_class(network if isinstance(network, type) else type(network), init)


def _tunable(network: AnyNetwork, class_name: str | None, init: str | None) -> NetworkFile:
    """Read a network that must keep the contract. Raises: UserError with all of its faults."""
    from nngpt.generation.contract.network_file import faults_line

    found = _read(network, class_name, init)
    if isinstance(found, Refusal):
        raise UserError(faults_line(found))
    return found


def _source(network: AnyNetwork) -> str:
    """Return the source of a network as the user wrote it. Raises: UserError."""
    from nngpt.generation.contract.network_file import class_source

    if isinstance(network, Network):
        return network.code
    if isinstance(network, str | Path):
        path = _path(network)
        return read_text(path) if path else str(network)
    return class_source(network if isinstance(network, type) else type(network))


def _path(given: str | Path) -> Path | None:
    """Return a file that is given by its path, None for source text."""
    return None if isinstance(given, str) and "\n" in given else Path(given)


def _networks(paths: Paths) -> tuple[FoundNetwork, ...]:
    """Read the networks of paths. Raises: UserError."""
    from nngpt.novelty.dedup.sources import NetworkSources

    given = [paths] if isinstance(paths, str | Path) else paths
    sources = NetworkSources([Path(path) for path in given], False, Path("runs"), None)
    return tuple(sources.read().networks)


def _codes(paths: Paths) -> dict[str, str]:
    return {network.name: network.code for network in _networks(paths)}
