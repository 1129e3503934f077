"""Many machines as one: what they and their coordinator say to each other, and where.

The list, the rows and the decisions are the coordinator's (`executors/celery.py`); a machine (`machine.py`) does what
one machine does. Chunks, settings and results lie in the depot; through the broker go their names alone.
"""
