"""Training lives in a base class, and the set of hyperparameters is a dictionary's keys."""

import torch
from torch import nn


def supported_hyperparameters():
    return {"lr": 0.01, "momentum": 0.9, "dropout": 0.2}


class Trained(nn.Module):
    device: torch.device

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


class Net(Trained):
    def __init__(self, shape_in, shape_out, settings, device=torch.device("cpu")):  # noqa: B008
        super().__init__()
        self.device = device
        features = shape_in[1] * shape_in[2] * shape_in[3]
        self.layers = nn.ModuleList([nn.Linear(features, 64), nn.Linear(64, shape_out[0])])
        self.dropout = nn.Dropout(settings["dropout"])

    def forward(self, images, return_features=False):
        hidden = torch.tanh(self.layers[0](images.flatten(start_dim=1)))
        logits = self.layers[1](self.dropout(hidden))
        return (logits, hidden) if return_features else logits
