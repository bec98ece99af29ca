"""`learning.corpus: lemur`: built from the mirror on first use, by one recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpus_samples import FILES, classified, fill

from nngpt import config
from nngpt.config import LEMUR_CORPUS
from nngpt.data.loading import data_source
from nngpt.errors import StoreError
from nngpt.finetuning.corpus import lemur_corpus
from nngpt.finetuning.corpus.networks import read_corpus
from nngpt.generation.contract import make_reader
from nngpt.generation.contract.answers import gives_settings
from nngpt.generation.prompts import template as prompts


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NNGPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


def test_it_is_built_once_and_each_network_answers_for_both_tasks(cache: Path) -> None:
    (cache / "lemur").mkdir(parents=True)
    fill(cache / "lemur", FILES, {name: [classified(0.7, lr=0.5)] for name in FILES})
    log: list[str] = []
    paper = config.load("paper-cifar10")
    lemur_corpus.ensure(paper.learning.corpus, log.append)
    lemur_corpus.ensure(paper.learning.corpus, log.append)
    assert len(log) == 1
    pairs = [pair for pair, _ in read_corpus(paper, make_reader(paper, data_source(paper)), print)]
    assert {pair.prompt.template_hash for pair in pairs} == {prompts.load("paper").hash}
    assert not any(gives_settings(pair.completion) for pair in pairs)
    questions = [pair.prompt.messages[-1].content for pair in pairs]
    assert sum("images of mnist" in one for one in questions) == len(pairs) / 2 > 2
    assert all("At most 5,000,000 trainable" in one for one in questions)


def test_the_recipe_is_that_of_the_papers_configurations() -> None:
    for name in ("cifar10", "cifar100", "svhn"):
        paper, recipe = config.load(f"paper-{name}"), lemur_corpus.RECIPE
        assert paper.evaluation.model_copy(update={"retrain": True}) == recipe.evaluation
        assert paper.task.max_parameters == recipe.task.max_parameters
        assert paper.sampling == recipe.sampling
        assert paper.prompt.template == "paper"
    assert prompts.load("paper").hash == "70765c884c7ce4d7", "number the recipe anew"


def test_without_a_mirror_it_says_how_to_get_one(cache: Path) -> None:
    with pytest.raises(StoreError) as error:
        lemur_corpus.ensure(LEMUR_CORPUS, print)
    assert "nngpt lemur pull" in error.value.line()
    assert not config.corpus_file(LEMUR_CORPUS).parent.exists()


def test_a_file_of_the_same_name_is_taken_instead(tmp_path: Path) -> None:
    (tmp_path / "lemur").write_text('{"completion": "x"}\n')
    lemur_corpus.ensure(LEMUR_CORPUS, print)
    assert config.corpus_file(LEMUR_CORPUS) == LEMUR_CORPUS
