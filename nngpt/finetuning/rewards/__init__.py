"""Terms of the reward of reinforcement learning, one file each (plug-ins)."""
