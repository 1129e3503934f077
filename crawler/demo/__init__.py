"""A real web site that needs no network: the documentation of the standard library, served from this machine."""
