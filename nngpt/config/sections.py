"""The models of the configuration's sections; every model refuses unknown keys.

The options of a plug-in (`llm.options` and the like) are validated by the model in the plug-in's
own file (`nngpt.plugins`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, PositiveInt, model_validator

from nngpt import files, plugins
from nngpt.records import Arm, Proxy


class _Section(BaseModel):
    model_config = plugins.STRICT


_Side = Annotated[int, Field(gt=0, le=1024)]


class TaskConfig(_Section):
    """The data set, its admission threshold and the budgets of a network.

    `least_proxy` are values of zero-cost proxies below which a network is not trained
    (docs/proxies.md); it needs `evaluation.proxies`.

    `dataset` is a name, or the path of a folder of images with a folder for each class. `root` is
    the folder of your own files. `train_limit` and `validation_limit` use a fixed random subset of
    the images. `options` belong to the data set.

    The other keys say how files of a folder become images: `image_size` in pixels (a side, or
    height and width), `channels` (1 for grey, 3 for colour), `resize` (`stretch` changes the aspect
    ratio, `pad` and `crop` keep it), and `skip_broken`, the largest share of the files that may be
    left out because they cannot be read. Without a size and channels, both follow from the files.
    """

    dataset: str = "mnist"
    options: dict[str, Any] = {}
    root: Path | None = None
    image_size: _Side | tuple[_Side, _Side] | None = None
    channels: Literal[1, 3] | None = None
    resize: Literal["stretch", "pad", "crop"] = "stretch"
    skip_broken: float = Field(0.05, ge=0, lt=1)
    threshold: float = Field(0.4, ge=0, le=1)
    max_parameters: int | None = Field(None, gt=0)
    max_latency_ms: float | None = Field(None, gt=0)
    least_proxy: dict[Proxy, float] = {}
    train_limit: int | None = Field(None, gt=0)
    validation_limit: int | None = Field(None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _open_folder(cls, given: Any) -> Any:
        """Take the path of a folder, in place of a name, as the root of an image folder."""
        name = given.get("dataset") if isinstance(given, Mapping) else None
        if not isinstance(name, str) or given.get("root") is not None:
            return given
        if name in plugins.names("data set") or not files.is_folder(Path(name)):
            return given
        return {**given, "dataset": plugins.IMAGE_FOLDER, "root": name}

    @property
    def named(self) -> str:
        """The data as `dataset` can name them: a name, or the path of a folder of images."""
        if self.root is None or self.dataset != plugins.IMAGE_FOLDER:
            return self.dataset
        root = str(self.root)
        mistaken = root.startswith("-") or root in plugins.names("data set")
        return f"./{root}" if mistaken else root


class LLMConfig(_Section):
    """The language model that writes networks, and its hardware settings.

    `model` is an embedded model's name (`nngpt models list`), a Hub id, a folder or a GGUF file.
    `device: auto` is the last of several GPUs, the only one, or the CPU. `quantization: auto` uses
    4 bits on GPUs below 23 GiB, 8 bits below 40 GiB, else none.
    `adapter` is a folder that nngpt wrote, or the name of a shipped adapter; the first cycle starts
    with it. `options` belong to the backend.
    """

    backend: str = "transformers"
    options: dict[str, Any] = {}
    model: str = "smollm2-135m"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    quantization: Literal["auto", "none", "8bit", "4bit"] = "auto"
    batch_size: int = Field(8, gt=0)
    adapter: Path | None = None


class PromptConfig(_Section):
    """The prompt template (a name under `prompts/` without `.yaml`, or a path) and its contents.

    `shots` is the number of examples before the question; null uses all of the template's own. They
    are chosen by accuracy and diversity among the networks that `shots_from` names: those of
    `corpus` (default: `learning.corpus`), those admitted in earlier cycles, or both; the template's
    examples fill up a shortage. With `begin`, the answers of a batch begin with that share of the
    lines of one of these networks, better ones more often, and the LLM writes the rest. With
    `better_than: N`, the question names one of the N best networks admitted in earlier cycles and
    asks for a better one. With `accuracy_quantiles: N`, it asks for a network in the best of N
    quantiles. With `memory: N`, the question ends with the last N tries of earlier cycles: what was
    changed, and what came of it. A prompt has at most `max_chars` characters.

    `parents` says where the networks come from that the LLM changes or crosses: the share of each
    source. `corpus` is the best of each family of the corpus, the families in turn; the others are
    networks admitted in earlier cycles: `admitted` all of them, better ones more often, `best` the
    ten most accurate, `front` the Pareto front of accuracy against parameters. By default it is
    `admitted`, and the whole corpus before there are any. `crossover` is the share of the questions
    that show a second parent, with its accuracy, to take over from. With `islands: N`, parents,
    examples and named networks of a batch come from one of N populations, in turn; every
    `migrate_every` cycles the best network of each population joins the next one.

    `retrieve` is the number of library blocks (`nngpt rag index`) that the prompt shows as code,
    sampled for each batch from the best matches of `retrieve_for`. Blocks longer than
    `retrieve_chars` characters are left out, and so are copyleft licences unless
    `retrieve_copyleft` is set.
    """

    template: str = "full"
    shots: int | None = Field(None, ge=0, le=6)
    shots_from: Literal["template", "corpus", "admitted", "both"] = "template"
    begin: float | None = Field(None, gt=0, lt=1)
    better_than: int | None = Field(None, gt=0)
    accuracy_quantiles: int | None = Field(None, ge=2, le=10)
    parents: dict[
        Literal["corpus", "admitted", "best", "front"], Annotated[float, Field(gt=0, le=1)]
    ] = {}
    crossover: float = Field(0, ge=0, le=1)
    islands: int = Field(1, gt=0, le=100)
    migrate_every: int = Field(5, gt=0)
    memory: int = Field(0, ge=0, le=100)
    corpus: Path | None = None
    max_chars: int | None = Field(None, gt=0)
    retrieve: int = Field(0, ge=0, le=8)
    retrieve_for: str = "convolution block for image classification"
    retrieve_chars: int = Field(3000, gt=0)
    retrieve_copyleft: bool = False

    @model_validator(mode="after")
    def _require_shots(self) -> PromptConfig:
        if self.shots_from != "template" and self.shots is None:
            raise ValueError("shots_from needs a number of shots")
        if self.begin is not None and self.shots_from == "template":
            raise ValueError("begin needs shots_from: corpus, admitted or both")
        return self


class SamplingConfig(_Section):
    """Decoding settings (defaults: the papers').

    With `constrain`, the settings after the code of a `full` answer are written under a grammar
    that allows only values that fit the code.
    """

    temperature: float = Field(0.2, ge=0)
    top_k: int = Field(50, ge=0)
    top_p: float = Field(0.9, gt=0, le=1)
    max_new_tokens: int = Field(2048, gt=0)
    constrain: bool = False


class CandidatesConfig(_Section):
    """The number of candidates per cycle.

    With `until_admitted`, a cycle that has written `per_cycle` candidates continues, batch by
    batch, until `until_admitted` candidates are admitted or `max_per_cycle` are written (in the
    papers from cycle `until_admitted_from` on). With `overlap`, the LLM writes the next batch while
    candidates train; the outcome is the same. A refused answer goes back to the LLM with the
    refusal's reason up to `repairs` times; repaired candidates are counted separately. With
    `repeats: mutate`, a random change of one of the arm's ten best networks takes the place of each
    answer that repeats a known network; with `repeats: crossover`, a random crossover of two of
    them. It is counted as a repair. With `best_of: N`, N times as many answers are written, and
    those are tried that the LLM takes to be the best (`prompt.accuracy_quantiles`) and has not
    written before; the others are not stored. With `mutations: N`, N random changes of the arm's
    ten best networks compete with them for each answer that is tried; without quantiles, they only
    take the place of repeats. `choose_by: embedding` has a Gaussian process choose instead, which
    learns from the run's tries; it needs `best_of` or `mutations` to choose from. With `lag`, a
    cycle is written with what the LLM learned up to that many cycles before the last one, so that
    writing, training and fine-tuning overlap; the outcome is another than without, and the same at
    any speed.
    """

    per_cycle: int = Field(50, gt=0)
    until_admitted: int | None = Field(None, gt=0)
    until_admitted_from: int = Field(1, gt=0)
    max_per_cycle: int = Field(500, gt=0)
    overlap: bool = True
    repairs: int = Field(0, ge=0, le=2)
    repeats: Literal["refuse", "mutate", "crossover"] = "refuse"
    best_of: int = Field(1, gt=0, le=100)
    mutations: int = Field(0, ge=0, le=100)
    choose_by: Literal["likelihood", "embedding"] = "likelihood"
    lag: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _check_cap_and_lag(self) -> CandidatesConfig:
        if self.max_per_cycle < self.per_cycle:
            raise ValueError("max_per_cycle is smaller than per_cycle")
        settling = self.until_admitted or self.repairs or self.repeats != "refuse"
        if self.lag and (settling or not self.overlap):
            raise ValueError("lag needs overlap, and no until_admitted, repairs or mutated repeats")
        return self


class ControlsConfig(_Section):
    """Control arms, as shares of `candidates.per_cycle`.

    `base` is the share written by the frozen LLM of the first cycle. `corpus` is the share of
    corpus networks (`learning.corpus`, `prompt.corpus` and the first adapter's own corpus) with
    `changes` random changes and no LLM. Each arm passes the same gates separately; the loop neither
    sees nor learns from their candidates.
    """

    base: float = Field(0, ge=0, lt=1)
    corpus: float = Field(0, ge=0, lt=1)
    changes: int = Field(2, gt=0, le=20)

    @model_validator(mode="after")
    def _leave_some_for_the_loop(self) -> ControlsConfig:
        if self.base + self.corpus >= 1:
            raise ValueError("base and corpus leave nothing for the loop")
        return self


class StopConfig(_Section):
    """When to end a run that no longer improves (papers, appendix D).

    A run ends when, over `cycles` cycles, the mean accuracy has risen by less than `gain` and the
    share above the threshold stayed within its 95% interval.
    """

    enabled: bool = False
    cycles: int = Field(3, gt=0)
    gain: float = Field(0.01, gt=0, le=1)


class EvaluationConfig(_Section):
    """The training protocol of every candidate, and the limits of its process.

    `workers` candidates train in parallel, each on `threads` CPU threads; "auto" uses all cores, or
    all GPUs but the LLM's with up to four workers each. `memory_mb` limits the memory of each
    process, on a GPU also its memory there. The results of `seeds` trainings with different seeds,
    or of one training per fold with `folds`, are counted together. `budget_s` limits the training
    time, as estimated after the first batches; `limit_s` ends a process in any case. Both count the
    candidate's own seconds (CPU time; on a GPU, time on the device), not the time it waits; "auto"
    is 20 s and 15 times (on a GPU, 100 times) what a reference network needs here. With `retrain`,
    a network is trained by our own loop with another seed before it is admitted, and that accuracy
    counts. With `hpo`, an HPO engine such as `surrogate` proposes the hyperparameters of each
    candidate that its answer does not give (docs/hpo.md). With `fixed`, as in the papers, all
    candidates have the hyperparameters, batch size and transform given here: an answer's own are
    passed over, and a network that needs others than `hyperparameters` is refused. `latency`
    measures the forward pass of one image, `proxies` zero-cost proxies (docs/proxies.md). With
    `early_stop`, a predictor (`predictor`, default: the one of `nngpt predictor train`) ends
    trainings that are not expected to reach the threshold, except for a random share `run_on`.
    `options` belong to the executor.
    """

    executor: str = "local"
    options: dict[str, Any] = {}
    device: Literal["auto", "cpu", "cuda"] = "auto"
    epochs: int = Field(1, gt=0)
    batch: int = Field(64, gt=0, le=4096)
    transform: str = "norm"
    hyperparameters: dict[str, float] = Field(
        default_factory=lambda: {"lr": 0.01, "momentum": 0.9, "dropout": 0.2}
    )
    hpo: str | None = None
    fixed: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"
    memory_format: Literal["contiguous", "channels_last"] = "contiguous"
    stop_on_divergence: bool = True
    seeds: int = Field(1, gt=0, le=100)
    folds: int | None = Field(None, ge=2, le=100)
    retrain: bool = True
    latency: bool = False
    proxies: bool = False
    threads: int = Field(1, gt=0)
    workers: PositiveInt | Literal["auto"] = "auto"
    budget_s: float | None = Field(None, gt=0)
    limit_s: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    memory_mb: int = Field(4096, gt=0)
    sandbox: Literal["full", "standard", "weak"] = "standard"
    early_stop: bool = False
    predictor: Path | None = None
    run_on: float = Field(0.05, ge=0, le=1)

    @model_validator(mode="after")
    def _check_fixed(self) -> EvaluationConfig:
        if self.fixed and self.hpo is not None:
            raise ValueError("fixed hyperparameters leave nothing for hpo to propose")
        return self

    @model_validator(mode="after")
    def _check_early_stop(self) -> EvaluationConfig:
        if self.early_stop and not 2 <= self.epochs <= 50:
            raise ValueError("early_stop needs epochs of 2 to 50")
        if self.early_stop and (self.seeds > 1 or self.folds is not None):
            raise ValueError("early_stop follows one training: it needs seeds: 1 and no folds")
        return self

    def once(self, **changes: Any) -> EvaluationConfig:
        """Return the settings for a single training, without budgets, and with `changes`."""
        single = {
            "seeds": 1,
            "folds": None,
            "early_stop": False,
            "budget_s": None,
            "latency": False,
            "proxies": False,
        }
        return self.model_copy(update={**single, **changes})

    def protocol(self) -> dict[str, Any]:
        """Return the settings that must be equal for accuracies to be comparable."""
        keys = ("epochs", "precision", "memory_format", "seeds", "folds", "threads")
        found = {key: getattr(self, key) for key in keys}
        return {**found, "early_stop": True} if self.early_stop else found


class NoveltyConfig(_Section):
    """The measure of near-duplicates.

    A network is a duplicate when its similarity to a known one exceeds `threshold` or is 1;
    `shingle` is the number of tokens in a shingle (defaults: the papers'). `options` belong to the
    measure.
    """

    measure: str = "jaccard"
    options: dict[str, Any] = {}
    threshold: float = Field(0.9, ge=0, le=1)
    shingle: int = Field(10, gt=0)


_LAST_LAYER = 999


def _numbers(given: object) -> object:
    """Return the numbers of `0-23`, `0-3,8` or `7`; leave anything else as it is."""
    if isinstance(given, int):
        return (given,)
    if not isinstance(given, str):
        return given
    if not re.fullmatch(r"\s*\d+\s*(-\s*\d+\s*)?(,\s*\d+\s*(-\s*\d+\s*)?)*", given):
        raise ValueError("must be numbers, such as 0-23 or [0, 1, 5]")
    ends = [[int(end) for end in part.split("-")] for part in given.split(",")]
    if max(end for pair in ends for end in pair) > _LAST_LAYER:
        raise ValueError(f"must be numbers up to {_LAST_LAYER}")
    return tuple(sorted({n for pair in ends for n in range(pair[0], pair[-1] + 1)}))


LayerNumbers = Annotated[
    tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), BeforeValidator(_numbers)
]


class LearningConfig(_Section):
    """LoRA fine-tuning on admitted networks (defaults: the papers'); see docs/sft.md.

    `learner` is "sft" (supervised fine-tuning), or "dpo" or "grpo", which compare the answers of
    the run by their accuracies (docs/rl.md).

    `start` is "base" (a fresh adapter on all pairs each cycle) or "last" (continue from the last
    adapter; with `replay`, only on new pairs and on that share or number of the pairs it has
    already learned). `select` is what is learned of the admitted networks: "all", the best by rank
    ("top 0.25") or those that no other one beats in accuracy and number of parameters ("front"), of
    all so far or of each cycle ("top 0.25 per cycle"). `layers` adapts only the last N
    transformer layers, `layers_to_transform` those with the given numbers ("0-23"). A cycle with
    fewer than `min_pairs` training pairs skips fine-tuning. Each `held_out`-th admitted network is
    never learned; the likelihood of these is measured before and after each fine-tuning. Every
    fine-tuning includes `corpus`, or its first `corpus_limit` pairs; `warm_up` adds one before the
    first cycle, on the corpus alone. When validity or diversity collapses, `on_collapse: tell`
    reports it; `replay` also trains on all pairs again, and on the same number of networks known
    before the run.

    An optimiser step learns `batch_size` × `accumulation` pairs. With `packing`, they are packed
    without padding into rows of at most `tokens_per_batch` tokens. `save_dtype` is the dtype of the
    adapter's file. A checkpoint is written every `checkpoint_s` seconds. `options` belong to the
    learner.
    """

    learner: str = "sft"
    options: dict[str, Any] = {}
    enabled: bool = True
    start: Literal["base", "last"] = "base"
    select: str = Field("all", pattern=r"^(all|(top (0?\.\d*[1-9]\d*|1)|front)( per cycle)?)$")
    min_pairs: int = Field(1, gt=0)
    held_out: Annotated[int, Field(ge=2)] | None = 5
    rank: int = Field(32, gt=0)
    alpha: float = Field(32, gt=0)
    dropout: float = Field(0.05, ge=0, lt=1)
    target_modules: tuple[str, ...] = (
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("up_proj", "down_proj", "gate_proj"),
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
    def _check_combinations(self) -> LearningConfig:
        if self.warm_up and self.corpus is None:
            raise ValueError("warm_up needs a corpus")
        if self.layers is not None and self.layers_to_transform is not None:
            raise ValueError("layers (the last N) and layers_to_transform exclude each other")
        if self.replay is not None and self.start != "last":
            raise ValueError("replay needs start: last")
        return self


class RLConfig(_Section):
    """Reinforcement learning from execution results: `nngpt learn rl` (GRPO).

    A step samples `groups` groups of `group_size` answers to the task's prompt, executes them, and
    updates the adapter `iterations` times, with `batch_size` answers per micro-batch. The reward of
    an answer is the sum of the `rewards` with their weights. Its advantage is the difference to the
    mean of its group, in standard deviations of the group or of the whole step (`scale`). `beta` is
    the weight of the KL divergence from the starting point; `clip` bounds the change of a token's
    probability in one step. Decoding uses `sampling`; LoRA and optimiser use `learning`.
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
    def _check_batches_and_rewards(self) -> RLConfig:
        if self.groups * self.group_size % self.batch_size:
            answers = f"{self.groups} × {self.group_size} answers of a step"
            raise ValueError(f"batch_size {self.batch_size} does not divide the {answers}")
        if not any(self.rewards.values()):
            raise ValueError("no reward has a weight")
        return self


class PreferenceConfig(_Section):
    """Learning from a run's admitted and refused answers: `nngpt learn prefer` (DPO, KTO).

    DPO compares each admitted answer with `rivals` refused answers to the same prompt. `beta` is
    the weight of the distance from the starting point. LoRA, batches, schedule and optimiser use
    `learning`.
    """

    rivals: int = Field(2, gt=0)
    epochs: int = Field(1, gt=0)
    learning_rate: float = Field(5e-5, gt=0)
    warmup_steps: int = Field(0, ge=0)
    beta: float = Field(0.1, gt=0)


class Config(_Section):
    """A whole run of `nngpt cycle run`.

    `without` lists the parts of the loop to leave out in an ablation: `novelty` admits copies and
    near-duplicates, `similarity` near-duplicates only (exact copies are refused untrained),
    `threshold` every network that trains; `iteration` skips fine-tuning after the warm-up,
    `retrieval` shows no blocks.
    `tracking` lists the trackers that show the run in other programs (docs/watch.md).
    """

    name: str = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$", max_length=60)
    seed: int = Field(1, ge=0, lt=2**32)
    cycles: int = Field(22, gt=0)
    folder: Path = Path("runs")
    tracking: tuple[str, ...] = ()
    task: TaskConfig = TaskConfig()
    llm: LLMConfig = LLMConfig()
    prompt: PromptConfig = PromptConfig()
    sampling: SamplingConfig = SamplingConfig()
    candidates: CandidatesConfig = CandidatesConfig()
    controls: ControlsConfig = ControlsConfig()
    stop: StopConfig = StopConfig()
    without: tuple[
        Literal["novelty", "similarity", "threshold", "iteration", "retrieval"], ...
    ] = ()
    evaluation: EvaluationConfig = EvaluationConfig()
    novelty: NoveltyConfig = NoveltyConfig()
    learning: LearningConfig = LearningConfig()
    rl: RLConfig = RLConfig()
    preference: PreferenceConfig = PreferenceConfig()

    @property
    def arms(self) -> dict[Arm, int]:
        """Number of candidates per cycle of each arm, the loop first."""
        whole, controls = self.candidates.per_cycle, self.controls
        shares = {Arm.BASE: controls.base, Arm.CORPUS: controls.corpus}
        sizes = {arm: max(1, round(share * whole)) for arm, share in shares.items() if share}
        return {Arm.LOOP: whole - sum(sizes.values()), **sizes}

    @model_validator(mode="after")
    def _check_combinations(self) -> Config:
        if self.arms[Arm.LOOP] < 1:
            few = self.candidates.per_cycle
            raise ValueError(f"controls leave none of {few} candidates per cycle for the loop")
        if self.evaluation.early_stop and self.candidates.lag:
            raise ValueError("early_stop is checked between cycles, which overlap with a lag")
        if self.prompt.accuracy_quantiles and self.learning.select != "all":
            raise ValueError("prompt.accuracy_quantiles needs learning.select: all")
        if self.evaluation.fixed and self.sampling.constrain:
            raise ValueError("evaluation.fixed passes over what sampling.constrain has written")
        if self.task.least_proxy and not self.evaluation.proxies:
            raise ValueError("task.least_proxy needs evaluation.proxies: true")
        if self.evaluation.early_stop and "threshold" in self.without:
            raise ValueError("early_stop refuses at the threshold, which `without` leaves out")
        return self
