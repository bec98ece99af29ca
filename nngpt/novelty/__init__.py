"""How near a network is to the known ones; one file per measure."""
