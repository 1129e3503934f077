"""`python -m crawler` is `crawl`."""

import os
import sys

from crawler.cli.main import main
from crawler.garbage import collect_less


def run() -> None:
    """Be the command. It leaves without taking its modules apart, which would take a tenth of the shortest crawl."""
    _fill_standard_streams()
    collect_less()
    status = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        sys.exit(status)  # Python says what there is to say of it
    os._exit(status)


def _fill_standard_streams() -> None:
    """Let a standard stream that is closed (`crawl … >&-`) lead nowhere.

    Otherwise there would be none to print to, and the next file that is opened would get its number.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or open(0, encoding="utf-8")  # noqa: SIM115 - it is open until the end
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8")  # noqa: SIM115


if __name__ == "__main__":
    run()
