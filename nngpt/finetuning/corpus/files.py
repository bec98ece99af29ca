"""Writes a corpus: a folder with three JSONL files, a manifest and a card, whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nngpt import __version__, files
from nngpt.errors import UserError
from nngpt.finetuning.corpus.answers import Answer, Answered, Writer
from nngpt.finetuning.corpus.build import Choice, Corpus
from nngpt.finetuning.corpus.card import card
from nngpt.finetuning.corpus.mirror import Recorded
from nngpt.records import Task

FORMAT = 1
"""Version of the manifest and of the lines; a reader may ask for it."""

_CHANGED = "Nothing was written; choose another folder with --out"


def check_new(folder: Path) -> None:
    """See that a folder is new or empty. Raises: UserError."""
    try:
        filled = folder.exists() and any(folder.iterdir())
    except OSError as error:
        why = f"cannot be used ({error.strerror})"
        raise UserError(why, where=str(folder), hint=_CHANGED) from None
    if filled:
        raise UserError("the folder is not empty", where=str(folder), hint=_CHANGED)


def write_corpus(folder: Path, corpus: Corpus, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write the corpus to a new or empty folder; returns the manifest. `facts` open it.

    Raises:
        UserError: the folder is not empty, or cannot be written.
    """
    check_new(folder)
    texts = {
        f"{part}.jsonl": "".join(_lines(networks)).encode()
        for part, networks in corpus.parts.items()
    }
    manifest = {
        "format": FORMAT,
        **facts,
        **_counts(corpus),
        "files": {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()},
    }
    texts["manifest.json"] = (json.dumps(manifest, indent=1) + "\n").encode()
    texts["CARD.md"] = card(manifest).encode()
    target = folder.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with files.scratch(target) as scratch:
            draft = scratch / "corpus"
            draft.mkdir()
            for name, text in texts.items():
                (draft / name).write_bytes(text)
            files.publish(draft, target)
    except OSError as error:
        why = f"cannot be written ({error.strerror})"
        raise UserError(why, where=str(folder), hint=_CHANGED) from None
    return manifest


def facts(
    networks: Sequence[Recorded],
    writer: Writer,
    tasks: Sequence[Task],
    choice: Choice,
    build_check: bool,
) -> dict[str, Any]:
    """What a corpus was made of, and how: the beginning of its manifest."""
    template = writer.template
    return {
        "nngpt": __version__,
        "template": {
            "name": template.name,
            "hash": template.hash,
            "mode": template.mode.value,
        },
        "tasks": {t.dataset: {"shape": t.in_shape[1:], "classes": t.out_shape[0]} for t in tasks},
        "settings": {
            **asdict(choice),
            "build_check": build_check,
            "compact": writer.compact,
            "max_parameters": tasks[0].max_parameters,
            "defaults": asdict(writer.defaults),
        },
        "inputs": _inputs(networks),
    }


def _inputs(networks: Sequence[Recorded]) -> dict[str, Any]:
    """How many networks were read, and a sha256 over their code and what is on record of them."""
    digest = hashlib.sha256()
    for network in networks:
        trials = [
            [t.dataset, t.accuracy, t.epoch, sorted(t.settings.items())]
            for _, t in sorted(network.trials.items())
        ]
        code = hashlib.sha256(network.code.encode("utf-8", "surrogatepass")).hexdigest()
        digest.update(repr([network.name, code, sorted(network.tasks), trials]).encode())
    return {"networks": len(networks), "sha256": digest.hexdigest()}


def _lines(networks: Sequence[Answered]) -> Iterator[str]:
    for answered in networks:
        for answer in answered.answers:
            yield json.dumps(_line(answered.network, answer), ensure_ascii=False) + "\n"


def _line(network: Recorded, answer: Answer) -> dict[str, Any]:
    prompt, trial = answer.asked.prompt, answer.trial
    return {
        "messages": [{"role": m.role, "content": m.content} for m in prompt.messages],
        "prefill": prompt.prefill,
        "completion": answer.completion,
        "stop": list(prompt.stop),
        "mode": prompt.mode.value,
        "template": prompt.template,
        "template_hash": prompt.template_hash,
        "task": ",".join(answer.asked.names),
        "source": f"lemur:{network.name}",
        "nn_id": network.nn_id,
        "family": network.family,
        "accuracy": trial.accuracy if trial else None,
        "accuracy_on": trial.dataset if trial else None,
        "accuracy_epoch": trial.epoch if trial else None,
    }


def _counts(corpus: Corpus) -> dict[str, Any]:
    networks = [a.network for part in corpus.parts.values() for a in part]
    families = {
        part: dict(Counter(a.network.family for a in found).most_common())
        for part, found in corpus.parts.items()
    }
    return {
        "funnel": {
            "start": corpus.funnel.start,
            "steps": [
                {"step": loss.step, "lost": loss.count, "left": loss.left, "reasons": loss.reasons}
                for loss in corpus.funnel.losses()
            ],
            "kept": len(networks),
        },
        "splits": {
            part: {
                "networks": len(found),
                "pairs": sum(len(a.answers) for a in found),
                "share": round(len(found) / max(1, len(networks)), 4),
                "families": families[part],
            }
            for part, found in corpus.parts.items()
        },
    }
