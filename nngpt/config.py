"""The YAML files as frozen models, and the only place that reads the environment.

Every model forbids unknown keys; `load` reports all mistakes of a file together, each with its
key path and the nearest known key.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

from nngpt.errors import ConfigError, nearest
from nngpt.records import Arm

DATABASE = "nngpt.db"
"""The database in a folder of runs."""

_PACKAGE = Path(__file__).resolve().parent

SHIPPED = _PACKAGE / "generation" / "models" / "shipped"
"""The adapters that come with nngpt, each in a folder with what it learned."""


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )


class TaskConfig(_Section):
    """The task; `train_limit` and `validation_limit` take a fixed random part of the images."""

    dataset: str = "mnist"
    root: Path | None = None
    threshold: float = Field(0.4, ge=0, le=1)
    max_parameters: int | None = Field(None, gt=0)
    max_latency_ms: float | None = Field(None, gt=0)
    train_limit: int | None = Field(None, gt=0)
    validation_limit: int | None = Field(None, gt=0)


class LLMConfig(_Section):
    """Which language model writes, and on what.

    `model` is an embedded model's name (`nngpt models list`), a Hub id, a folder or a GGUF
    file. `quantization: auto` takes 4 bits on GPUs below 23 GiB, 8 bits below 40 GiB, else none.
    `url`, `endpoint`, `served_model`, `api_key_env`, `timeout_s` and `structured` (the key by which
    JSON of a schema is asked for) belong to the `openai` backend, `script` (a JSONL file with a
    `text` in each line) to `scripted`. `adapter` is a folder that nngpt wrote, or the name
    of one that comes with nngpt; the first cycle starts with it.
    """

    backend: str = "transformers"
    model: str = "smollm2-135m"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    quantization: Literal["auto", "none", "8bit", "4bit"] = "auto"
    batch_size: int = Field(8, gt=0)
    url: str = "http://127.0.0.1:8000/v1"
    endpoint: Literal["completions", "chat"] = "completions"
    served_model: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    timeout_s: float = Field(600, gt=0)
    structured: Literal["structured_outputs", "response_format", "json_schema", "guided_json"] = (
        "structured_outputs"
    )
    script: Path | None = None
    adapter: Path | None = None


class PromptConfig(_Section):
    """The prompt: a file under `prompts/` (name without `.yaml`) or a path.

    `shots` examples are shown before the question, null for all of the template's own. They are
    chosen by accuracy and diversity among the networks that `shots_from` names: those of `corpus`
    (default: `learning.corpus`), those admitted in earlier cycles, or both; too few of them are
    filled up with the template's. A prompt has at most `max_chars` characters.

    `retrieve` blocks of indexed libraries (`nngpt rag index`) are shown as code, drawn for each
    batch from those that suit `retrieve_for`; none is longer than `retrieve_chars`, and copyleft
    licences are left out unless `retrieve_copyleft` is set.
    """

    template: str = "full"
    shots: int | None = Field(None, ge=0, le=6)
    shots_from: Literal["template", "corpus", "admitted", "both"] = "template"
    corpus: Path | None = None
    max_chars: int | None = Field(None, gt=0)
    retrieve: int = Field(0, ge=0, le=8)
    retrieve_for: str = "convolution block for image classification"
    retrieve_chars: int = Field(3000, gt=0)
    retrieve_copyleft: bool = False

    @model_validator(mode="after")
    def _needs_number(self) -> PromptConfig:
        if self.shots_from != "template" and self.shots is None:
            raise ValueError("shots_from needs a number of shots")
        return self


class SamplingConfig(_Section):
    """Decoding (defaults: the papers').

    With `constrain` the settings after the code of a `full` answer can only be what fits the code.
    """

    temperature: float = Field(0.2, ge=0)
    top_k: int = Field(50, ge=0)
    top_p: float = Field(0.9, gt=0, le=1)
    max_new_tokens: int = Field(2048, gt=0)
    constrain: bool = False


class CandidatesConfig(_Section):
    """How many candidates a cycle writes.

    With `until_admitted`, a cycle that has written `per_cycle` goes on, batch by batch, until that
    many were admitted or `max_per_cycle` were written (the papers do so from cycle
    `until_admitted_from` on). With `overlap` the LLM writes the next batch while candidates train;
    what comes out is the same. Up to `repairs` times a refused answer goes back to the LLM with
    the reason; what comes of that is counted apart.
    """

    per_cycle: int = Field(50, gt=0)
    until_admitted: int | None = Field(None, gt=0)
    until_admitted_from: int = Field(1, gt=0)
    max_per_cycle: int = Field(500, gt=0)
    overlap: bool = True
    repairs: int = Field(0, ge=0, le=2)

    @model_validator(mode="after")
    def _cap(self) -> CandidatesConfig:
        if self.max_per_cycle < self.per_cycle:
            raise ValueError("max_per_cycle is smaller than per_cycle")
        return self


class ControlsConfig(_Section):
    """Control arms: shares of `candidates.per_cycle` that others than the loop write.

    `base` is the share of the LLM as it wrote the first cycle, frozen; `corpus` that of networks of
    the corpus (`learning.corpus`, `prompt.corpus` and what the first adapter learned) with
    `changes` random changes and no LLM. They pass the same gates, each arm for itself; the loop
    neither sees them nor learns from them.
    """

    base: float = Field(0, ge=0, lt=1)
    corpus: float = Field(0, ge=0, lt=1)
    changes: int = Field(2, gt=0, le=20)

    @model_validator(mode="after")
    def _leaves_something(self) -> ControlsConfig:
        if self.base + self.corpus >= 1:
            raise ValueError("base and corpus leave nothing for the loop")
        return self


class StopConfig(_Section):
    """Ends a run that gains no more (papers, appendix D).

    That is when over `cycles` cycles the mean accuracy has risen by less than `gain` and the share
    above the threshold stayed within its 95% interval.
    """

    enabled: bool = False
    cycles: int = Field(3, gt=0)
    gain: float = Field(0.01, gt=0, le=1)


class EvaluationConfig(_Section):
    """The training protocol every candidate gets, and the limits on its process.

    `workers` candidates train at once, each on `threads` CPU threads; "auto" takes as many as
    there are cores for, one on a GPU. `seeds` trainings with different seeds, or one on each of
    `folds` folds of the training and validation images, count together. `budget_s` limits the
    training time, estimated after the first batches; `wall_s` ends a process in any case.
    With `retrain` a network is trained by our own loop too, with another seed, before it is
    admitted; both accuracies are stored. `latency` measures one image's forward pass.
    `container` is the command of the executor `container`; its descriptor 3 must be passed on.
    With `early_stop` the predictor (`nngpt predictor train`; another file as `predictor`) is asked
    after each epoch; a training that cannot reach the threshold ends, but a share `run_on` goes on.
    """

    executor: str = "local"
    container: tuple[str, ...] = ()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    epochs: int = Field(1, gt=0)
    batch: int = Field(64, gt=0, le=4096)
    transform: str = "norm"
    hyperparameters: dict[str, float] = Field(
        default_factory=lambda: {"lr": 0.01, "momentum": 0.9, "dropout": 0.2}
    )
    precision: Literal["float32", "bfloat16"] = "float32"
    memory_format: Literal["contiguous", "channels_last"] = "contiguous"
    stop_on_divergence: bool = True
    seeds: int = Field(1, gt=0, le=100)
    folds: int | None = Field(None, ge=2, le=100)
    retrain: bool = True
    latency: bool = False
    threads: int = Field(1, gt=0)
    workers: PositiveInt | Literal["auto"] = "auto"
    budget_s: float | None = Field(None, gt=0)
    wall_s: float = Field(600, gt=0)
    memory_mb: int = Field(4096, gt=0)
    sandbox: Literal["full", "standard", "weak"] = "standard"
    early_stop: bool = False
    predictor: Path | None = None
    run_on: float = Field(0.05, ge=0, le=1)

    @model_validator(mode="after")
    def _needs_epochs(self) -> EvaluationConfig:
        if self.early_stop and not 2 <= self.epochs <= 50:
            raise ValueError("early_stop needs epochs of 2 to 50")
        if self.early_stop and (self.seeds > 1 or self.folds is not None):
            raise ValueError("early_stop looks at one training: it needs seeds: 1 and no folds")
        return self

    def protocol(self) -> dict[str, Any]:
        """How candidates are trained: what must be equal for accuracies to be compared."""
        keys = ("epochs", "precision", "memory_format", "seeds", "folds", "threads")
        found = {key: getattr(self, key) for key in keys}
        return {**found, "early_stop": True} if self.early_stop else found


class NoveltyConfig(_Section):
    """Near-duplicates (defaults: the papers')."""

    measure: str = "minhash"
    threshold: float = Field(0.9, ge=0, le=1)
    lsh_threshold: float = Field(0.85, gt=0, lt=1)
    permutations: int = Field(256, gt=0)
    shingle: int = Field(10, gt=0)
    seed: int = 1


def _numbers(given: object) -> object:
    """`0-23`, `0-3,8` or `7` as the numbers they stand for; anything else as it is."""
    if isinstance(given, int):
        return (given,)
    if not isinstance(given, str):
        return given
    if not re.fullmatch(r"\s*\d+\s*(-\s*\d+\s*)?(,\s*\d+\s*(-\s*\d+\s*)?)*", given):
        raise ValueError("wants numbers, such as 0-23 or [0, 1, 5]")
    ends = [[int(end) for end in part.split("-")] for part in given.split(",")]
    return tuple(sorted({n for pair in ends for n in range(pair[0], pair[-1] + 1)}))


LayerNumbers = Annotated[
    tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), BeforeValidator(_numbers)
]


class LearningConfig(_Section):
    """LoRA fine-tuning on what was admitted (defaults: the papers'); see docs/sft.md.

    `start` is "base" (a fresh adapter on the whole corpus each cycle) or "last" (go on from the
    last adapter; with `replay` only on what is new to it and on that share or number of the pairs
    it has learned). `layers` takes only the last N transformer layers, `layers_to_transform` those
    with these numbers ("0-23"). A cycle with fewer than `min_pairs` training pairs goes without a
    step. Every step learns `corpus` too, or its first `corpus_limit` pairs; with `warm_up` there is
    one before the first cycle, on the corpus alone. When validity or diversity collapses,
    `on_collapse` only tells it, or the step replays: it learns all pairs again, besides as many
    of the networks that were there before the run.

    An optimiser step learns `batch_size` × `accumulation` pairs; with `packing` they are laid out
    in rows of at most `tokens_per_batch` tokens without padding, else one by one. `save_dtype` is
    that of the adapter's file. A checkpoint is written every `checkpoint_s` seconds.
    """

    learner: str = "sft"
    enabled: bool = True
    start: Literal["base", "last"] = "base"
    min_pairs: int = Field(1, gt=0)
    rank: int = Field(32, gt=0)
    alpha: float = Field(32, gt=0)
    dropout: float = Field(0.05, ge=0, lt=1)
    target_modules: tuple[str, ...] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "up_proj",
        "down_proj",
        "gate_proj",
    )
    layers: int | None = Field(None, gt=0)
    layers_to_transform: LayerNumbers | None = None
    replay: Annotated[int, Field(ge=1)] | Annotated[float, Field(ge=0, le=1)] | None = None
    epochs: int = Field(5, gt=0)
    batch_size: int = Field(1, gt=0)
    accumulation: int = Field(4, gt=0)
    learning_rate: float = Field(1e-5, gt=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_steps: int = Field(20, ge=0)
    weight_decay: float = Field(0.01, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    max_length: int = Field(4096, gt=0)
    optimizer: Literal["auto", "adamw", "paged_adamw_8bit"] = "auto"
    gradient_checkpointing: bool = False
    packing: bool = True
    tokens_per_batch: int = Field(2048, gt=0)
    save_dtype: Literal["float32", "bfloat16"] = "float32"
    checkpoint_s: float = Field(300, ge=0)
    base: str | None = None
    corpus: Path | None = None
    corpus_limit: int | None = Field(None, gt=0)
    warm_up: bool = False
    on_collapse: Literal["tell", "replay"] = "tell"

    @model_validator(mode="after")
    def _needs_corpus(self) -> LearningConfig:
        if self.warm_up and self.corpus is None:
            raise ValueError("warm_up needs a corpus")
        return self

    @model_validator(mode="after")
    def _excluding(self) -> LearningConfig:
        if self.layers is not None and self.layers_to_transform is not None:
            raise ValueError("layers (the last N) and layers_to_transform exclude each other")
        if self.replay is not None and self.start != "last":
            raise ValueError("replay needs start: last")
        return self


class RLConfig(_Section):
    """Reinforcement learning on executions: `nngpt learn rl` (GRPO).

    A step writes `groups` groups of `group_size` answers to the task's prompt, executes them, and
    changes the adapter `iterations` times, `batch_size` answers at once. An answer is worth the
    weighted sum of `rewards`, the only terms there are; what counts is by how much it is better
    than its group, in standard deviations of the group or of the whole step, as `scale` says.
    `beta` weighs the KL divergence to where training started, `clip` bounds how far the
    probability of a token may move in one step. Answers are decoded as `sampling` says; LoRA and
    optimiser are `learning`'s.
    """

    steps: int = Field(24, gt=0)
    groups: int = Field(1, gt=0)
    group_size: int = Field(8, ge=2)
    batch_size: int = Field(4, gt=0)
    iterations: int = Field(1, gt=0)
    learning_rate: float = Field(1e-4, gt=0)
    warmup_steps: int = Field(0, ge=0)
    beta: float = Field(0.02, gt=0)
    clip: float = Field(0.2, gt=0, lt=1)
    scale: Literal["group", "batch", "none"] = "group"
    rewards: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=lambda: {
            "parse": 0.1,
            "contract": 0.1,
            "build": 0.1,
            "forward": 0.1,
            "trains": 0.4,
            "accuracy": 2.0,
            "corpus-novelty": 0.2,
            "group-novelty": 1.0,
        }
    )
    checkpoint_every: int = Field(1, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> RLConfig:
        if self.groups * self.group_size % self.batch_size:
            answers = f"{self.groups} × {self.group_size} answers of a step"
            raise ValueError(f"batch_size {self.batch_size} does not divide the {answers}")
        if not any(self.rewards.values()):
            raise ValueError("no reward has a weight")
        return self


class PreferenceConfig(_Section):
    """Learning from what a run admitted and refused: `nngpt learn prefer` (DPO, KTO).

    DPO compares each admitted answer with `rivals` refused ones to the same prompt. `beta` says
    how dearly the distance from where training started is paid. LoRA, batches, schedule and
    optimiser are `learning`'s.
    """

    rivals: int = Field(2, gt=0)
    epochs: int = Field(1, gt=0)
    learning_rate: float = Field(5e-5, gt=0)
    warmup_steps: int = Field(0, ge=0)
    beta: float = Field(0.1, gt=0)


_OPERATIONAL = {
    "llm": {"url", "timeout_s", "api_key_env", "structured"},
    "candidates": {"overlap"},
    "evaluation": {"sandbox", "workers", "executor", "container"},
    "learning": {"max_length", "optimizer", "gradient_checkpointing"}
    | {"packing", "tokens_per_batch", "checkpoint_s"},
}
"""Keys by section that may change while a run goes on."""

_NOT_OF_A_RUN = frozenset({"cycles", "folder", "stop", "rl", "preference"})
"""Keys and sections that a run of the loop does not depend on."""


class Config(_Section):
    """One run: everything `nngpt cycle run` needs to know.

    `without` leaves out what the loop is made of, to see what it is worth: `novelty` admits
    near-duplicates (exact copies are still not trained again), `threshold` whatever trains,
    `iteration` learns nothing after the warm-up, `retrieval` shows no blocks.
    """

    name: str = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$", max_length=60)
    seed: int = Field(1, ge=0, lt=2**32)
    cycles: int = Field(22, gt=0)
    folder: Path = Path("runs")
    task: TaskConfig = TaskConfig()
    llm: LLMConfig = LLMConfig()
    prompt: PromptConfig = PromptConfig()
    sampling: SamplingConfig = SamplingConfig()
    candidates: CandidatesConfig = CandidatesConfig()
    controls: ControlsConfig = ControlsConfig()
    stop: StopConfig = StopConfig()
    without: tuple[Literal["novelty", "threshold", "iteration", "retrieval"], ...] = ()
    evaluation: EvaluationConfig = EvaluationConfig()
    novelty: NoveltyConfig = NoveltyConfig()
    learning: LearningConfig = LearningConfig()
    rl: RLConfig = RLConfig()
    preference: PreferenceConfig = PreferenceConfig()

    @property
    def arms(self) -> dict[Arm, int]:
        """Who writes, and how many candidates of a cycle; the loop first."""
        whole, controls = self.candidates.per_cycle, self.controls
        shares = {Arm.BASE: controls.base, Arm.CORPUS: controls.corpus}
        sizes = {arm: max(1, round(share * whole)) for arm, share in shares.items() if share}
        return {Arm.LOOP: whole - sum(sizes.values()), **sizes}

    @model_validator(mode="after")
    def _loop_writes(self) -> Config:
        if self.arms[Arm.LOOP] < 1:
            few = self.candidates.per_cycle
            raise ValueError(f"controls leave none of {few} candidates per cycle for the loop")
        return self

    @model_validator(mode="after")
    def _stops_at_the_threshold(self) -> Config:
        if self.evaluation.early_stop and "threshold" in self.without:
            raise ValueError("early_stop refuses at the threshold, which `without` leaves out")
        return self

    def identity(self) -> dict[str, Any]:
        """What must not change while a run goes on: all that can change its outcome."""
        return identity_of(self.model_dump(mode="json"))


def identity_of(settings: dict[str, Any]) -> dict[str, Any]:
    """A dumped configuration without what only says how far, where and how fast to run."""
    kept = {key: value for key, value in settings.items() if key not in _NOT_OF_A_RUN}
    for section, keys in _OPERATIONAL.items():
        inner = kept.get(section, {})
        kept[section] = {key: value for key, value in inner.items() if key not in keys}
    return kept


def completed(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A stored configuration with defaults for the keys that a newer nngpt has added."""
    defaults = Config().model_dump(mode="json")
    sections = {key: value for key, value in defaults.items() if isinstance(value, dict)}
    filled = {key: {**value, **stored.get(key, {})} for key, value in sections.items()}
    return {**defaults, **stored, **filled}


def with_new_keys(began: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Stored sections of a configuration, as a newer nngpt would have stored them.

    Keys that `now` has and a section of `began` lacks were added since; they get their defaults.
    """
    defaults = Config().model_dump(mode="json")
    filled = dict(began)
    for name, section in began.items():
        known, wanted = defaults.get(name), now.get(name)
        if isinstance(section, dict) and isinstance(known, dict) and isinstance(wanted, dict):
            added = {key: known[key] for key in wanted if key in known}
            filled[name] = {**added, **section}
    return filled


def load(name: str | Path | None, overrides: Sequence[str] = ()) -> Config:
    """Read a configuration file and apply `key.path=value` overrides (values are YAML).

    Without a name all settings have their defaults, but for the overrides.

    Raises:
        ConfigError: the file is missing or not YAML, or a key or value is wrong; all
            mistakes are in the one message.
    """
    path = config_file(str(name)) if name is not None else None
    data = read_yaml(path) if path else {}
    for override in overrides:
        _override(data, override)
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError(explain(error), where=str(path or "--set")) from None


def changed(settings: dict[str, Any], overrides: Sequence[str], where: str) -> Config:
    """A dumped configuration with `key.path=value` overrides.

    Raises:
        ConfigError: a key or value is wrong; `where` says who gave it.
    """
    for override in overrides:
        _override(settings, override)
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(explain(error), where=where) from None


def environment(name: str) -> str | None:
    """An environment variable, None if unset or empty."""
    return os.environ.get(name) or None


def cache_folder() -> Path:
    """Models and data: $NNGPT_CACHE, else $XDG_CACHE_HOME/nngpt, else ~/.cache/nngpt."""
    own = environment("NNGPT_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(environment("XDG_CACHE_HOME") or "~/.cache").expanduser() / "nngpt"


def resource_folder(name: str) -> Path:
    """The folder `configs` or `prompts`."""
    packaged = _PACKAGE / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def config_file(name: str) -> Path:
    """The file a user means by `smoke-mnist`, `smoke-mnist.yaml` or a path of their own."""
    given = Path(name)
    if given.is_file() or given.parent != Path():
        return given
    file = name if name.endswith((".yaml", ".yml")) else f"{name}.yaml"
    return resource_folder("configs") / file


def corpus_file(path: Path) -> Path:
    """A corpus at a path, or one that comes with nngpt: `smollm2-135m-lemur/full.jsonl.gz`."""
    return SHIPPED / path if not path.exists() and (SHIPPED / path).is_file() else path


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys and values of a file. Raises: ConfigError."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = [f.stem for f in resource_folder("configs").rglob("*.yaml")]
        raise ConfigError("no such file", where=str(path), hint=nearest(path.stem, known)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read ({error})", where=str(path)) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"not valid YAML: {error}", where=str(path)) from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError("must hold keys and values, like `name: my-run`", where=str(path))
    return data


def _override(data: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"{text!r} is not key=value", where="--set", hint="Example: --set seed=2")
    *parents, last = key.strip().split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise ConfigError(f"{parent!r} in {key!r} is not a section", where="--set")
    try:
        data[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"the value of {text!r} is not YAML", where="--set") from None


def explain(error: ValidationError, model: type[BaseModel] = Config) -> str:
    """All mistakes of a file of this model in a line, each with its key path."""
    return "; ".join(_explain_one(item, model) for item in error.errors())


def _explain_one(item: Any, model: type[BaseModel]) -> str:
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        hint = nearest(str(item["loc"][-1]), _keys_beside(item["loc"], model))
        return f"unknown key {path!r}. {hint}"
    message = str(item["msg"]).removeprefix("Value error, ")
    given = "" if item["type"] == "value_error" else f" (got {item['input']!r})"
    return f"{path}: {message}{given}"


def _keys_beside(location: Sequence[int | str], model: type[BaseModel]) -> list[str]:
    for part in location[:-1]:
        annotation = model.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)
