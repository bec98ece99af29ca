"""Training corpora: prompt–answer pairs built from LEMUR's networks, and reading them in a run."""
