import torch
from torch import nn


def supported_hyperparameters():
    return {"lr", "momentum", "dropout"}


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        pixels = in_shape[1] * in_shape[2] * in_shape[3]
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(pixels, 128),
            nn.BatchNorm1d(128),
            nn.ReLU(),
            nn.Dropout(prm["dropout"]),
            nn.Linear(128, 128),
            nn.ReLU(),
            nn.Linear(128, out_shape[0]),
        )

    def forward(self, x):
        return self.layers(x)

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
