import torch
import torch.nn as nn


def supported_hyperparameters():
    return {"lr", "momentum"}


class Branches(nn.Module):
    def __init__(self, inputs, widths):
        super().__init__()
        self.paths = nn.ModuleList(
            nn.Conv2d(inputs, width, 2 * size + 1, padding=size)
            for size, width in enumerate(widths)
        )

    def forward(self, input):
        return torch.cat([path(input) for path in self.paths], dim=1)

    def __repr__(self):
        return f"{self.__class__.__name__}({len(self.paths)})"


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.features = nn.Sequential(
            Branches(in_shape[1], (8, 8, 8)),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.MaxPool2d(2),
            Branches(24, (16, 16)),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d(2),
        )
        self.classifier = nn.Linear(128, out_shape[0])

    def forward(self, x):
        x = self.features(x)
        return self.classifier(x.view(x.size(0), -1))

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


if __name__ == "__main__":
    print(Net((1, 3, 32, 32), (10,), {"lr": 0.01, "momentum": 0.9}, torch.device("cpu")))
