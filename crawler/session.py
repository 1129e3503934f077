"""A worker's side of the conversation with its parent, without I/O: frames in, turns out, frames out.

The driver of each kind of engine owns the descriptors, the waiting and the clock; everything else is here.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

from crawler.encoders import Encoder
from crawler.exchange import Event, Exchange
from crawler.fates import Fate
from crawler.flights import Flights
from crawler.frontier import Frontier
from crawler.function import Function
from crawler.page import Page
from crawler.parsing import parse
from crawler.records import Parsed, Status
from crawler.turns import Turn
from crawler.wire import Frame, Kind, frame, read_chunk, result_frame

HELD_MOST = 50_000
"""Entries that one worker holds at most, most of them parked behind slow or delayed hosts (700 bytes each).

As many as the parent reads ahead: so many of one host may stand in a row, and those behind them go all the same.
"""

BEAT_S = 1.0
"""How often a driver calls `beat`, whatever its exchanges do."""

_NAMED = 4  # hosts of each kind that a status names

Usage = Callable[[], tuple[float, int]]
"""This process's processor time, in seconds, and its resident memory, in bytes."""

Parsing = Callable[[], Parsed]
"""What is to be done with a page: it takes a stranger's time, and never raises."""


class Session:
    """One worker's work from its first chunk to its end mark.

    A chunk is asked for (a credit) as soon as no more than `conc` entries could go at once, so the next one is
    there before the last drains; and never so that more than `HELD_MOST` entries are held.

    Where there is a `function` to parse pages with, one page at a time is parsed. It is sent first and what came of
    that later, so whatever the function does costs no page. Those behind it wait; while `conc` do, no turn is given.
    """

    def __init__(
        self,
        frontier: Frontier,
        encode: Encoder,
        conc: int,
        chunk_size: int,
        usage: Usage = lambda: (0.0, 0),
        flights: Flights | None = None,
        function: Function | None = None,
    ) -> None:
        self._frontier = frontier
        self._encode = encode
        self._conc = conc
        self._chunk_size = chunk_size
        self._usage = usage
        self._flights = flights
        self._function = function
        self._parsing: Parsing | None = None  # until the driver takes it
        self._is_parsing = False
        self._parsed: Parsed | None = None
        self._status: Status | None = None
        self._quiet = False
        self._asked = 0
        self._ended = self._stopping = False
        self.aborted = False

    @property
    def finished(self) -> bool:
        """Whether the end mark came and every entry is final, or nobody is left to report to."""
        return self.aborted or (self._ended and not self._frontier.held and not self._has_unparsed)

    @property
    def ready(self) -> int:
        """How many entries could go now; a lower bound."""
        return self._frontier.ready

    def receive(self, message: Frame) -> None:
        """Take in a frame of the parent's."""
        if message.kind is Kind.CHUNK:
            self._asked -= 1
            self._frontier.add(read_chunk(message).states)
        elif message.kind is Kind.END:
            self._ended = True
        elif message.kind is Kind.STOP:
            self._ended = self._stopping = True
            self._frontier.forget()

    def abort(self) -> None:
        """The parent is gone: nothing that is still done here would be recorded."""
        self.aborted = True

    def next(self, now: float) -> Turn | None:
        """The next thing to do, or None until something changes or `wake_at()` has come."""
        turn = None if self.aborted or self._crowded else self._frontier.next(now)
        if self._flights is not None and turn is not None and isinstance(turn.action, Exchange):
            self._flights.begin(turn.seq)
        return turn

    def started(self, turn: Turn, now: float) -> None:
        """Tell that an exchange which waited for its place begins only now."""
        self._frontier.started(turn, now)

    def done(self, turn: Turn, event: Event, now: float) -> None:
        """Tell what came of a turn."""
        landed, before = isinstance(turn.action, Exchange), len(self._frontier.finished)
        self._frontier.done(turn, event, now)
        if self._flights is not None and landed and not self._left(turn.seq, before):
            self._flights.end(turn.seq)  # else when it is encoded: a body can kill us until then
        if self._stopping:
            self._frontier.forget()

    def wake_at(self) -> float | None:
        """When time alone changes what `next` answers."""
        return None if self._crowded else self._frontier.wake_at()

    def take_parsing(self) -> Parsing | None:
        """What is to be done with the page that `outgoing` gave last, when it is on its way; None where nothing is.

        The driver does it in a thread of its own and hands what came of it to `parsed`.
        """
        parsing, self._parsing = self._parsing, None
        return parsing

    def parsed(self, answer: Parsed) -> None:
        """Tell what came of parsing a page."""
        self._parsed = answer

    def beat(self, now: float) -> None:
        """Say how it is doing, with what is written next; once it holds nothing and has said so, nothing.

        The driver calls it every `BEAT_S`: a worker that holds entries and is not heard of is taken for stuck. A
        status that still waits to be written is replaced, so beats do not pile up.
        """
        if self._frontier.held or not self._quiet:
            self._status = self._describe(now)
        self._quiet = not self._frontier.held

    @property
    def unsaid(self) -> bool:
        """Whether `outgoing` has something to write."""
        if self._parsed is not None or self._status is not None:
            return True
        return (bool(self._frontier.finished) and not self._held_up) or self._wants_more()

    def outgoing(self) -> list[bytes]:
        """The buffers to write now, in order: what became final, and a request for more work.

        Of fates with a body only one: a driver that waits, before it asks, until what went before is written never
        has two of them encoded. Each comes of an exchange, so it asks after each exchange.
        """
        buffers: list[bytes] = []
        if self._parsed is not None:
            buffers += frame(Kind.PARSED, self._parsed)
            self._end_flight(self._parsed.seq)
            self._parsed, self._is_parsing = None, False
        has_body = False
        while self._frontier.finished and not has_body and not self._held_up:
            ending = self._frontier.finished.popleft()
            if isinstance(ending, Fate):
                buffers += self._say(ending)
                has_body = ending.body is not None
            else:
                buffers += frame(Kind.MOVED, ending)
                self._end_flight(ending.seq)
        if self._status is not None:
            buffers += frame(Kind.STATUS, self._status)
            self._status = None
        while self._wants_more():
            self._asked += 1
            buffers += frame(Kind.CREDIT)
        return buffers

    def _left(self, seq: int, before: int) -> bool:
        """Whether an entry has left since so many had."""
        for ending in itertools.islice(self._frontier.finished, before, None):
            if seq == (ending.state.seq if isinstance(ending, Fate) else ending.seq):
                return True
        return False

    def _say(self, fate: Fate) -> tuple[bytes, bytes]:
        result = self._encode(fate)
        if self._function is None or not _is_for_parsing(fate):
            self._end_flight(fate.state.seq)
            return result_frame(result)
        assert fate.body is not None
        page = Page(result.row, fate.body.headers, fate.body.decoded)
        self._parsing, self._is_parsing = functools.partial(parse, self._function, page), True
        return result_frame(result, Kind.PAGE)

    @property
    def _held_up(self) -> bool:
        """Whether what is to be said next is a page that must wait until another one is parsed."""
        if not self._is_parsing:
            return False
        first = self._frontier.finished[0] if self._frontier.finished else None
        return isinstance(first, Fate) and _is_for_parsing(first)

    @property
    def _has_unparsed(self) -> bool:
        return self._function is not None and (self._is_parsing or bool(self._frontier.finished))

    @property
    def _crowded(self) -> bool:
        """Whether so many wait for the parser that nothing new may begin: their bodies are here."""
        return self._is_parsing and len(self._frontier.finished) >= self._conc

    def _end_flight(self, seq: int) -> None:
        if self._flights is not None:
            self._flights.end(seq)

    def _describe(self, now: float) -> Status:
        cpu_s, memory_bytes = self._usage()
        return Status(
            in_flight=self._frontier.in_flight,
            conc=self._conc,
            held=self._frontier.held,
            ready=self._frontier.ready,
            cpu_s=cpu_s,
            memory_bytes=memory_bytes,
            waiting=self._frontier.waiting(now, _NAMED),
            shortage=self._frontier.shortage,
            looking_up=self._frontier.looking_up,
        )

    def _wants_more(self) -> bool:
        coming = self._asked * self._chunk_size
        if self._ended or coming > self._conc or self._frontier.held + coming > HELD_MOST:
            return False
        return self._frontier.ready + coming <= self._conc


def _is_for_parsing(fate: Fate) -> bool:
    """Whether it is a page: an answer that came whole or cut at the cap, with a 2xx status."""
    status = fate.body.status if fate.body is not None and fate.outcome == "fetched" else None
    return status is not None and 200 <= status < 300
