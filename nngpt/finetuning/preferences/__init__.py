"""Preference learning (DPO, KTO) on the admitted and refused answers of a run."""
