"""Leases of seconds, for processes that tests start with this folder in their PYTHONPATH.

CRAWL_TEST_LEASE=real leaves leases as they are; with CRAWL_TEST_VISIBILITY_S Redis gives an order again after so long.
"""

import os

if os.environ.get("CRAWL_TEST_LEASE") != "real":
    from crawler.fleet import words

    words.BEAT_S, words.LEASE_S, words.GRACE_S = 0.3, 4.0, 1.0
if _seconds := os.environ.get("CRAWL_TEST_VISIBILITY_S"):
    from crawler.fleet import broker

    broker._TRANSPORT |= {"visibility_timeout": float(_seconds), "unacked_restore_interval": 1}
