"""Mode `body`: the LLM writes helpers and `Net` with `__init__` and `forward`; a template the rest.

The template adds imports, `supported_hyperparameters`, `train_setup` and `learn`.
"""

from __future__ import annotations

import ast

from nngpt.generation.contract import answers
from nngpt.generation.contract.blocks import with_blocks
from nngpt.generation.contract.candidate import Defaults, make_candidate, parse
from nngpt.generation.contract.interface import SUPPORTED, check_network, find_class
from nngpt.generation.contract.reader import Reader
from nngpt.protocols import PromptMode
from nngpt.records import Candidate, Prompt, Refusal, Stage

_ADDED = frozenset({"train_setup", "learn", SUPPORTED})


class BodyMode(PromptMode):
    """Answers are the part of a network file that defines its architecture, in a code block."""

    defines_blocks = True

    def read(self, answer: str, reader: Reader) -> Candidate | Refusal:
        """Return the network that template and answer make together, or why there is none."""
        found = answers.read(answer)
        if isinstance(found, Refusal):
            return found
        code = _complete(found.code, reader)
        if isinstance(code, Refusal):
            return code
        code, canonical = with_blocks(code, reader.prompt), answers.write(found)
        return make_candidate(found, code, canonical, reader.prompt, reader.defaults)

    def novelty_text(self, candidate: Candidate) -> str:
        """Return the code that the LLM wrote."""
        return candidate.written.removesuffix("```").rstrip("`\n")

    def known_answer(self, candidate: Candidate, prompt: Prompt, defaults: Defaults) -> str:
        """Return the network's canonical answer."""
        return prompt.prefill + candidate.written


def create() -> BodyMode:
    """Return the prompt mode `body`."""
    return BodyMode()


def _complete(body: str, reader: Reader) -> str | Refusal:
    """Return the network file around helpers and a class Net with `__init__` and `forward`."""
    tree = parse(body)
    if isinstance(tree, Refusal):
        return tree
    refusal = check_network(tree, ("__init__", "forward"))
    net = find_class(tree, "Net")
    if refusal or net is None:
        return refusal or Refusal(Stage.CONTRACT, "there is no class Net")
    for node in [*net.body, *tree.body]:
        if isinstance(node, ast.FunctionDef) and node.name in _ADDED:
            reason = f"{node.name} belongs to the template in body mode; the answer has its own"
            return Refusal(Stage.CONTRACT, reason, f"line {node.lineno}")
    lines = body.split("\n")
    end, first = net.end_lineno or len(lines), net.body[0]
    return reader.template.network_code(
        reader.task,
        upto_net="\n".join(lines[:end]),
        after_net="\n".join(lines[end:]).strip("\n"),
        indentation=lines[first.lineno - 1][: first.col_offset],
    )
