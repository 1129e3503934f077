"""Where machines lay down what they fetched, for each other: a shared folder, or an S3-compatible store."""

from __future__ import annotations

import importlib
from pathlib import Path

from crawler.depot.base import Depot
from crawler.errors import ConfigError


def open_depot(where: str) -> Depot:
    """The depot at `s3://bucket/prefix` or in the folder `/shared/path`.

    Raises ConfigError for what is neither, and where the extra that S3 needs is not installed.
    """
    if where.startswith("s3://"):
        return importlib.import_module("crawler.depot.s3").S3Depot(where)  # type: ignore[no-any-return]
    if "://" in where:
        raise ConfigError(f"{where!r} is no store; write s3://bucket/prefix, or a folder that all machines share.")
    from crawler.depot.folder import FolderDepot

    return FolderDepot(Path(where).absolute())
