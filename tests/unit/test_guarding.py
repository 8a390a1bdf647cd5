"""The circuit breaker, by a clock of its own."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from threading import Barrier, Thread

import pytest

from orders.expiry.guard import Breaker

FAILURES, PAUSE = 3, 30.0


@dataclass
class Stopwatch:
    """Seconds that pass when they are told to."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def stopwatch() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def breaker(stopwatch: Stopwatch) -> Breaker:
    return Breaker(FAILURES, PAUSE, stopwatch)


def note(breaker: Breaker, *answered: bool) -> None:
    for is_answered in answered:
        breaker.note(is_answered=is_answered)


def open_it(breaker: Breaker) -> None:
    note(breaker, *[False] * FAILURES)


def test_a_new_one_allows_all(breaker: Breaker) -> None:
    assert [breaker.allows() for _ in range(100)] == [True] * 100
    assert breaker.wait() == 0


def test_failures_in_a_row_open_it(breaker: Breaker) -> None:
    note(breaker, False, False)
    assert breaker.allows()
    note(breaker, False)
    assert not breaker.allows()
    assert breaker.wait() == PAUSE


def test_an_answer_between_failures_begins_the_row_anew(breaker: Breaker) -> None:
    note(breaker, False, False, True, False, False)
    assert breaker.allows()
    note(breaker, False)
    assert not breaker.allows()


def test_it_stays_open_for_the_pause(breaker: Breaker, stopwatch: Stopwatch) -> None:
    open_it(breaker)
    stopwatch.seconds += PAUSE - 1
    assert not breaker.allows()
    assert breaker.wait() == 1
    stopwatch.seconds += 1
    assert breaker.wait() == 0
    assert breaker.allows()


def test_after_the_pause_one_may_ask(breaker: Breaker, stopwatch: Stopwatch) -> None:
    open_it(breaker)
    stopwatch.seconds += PAUSE
    assert [breaker.allows() for _ in range(5)] == [True, False, False, False, False]
    assert breaker.wait() == PAUSE


def test_of_threads_that_come_after_the_pause_at_once_one_may_ask(stopwatch: Stopwatch) -> None:
    # given a clock that takes a while to read, so that whoever is not kept out comes in between
    def monotonic() -> float:
        time.sleep(0.002)
        return stopwatch()

    breaker, barrier, allowed = Breaker(FAILURES, PAUSE, monotonic), Barrier(8), list[bool]()
    open_it(breaker)
    stopwatch.seconds += PAUSE

    def come() -> None:
        barrier.wait()
        allowed.append(breaker.allows())

    threads = [Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(allowed) == [False] * 7 + [True]


def test_its_answer_closes_it(breaker: Breaker, stopwatch: Stopwatch) -> None:
    # given one that has opened, and one question after the pause
    open_it(breaker)
    stopwatch.seconds += PAUSE
    assert breaker.allows()
    # when that is answered
    note(breaker, True)
    # then all may ask, without waiting, and it takes as many failures as ever to open it
    assert [breaker.allows() for _ in range(5)] == [True] * 5
    assert breaker.wait() == 0
    note(breaker, False, False)
    assert breaker.allows()
    note(breaker, False)
    assert not breaker.allows()


def test_its_failure_opens_it_for_another_pause(breaker: Breaker, stopwatch: Stopwatch) -> None:
    # given a question after the pause that takes a while, and fails
    open_it(breaker)
    stopwatch.seconds += PAUSE
    assert breaker.allows()
    stopwatch.seconds += 5
    note(breaker, False)
    # then the pause begins with the failure
    assert breaker.wait() == PAUSE
    stopwatch.seconds += PAUSE - 1
    assert not breaker.allows()
    stopwatch.seconds += 1
    assert [breaker.allows(), breaker.allows()] == [True, False]


def test_a_question_that_came_to_nothing_does_not_keep_it_open(breaker: Breaker, stopwatch: Stopwatch) -> None:
    # given a question after the pause, whose process is killed
    open_it(breaker)
    stopwatch.seconds += PAUSE
    assert breaker.allows()
    # then after another pause another may be asked
    stopwatch.seconds += PAUSE
    assert breaker.allows()


def test_failures_of_questions_that_were_asked_before_prolong_the_pause(breaker: Breaker, stopwatch: Stopwatch) -> None:
    open_it(breaker)
    stopwatch.seconds += 5
    note(breaker, False)
    assert breaker.wait() == PAUSE


def test_an_answer_to_a_question_that_was_asked_before_closes_it(breaker: Breaker) -> None:
    open_it(breaker)
    note(breaker, True)
    assert breaker.allows()


def test_one_failure_may_be_enough(stopwatch: Stopwatch) -> None:
    breaker = Breaker(1, PAUSE, stopwatch)
    note(breaker, False)
    assert not breaker.allows()


def test_it_says_once_that_it_opens(breaker: Breaker, stopwatch: Stopwatch, caplog: pytest.LogCaptureFixture) -> None:
    note(breaker, *[False] * 2 * FAILURES)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "the guard failed 3 times in a row: no order is expired for 30 s"
    # and says so again when it opens anew
    note(breaker, True, *[False] * FAILURES)
    assert len(caplog.records) == 2
