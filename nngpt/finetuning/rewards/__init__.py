"""What reinforcement learning pays for, one term a file; `nngpt.protocols.Reward` says how."""
