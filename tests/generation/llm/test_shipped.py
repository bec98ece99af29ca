"""The shipped adapters are found by name, small, documented, and write valid networks."""

from __future__ import annotations

import gzip
import json
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from command_line import Nngpt

from nngpt import config
from nngpt.config import Config
from nngpt.data.loading import data_source
from nngpt.errors import ModelError
from nngpt.finetuning.corpus.networks import learned_networks
from nngpt.generation.contract import make_reader
from nngpt.generation.llm.transformers import create
from nngpt.generation.models import embedded
from nngpt.generation.models.adapters import find_adapter, shipped, starting_adapter
from nngpt.records import Adapter, Candidate, Sampling

NAME = "smollm2-135m-lemur"


@pytest.mark.parametrize("adapter", shipped(), ids=lambda a: a.name)
def test_a_shipped_adapter_is_complete(adapter: Adapter) -> None:
    folder = Path(adapter.path)
    assert folder.name == adapter.name
    assert adapter.base in embedded.MODELS
    assert sum(f.stat().st_size for f in folder.iterdir()) < 25e6
    card = (folder / "README.md").read_text()
    for said in ("licence", "scripts/embedded-adapter", "data", adapter.base):
        assert said in card


def test_a_name_finds_the_adapter_unless_a_folder_has_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_adapter(Path(NAME)).name == NAME
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).mkdir()
    with pytest.raises(ModelError, match=f"or a name: .*{NAME}"):
        find_adapter(Path(NAME))


def test_models_adapters_lists_it(nngpt: Nngpt) -> None:
    assert NAME in nngpt("models", "adapters").stdout
    listed = json.loads(nngpt("models", "adapters", "--json").stdout)
    assert NAME in [adapter["name"] for adapter in listed]


@pytest.mark.parametrize("name", ["demo-mnist", "full-cpu"])
def test_the_networks_it_learned_are_known(name: str, tmp_path: Path) -> None:
    """The first hundred; all of them take a quarter of a minute."""
    settings = config.load(name)
    reader = make_reader(settings, data_source(settings))
    adapter = starting_adapter(settings)
    assert adapter is not None
    file = f"{reader.prompt.mode}.jsonl.gz"
    with gzip.open(Path(adapter.path) / file) as whole, gzip.open(tmp_path / file, "wb") as part:
        part.writelines(islice(whole, 100))
    seen = learned_networks(replace(adapter, path=str(tmp_path)), reader)
    assert len(seen) > 50
    assert {c.mode for c in seen.values()} == {reader.prompt.mode}
    assert learned_networks(None, reader) == {}


def test_the_adapter_writes_valid_networks() -> None:
    settings: Config = config.load("demo-mnist", ["llm.device=cpu"])
    reader = make_reader(settings, data_source(settings))
    sampling = Sampling(temperature=0.8, top_k=50, top_p=0.95, max_new_tokens=72)
    with closing(create(settings.llm)) as llm:
        llm.use_adapter(starting_adapter(settings))
        # More tries allow for other sums, so other answers, on other processors.
        longer = replace(sampling, max_new_tokens=110)
        each = ((4, sampling), (5, longer), (1, longer), (3, longer))
        tries = (llm.generate(reader.prompt, 2, seed, how) for seed, how in each)
        assert any(
            isinstance(reader.read(completion.text), Candidate)
            for written in tries
            for completion in written
        )
