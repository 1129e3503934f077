"""What a crawl costs, measured on this machine against an origin of its own. How to run it: `benchmarks/README.md`."""

import os

# An installed package is compiled. Where this is set (as in many containers), a checkout is compiled anew by each
# process that imports it, while the competitors are not: 90 ms of a crawl of one URL.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
