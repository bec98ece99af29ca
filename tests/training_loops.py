"""Networks of one architecture that train in many ways: one pass over the images, or more.

`CHEATS` go over what they were given again, openly or in disguise; `HONEST` ones see every image
once, whatever else they do to it. Each takes `PASSES` where it repeats.
"""

from __future__ import annotations

import textwrap

from nngpt.records import Candidate

PASSES = 8

_NETWORK = """
import copy, functools, itertools, math, random, threading, types
import torch
from torch import nn
import torch.nn.functional as F

N = {passes}


def supported_hyperparameters():
    return {{"lr", "momentum"}}

{top}

class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.features = nn.Sequential(
            nn.Conv2d(in_shape[1], 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        )
        self.classifier = nn.Linear(16 * (in_shape[2] // 2) * (in_shape[3] // 2), out_shape[0])

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))

    def train_setup(self, prm):
        self.to(self.device)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.parameters(), lr=prm["lr"], momentum=prm["momentum"])

    def step(self, inputs, labels):
        self.optimizer.zero_grad()
        loss = self.criterion(self(inputs), labels)
        loss.backward()
        self.optimizer.step()
        return loss

    def learn(self, train_data):
        for inputs, labels in train_data:
            self.step(inputs, labels)

{methods}
"""
"""`methods` come last and replace those above."""


def trained_by(methods: str, top: str = "", passes: int = PASSES) -> Candidate:
    """Return a candidate with these methods, and `top` before its class."""
    methods = textwrap.indent(textwrap.dedent(methods).strip("\n"), "    ")
    code = _NETWORK.format(top=textwrap.dedent(top), methods=methods, passes=passes)
    return Candidate(code, code, "full", {"lr": 0.001, "momentum": 0.9}, "norm", 16)


PLAIN = ""
"""Methods of the network that trains as nngpt's own loop does."""

CHEATS: dict[str, tuple[str, str]] = {
    "hoard times": (
        """
        def learn(self, train_data):
            for inputs, labels in list(train_data) * N:
                self.step(inputs, labels)
        """,
        "",
    ),
    "hoard nested": (
        """
        def learn(self, train_data):
            kept = [batch for batch in train_data]
            for _ in range(N):
                for inputs, labels in kept:
                    self.step(inputs, labels)
        """,
        "",
    ),
    "hoard shuffled": (
        """
        def learn(self, train_data):
            kept = list(train_data)
            for _ in range(N):
                random.shuffle(kept)
                for batch in kept:
                    self.step(*batch)
        """,
        "",
    ),
    "stored on self": (
        """
        def learn(self, train_data):
            self.kept, self.round = [], 0
            for batch in train_data:
                self.kept.append(batch)
                self.step(*batch)
            while self.round < N - 1:
                self.round += 1
                for batch in self.kept:
                    self.step(*batch)
        """,
        "",
    ),
    "cycle": (
        """
        def learn(self, train_data):
            for batch in itertools.islice(itertools.cycle(train_data), N * len(train_data)):
                self.step(*batch)
        """,
        "",
    ),
    "tee": (
        """
        def learn(self, train_data):
            for copy_ in itertools.tee(train_data, N):
                for batch in copy_:
                    self.step(*batch)
        """,
        "",
    ),
    "chain of repeats": (
        """
        def learn(self, train_data):
            kept = tuple(train_data)
            for batch in itertools.chain.from_iterable(itertools.repeat(kept, N)):
                self.step(*batch)
        """,
        "",
    ),
    "closure": (
        """
        def learn(self, train_data):
            kept = list(train_data)
            def once_more():
                for batch in kept:
                    self.step(*batch)
            for _ in range(N):
                once_more()
        """,
        "",
    ),
    "generator": (
        """
        def learn(self, train_data):
            for batch in augmented(train_data):
                self.step(*batch)
        """,
        """
        def augmented(data):
            seen = []
            for batch in data:
                seen.append(batch)
                yield batch
            for _ in range(N - 1):
                yield from seen
        """,
    ),
    "recursion": (
        """
        def learn(self, train_data, left=N):
            kept = list(train_data)
            for batch in kept:
                self.step(*batch)
            if left > 1:
                self.learn(kept, left - 1)
        """,
        "",
    ),
    "recursion without a name": (
        """
        def learn(self, train_data):
            kept = list(train_data)
            go = (lambda f: f(f, N))
            go(lambda f, n: n and ([self.step(*b) for b in kept], f(f, n - 1)))
        """,
        "",
    ),
    "each batch again": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                for _ in range(N):
                    self.step(inputs, labels)
        """,
        "",
    ),
    "steps of a closure": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                def closure():
                    self.optimizer.zero_grad()
                    loss = self.criterion(self(inputs), labels)
                    loss.backward()
                    return loss
                for _ in range(N):
                    self.optimizer.step(closure)
        """,
        "",
    ),
    "until the loss is small": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                tries = 0
                while self.step(inputs, labels) > 1e-4 and tries < N:
                    tries += 1
        """,
        "",
    ),
    "replay buffer": (
        """
        def learn(self, train_data):
            memory = []
            for batch in train_data:
                memory.append(batch)
                self.step(*batch)
                for old in random.choices(memory, k=N - 1):
                    self.step(*old)
        """,
        "",
    ),
    "thread": (
        """
        def learn(self, train_data):
            kept = list(train_data)
            worker = threading.Thread(target=lambda: [self.step(*b) for b in kept * N])
            worker.start()
            worker.join()
        """,
        "",
    ),
    "pool of threads": (
        """
        def learn(self, train_data):
            kept = list(train_data)
            with ThreadPoolExecutor(1) as pool:
                list(pool.map(lambda batch: self.step(*batch), kept * N))
        """,
        "from concurrent.futures import ThreadPoolExecutor",
    ),
    "one big tensor": (
        """
        def learn(self, train_data):
            parts = list(train_data)
            images = torch.cat([x for x, _ in parts])
            labels = torch.cat([y for _, y in parts])
            for _ in range(N):
                for part in torch.randperm(len(labels)).split(16):
                    self.step(images[part], labels[part])
        """,
        "",
    ),
    "data loader": (
        """
        def learn(self, train_data):
            parts = list(train_data)
            whole = TensorDataset(*map(torch.cat, zip(*parts)))
            for _ in range(N):
                for batch in DataLoader(whole, 16, shuffle=True):
                    self.step(*batch)
        """,
        "from torch.utils.data import DataLoader, TensorDataset",
    ),
    "the images themselves": (
        """
        def learn(self, train_data):
            images = (train_data.images.float() / 255 - 0.5) / 0.25
            for _ in range(N):
                for part in torch.randperm(len(images)).split(16):
                    self.step(images[part], train_data.labels[part])
        """,
        "",
    ),
    "iterator put back": (
        """
        def learn(self, train_data):
            for _ in range(N):
                train_data._rest, train_data.drawn = iter(train_data._parts), 0
                for batch in train_data:
                    self.step(*batch)
        """,
        "",
    ),
    "new iterables": (
        """
        def learn(self, train_data):
            for seed in range(N):
                again = type(train_data)(train_data.images, train_data.labels, 16,
                                         train_data._transform, seed)
                for batch in again:
                    self.step(*batch)
        """,
        "",
    ),
    "LBFGS": (
        """
        def train_setup(self, prm):
            self.to(self.device)
            self.optimizer = torch.optim.LBFGS(self.parameters(), lr=0.02, max_iter=2 * N,
                                               max_eval=2 * N, history_size=4)

        def learn(self, train_data):
            for inputs, labels in train_data:
                def closure():
                    self.optimizer.zero_grad()
                    loss = F.cross_entropy(self(inputs), labels)
                    loss.backward()
                    return loss
                self.optimizer.step(closure)
        """,
        "",
    ),
    "optimiser that repeats": (
        """
        def train_setup(self, prm):
            self.to(self.device)
            self.criterion = nn.CrossEntropyLoss()
            self.optimizer = Thorough(self, prm)

        def learn(self, train_data):
            for self.inputs, self.labels in train_data:
                self.optimizer.zero_grad()
                self.criterion(self(self.inputs), self.labels).backward()
                self.optimizer.step()
        """,
        """
        class Thorough(torch.optim.SGD):
            def __init__(self, net, prm):
                super().__init__(net.parameters(), lr=prm["lr"], momentum=prm["momentum"])
                self.net = net

            def step(self, closure=None):
                super().step()
                for _ in range(N - 1):
                    self.zero_grad()
                    self.net.criterion(self.net(self.net.inputs), self.net.labels).backward()
                    super().step()
        """,
    ),
    "hook of the forward pass": (
        """
        def learn(self, train_data):
            busy = []
            def again(module, given):
                if self.training and not busy:
                    busy.append(True)
                    for _ in range(N - 1):
                        self.step(given[0], self.now)
                    busy.clear()
            hook = self.register_forward_pre_hook(again)
            for inputs, self.now in train_data:
                self.step(inputs, self.now)
            hook.remove()
        """,
        "",
    ),
    "hook of a gradient": (
        """
        def learn(self, train_data):
            busy = []
            def again(weight):
                if not busy:
                    busy.append(True)
                    with torch.enable_grad():
                        for _ in range(N):
                            self.step(self.inputs, self.labels)
                    busy.clear()
            hook = self.features[0].weight.register_post_accumulate_grad_hook(again)
            for self.inputs, self.labels in train_data:
                self.criterion(self(self.inputs), self.labels).backward()
            hook.remove()
        """,
        "",
    ),
    "trains when asked": (
        """
        def learn(self, train_data):
            self.kept = list(train_data)

        def forward(self, x):
            if not self.training and getattr(self, "kept", None):
                kept, self.kept = self.kept, None
                self.train()
                with torch.enable_grad():
                    for batch in kept * N:
                        self.step(*batch)
                self.eval()
            return self.classifier(torch.flatten(self.features(x), 1))
        """,
        "",
    ),
    "trains in eval()": (
        """
        def learn(self, train_data):
            self.kept = list(train_data)

        def train(self, mode=True):
            super().train(mode)
            kept, self.kept = getattr(self, "kept", None), None
            if not mode and kept:
                super().train(True)
                for batch in kept * N:
                    self.step(*batch)
                super().train(False)
            return self
        """,
        "",
    ),
    "reduce": (
        """
        def learn(self, train_data):
            functools.reduce(lambda _, batch: self.step(*batch), list(train_data) * N, None)
        """,
        "",
    ),
    "comprehension": (
        """
        def learn(self, train_data):
            kept = list(train_data)
            any(self.step(*batch) is None for _ in range(N) for batch in kept)
        """,
        "",
    ),
    "half of it, twice as often": (
        """
        def learn(self, train_data):
            kept = list(train_data)
            for batch in kept[: len(kept) // 2] * (2 * N):
                self.step(*batch)
        """,
        "",
    ),
    "trainer object": (
        """
        def learn(self, train_data):
            Trainer(self, train_data).fit(N)
        """,
        """
        class Trainer:
            def __init__(self, net, data):
                self.net, self.data = net, list(data)

            def fit(self, left):
                while left:
                    left -= 1
                    list(map(self, self.data))

            def __call__(self, batch):
                self.net.step(*batch)
        """,
    ),
    "iterable object": (
        """
        def learn(self, train_data):
            for batch in Epochs(train_data):
                self.step(*batch)
        """,
        """
        class Epochs:
            def __init__(self, data):
                self.data = list(data)

            def __iter__(self):
                self.at = -1
                return self

            def __next__(self):
                self.at += 1
                if self.at >= N * len(self.data):
                    raise StopIteration
                return self.data[self.at % len(self.data)]
        """,
    ),
    "coroutines": (
        """
        def learn(self, train_data):
            trainer = self.trains()
            next(trainer)
            for batch in list(train_data) * N:
                trainer.send(batch)

        def trains(self):
            while True:
                self.step(*(yield))
        """,
        "",
    ),
    "batches made larger": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                self.step(inputs.repeat(N, 1, 1, 1), labels.repeat(N))
        """,
        "",
    ),
    "ensemble of copies": (
        """
        def learn(self, train_data):
            kept = list(train_data)
            members = []
            start = copy.deepcopy(self.state_dict())
            for _ in range(N):
                random.shuffle(kept)
                for batch in kept:
                    self.step(*batch)
                members.append(copy.deepcopy(self.state_dict()))
            mean = {k: sum(m[k] for m in members) / N for k in start}
            self.load_state_dict({k: v.to(start[k].dtype) for k, v in mean.items()})
        """,
        "",
    ),
    "sorted by their loss": (
        """
        def learn(self, train_data):
            kept = list(train_data)
            for _ in range(N):
                kept.sort(key=lambda b: float(self.criterion(self(b[0]), b[1]).detach()))
                for batch in kept:
                    self.step(*batch)
        """,
        "",
    ),
    "inner loops": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                before = [p.detach().clone() for p in self.parameters()]
                for _ in range(N):
                    self.step(inputs, labels)
                with torch.no_grad():
                    for p, old in zip(self.parameters(), before):
                        p.copy_(old + 0.9 * (p - old))
        """,
        "",
    ),
    "teacher first": (
        """
        def learn(self, train_data):
            kept = list(train_data)
            for batch in kept * (N - 1):
                self.step(*batch)
            teacher = copy.deepcopy(self).eval()
            for inputs, _ in kept:
                self.step(inputs, teacher(inputs).argmax(1))
        """,
        "",
    ),
    "windows that overlap": (
        """
        def learn(self, train_data):
            recent = []
            for batch in train_data:
                recent = [*recent, batch][-N:]
                for one in recent:
                    self.step(*one)
        """,
        "",
    ),
}
"""Name → methods, and code before the class."""

HONEST: dict[str, tuple[str, str]] = {
    "plain": (PLAIN, ""),
    "gradient accumulation": (
        """
        def learn(self, train_data):
            for n, (inputs, labels) in enumerate(train_data, 1):
                (self.criterion(self(inputs), labels) / 4).backward()
                if n % 4 == 0:
                    self.optimizer.step()
                    self.optimizer.zero_grad()
        """,
        "",
    ),
    "mixup": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                share, other = random.betavariate(1, 1), torch.randperm(len(labels))
                mixed = share * inputs + (1 - share) * inputs[other]
                self.optimizer.zero_grad()
                out = self(mixed)
                loss = share * self.criterion(out, labels)
                (loss + (1 - share) * self.criterion(out, labels[other])).backward()
                self.optimizer.step()
        """,
        "",
    ),
    "cutmix": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                other = torch.randperm(len(labels))
                inputs = inputs.clone()
                inputs[:, :, 2:8, 2:8] = inputs[other][:, :, 2:8, 2:8]
                self.optimizer.zero_grad()
                out = self(inputs)
                loss = 0.75 * F.cross_entropy(out, labels)
                (loss + 0.25 * F.cross_entropy(out, labels[other])).backward()
                self.optimizer.step()
        """,
        "",
    ),
    "two optimisers": (
        """
        def train_setup(self, prm):
            self.to(self.device)
            self.one = torch.optim.AdamW(self.features.parameters(), lr=1e-3)
            self.two = torch.optim.SGD(self.classifier.parameters(), lr=prm["lr"])

        def learn(self, train_data):
            for inputs, labels in train_data:
                self.one.zero_grad()
                self.two.zero_grad()
                F.cross_entropy(self(inputs), labels).backward()
                self.one.step()
                self.two.step()
        """,
        "",
    ),
    "SAM": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                self.optimizer.zero_grad()
                self.criterion(self(inputs), labels).backward()
                norm = torch.norm(torch.stack([p.grad.norm() for p in self.parameters()]))
                with torch.no_grad():
                    moves = [0.05 * p.grad / (norm + 1e-12) for p in self.parameters()]
                    for p, move in zip(self.parameters(), moves):
                        p.add_(move)
                self.optimizer.zero_grad()
                self.criterion(self(inputs), labels).backward()
                with torch.no_grad():
                    for p, move in zip(self.parameters(), moves):
                        p.sub_(move)
                self.optimizer.step()
        """,
        "",
    ),
    "EMA": (
        """
        def learn(self, train_data):
            mean = {k: v.detach().clone() for k, v in self.state_dict().items()}
            for inputs, labels in train_data:
                self.step(inputs, labels)
                for k, v in self.state_dict().items():
                    if v.dtype.is_floating_point:
                        mean[k].mul_(0.9).add_(v, alpha=0.1)
                    else:
                        mean[k].copy_(v)
            self.load_state_dict(mean)
        """,
        "",
    ),
    "averaged model": (
        """
        def learn(self, train_data):
            mean = torch.optim.swa_utils.AveragedModel(self.classifier)
            for inputs, labels in train_data:
                self.step(inputs, labels)
                mean.update_parameters(self.classifier)
            self.classifier.load_state_dict(mean.module.state_dict())
        """,
        "",
    ),
    "cosine schedule": (
        """
        def learn(self, train_data):
            plan = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, len(train_data))
            for inputs, labels in train_data:
                self.step(inputs, labels)
                plan.step()
        """,
        "",
    ),
    "one cycle": (
        """
        def learn(self, train_data):
            plan = torch.optim.lr_scheduler.OneCycleLR(
                self.optimizer, 0.01, total_steps=len(train_data) + 1)
            for inputs, labels in train_data:
                self.step(inputs, labels)
                plan.step()
        """,
        "",
    ),
    "warm-up": (
        """
        def learn(self, train_data):
            for n, (inputs, labels) in enumerate(train_data):
                self.optimizer.param_groups[0]["lr"] = 0.002 * min(1, (n + 1) / 10)
                self.step(inputs, labels)
        """,
        "",
    ),
    "label smoothing": (
        """
        def train_setup(self, prm):
            self.criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
            self.optimizer = torch.optim.SGD(self.parameters(), lr=prm["lr"], momentum=0.9)
        """,
        "",
    ),
    "clipping of the norm": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                self.optimizer.zero_grad()
                self.criterion(self(inputs), labels).backward()
                nn.utils.clip_grad_norm_(self.parameters(), 1.0)
                self.optimizer.step()
        """,
        "",
    ),
    "clipping of values": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                self.optimizer.zero_grad()
                self.criterion(self(inputs), labels).backward()
                nn.utils.clip_grad_value_(self.parameters(), 0.5)
                self.optimizer.step()
        """,
        "",
    ),
    **{
        name: (
            f"""
            def train_setup(self, prm):
                self.criterion = nn.CrossEntropyLoss()
                self.optimizer = torch.optim.{call}
            """,
            "",
        )
        for name, call in {
            "AdamW": "AdamW(self.parameters(), lr=1e-3)",
            "Adam with amsgrad": "Adam(self.parameters(), lr=1e-3, amsgrad=True)",
            "RMSprop": "RMSprop(self.parameters(), lr=1e-4)",
            "Adagrad": "Adagrad(self.parameters(), lr=1e-2)",
            "NAdam": "NAdam(self.parameters(), lr=1e-3)",
            "Adamax, step by step": "Adamax(self.parameters(), lr=1e-3, foreach=False)",
            "Nesterov": (
                "SGD(self.parameters(), lr=1e-3, momentum=0.9, nesterov=True, weight_decay=1e-4)"
            ),
        }.items()
    },
    "Lion by hand": (
        """
        def learn(self, train_data):
            momenta = [torch.zeros_like(p) for p in self.parameters()]
            for inputs, labels in train_data:
                self.zero_grad()
                self.criterion(self(inputs), labels).backward()
                with torch.no_grad():
                    for p, m in zip(self.parameters(), momenta):
                        p.sub_(2e-4 * torch.sign(0.9 * m + 0.1 * p.grad))
                        m.mul_(0.99).add_(p.grad, alpha=0.01)
        """,
        "",
    ),
    "SGD by hand": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                loss = self.criterion(self(inputs), labels)
                slopes = torch.autograd.grad(loss, list(self.parameters()))
                with torch.no_grad():
                    for p, g in zip(self.parameters(), slopes):
                        p.sub_(0.01 * g)
        """,
        "",
    ),
    "lookahead": (
        """
        def learn(self, train_data):
            slow = [p.detach().clone() for p in self.parameters()]
            for n, (inputs, labels) in enumerate(train_data, 1):
                self.step(inputs, labels)
                if n % 5 == 0:
                    with torch.no_grad():
                        for p, s in zip(self.parameters(), slow):
                            s.add_(0.5 * (p - s))
                            p.copy_(s)
        """,
        "",
    ),
    "gradient centralisation and noise": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                self.optimizer.zero_grad()
                self.criterion(self(inputs), labels).backward()
                for p in self.parameters():
                    if p.dim() > 1:
                        p.grad -= p.grad.mean(tuple(range(1, p.dim())), keepdim=True)
                    p.grad += 1e-3 * torch.randn_like(p)
                self.optimizer.step()
        """,
        "",
    ),
    "layer-wise rates": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                self.optimizer.zero_grad()
                self.criterion(self(inputs), labels).backward()
                with torch.no_grad():
                    for p in self.parameters():
                        p.grad.mul_((p.norm() + 1e-3) / (p.grad.norm() + 1e-3))
                self.optimizer.step()
        """,
        "",
    ),
    "focal loss": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                self.optimizer.zero_grad()
                each = F.cross_entropy(self(inputs), labels, reduction="none")
                ((1 - torch.exp(-each)) ** 2 * each).mean().backward()
                self.optimizer.step()
        """,
        "",
    ),
    "squared error": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                self.optimizer.zero_grad()
                F.mse_loss(self(inputs), F.one_hot(labels, 4).float()).backward()
                self.optimizer.step()
        """,
        "",
    ),
    "class weights as they come": (
        """
        def learn(self, train_data):
            counts = torch.ones(4)
            for inputs, labels in train_data:
                counts += torch.bincount(labels, minlength=4)
                self.optimizer.zero_grad()
                F.cross_entropy(self(inputs), labels, weight=counts.sum() / counts / 4).backward()
                self.optimizer.step()
        """,
        "",
    ),
    "shifts, flips and erasing": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                inputs = torch.roll(inputs, (random.randint(-1, 1), random.randint(-1, 1)), (2, 3))
                inputs = inputs + 0.1 * torch.randn_like(inputs)
                inputs[:, :, random.randint(0, 8) :, :2] = 0
                self.step(inputs, labels)
        """,
        "",
    ),
    "augmentation image by image": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                images = []
                for image in inputs:
                    image = F.pad(image, (1, 1, 1, 1))
                    top, left = random.randint(0, 2), random.randint(0, 2)
                    image = image[:, top : top + 12, left : left + 12]
                    images.append(image * random.uniform(0.9, 1.1))
                self.step(torch.stack(images), labels)
        """,
        "",
    ),
    "torchvision image by image": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                self.step(torch.stack([change(image) for image in inputs]), labels)
        """,
        """
        from torchvision.transforms import v2
        change = v2.Compose([v2.RandomCrop(12, padding=1), v2.RandomErasing(0.2)])
        """,
    ),
    "two dropouts agree": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                self.optimizer.zero_grad()
                one, two = self(inputs), self(inputs + 0.05 * torch.randn_like(inputs))
                apart = F.kl_div(F.log_softmax(one, 1), F.softmax(two, 1), reduction="batchmean")
                (self.criterion(one, labels) + self.criterion(two, labels) + apart).backward()
                self.optimizer.step()
        """,
        "",
    ),
    "adversarial images": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                inputs = inputs.clone().requires_grad_()
                (slope,) = torch.autograd.grad(self.criterion(self(inputs), labels), inputs)
                self.step((inputs + 0.02 * slope.sign()).detach(), labels)
        """,
        "",
    ),
    "gradient penalty": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                inputs = inputs.clone().requires_grad_()
                loss = self.criterion(self(inputs), labels)
                (slope,) = torch.autograd.grad(loss, inputs, create_graph=True)
                self.optimizer.zero_grad()
                (loss + 0.1 * slope.pow(2).sum()).backward()
                self.optimizer.step()
        """,
        "",
    ),
    "hard examples": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                with torch.no_grad():
                    losses = F.cross_entropy(self(inputs), labels, reduction="none")
                hard = losses.topk(max(2, len(labels) * 3 // 4)).indices
                self.step(inputs[hard], labels[hard])
        """,
        "",
    ),
    "teacher by EMA": (
        """
        def learn(self, train_data):
            teacher = copy.deepcopy(self)
            for inputs, labels in train_data:
                with torch.no_grad():
                    soft = F.softmax(teacher(inputs), 1)
                self.optimizer.zero_grad()
                out = self(inputs)
                (self.criterion(out, labels) + 0.1 * self.criterion(out, soft)).backward()
                self.optimizer.step()
                with torch.no_grad():
                    for t, p in zip(teacher.parameters(), self.parameters()):
                        t.lerp_(p, 0.1)
        """,
        "",
    ),
    "quarters of a batch": (
        """
        def learn(self, train_data):
            for inputs, labels in train_data:
                for part in torch.arange(len(labels)).split(4):
                    self.step(inputs[part], labels[part])
        """,
        "",
    ),
    "two batches as one": (
        """
        def learn(self, train_data):
            held = []
            for batch in train_data:
                held.append(batch)
                if len(held) == 2:
                    self.step(*map(torch.cat, zip(*held)))
                    held.clear()
        """,
        "",
    ),
    "hoard, shuffle, one pass": (
        """
        def learn(self, train_data):
            kept = list(train_data)
            random.shuffle(kept)
            while kept:
                self.step(*kept.pop())
        """,
        "",
    ),
    "frozen by turns": (
        """
        def learn(self, train_data):
            for n, (inputs, labels) in enumerate(train_data):
                self.features.requires_grad_(n % 2 == 0)
                self.step(inputs, labels)
            self.features.requires_grad_(True)
        """,
        "",
    ),
    "auxiliary loss": (
        """
        def learn(self, train_data):
            centres = torch.zeros(4, 576)
            for inputs, labels in train_data:
                self.optimizer.zero_grad()
                inner = torch.flatten(self.features(inputs), 1)
                loss = self.criterion(self.classifier(inner), labels)
                (loss + 1e-3 * (inner - centres[labels]).pow(2).mean()).backward()
                self.optimizer.step()
                with torch.no_grad():
                    for label, row in zip(labels, inner):
                        centres[label].lerp_(row, 0.05)
        """,
        "",
    ),
    "records what it does": (
        """
        def learn(self, train_data):
            self.history = []
            for inputs, labels in train_data:
                loss = self.step(inputs, labels)
                norms = {k: float(p.norm()) for k, p in self.named_parameters()}
                with torch.no_grad():
                    right = float((self(inputs).argmax(1) == labels).float().mean())
                self.history.append((float(loss), right, norms))
        """,
        "",
    ),
}
"""Name → methods, and code before the class."""
