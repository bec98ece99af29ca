"""Predictions before or early in a training: final accuracy, stopping epoch, hyperparameters."""
