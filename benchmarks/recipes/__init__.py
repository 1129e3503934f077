"""What people copy from tutorials; siblings, a file a recipe, each with the same four names.

`NAME`; `PROCESSES` and `MANY_IN_FLIGHT` (in one of them), whether there can be more than one; and
`run(fetch, urls, procs, conc)`, the recipe. Nothing is imported here: gevent wants to be first.
"""
