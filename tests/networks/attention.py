from dataclasses import dataclass

import torch
from torch import nn

try:
    from torch.nn.functional import scaled_dot_product_attention
except ImportError:
    scaled_dot_product_attention = None


@dataclass
class Size:
    patch: int = 4
    width: int = 32
    heads: int = 2


def supported_hyperparameters():
    return {"lr", "momentum", "dropout"}


class Mixer(nn.Module):
    def __init__(self, size: Size, dropout: float):
        super().__init__()
        self.heads, self.norm = size.heads, nn.LayerNorm(size.width)
        self.qkv = nn.Linear(size.width, 3 * size.width)
        self.out = nn.Sequential(nn.Linear(size.width, size.width), nn.Dropout(dropout))

    def forward(self, x):
        batch, count, width = x.shape
        qkv = self.qkv(self.norm(x)).view(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        return x + self.out(mixed.transpose(1, 2).reshape(batch, count, width))


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        size = Size()
        self.patches = nn.Conv2d(in_shape[1], size.width, size.patch, size.patch)
        self.mixer = Mixer(size, getattr(prm, "dropout", prm["dropout"]))
        self.head = nn.Linear(size.width, out_shape[0])

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.mixer(tokens).mean(dim=1))

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
