"""What a crawl costs, measured on this machine against an origin of its own. How to run it: `benchmarks/README.md`."""
