"""The command `crawl`: one module a command, each with the same two names, `add_parser` and `main`."""
