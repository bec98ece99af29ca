"""GRPO on a tiny model with real executions: training, records and resuming."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from command_line import GOOD, Nngpt
from rollouts import new_measure

from nngpt.config import Config
from nngpt.config import load as load_config
from nngpt.errors import ConfigError, LearningFailed, UserError
from nngpt.files import whole_lines
from nngpt.finetuning import training_folder, trl_trainers
from nngpt.finetuning.lora import lora_config
from nngpt.finetuning.rl import grpo
from nngpt.finetuning.rl.execution_cache import ExecutionCache
from nngpt.finetuning.rl.journal import Journal, StepRecord
from nngpt.finetuning.rl.scoring import AnswerScorer, known_networks, make_terms
from nngpt.finetuning.rl.shared_prompt import answer_probabilities
from nngpt.generation import contract
from nngpt.generation.contract import Reader
from nngpt.generation.llm.transformers import TransformersLLM
from nngpt.generation.models import chat
from nngpt.generation.models.adapters import read_adapter
from nngpt.generation.prompts.template import load as load_prompt
from nngpt.records import Adapter, Completion, Sampling, Task
from nngpt.sandbox.executors.local import LocalExecutor

CONFIG = Config.model_validate(
    {
        "name": "tiny",
        "seed": 3,
        "llm": {"device": "cpu", "dtype": "float32", "batch_size": 4},
        "sampling": {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "max_new_tokens": 6},
        "learning": {"rank": 4, "layers": 2},
        "rl": {
            "steps": 2,
            "group_size": 4,
            "batch_size": 2,
            "learning_rate": 0.01,
            # No network of six tokens trains, so a reward of our own distinguishes the answers.
            "rewards": {"parse": 1, "trains": 1, "group-novelty": 1, "finetuning.rollouts": 10},
        },
    }
)
TASK = Task("synthetic", (1, 1, 12, 12), (4,), 0.5)


@dataclass
class Watched:
    """Records the steps; raises KeyboardInterrupt in step and activity `stop_at`."""

    stop_at: tuple[int, str] | None = None
    steps: list[StepRecord] = field(default_factory=list)

    def doing(self, what: str) -> None:
        if self.stop_at == (len(self.steps) + 1, what):
            raise KeyboardInterrupt

    def step(self, record: StepRecord) -> None:
        self.steps.append(record)


Learn = Callable[..., Adapter]


@pytest.fixture(scope="module")
def reader() -> Reader:
    template = load_prompt("tuned-features")
    defaults = contract.Defaults.of(CONFIG.evaluation)
    return Reader(TASK, template, template.render(TASK, {}), defaults)


@pytest.fixture(scope="module")
def learn(llm: TransformersLLM, reader: Reader, start: Callable[..., LocalExecutor]) -> Learn:
    """Return a function that takes the missing steps of a training in a folder."""

    def learn(folder: Path, watched: Watched, parent: Adapter | None = None, **rl: Any) -> Adapter:
        config = CONFIG.model_copy(update={"rl": CONFIG.rl.model_copy(update=rl)})
        folder.mkdir(exist_ok=True)
        scorer, executions = scorer_in(folder, config, reader, start(workers=2))
        settings = training_folder.rl_settings(config, parent)
        run = grpo.GRPORun(
            config, llm, reader.prompt, scorer, executions, folder, "tiny", parent, settings
        )
        return grpo.train(run, watched)

    return learn


def scorer_in(
    folder: Path, config: Config, reader: Reader, executor: LocalExecutor
) -> tuple[AnswerScorer, ExecutionCache]:
    known = known_networks(new_measure, reader.examples())
    terms = make_terms(config.rl.rewards, TASK, known, new_measure)
    executions = ExecutionCache(executor, config.seed, {}, folder / "executions.jsonl")
    return AnswerScorer(config.rl.rewards, terms, reader.read, executions), executions


@pytest.fixture(scope="module")
def first(learn: Learn, tmp_path_factory: pytest.TempPathFactory) -> tuple[Adapter, Watched, Path]:
    """Two steps from the bare base, without interruption."""
    folder, watched = tmp_path_factory.mktemp("rl") / "first", Watched()
    return learn(folder, watched), watched, folder


def weights(adapter: Adapter) -> bytes:
    return (Path(adapter.path) / "adapter_model.safetensors").read_bytes()


def test_it_learns_and_records(llm: TransformersLLM, first: tuple[Adapter, Watched, Path]) -> None:
    adapter, watched, folder = first
    assert read_adapter(folder / "adapter") == adapter
    assert (adapter.name, adapter.parent, adapter.base) == ("tiny-2", None, llm.base.name)
    assert not (folder / "adapter" / "ref").exists()
    assert (
        training_folder.trained_adapter(folder, 2) == adapter
        and training_folder.trained_adapter(folder, 3) is None
    )
    journal = Journal(folder)
    assert journal.steps == watched.steps and [s.step for s in journal.steps] == [1, 2]
    before, after = journal.steps
    assert before.kl == 0.0 < after.kl, "the reference is where it started"
    for step in journal.steps:
        answers = [a for a in journal.answers() if a.step == step.step]
        assert len(answers) == step.answers == 4
        assert list(step.terms) == list(CONFIG.rl.rewards)
        for term, mean in step.terms.items():
            assert mean == pytest.approx(sum(a.rewards[term] for a in answers) / 4)
        assert step.reward == pytest.approx(sum(a.total for a in answers) / 4)
        assert step.trained + sum(step.refused.values()) == 4
        assert set(step.seconds) == {"generation", "execution", "update"}
    assert (adapter.pairs, adapter.tokens) == (8, sum(a.tokens for a in journal.answers()))


def test_the_base_is_left_as_it_was(
    llm: TransformersLLM, reader: Reader, first: tuple[Adapter, Watched, Path]
) -> None:
    assert "forward" not in vars(llm.base.model)
    assert not [name for name, _ in llm.base.model.named_parameters() if "lora" in name]
    greedy = Sampling(temperature=0.0, max_new_tokens=8)
    base = llm.generate(reader.prompt, 1, 0, greedy)[0]
    assert base.adapter is None
    llm.use_adapter(first[0])
    tuned = llm.generate(reader.prompt, 1, 0, greedy)[0]
    llm.use_adapter(None)
    assert tuned.adapter == "tiny-2"
    assert llm.generate(reader.prompt, 1, 0, greedy)[0].text == base.text


def test_the_sampled_ids_are_trained_on(llm: TransformersLLM, reader: Reader) -> None:
    """One renderer: training uses exactly the token ids that were sampled."""
    tokenizer, sampling = llm.base.tokenizer, Sampling(1.0, 0, 1.0, 8)
    quick = replace(reader.prompt, stop=("e", "a"))
    drawn = [pair for p in (reader.prompt, quick) for pair in llm.sample(p, 3, 1, sampling)]
    stopped = 0
    for number, (completion, ids) in enumerate(drawn):
        stop = (reader.prompt if number < 3 else quick).stop
        text, ended = chat.cut(tokenizer.decode(ids, skip_special_tokens=True), stop)
        assert text == completion.text
        assert completion.finished == (ended or ids[-1] in tokenizer.all_special_ids)
        assert len(ids) <= sampling.max_new_tokens
        if ended:
            stopped += 1
            assert not chat.cut(tokenizer.decode(ids[:-1]), stop)[1], "no token after the stop"
    assert stopped


def test_reading_the_prompt_once_changes_nothing(llm: TransformersLLM, reader: Reader) -> None:
    """Probabilities, entropies and gradients equal TRL's, which computes it for each answer."""
    import torch
    from peft import get_peft_model
    from trl.trainer.utils import add_fused_lm_head

    asked = chat.encode(llm.base.tokenizer, chat.render(llm.base.tokenizer, reader.prompt))[:40]
    torch.manual_seed(0)
    answers = torch.randint(100, 4000, (3, 6)).tolist()
    ids, mask = torch.tensor([asked + answer for answer in answers]), torch.ones(3, 46).long()
    mask[1, -2:] = mask[2, -4:] = 0
    exact = llm.base.model
    model = get_peft_model(exact, lora_config(CONFIG.learning, llm.base)).eval()
    weights = [w for n, w in model.named_parameters() if "lora_B" in n]
    for weight in weights:
        weight.data.normal_(0, 0.05)
    add_fused_lm_head(exact, temperature=0.8, outputs=("log_probs", "entropy"))

    def gradients(logps: Any, entropies: Any) -> list[Any]:
        logps.square().sum().backward()
        found = [logps.detach(), entropies.detach(), *(w.grad for w in weights)]
        model.zero_grad()
        return found

    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :40] = -100
    theirs = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
    expected = gradients(theirs.log_probs[:, -6:], theirs.entropy[:, -6:])
    found = gradients(*answer_probabilities(model, ids, mask, 40))
    try:
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    finally:
        model.unload()
        del exact.forward


def test_killed_it_carries_on_and_executes_nothing_twice(
    learn: Learn, first: tuple[Adapter, Watched, Path], tmp_path: Path
) -> None:
    """A training killed in its second step ends with the weights of an uninterrupted one."""
    folder = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        learn(folder, Watched(stop_at=(2, "updating the LLM")))
    assert (folder / "checkpoints" / "checkpoint-1" / "complete").exists()
    executed = whole_lines(folder / "executions.jsonl")
    torn = folder / "checkpoints" / "checkpoint-2"
    shutil.copytree(folder / "checkpoints" / "checkpoint-1", torn)
    (torn / "complete").unlink()
    with (folder / "steps.jsonl").open("a") as stream:
        stream.write('{"step": 2, "answ')
    watched = Watched()
    adapter = learn(folder, watched)
    assert [record.step for record in watched.steps] == [2]
    assert weights(adapter) == weights(first[0])
    assert adapter.corpus_hash == first[0].corpus_hash
    assert whole_lines(folder / "executions.jsonl") == executed
    assert watched.steps[0].executed == 0
    again = learn(folder, Watched())
    assert weights(again) == weights(adapter), "no step is left, so nothing is learned"


def test_rl_goes_on_from_an_adapter(
    learn: Learn, first: tuple[Adapter, Watched, Path], tmp_path: Path
) -> None:
    """The KL reference is the adapter that the training started from, not the bare base."""
    watched = Watched()
    child = learn(tmp_path / "child", watched, parent=first[0], steps=2)
    assert child.parent == "tiny-2"
    assert watched.steps[0].kl == 0.0 < watched.steps[1].kl
    assert weights(child) != weights(first[0])
    assert {f.name for f in Path(child.path).iterdir()} >= {"adapter_model.safetensors"}
    assert not (Path(child.path) / "ref").exists()


def test_divergence_is_an_outcome(learn: Learn, llm: TransformersLLM, tmp_path: Path) -> None:
    with pytest.raises(LearningFailed, match=r"rl\.learning_rate: the loss diverged"):
        learn(tmp_path / "diverged", Watched(), learning_rate=1e30, steps=3)
    assert "forward" not in vars(llm.base.model)


def test_answers_are_scored_by_their_outcomes(
    reader: Reader, start: Callable[..., LocalExecutor], tmp_path: Path
) -> None:
    """Real executions: a copy in the group and a broken answer get a smaller reward."""
    config = Config()
    texts = [GOOD, GOOD, "8, 3),\n    nn.LazyReLU(),\n)", "8, 3),\n    nn.Re"]
    answers = [Completion(text, "tiny", None, 1, i, 9, 9, 0.1) for i, text in enumerate(texts)]
    alone = [replace(answers[0], index=4)]
    scorer, executions = scorer_in(tmp_path, config, reader, start(workers=2))
    together, single = scorer.score([answers, alone])
    assert executions.executed == 2
    good, copy, unbuilt, cut_off = together
    assert good.evaluation is not None and good.total == copy.total < single[0].total
    assert (good.known, copy.known, single[0].known) == (False, True, True)
    assert single[0].rewards["group-novelty"] == 1.0
    assert cut_off.total == 0.0 < unbuilt.total < good.total
    assert good.total == pytest.approx(
        sum(config.rl.rewards[n] * v for n, v in good.rewards.items())
    )


def test_a_run_goes_on_only_with_its_settings(tmp_path: Path) -> None:
    settings = training_folder.rl_settings(CONFIG, None)
    with training_folder.lock_folder(tmp_path, settings, fresh=False):
        (tmp_path / "steps.jsonl").write_text("")
    longer = CONFIG.model_copy(update={"rl": CONFIG.rl.model_copy(update={"steps": 9})})
    with training_folder.lock_folder(
        tmp_path, training_folder.rl_settings(longer, None), fresh=False
    ):
        pass
    other = CONFIG.model_copy(update={"seed": 4})
    changed = training_folder.rl_settings(other, None)
    with (
        pytest.raises(UserError, match="seed was 3, is 4"),
        training_folder.lock_folder(tmp_path, changed, fresh=False),
    ):
        pass
    with training_folder.lock_folder(tmp_path, changed, fresh=True):
        assert not (tmp_path / "steps.jsonl").exists()
    assert list(tmp_path.glob("old-*/steps.jsonl"))


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trl_trainers, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"needs the package trl.*pip install trl datasets"):
        trl_trainers.check_installed()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("rl.batch_size=5", "batch_size 5 does not divide the 1 × 12 answers"),
        ("rl.rewards={accuracy: 0}", "no reward has a weight"),
        ("rl.rewards={accuracy: -1}", "rl.rewards.accuracy"),
        ("rl.beta=0", "rl.beta"),
    ],
)
def test_settings_that_cannot_work(setting: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config("rl-mnist", [setting])
    assert said in error.value.line()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["rl.rewards={acuracy: 1}"], "unknown reward 'acuracy'. Did you mean 'accuracy'?"),
        (
            ["llm.backend=scripted", "llm.options.script=answers.jsonl"],
            "llm.backend: the backend 'scripted' cannot be trained",
        ),
        (["sampling.temperature=0"], "sampling.temperature: at temperature 0"),
    ],
)
def test_mistakes_are_one_line(
    call_nngpt: Nngpt, tmp_path: Path, settings: list[str], said: str
) -> None:
    sets = [part for setting in settings for part in ("--set", setting)]
    done = call_nngpt("learn", "rl", "rl-mnist", *sets)
    assert done.returncode == 2
    assert said in done.stderr and len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir()), "nothing was written"
