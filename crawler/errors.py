"""The error tree: everything that this package raises on purpose.

    CrawlerError
    ├── UsageError            what was asked for cannot be done as asked (exit status 2)
    │   ├── ConfigError       a setting has no meaning, or two of them contradict each other
    │   ├── InputError        the list of URLs cannot be read, or holds nothing
    │   └── FolderError       the output folder is not a crawl, or belongs to another one
    ├── RunError              the run itself failed (exit status 1); running it again goes on
    │   ├── WorkerError       a worker process died or does not speak our frames
    │   └── StoreError        the archive or the database cannot be written
    └── NotRecordedError      the crawl holds no such page (also a KeyError)

What happens to one URL is never an exception: it is a row (`outcome`, `error_class`).
Every message is one sentence that says what, where, and what to do.
"""


class CrawlerError(Exception):
    """Whatever this package raises on purpose."""

    exit_status = 1


class UsageError(CrawlerError):
    """What was asked for cannot be done as asked."""

    exit_status = 2


class ConfigError(UsageError):
    """A setting has no meaning, or two of them contradict each other."""


class InputError(UsageError):
    """The list of URLs cannot be read, or holds nothing."""


class FolderError(UsageError):
    """The output folder is not a crawl, or belongs to another one."""


class RunError(CrawlerError):
    """The run itself failed; what was committed is intact and the same command goes on."""


class WorkerError(RunError):
    """A worker process died, or does not speak our frames."""


class StoreError(RunError):
    """The archive or the database cannot be written."""


class NotRecordedError(CrawlerError, KeyError):
    """The crawl holds no such page."""

    def __str__(self) -> str:
        return Exception.__str__(self)  # KeyError would print its argument's repr
