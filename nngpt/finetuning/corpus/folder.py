"""The folder of a corpus, written all or nothing: three JSONL parts, a manifest and a card."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nngpt import __version__, files
from nngpt.config import EvaluationConfig
from nngpt.errors import UserError
from nngpt.finetuning.corpus.answers import AnswerWriter, NetworkAnswer
from nngpt.finetuning.corpus.build import BuiltCorpus, CorpusSelection, OnProgress, build_corpus
from nngpt.finetuning.corpus.build_check import open_build_check
from nngpt.finetuning.corpus.lemur_networks import OWN_FAMILY, LemurNetwork, read_networks
from nngpt.generation.pairs import prompt_keys
from nngpt.store.lemur.mirror import open_mirror

FORMAT = 1
"""Version of the manifest and of the lines, for readers of a corpus."""

_SHOWN_FAMILIES = 8
_CHANGED = "Nothing was written; choose another folder with --out"


def create_corpus(
    folder: Path,
    mirrors: Sequence[Path],
    writer: AnswerWriter,
    selection: CorpusSelection,
    evaluation: EvaluationConfig | None,
    on_progress: OnProgress,
) -> dict[str, Any]:
    """Fill a new or empty folder with a corpus of LEMUR's networks; return its manifest.

    Args:
        mirrors: folder of the LEMUR mirror; folders of runs whose own networks are added, if
            they exist.
        evaluation: sandbox settings of the build check; None to build without a check.

    Raises:
        StoreError: there is no mirror, or it is empty.
        UserError: no network is left, or the folder is not empty or cannot be written.
        ExecutionError: the sandbox of the build check does not work.
    """
    files.check_new(folder, _CHANGED)
    with open_mirror(mirrors[0]) as store:
        networks = read_networks(store, selection.best_on)
    for runs in mirrors[1:]:
        networks += _own_networks(runs, {one.name for one in networks})
    check = open_build_check(evaluation, writer.tasks) if evaluation else nullcontext()
    with check as opened:
        built = build_corpus(networks, writer, selection, opened, on_progress)
    if not any(built.parts.values()):
        last = [step for step in built.exclusions.steps() if step.reasons][-1]
        raise UserError(f"no network is left ({last.step}: {next(iter(last.reasons))})")
    facts = corpus_facts(networks, writer, selection, evaluation is not None)
    return write_corpus(folder, built, facts)


def _own_networks(runs: Path, known: Container[str]) -> list[LemurNetwork]:
    """Return the networks that nngpt's runs in a folder wrote, for a corpus; [] without runs."""
    if not (runs / files.DATABASE).exists():
        return []
    with open_mirror(runs) as store:
        found = read_networks(store)
    return [one for one in found if one.family == OWN_FAMILY and one.name not in known]


def write_corpus(folder: Path, corpus: BuiltCorpus, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write a built corpus to a new or empty folder, and return its manifest.

    Args:
        facts: first entries of the manifest, from `corpus_facts`.

    Raises: UserError if the folder is not empty, or cannot be written.
    """
    files.check_new(folder, _CHANGED)
    texts = {
        f"{part}.jsonl": "".join(
            json.dumps(_line(answered.network, answer), ensure_ascii=False) + "\n"
            for answered in networks
            for answer in answered.answers
        ).encode()
        for part, networks in corpus.parts.items()
    }
    manifest = {
        "format": FORMAT,
        **facts,
        **_counts(corpus),
        "files": {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()},
    }
    texts["manifest.json"] = (json.dumps(manifest, indent=1) + "\n").encode()
    texts["CARD.md"] = ("\n".join(_card(manifest)) + "\n").encode()
    target = folder.resolve()
    with files.write_errors(folder, _CHANGED):
        target.parent.mkdir(parents=True, exist_ok=True)
        with files.scratch(target) as scratch:
            draft = scratch / "corpus"
            draft.mkdir()
            for name, text in texts.items():
                (draft / name).write_bytes(text)
            files.publish(draft, target)
    return manifest


def corpus_facts(
    networks: Sequence[LemurNetwork],
    writer: AnswerWriter,
    selection: CorpusSelection,
    build_check: bool,
) -> dict[str, Any]:
    """Return what a corpus folder's manifest says of template, tasks, settings and networks."""
    template, tasks = writer.asked, writer.tasks
    return {
        "nngpt": __version__,
        "template": {"name": template.name, "hash": template.hash, "mode": template.mode},
        "tasks": {t.dataset: {"shape": t.in_shape[1:], "classes": t.out_shape[0]} for t in tasks},
        "settings": {
            **asdict(selection),
            "build_check": build_check,
            "compact": writer.compact,
            "max_parameters": tasks[0].max_parameters,
            "defaults": asdict(writer.defaults),
        },
        "inputs": _inputs(networks),
    }


def _inputs(networks: Sequence[LemurNetwork]) -> dict[str, Any]:
    """Return the number of input networks, and a sha256 over their code and records."""
    digest = hashlib.sha256()
    for network in networks:
        trials = [
            [t.dataset, t.accuracy, t.epoch, sorted(t.settings.items())]
            for _, t in sorted(network.trials.items())
        ]
        code = hashlib.sha256(network.code.encode("utf-8", "surrogatepass")).hexdigest()
        digest.update(repr([network.name, code, sorted(network.tasks), trials]).encode())
    return {"networks": len(networks), "sha256": digest.hexdigest()}


def _line(network: LemurNetwork, answer: NetworkAnswer) -> dict[str, Any]:
    trial, changed = answer.trial, {}
    if answer.changed:
        name, before = answer.changed
        changed = {"changes": f"lemur:{name}", "accuracy_before": before.accuracy}
    asked = prompt_keys(answer.prompt.prompt)
    return {
        "messages": asked.pop("messages"),
        "prefill": asked.pop("prefill"),
        "completion": answer.completion,
        **asked,
        "task": ",".join(answer.prompt.datasets),
        "source": f"lemur:{network.name}",
        "nn_id": network.nn_id,
        "family": network.family,
        "accuracy": trial.accuracy if trial else None,
        "accuracy_on": trial.dataset if trial else None,
        "accuracy_epoch": trial.epoch if trial else None,
        **changed,
    }


def _counts(corpus: BuiltCorpus) -> dict[str, Any]:
    """Return a corpus manifest's entries on excluded networks and on the parts."""
    total = sum(len(networks) for networks in corpus.parts.values())
    return {
        "funnel": {
            "start": corpus.exclusions.start,
            "steps": [
                {"step": step.step, "lost": step.count, "left": step.left, "reasons": step.reasons}
                for step in corpus.exclusions.steps()
            ],
            "kept": total,
        },
        "splits": {
            part: {
                "networks": len(found),
                "pairs": sum(len(a.answers) for a in found),
                "share": round(len(found) / max(1, total), 4),
                "families": dict(Counter(a.network.family for a in found).most_common()),
            }
            for part, found in corpus.parts.items()
        },
    }


def _card(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a Markdown page that describes the corpus."""
    template, funnel, splits = manifest["template"], manifest["funnel"], manifest["splits"]
    pairs = sum(part["pairs"] for part in splits.values())
    tasks = ", ".join(f"{name} ({_shape(task)})" for name, task in manifest["tasks"].items())
    yield "# Training pairs from the LEMUR mirror"
    yield ""
    yield (
        f"{funnel['kept']:,} networks as {pairs:,} prompt–answer pairs in `{template['mode']}` "
        f"mode (template `{template['name']}`, {template['hash']}) for {tasks}. Built by nngpt "
        f"{manifest['nngpt']}; `manifest.json` has all settings and counts."
    )
    yield ""
    yield "| step | networks excluded | networks left |"
    yield "|---|---:|---:|"
    yield f"| LEMUR mirror | | {funnel['start']:,} |"
    for step in funnel["steps"]:
        yield f"| {step['step']} | {step['lost']:,} | {step['left']:,} |"
    yield ""
    yield "| part | networks | pairs | families |"
    yield "|---|---:|---:|---|"
    for part, facts in splits.items():
        yield f"| {part} | {facts['networks']:,} | {facts['pairs']:,} | {_families(facts)} |"
    yield ""
    yield (
        "No family is divided between parts. Families differ in size, so the shares are only "
        "approximate, and a part may hold few families: results on dev and test are results on "
        "these families."
    )
    yield ""
    yield (
        "Use it: `nngpt cycle run CONFIG --set learning.corpus=train.jsonl`. A line is a prompt "
        "(`messages`, `prefill`, `stop`) with the `completion` to learn; the other keys describe "
        "its origin. LEMUR's networks are under the MIT licence."
    )


def _shape(task: Mapping[str, Any]) -> str:
    return f"{'×'.join(map(str, task['shape']))}, {task['classes']} classes"


def _families(facts: Mapping[str, Any]) -> str:
    """Return a part's largest families with their numbers of networks."""
    families = facts["families"]
    shown = [f"{name} {count:,}" for name, count in list(families.items())[:_SHOWN_FAMILIES]]
    more = len(families) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "") or "–"
