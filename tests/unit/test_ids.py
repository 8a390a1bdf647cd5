from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders import ids
from orders.errors import InvalidOrderId, InvalidReference
from orders.schedule.keys import Keys


@pytest.mark.parametrize(
    ("order_id", "member"),
    [
        ("A-17/b", "A-17/b"),
        ("büro", "büro"),
        (42, "42"),
        (-1, "-1"),
        (2**64 - 1, "18446744073709551615"),
        (UUID("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("x" * 255, "x" * 255),
    ],
)
def test_an_id_is_scheduled_as_its_text(order_id: object, member: str) -> None:
    assert ids.parse(order_id) == member


@pytest.mark.parametrize(
    ("order_id", "told"),
    [
        ("", "is empty"),
        ("x" * 256, "(256 characters)"),
        (None, "not None (NoneType)"),
        (True, "not True (bool)"),
        (4.2, "not 4.2 (float)"),
        (b"42", "not b'42' (bytes)"),
        (2**64, "an integer of 65 bits"),
        pytest.param(10**5000, "an integer of 16610 bits", id="more digits than Python turns into text"),
        ("a\0b", "NUL"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_what_is_no_id_is_refused_with_its_value(order_id: object, told: str) -> None:
    with pytest.raises(InvalidOrderId) as caught:
        ids.parse(order_id)
    assert told in str(caught.value)


@pytest.mark.parametrize("reference", [None, "ch_1", " ch_1 ", "Größe 😀\n", "x" * 255])
def test_a_reference_is_kept_as_it_is(reference: str | None) -> None:
    assert ids.parse_reference(reference) == reference


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("", "the reference is empty: it must have 1 to 255 characters"),
        ("x" * 100_000, "(100000 characters): it must have 1 to 255"),
        (5, "a reference must be text or None, not 5 (int)"),
        (True, "not True (bool)"),
        (b"ch_1", "not b'ch_1' (bytes)"),
        (["ch_1"], "not ['ch_1'] (list)"),
        (UUID(int=5), "(UUID)"),
        ("a\0b", "NUL"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_what_is_no_reference_is_refused_with_its_value(reference: object, told: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        ids.parse_reference(reference)
    assert told in str(caught.value)
    assert len(str(caught.value)) < 200


@given(st.binary())
def test_any_member_survives_decoding_and_can_be_printed(member: bytes) -> None:
    text = ids.decode(member)
    assert ids.encode(text) == member
    shown = ids.printable(text)
    shown.encode("utf-8")
    assert shown.isprintable()


@given(st.lists(st.text(max_size=300)))
def test_many_members_are_printed_like_each(members: list[str]) -> None:
    assert ids.all_printable(members) == list(map(ids.printable, members))


def test_an_id_is_one_line_of_a_log_and_no_end_of_it() -> None:
    assert ids.printable("A-1001") == "A-1001"
    assert ids.printable("Größe 42") == "Größe 42"
    assert ids.printable("42\nexpire {'expired': 1} ids=43\x1b[2J") == r"42\nexpire {'expired': 1} ids=43\x1b[2J"
    assert ids.printable("7" * 100_000) == "7" * 255 + "… (100000 characters)"


def test_the_keys_share_the_slot_of_the_sorted_set() -> None:
    keys = Keys("orders")
    assert (keys.schedule, keys.attempts, keys.dead, keys.stats) == (
        "orders",
        "{orders}:attempts",
        "{orders}:dead",
        "{orders}:stats",
    )
    assert Keys("shop:{eu}:orders").attempts == "shop:{eu}:orders:attempts"
    assert Keys("a{}b").attempts == "{a{}b}:attempts"
