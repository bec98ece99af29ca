"""A small VGG, three blocks of two convolutions, a baseline of the closed-loop paper (section 4.1).

With batch normalisation, as in the VGG-style network that the paper shows (appendix H, D).
"""

import torch
from torch import nn


def supported_hyperparameters():
    return {"lr", "momentum"}


def block(inputs, outputs):
    layers = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool2d(2))


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        _, channels, height, width = in_shape
        self.features = nn.Sequential(
            block(channels, 32), block(32, 64), block(64, 128), nn.Flatten()
        )
        self.classifier = nn.Sequential(
            nn.Linear(128 * (height // 8) * (width // 8), 128),
            nn.ReLU(),
            nn.Linear(128, out_shape[0]),
        )

    def forward(self, x):
        return self.classifier(self.features(x))

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
