"""`python -m crawler` is `crawl`."""

import os
import sys

from crawler.cli.main import main


def run() -> None:
    """Be the command. It leaves without taking its modules apart, which would take a tenth of the shortest crawl."""
    status = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        sys.exit(status)  # Python says what there is to say of it
    os._exit(status)


if __name__ == "__main__":
    run()
