"""What a run's records say, as figures with their intervals; nothing is drawn or run here."""
