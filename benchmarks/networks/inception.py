import torch
from torch import nn


def supported_hyperparameters():
    return {"lr", "momentum"}


class Mixed(nn.Module):
    """Kernels of several sizes side by side."""

    def __init__(self, inputs, each):
        super().__init__()
        self.one = nn.Conv2d(inputs, each, 1)
        self.three = nn.Sequential(
            nn.Conv2d(inputs, each, 1), nn.ReLU(), nn.Conv2d(each, each, 3, padding=1)
        )
        self.five = nn.Sequential(
            nn.Conv2d(inputs, each // 2, 1), nn.ReLU(), nn.Conv2d(each // 2, each, 5, padding=2)
        )

    def forward(self, x):
        return torch.relu(torch.cat([self.one(x), self.three(x), self.five(x)], dim=1))


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.body = nn.Sequential(
            nn.Conv2d(in_shape[1], 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            Mixed(16, 12),
            nn.MaxPool2d(2),
            Mixed(36, 20),
        )
        self.head = nn.Linear(60, out_shape[0])

    def forward(self, x):
        return self.head(self.body(x).mean(dim=(2, 3)))

    def train_setup(self, prm):
        self.to(self.device)
        self.criteria = nn.CrossEntropyLoss().to(self.device)
        self.optimizer = torch.optim.SGD(self.parameters(), lr=prm["lr"], momentum=prm["momentum"])

    def learn(self, train_data):
        self.train()
        for inputs, labels in train_data:
            inputs, labels = inputs.to(self.device), labels.to(self.device)
            self.optimizer.zero_grad()
            loss = self.criteria(self(inputs), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters(), 3)
            self.optimizer.step()
