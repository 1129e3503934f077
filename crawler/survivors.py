"""Pages that outlive the worker which parsed them: they came before what their parse did to it."""

from __future__ import annotations

from crawler.records import Parsed, Result

_LOST = "Its worker died while the page was parsed, and it could not be fetched again."


class Survivors:
    """Pages that were parsed when their worker died, and are fetched and parsed once more.

    Once may be somebody else's doing. A parse that was ended because it never came back, or in which a second worker
    dies, is the page's `parse_error`, and nobody else is suspected.
    """

    def __init__(self) -> None:
        self._pages: dict[int, Result] = {}

    def died(self, page: Result | None, cause: str, *, ended: bool) -> Result | None:
        """A worker died, and this page was parsed in it: the page, if that is its last word."""
        if page is None:
            return None
        seq = page.row.seq
        if not ended and seq not in self._pages:
            self._pages[seq] = page
            return None
        self._pages.pop(seq, None)
        return page.parsed(Parsed(seq, error=f"Its worker {cause}, with this page in its parser."))

    def settled(self, results: list[Result]) -> list[Result]:
        """How entries ended; where one was not fetched again, the page that was here stands."""
        return [self._better(result) for result in results] if self._pages else results

    def _better(self, result: Result) -> Result:
        page = self._pages.pop(result.row.seq, None)
        if page is None or result.row.ok:
            return result
        return page.parsed(Parsed(result.row.seq, error=_LOST))
