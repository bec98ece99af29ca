"""Tables and messages of `nngpt lemur`."""
