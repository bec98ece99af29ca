"""Networks that break the contract, by accident or on purpose."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hostile_samples import BLIND, everywhere, gains_nothing
from sandbox_samples import HONEST, altered

from nngpt.records import Evaluation, Refusal

Attack = Callable[..., Evaluation | Refusal]
Attacks = Callable[..., dict[str, Evaluation | Refusal]]


@pytest.mark.parametrize(
    "value",
    ["None", "7", "'lr'", "{1: 2}", "{'lr': 0.1}", "[['lr']]", "iter(['lr'])", "{None}", "Net"],
)
def test_hyperparameters_of_any_type_gain_nothing(attack: Attack, value: str) -> None:
    result = attack(BLIND.replace('return {"lr"}', f"return {value}"))
    assert gains_nothing(result)


def test_endless_hyperparameters_are_refused(attack: Attack) -> None:
    endless = 'return (f"x{n}" for n in __import__("itertools").count())'
    result = attack(BLIND.replace('return {"lr"}', endless), limit_s=1.2, workers=4)
    assert isinstance(result, Refusal)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("Net = None", "Net"),
        ("Net = lambda *a, **k: None", "defines no class Net"),
        ("class Net:\n    def __init__(self, *a): pass", "Net is no torch.nn.Module"),
        ("del Net", "defines no class Net"),
        ("del supported_hyperparameters", "failed: AttributeError"),
        ("del Net.forward", "NotImplementedError"),
        ("del Net.learn", "failed: AttributeError"),
        ("del Net.train_setup", "failed: AttributeError"),
        ("Net.parameters = lambda self: [None]", "failed: AttributeError"),
        ("Net.eval = None", "TypeError"),
        ("Net.to = lambda self, device: None", "failed: AttributeError"),
        ("Net.forward = lambda self, x: [x]", "forward returns a list"),
        ("Net.forward = lambda self, x: self", "forward returns a Net"),
        ("Net.forward = lambda self, x: self(x)", "failed: RecursionError"),
        ("Net.learn = lambda self, data: self.learn(data)", "failed: RecursionError"),
        ("Net.learn = lambda self, data: data.x", "failed: AttributeError"),
        ("Net.__init__ = lambda self, *a: None", "failed: AttributeError"),
        ("class Net(torch.nn.Module, metaclass=type('M', (type,), {})): pass", "failed: TypeError"),
        ("import torch; torch.Tensor.float = None; torch.cat = None", "TypeError"),
    ],
)
def test_a_broken_class_is_refused(attack: Attack, code: str, reason: str) -> None:
    result = attack(f"{BLIND}\n\n{code}\n")
    assert isinstance(result, Refusal), result
    assert reason in result.reason


@pytest.mark.parametrize(
    "body",
    [
        "pass",
        "return train_data",
        "next(iter(train_data))",
        "self.learn = None; self.forward = super().forward",
        "self.__class__ = nn.Identity",
        "self.__dict__.clear()",
        "del Net.learn, Net.forward",
        "yield train_data",
        "train_data.__class__ = list",
    ],
)
def test_a_learn_that_does_not_learn_gains_nothing(attack: Attack, body: str) -> None:
    begin, _, _ = HONEST.partition("        for inputs, labels")
    assert gains_nothing(attack(f"{begin}        {body}\n"))


ENDS = {
    "SystemExit": "raise SystemExit(0)",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "GeneratorExit": "raise GeneratorExit",
    "StopIteration": "raise StopIteration",
    "BaseException": "raise BaseException('x' * 100_000)",
    "MemoryError": "raise MemoryError",
    "exit": "import sys; sys.exit('done')",
    "group": "raise BaseExceptionGroup('many', [ValueError(1), KeyboardInterrupt()])",
    "_exit": "import os; os._exit(0)",
    "recursion": "f = lambda: f()\nf()",
    "chain": """
error = ValueError()
for _ in range(10_000):
    error, last = ValueError(), error
    error.__cause__ = last
raise error
""",
    "hostile message": """
class Hostile(Exception):
    def __str__(self): raise Hostile
    __repr__ = __str__
raise Hostile
""",
    "message that is no text": """
class Hostile(Exception):
    def __str__(self): return 7
raise Hostile
""",
    "hostile name": """
class Meta(type):
    __name__ = property(lambda cls: 1 / 0)
class Hostile(Exception, metaclass=Meta): pass
raise Hostile
""",
    "markup": "raise ValueError('[red]<script>\\x1b[31m\\u202e\\ud800' * 999)",
}


@pytest.mark.parametrize("name", ENDS)
def test_every_exit_is_a_refusal(attacks: Attacks, name: str) -> None:
    for result in attacks(everywhere(ENDS[name])).values():
        assert isinstance(result, Refusal), result
        assert result.reason


def test_the_parameter_budget_counts_all_parameters(attack: Attack) -> None:
    code = altered("self.device = device", "self.device = device; self.more = nn.Linear(99, 99)")
    result = attack(code, max_parameters=1300)
    assert isinstance(result, Refusal), result
    assert result.reason == "has 11,152 parameters, the budget is 1,300"


@pytest.mark.parametrize(
    "transform",
    [
        "transform = None",
        "transform = v2.Lambda(lambda x: None)",
        "transform = v2.Lambda(lambda x: x[:1])",
        "transform = v2.Lambda(lambda x: 1 / 0)",
        "raise SystemExit",
        "import os; os._exit(0)",
        "transform = (v2.Identity(),)",
        "def transform(norm): return transform",
    ],
)
def test_a_broken_transform_is_refused(attack: Attack, transform: str) -> None:
    result = attack(HONEST, transform=transform)
    assert isinstance(result, Refusal), result
