import torch
from torch import nn


def supported_hyperparameters():
    return {"lr", "momentum", "dropout"}


class Block(nn.Module):
    """Depth-wise 7 × 7 convolution, then a wide pointwise one, around a shortcut."""

    def __init__(self, width):
        super().__init__()
        self.deep = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.GroupNorm(1, width)
        self.wide = nn.Conv2d(width, 3 * width, 1)
        self.back = nn.Conv2d(3 * width, width, 1)

    def forward(self, x):
        return x + self.back(nn.functional.gelu(self.wide(self.norm(self.deep(x)))))


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.stem = nn.Sequential(nn.Conv2d(in_shape[1], 32, 2, stride=2), nn.GroupNorm(1, 32))
        self.first = nn.Sequential(Block(32), Block(32))
        self.down = nn.Conv2d(32, 64, 2, stride=2)
        self.second = Block(64)
        self.dropout = nn.Dropout(prm["dropout"])
        self.head = nn.Linear(64, out_shape[0])

    def forward(self, x):
        x = self.second(self.down(self.first(self.stem(x))))
        return self.head(self.dropout(x.mean(dim=(2, 3))))

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
