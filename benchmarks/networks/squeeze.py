import torch
from torch import nn


def supported_hyperparameters():
    return {"lr", "momentum", "dropout"}


class Block(nn.Module):
    """Convolution whose channels are weighted by what the whole image holds."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(outputs, outputs // 4, 1),
            nn.ReLU(),
            nn.Conv2d(outputs // 4, outputs, 1),
            nn.Sigmoid(),
        )

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x)))
        return x * self.gate(x)


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.body = nn.Sequential(
            Block(in_shape[1], 16), nn.MaxPool2d(2), Block(16, 32), nn.MaxPool2d(2), Block(32, 64)
        )
        self.head = nn.Sequential(nn.Dropout(prm["dropout"]), nn.Linear(64, out_shape[0]))

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
