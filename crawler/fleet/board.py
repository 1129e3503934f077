"""The few keys in Redis beside Celery's queues: who leads, which machines are there, and what they have done.

Nothing here is needed to find a crawl again: a Redis that has forgotten everything is told everything within seconds.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from crawler.errors import ConfigError
from crawler.fleet.broker import Answer, Client
from crawler.fleet.words import BEAT_S, LEASE_S, Beat, Lead, Notice, queue_of

LEAD = "crawler:lead"
BEATS = "crawler:beats"
SPOKE = "crawler:spoke"
_Word = TypeVar("_Word", Beat, Lead, Notice)
_ANOTHER_VERSION = "It is of another version of this program; install the same one on all machines."
_QUEUE_KEYS = ("", "_kombu.binding.", "_kombu.binding_permanent.")  # all that kombu keeps of a queue
_NOTICES_MOST = 500

# Take the lead, or keep it: one step, so that two never have it.
_LEAD = """local now = redis.call('GET', KEYS[1])
if now and now ~= ARGV[1] and now ~= ARGV[3] then return now end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]"""
# The broker's own clock, so that no two clocks must agree.
_BEAT = """redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], redis.call('TIME')[1], ARGV[1])
return redis.call('GET', KEYS[3])"""
_RESIGN = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Board:
    """What is written there; every method may raise `redis.RedisError`. Safe to use from several threads."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def lead(self, lead: Lead, before: Lead | None = None) -> Lead:
        """Take the lead, also from `before`, or keep it for a lease; returns who has it now. Raises ConfigError."""
        mine = msgspec.json.encode(lead)
        old = b"" if before is None else msgspec.json.encode(before)
        answer: Answer = self._client.eval(_LEAD, 1, LEAD, mine, int(LEASE_S * 1000), old)
        now = _read(answer, Lead)
        if now is None:
            raise ConfigError("Whoever leads on this broker is of another version; take another database of Redis.")
        return now

    def leader(self) -> Lead | None:
        """Who leads; None where nobody does."""
        answer: Answer = self._client.get(LEAD)
        return _read(answer, Lead)

    def resign(self, lead: Lead) -> None:
        """Lead no longer, and leave nothing of the run."""
        self._client.eval(_RESIGN, 1, LEAD, msgspec.json.encode(lead))
        self._client.delete(_notices(lead.run))

    def beat(self, beat: Beat) -> Lead | None:
        """Say that a machine is there; returns who leads."""
        answer: Answer = self._client.eval(_BEAT, 3, BEATS, SPOKE, LEAD, beat.machine, msgspec.json.encode(beat))
        return _read(answer, Lead)

    def beats(self) -> list[tuple[Beat, float]]:
        """What each machine said last, and how many seconds ago; also those that will not say anything any more."""
        with self._client.pipeline(transaction=True) as pipeline:
            pipeline.hgetall(BEATS)
            pipeline.zrange(SPOKE, 0, -1, withscores=True)
            pipeline.time()
            said, spoke, now = pipeline.execute()
        at = dict(spoke)
        return [(_beat(name, text, at.get(name, 0.0)), now[0] - at.get(name, 0.0)) for name, text in said.items()]

    def forget(self, machine: str) -> None:
        """Take a machine that is gone off, with the orders that it will not do."""
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.hdel(BEATS, machine)
            pipeline.zrem(SPOKE, machine)
            pipeline.delete(*(f"{prefix}{queue_of(machine)}" for prefix in _QUEUE_KEYS))
            pipeline.execute()

    def sweep(self) -> None:
        """Delete the queues of machines that are not there: what they held came back to them after all."""
        names: Answer = self._client.hkeys(BEATS)
        there = {_name(name) for name in names}
        for key in self._client.scan_iter(f"{queue_of('')}*", count=1000, _type="LIST"):
            machine = _name(key).removeprefix(queue_of(""))
            if machine not in there:
                self.forget(machine)

    def notify(self, run: str, notice: Notice) -> None:
        """Tell the coordinator of a run something; where it is not heard, it will find out by itself."""
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.rpush(_notices(run), msgspec.json.encode(notice))
            pipeline.expire(_notices(run), 3600)  # nobody may lead this run any more
            pipeline.execute()

    def notices(self, run: str, timeout_s: float = BEAT_S) -> list[Notice]:
        """What machines told of a run since the last call; waits so long for the first of it."""
        first: Answer = self._client.blpop([_notices(run)], timeout=timeout_s)
        if first is None:
            return []
        rest: Answer = self._client.lpop(_notices(run), _NOTICES_MOST)
        heard = (_read(text, Notice) for text in (first[1], *(rest or ())))
        return [notice for notice in heard if notice is not None]


def _name(name: bytes) -> str:
    """The name of a machine or of its queue; ours are all UTF-8, others' may be anything."""
    return name.decode(errors="replace")


def _beat(name: bytes, text: bytes, at_s: float) -> Beat:
    """What a machine said; of one that says it in another way no more than that, and it takes no orders.

    When it did so then tells its words apart: else one that goes on would be taken for dead, again and again.
    """
    machine = _name(name)
    return _read(text, Beat) or Beat(machine, machine, 0, int(at_s), "", (), 0, 0, trouble=_ANOTHER_VERSION)


def _read(text: bytes | None, kind: type[_Word]) -> _Word | None:
    """What stands there; None where nothing does, or who wrote it says it in another way."""
    try:
        return None if text is None else msgspec.json.decode(text, type=kind)
    except ValueError:
        return None


def _notices(run: str) -> str:
    return f"crawler:notices:{run}"
