"""A driver for flows and frontiers in tests: a scripted world on a fake clock, no socket, no waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from crawler.addresses import AddressRule
from crawler.body import Body, Verdict
from crawler.config import CrawlConfig
from crawler.exchange import Action, Addresses, Event, Exchange, Failure, NeedRobots, Reply, Resolve, Timings, Wait
from crawler.fates import Fate, FlowRules
from crawler.flow import fetch
from crawler.frontier import Frontier
from crawler.records import FlowState, Headers
from crawler.robots import NO_RULES

PUBLIC = "93.184.215.14"


def answer(status: int = 200, headers: Headers = (), payload: bytes = b"", ms: float = 10.0) -> Callable[[Body], Reply]:
    """A scripted answer: fills the exchange's body, as an engine would."""

    def fill(body: Body) -> Reply:
        if body.head(status, "Reason", "1.1", headers) is Verdict.GO:
            body.feed(payload)
            body.end()
        return Reply(PUBLIC, Timings(total_ms=ms))

    return fill


def failure(error_class: str, *, sent: bool = True, ms: float = 10.0) -> Callable[[Body], Failure]:
    """A scripted failure."""
    return lambda body: Failure(error_class, f"scripted {error_class}", sent, timings=Timings(total_ms=ms))  # type: ignore[arg-type]


Script = Callable[[Body], Reply | Failure]


class World:
    """Answers every action: names resolve to `addresses`, exchanges get the next of their URL's scripts.

    The last script of a URL stays. `exchanges` and `waits` are what was seen, `now` the fake clock. A flow that is run
    alone hears that there is no robots.txt; a frontier asks for one where its configuration says so.
    """

    def __init__(self, pages: dict[str, Sequence[Script]], addresses: Iterable[str] = (PUBLIC,)) -> None:
        self._pages = {url: list(scripts) for url, scripts in pages.items()}
        self._addresses = tuple(addresses)
        self.exchanges: list[Exchange] = []
        self.waits: list[float] = []
        self.now = 1_000.0

    def do(self, action: Action | None) -> Event:
        """What comes of an action."""
        if isinstance(action, Resolve):
            return Addresses(self._addresses, 1.0)
        if isinstance(action, NeedRobots):
            return NO_RULES
        if isinstance(action, Wait):
            self.waits.append(action.seconds)
            return None
        assert isinstance(action, Exchange)
        self.exchanges.append(action)
        scripts = self._pages[action.url]
        return (scripts.pop(0) if len(scripts) > 1 else scripts[0])(action.body)

    def rules(self, config: CrawlConfig | None = None, at_home: Callable[[str], bool] = lambda host: True) -> FlowRules:
        """Rules whose chance is always the middle, so that a backoff is exact."""
        config = config or CrawlConfig(robots=False)
        rule = AddressRule(config.allow_private, config.allow_net)
        return FlowRules(config, rule, at_home, utc=lambda: self.now, chance=lambda: 0.5)

    def run(
        self, state: FlowState, config: CrawlConfig | None = None, **rules: Callable[[str], bool]
    ) -> Fate | FlowState:
        """One flow to its end."""
        flow = fetch(state, self.rules(config, **rules))
        event: Event = None
        while True:
            try:
                event = self.do(flow.send(event))
            except StopIteration as stop:
                ending: Fate | FlowState = stop.value
                return ending

    def drain(self, frontier: Frontier) -> list[Fate | FlowState]:
        """A frontier to its end, one turn at a time, moving the clock to whatever it waits for."""
        while frontier.held:
            turn = frontier.next(self.now)
            if turn is not None:
                frontier.done(turn, self.do(turn.action), self.now)
                continue
            wake = frontier.wake_at()
            assert wake is not None or not frontier.held, "the frontier holds entries but waits for nothing"
            self.now = max(self.now, wake or 0.0)
        return list(frontier.finished)


def state(url: str = "http://example.com/", seq: int = 1, **fields: object) -> FlowState:
    """An entry as the intake makes it."""
    host = url.split("/")[2].split(":")[0]
    return FlowState(seq, "list", seq, url, url, host, **fields)  # type: ignore[arg-type]
