from functools import partial
from typing import Any, Optional

import torch
from torch import Tensor, nn

CHANNELS = (16, 32, 48)
norm = partial(nn.BatchNorm2d, eps=1e-4)


def conv3x3(in_planes: int, out_planes: int, stride: int = 1) -> nn.Conv2d:
    """3x3 convolution with padding."""
    return nn.Conv2d(in_planes, out_planes, kernel_size=3, stride=stride, padding=1, bias=False)


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int = 1, *, act: Any = nn.ReLU) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3x3(inputs, outputs, stride), norm(outputs)
        self.conv2, self.bn2 = conv3x3(outputs, outputs), norm(outputs)
        self.act = act()
        self.shortcut: Optional[nn.Module] = None  # noqa: UP045
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.shortcut is None else self.shortcut(x)
        x = self.act(self.bn1(self.conv1(x)))
        return self.act(self.bn2(self.conv2(x)) + identity)


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        layers, channels = [], in_shape[1]
        for number, width in enumerate(CHANNELS):
            layers.append(Block(channels, width, stride=2 if number else 1))
            channels = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(channels, out_shape[0])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x):
        return self.head(self.body(x).mean(dim=(2, 3)))

    def train_setup(self, prm):
        self.to(self.device)
        self.criteria = nn.CrossEntropyLoss().to(self.device)
        self.optimizer = torch.optim.SGD(self.parameters(), lr=prm["lr"], momentum=prm["momentum"])

    def learn(self, train_data):
        for inputs, labels in train_data:
            inputs, labels = inputs.to(self.device), labels.to(self.device)
            self.optimizer.zero_grad()
            loss = self.criteria(self(inputs), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters(), 3)
            self.optimizer.step()


def supported_hyperparameters():
    return {"lr", "momentum"}
