"""Learning from what a run admitted and what it refused: DPO and KTO through TRL."""
