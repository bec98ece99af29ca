"""Language models that write networks; one file per backend."""
