"""The product in each of its modes; siblings, a file a mode, each with a `CONTENDER`."""
