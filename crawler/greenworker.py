"""Being a worker of the engine `gevent`: `python -P -m crawler.greenworker READ WRITE RECORD ENGINE`.

gevent must take the place of sockets, threads and locks before any module has taken hold of them: hence a module of
its own, whose first act that is.
"""

from gevent import monkey

from crawler import sentinel  # noqa: F401 - before the patch: it must keep the system's own threads

monkey.patch_all()

from crawler.worker import main  # noqa: E402 - after the patch, which is the point

if __name__ == "__main__":
    main()
