"""Mode `features`: the LLM writes the layers of one `nn.Sequential(...)`; a template the rest."""

from __future__ import annotations

import ast
from dataclasses import replace

from nngpt.generation.contract import answers
from nngpt.generation.contract.answers import Answer
from nngpt.generation.contract.blocks import with_blocks
from nngpt.generation.contract.candidate import Defaults, make_candidate
from nngpt.generation.contract.layer_list import read_layers, write_layers
from nngpt.generation.contract.reader import Reader
from nngpt.protocols import PromptMode
from nngpt.records import Candidate, Prompt, Refusal


class FeaturesMode(PromptMode):
    """Answers are one layer list; they have no settings."""

    defines_blocks = True

    def read(self, answer: str, reader: Reader) -> Candidate | Refusal:
        """Return the network that template and layer list make together, or why there is none."""
        prompt = reader.prompt
        source, end, _ = answer.strip().partition("\n)")
        layers = read_layers(source + end, frozenset(block.name for block in prompt.blocks))
        if isinstance(layers, Refusal):
            return layers if end else replace(answers.CUT_OFF, detail=layers.detail)
        code = with_blocks(reader.template.network_code(reader.task, layers=layers), prompt)
        return make_candidate(Answer(code, {}), code, write_layers(layers), prompt, reader.defaults)

    def novelty_text(self, candidate: Candidate) -> str:
        """Return the layer list, found in the network's code because the prefill is not stored."""
        tree = ast.parse(candidate.code)
        blocks = frozenset(node.name for node in tree.body if isinstance(node, ast.ClassDef))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                layers = read_layers(ast.unparse(node), blocks)
                if not isinstance(layers, Refusal):
                    text = write_layers(layers)
                    if text.endswith(candidate.written):
                        return text
        return candidate.code

    def known_answer(self, candidate: Candidate, prompt: Prompt, defaults: Defaults) -> str:
        """Return the layer list."""
        return self.novelty_text(candidate)


def create() -> FeaturesMode:
    """Return the prompt mode `features`."""
    return FeaturesMode()
