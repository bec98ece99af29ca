"""The folder of a trained network, which works without nngpt: code, weights, script, card, page."""
