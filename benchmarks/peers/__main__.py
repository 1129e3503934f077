"""`python -m benchmarks.peers install`: the peers that are Python packages, each in an environment of its own.

The others come from the system: `apt-get install curl wget2 aria2 wrk`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks.peers.base import cache_folder, find

_PACKAGES = {"scrapy": "scrapy>=2.19,<3", "minet": "minet>=4.2,<5"}


def main() -> None:
    """Install what is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("command", choices=("install",))
    parser.parse_args()
    for program, requirement in _PACKAGES.items():
        if find(program) is None:
            folder = cache_folder() / program
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            subprocess.run([str(folder / "bin" / "pip"), "install", "-q", requirement], check=True)
        print(f"{program}: {find(program)}")


if __name__ == "__main__":
    main()
