import math
from collections import OrderedDict

import torch
import torch.nn as nn
import torch.nn.functional as F  # noqa: N812


def supported_hyperparameters():
    return ["lr", "momentum", "dropout"]


class Separable(nn.Module):
    """Depthwise, then pointwise; described as ```depthwise separable``` elsewhere."""

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.depth = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
        self.point = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm = nn.GroupNorm(math.gcd(8, outputs), outputs)

    def forward(self, x):
        return F.hardswish(self.norm(self.point(self.depth(x))))


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device, width=24):
        super(Net, self).__init__()  # noqa: UP008
        self.device = device
        self.features = nn.Sequential(
            OrderedDict(
                stem=nn.Conv2d(in_shape[1], width, 3, 2, 1),
                one=Separable(width, 2 * width, 2),
                two=Separable(2 * width, 3 * width),
            )
        )
        self.rate = float(prm.get("dropout", 0.1))
        self.fc = nn.Linear(3 * width, out_shape[0])

    def forward(self, x, *, scale=1.0):
        x = F.adaptive_avg_pool2d(self.features(x), 1).flatten(1)
        return self.fc(F.dropout(x, self.rate, self.training)) * scale

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
