"""The session: a worker's conversation with its parent, without a pipe."""

from __future__ import annotations

import os

from scripted import World, answer, failure, state

from crawler.config import CrawlConfig
from crawler.fates import Fate
from crawler.flights import Flights, make_record, read_record
from crawler.frontier import Frontier
from crawler.records import Chunk, FlowState, Result, Row
from crawler.session import HELD_MOST, Session
from crawler.throttle import Throttle
from crawler.wire import Frame, FrameReader, Kind, frame, read_parsed, read_result, read_state, read_status


def encode(fate: Fate) -> Result:
    entry = fate.state
    return Result(Row(entry.seq, entry.source, entry.source_line, entry.url, entry.target, entry.host, fate.outcome))


def make(
    world: World,
    *,
    conc: int = 4,
    chunk_size: int = 10,
    per_host: int = 4,
    foreign: str = "",
    flights: Flights | None = None,
) -> Session:
    rules = world.rules(CrawlConfig(robots=False, per_host=per_host), at_home=lambda host: host != foreign)
    return Session(Frontier(rules, lambda host: None, Throttle(conc)), encode, conc, chunk_size, flights=flights)


def said(session: Session) -> list[Frame]:
    """All that there is to say, asked for as often as it takes."""
    buffers = session.outgoing()
    while session.unsaid:
        buffers += session.outgoing()
    return list(FrameReader().feed(b"".join(buffers)))


def chunk(*states: FlowState) -> Frame:
    return FrameReader().feed(b"".join(frame(Kind.CHUNK, Chunk(1, states))))[0]


END = Frame(Kind.END, b"", b"")


def work(session: Session, world: World) -> None:
    while (turn := session.next(world.now)) is not None:
        session.done(turn, world.do(turn.action), world.now)


def test_the_first_thing_said_is_a_credit() -> None:
    """A worker asks for work by itself, once."""
    session = make(World({}))

    assert [Kind.CREDIT] == [message.kind for message in said(session)]
    assert [] == said(session)


def test_the_next_chunk_is_asked_for_before_the_last_drains() -> None:
    """As long as more than `conc` entries could go, nothing is asked; then at once, with that many still to do."""
    world = World({f"http://h{n}.com/": [answer()] for n in range(10)})
    session = make(world, conc=4)
    said(session)
    session.receive(chunk(*(state(url, seq) for seq, url in enumerate(world._pages, 1))))
    done = 0
    while not (messages := [m for m in said(session) if m.kind is Kind.CREDIT]):
        turn = session.next(world.now)
        assert turn is not None
        session.done(turn, world.do(turn.action), world.now)
        done += 1

    assert 1 == len(messages)
    assert session.next(world.now) is not None


def test_a_slow_host_does_not_starve_the_rest() -> None:
    """Entries that must wait for their host do not count as work: more is asked for, up to a bound."""
    world = World({f"http://slow.com/{n}": [answer()] for n in range(1_000)})
    session = make(world, chunk_size=1_000, per_host=1)
    given = sum(message.kind is Kind.CREDIT for message in said(session))
    for n in range(100):
        if not given:
            break
        given -= 1
        session.receive(chunk(*(state(f"http://slow.com/{n}", n) for n in range(1_000))))
        given += sum(message.kind is Kind.CREDIT for message in said(session))

    assert HELD_MOST // 1_000 <= n <= HELD_MOST // 1_000 + 1


def test_every_entry_is_reported_then_the_session_is_finished() -> None:
    """Fates become RESULT frames, redirects to another worker's host MOVED frames, and after END there is an end."""
    world = World(
        {
            "http://a.com/": [answer()],
            "http://b.com/": [failure("tls")],
            "http://c.com/": [answer(302, (("Location", "http://z.com/"),))],
        }
    )
    session = make(world, foreign="z.com")
    session.receive(chunk(*(state(url, seq) for seq, url in enumerate(world._pages, 1))))
    work(session, world)
    session.receive(END)
    messages = said(session)

    results = {read_result(m).row.seq: read_result(m).row.outcome for m in messages if m.kind is Kind.RESULT}
    assert {1: "fetched", 2: "failed"} == results
    assert ["http://z.com/"] == [read_state(m).target for m in messages if m.kind is Kind.MOVED]
    assert session.finished


def test_one_body_at_a_time_is_encoded() -> None:
    """Whoever asks what to write next gets one result with a body, and those without that stand before it."""
    world = World(
        {
            "http://a.com/": [failure("tls")],
            "http://b.com/": [answer()],
            "http://c.com/": [failure("tls")],
            "http://d.com/": [answer()],
        }
    )
    session = make(world)
    session.receive(chunk(*(state(url, seq) for seq, url in enumerate(world._pages, 1))))
    work(session, world)
    asked = []
    while session.unsaid:
        frames = FrameReader().feed(b"".join(session.outgoing()))
        asked.append([read_result(message).row.seq for message in frames if message.kind is Kind.RESULT])

    assert [[1, 2], [3, 4]] == [sorted(seqs) for seqs in asked if seqs]


def test_a_flight_ends_when_its_result_is_encoded() -> None:
    """Its body can kill the worker until then; a try that is followed by another one ends at once."""
    world = World({"http://a.com/": [answer()], "http://b.com/": [answer()], "http://c.com/": [failure("reset")]})
    descriptor = make_record(4)
    session = make(world, flights=Flights(descriptor))
    session.receive(chunk(*(state(url, seq) for seq, url in enumerate(world._pages, 1))))
    work(session, world)
    flying = [read_record(descriptor)]
    for _ in range(2):
        session.outgoing()
        flying.append(read_record(descriptor))
    os.close(descriptor)

    assert [{1, 2}, {2}, set()] == flying


def test_it_is_not_finished_while_an_entry_is_open() -> None:
    """The end mark waits for what is held."""
    world = World({"http://a.com/": [answer()]})
    session = make(world)
    session.receive(chunk(state("http://a.com/")))
    session.receive(END)

    assert not session.finished
    work(session, world)
    assert session.finished


def test_it_is_heard_of_while_it_holds_entries() -> None:
    """At each beat, whether or not a turn is taken; what holds nothing says so once, and is quiet then."""
    world = World({"http://a.com/": [answer()]})
    session = make(world)
    statuses = []

    def beat() -> None:
        session.beat(world.now)
        statuses.append([read_status(message).held for message in said(session) if message.kind is Kind.STATUS])

    beat()
    beat()
    session.receive(chunk(state("http://a.com/")))
    beat()
    beat()
    work(session, world)
    beat()
    beat()

    assert [[0], [], [1], [1], [0], []] == statuses


def test_beats_do_not_pile_up() -> None:
    """Where nothing can be written, the next status takes the place of the one that waits."""
    session = make(World({}))
    session.receive(chunk(state("http://a.com/")))
    for second in range(100):
        session.beat(float(second))

    assert [Kind.STATUS] == [message.kind for message in said(session) if message.kind is not Kind.CREDIT]


def test_a_session_without_a_parent_does_nothing_more() -> None:
    """What nobody would record is not fetched."""
    world = World({"http://a.com/": [answer()]})
    session = make(world)
    session.receive(chunk(state("http://a.com/")))
    session.abort()

    assert (None, True) == (session.next(world.now), session.finished)


def parsing(world: World, *, conc: int = 4, flights: Flights | None = None) -> Session:
    """A session that parses: the result is the length of the body."""
    frontier = Frontier(world.rules(CrawlConfig(robots=False, per_host=0)), lambda host: None, Throttle(conc))
    return Session(frontier, encode, conc, 100, flights=flights, function=lambda page: len(page.body))


def test_a_page_goes_before_it_is_parsed() -> None:
    """Then what came of the parse; only one page is parsed at a time, and the others wait."""
    world = World({f"http://a/{n}": [answer(200, payload=b"x" * n)] for n in range(3)})
    session = parsing(world)
    session.receive(chunk(*(state(f"http://a/{n}", n) for n in range(1, 3))))
    session.receive(END)
    work(session, world)
    heard: list[Frame] = []
    while not session.finished:
        heard += said(session)
        todo = session.take_parsing()
        if todo is not None:
            assert session.take_parsing() is None
            assert not session.unsaid
            session.parsed(todo())
    heard = [frame for frame in heard if frame.kind in (Kind.PAGE, Kind.PARSED, Kind.RESULT)]

    assert [Kind.PAGE, Kind.PARSED] * 2 == [frame.kind for frame in heard]
    assert ["1", "2"] == [read_parsed(frame).result for frame in heard[1::2]]
    assert [read_result(frame).row.seq for frame in heard[::2]] == [read_parsed(frame).seq for frame in heard[1::2]]


def test_what_is_no_page_does_not_wait_for_the_parser() -> None:
    """A 404 goes as ever, until a page stands before it."""
    world = World({"http://a/1": [answer(200)], "http://a/2": [answer(404)]})
    session = parsing(world)
    session.receive(chunk(state("http://a/1", 1), state("http://a/2", 2)))
    work(session, world)
    kinds = [frame.kind for frame in said(session) if frame.kind is not Kind.CREDIT]

    assert [Kind.PAGE, Kind.RESULT] == kinds


def test_no_more_is_fetched_than_can_be_parsed() -> None:
    """While as many pages wait for the parser as may be in flight, no exchange begins, and no timer fires for one."""
    world = World({f"http://a/{n}": [answer(200)] for n in range(100)})
    session = parsing(world, conc=4)
    session.receive(chunk(*(state(f"http://a/{n}", n) for n in range(1, 100))))
    said(session)
    while (turn := session.next(world.now)) is not None:
        session.done(turn, world.do(turn.action), world.now)
        said(session)

    assert 1 + 4 == len(world.exchanges)
    assert session.wake_at() is None
    todo = session.take_parsing()
    assert todo is not None
    session.parsed(todo())
    said(session)
    assert session.next(world.now) is not None


def test_a_flight_ends_when_its_page_is_parsed() -> None:
    """What the function does to the worker until then is the page's doing."""
    record = make_record(8)
    world = World({"http://a/1": [answer(200)]})
    session = parsing(world, flights=Flights(record))
    session.receive(chunk(state("http://a/1", 7)))
    work(session, world)
    said(session)
    during = read_record(record)
    todo = session.take_parsing()
    assert todo is not None
    session.parsed(todo())
    said(session)

    assert ({7}, set()) == (during, read_record(record))
    os.close(record)
