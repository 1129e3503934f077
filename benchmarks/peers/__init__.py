"""Programs of others; siblings, a file a program, each with a `CONTENDER`."""
