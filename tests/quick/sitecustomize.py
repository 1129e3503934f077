"""Leases of seconds, for processes that tests start with this folder in their PYTHONPATH."""

from crawler.fleet import words

words.BEAT_S, words.LEASE_S, words.GRACE_S = 0.3, 4.0, 1.0
