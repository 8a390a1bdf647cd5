"""The scripts on a real Redis: one test per promise in a script's header."""

from __future__ import annotations

import re
import threading
from importlib.resources import files

import pytest
from redis import Redis

from orders.config.settings import Settings
from orders.schedule.records import Claim, Move
from orders.schedule.scripts import CHUNK, SCRIPTS
from orders.schedule.sorted_set import Schedule


def test_each_script_is_called_with_the_keys_of_its_header() -> None:
    found = [path for path in (files("orders.schedule") / "lua").iterdir() if path.is_file()]
    headers = {path.name.removesuffix(".lua"): path.read_text() for path in found}
    keys = {
        name: text.partition("KEYS ")[2].partition("ARGV")[0].partition("Returns")[0] for name, text in headers.items()
    }
    assert {name: tuple(re.findall(r"\d (\w+) \(", found)) for name, found in keys.items()} == SCRIPTS


def claim_one(schedule: Schedule, order_id: str = "42", ago: float = 1.0) -> Claim:
    schedule.enqueue([(order_id, schedule.now() - ago)])
    return schedule.claim(10)


def test_enqueue_sets_the_score_to_the_deadline(schedule: Schedule, redis: Redis) -> None:
    assert schedule.enqueue([("42", 1_900_000_000.123456), ("büro", 2e9)]) == 2
    assert redis.zscore("orders", "42") == 1_900_000_000.123456
    assert redis.zscore("orders", "büro".encode()) == 2e9


def test_enqueue_again_moves_and_voids_lease_attempts_and_dead_letter(schedule: Schedule, redis: Redis) -> None:
    claim = claim_one(schedule)
    schedule.start(claim.lease, ["42"])
    redis.hset("{orders}:dead", "42", "{}")
    assert schedule.enqueue([("42", 1_900_000_000.0)]) == 0
    assert redis.zscore("orders", "42") == 1_900_000_000
    assert redis.exists("{orders}:attempts", "{orders}:dead") == 0
    assert schedule.settle(claim.lease, ["42"]) == 0


def test_more_ids_than_one_call_takes_are_sent_in_several(schedule: Schedule, redis: Redis) -> None:
    entries = [(str(number), 1.0) for number in range(2 * CHUNK + 1)]
    assert schedule.enqueue(iter(entries)) == len(entries)
    claimed = [schedule.claim(10_000) for _ in range(3)]
    assert [len(claim.claimed) for claim in claimed] == [CHUNK, CHUNK, 1]
    assert schedule.remove(order_id for order_id, _ in entries) == len(entries)


def test_claim_takes_what_is_due_before_the_lookahead_ends_lowest_first(schedule: Schedule) -> None:
    now = schedule.now()
    schedule.enqueue([("late", now - 60), ("soon", now + 10), ("later", now + 12), ("now", now)])
    claim = schedule.claim(10)
    assert [claimed.order_id for claimed in claim.claimed] == ["late", "now", "soon"]
    assert [claimed.due for claimed in claim.claimed] == pytest.approx([now - 60, now, now + 10], abs=1e-6)
    assert claim.now == pytest.approx(now, abs=5)


def test_claim_takes_no_more_than_it_is_asked_to(schedule: Schedule) -> None:
    schedule.enqueue((str(number), float(number)) for number in range(5))
    assert [claimed.order_id for claimed in schedule.claim(3).claimed] == ["0", "1", "2"]
    assert [claimed.order_id for claimed in schedule.claim(3).claimed] == ["3", "4"]
    assert schedule.claim(3).claimed == []


def test_a_claim_is_a_lease_and_removes_nothing(schedule: Schedule, redis: Redis) -> None:
    claim = claim_one(schedule)
    assert claim.lease_ends - claim.now == pytest.approx(120)
    assert redis.zscore("orders", "42") == claim.lease
    assert schedule.claim(10).claimed == []


def test_when_a_lease_has_run_out_another_claim_takes_over_with_another_token(schedule: Schedule, redis: Redis) -> None:
    first = claim_one(schedule)
    redis.zadd("orders", {"42": first.now})  # as if 120 s had passed
    second = schedule.claim(10)
    assert [claimed.order_id for claimed in second.claimed] == ["42"]
    assert second.lease > first.lease
    assert schedule.start(first.lease, ["42"]) == {}
    assert schedule.start(second.lease, ["42"]) == {"42": 1}


def test_claims_from_many_threads_never_share_an_id(schedule: Schedule) -> None:
    schedule.enqueue((str(number), 1.0) for number in range(3000))
    claims: list[Claim] = []

    def claim_until_empty() -> None:
        while (claim := schedule.claim(70)).claimed:
            claims.append(claim)

    threads = [threading.Thread(target=claim_until_empty) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = [claimed.order_id for claim in claims for claimed in claim.claimed]
    assert len(taken) == len(set(taken)) == 3000


def test_start_counts_attempts_and_a_later_claim_tells_them(schedule: Schedule, redis: Redis) -> None:
    claim = claim_one(schedule)
    assert claim.claimed[0].attempts == 0
    assert schedule.start(claim.lease, ["42", "unknown"]) == {"42": 1}
    assert schedule.start(claim.lease, ["42"]) == {"42": 2}
    redis.zadd("orders", {"42": claim.now})
    schedule.enqueue([("43", claim.now)])
    assert {claimed.order_id: claimed.attempts for claimed in schedule.claim(10).claimed} == {"42": 2, "43": 0}


def test_settle_takes_out_and_counts(schedule: Schedule, redis: Redis) -> None:
    claim = claim_one(schedule)
    schedule.start(claim.lease, ["42"])
    assert schedule.settle(claim.lease, ["42"], {"expired": 1, "closed": 0}) == 1
    assert redis.exists("orders", "{orders}:attempts") == 0
    assert schedule.stats() == {
        "scheduled": 0,
        "due": 0,
        "started": 0,
        "dead": 0,
        "swept_at": pytest.approx(claim.now),
        "expired": 1,
        "closed": 0,
    }


def test_settle_counts_once_however_many_calls_it_takes(schedule: Schedule) -> None:
    schedule.enqueue((str(number), 1.0) for number in range(CHUNK + 1))
    claims = [schedule.claim(CHUNK), schedule.claim(CHUNK)]
    everything = [claimed.order_id for claim in claims for claimed in claim.claimed]
    settled = schedule.settle(claims[0].lease, everything, {"expired": 1000, "closed": 1})
    assert settled == CHUNK  # the last one belongs to another claim
    assert (schedule.stats()["expired"], schedule.stats()["closed"]) == (1000, 1)


def test_whatever_ends_an_attempt_counts_even_if_the_lease_was_lost(schedule: Schedule) -> None:
    claim = claim_one(schedule)
    schedule.enqueue([("42", 2e9)])
    counts = {"guard_paid": 1, "guard_none": 2}
    assert schedule.settle(claim.lease, ["42"], counts) == 0
    assert schedule.reschedule(claim.lease, [Move("42", 1.0, 1, {"error": "…"})], counts) == 0
    assert schedule.bury(claim.lease, [("42", "{}")], counts) == 0
    stats = schedule.stats()
    assert (stats["guard_paid"], stats["guard_none"]) == (3, 6)
    assert (stats.get("retried", 0), stats["buried"]) == (0, 0)  # which is what became of the schedule


def test_reschedule_moves_and_sets_the_attempts(schedule: Schedule, redis: Redis) -> None:
    schedule.enqueue([("a", 1.0), ("b", 1.0)])
    claim = schedule.claim(10)
    schedule.start(claim.lease, ["a", "b"])
    assert schedule.reschedule(claim.lease, [Move("a", 2e9), Move("b", 2e9 + 1, attempts=3)]) == 2
    assert redis.zrange("orders", 0, -1, withscores=True) == [(b"a", 2e9), (b"b", 2e9 + 1)]
    assert redis.hgetall("{orders}:attempts") == {b"b": b"3"}


def test_bury_moves_to_the_dead_letters(schedule: Schedule, redis: Redis) -> None:
    claim = claim_one(schedule)
    schedule.start(claim.lease, ["42"])
    assert schedule.bury(claim.lease, [("42", '{"reason": "…"}'), ("unknown", "{}")]) == 1
    assert redis.exists("orders", "{orders}:attempts") == 0
    assert redis.hgetall("{orders}:dead") == {b"42": '{"reason": "…"}'.encode()}
    assert schedule.stats()["buried"] == 1


def test_without_the_lease_nothing_changes(schedule: Schedule, redis: Redis) -> None:
    claim = claim_one(schedule)
    deadline = claim.now + 3600
    schedule.enqueue([("42", deadline)])  # extended meanwhile
    assert schedule.start(claim.lease, ["42"]) == {}
    assert schedule.settle(claim.lease, ["42"]) == 0
    assert schedule.reschedule(claim.lease, [Move("42", 1.0)]) == 0
    assert schedule.bury(claim.lease, [("42", "{}")]) == 0
    assert redis.zscore("orders", "42") == pytest.approx(deadline, abs=1e-6)
    assert redis.exists("{orders}:dead", "{orders}:attempts") == 0


def test_remove_takes_out_whoever_holds_the_lease(schedule: Schedule, redis: Redis) -> None:
    claim = claim_one(schedule)
    schedule.start(claim.lease, ["42"])
    redis.hset("{orders}:dead", "buried", "{}")
    assert schedule.remove(["42", "buried", "unknown"]) == 2
    assert redis.exists("orders", "{orders}:attempts", "{orders}:dead") == 0
    assert schedule.settle(claim.lease, ["42"]) == 0


def test_a_bare_zadd_schedules(schedule: Schedule, redis: Redis) -> None:
    redis.execute_command("ZADD orders 1700000000 42")
    redis.execute_command("ZADD", "orders", "-inf", "first")
    claim = schedule.claim(10)
    assert [(claimed.order_id, claimed.due) for claimed in claim.claimed] == [
        ("first", float("-inf")),
        ("42", 1.7e9),
    ]
    # and what was claimed can be given back as it was
    schedule.reschedule(claim.lease, [Move(claimed.order_id, claimed.due) for claimed in claim.claimed])
    assert redis.zrange("orders", 0, -1, withscores=True) == [(b"first", float("-inf")), (b"42", 1.7e9)]


def test_members_that_are_not_utf8_can_be_claimed_and_moved(schedule: Schedule, redis: Redis) -> None:
    redis.zadd("orders", {b"\xff\xfe": 1.0})
    claim = schedule.claim(10)
    [claimed] = claim.claimed
    assert schedule.start(claim.lease, [claimed.order_id]) == {claimed.order_id: 1}
    assert schedule.bury(claim.lease, [(claimed.order_id, "{}")]) == 1
    assert redis.hkeys("{orders}:dead") == [b"\xff\xfe"]


def test_another_key_is_another_schedule(settings: Settings, schedule: Schedule, redis: Redis) -> None:
    other = Schedule.connect(settings.model_copy(update={"key": "{eu}:orders"}))
    other.enqueue([("42", 1.0)])
    other.start(other.claim(1).lease, ["42"])
    assert schedule.claim(10).claimed == []
    names = {b"{eu}:orders", *(b"{eu}:orders:" + name for name in (b"attempts", b"leases", b"stats"))}
    assert set(redis.keys()) == {*names, b"{orders}:stats"}
    other.close()


def test_one_at_a_time_delivers(schedule: Schedule, redis: Redis) -> None:
    with schedule.delivering(60) as first:
        assert first
        assert 0 < redis.pttl("{orders}:delivering") <= 60_000  # should its process be killed
        with schedule.delivering(60) as second:
            assert not second
        assert redis.exists("{orders}:delivering")
    with schedule.delivering(60) as third:
        assert third
    assert redis.exists("{orders}:delivering") == 0
