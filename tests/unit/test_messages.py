"""How a worker validates messages."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders import ids
from orders.errors import InvalidMessage
from tasks.messages import parse_claim, parse_shard

LEASE = 1896087720.000123


@given(st.lists(st.binary(min_size=1), min_size=1, max_size=50))
def test_every_member_that_a_sweep_can_claim_reaches_its_worker(members: list[bytes]) -> None:
    sent = json.loads(json.dumps([list(map(ids.decode, members)), {"lease": LEASE, "shard": 3}]))
    order_ids, lease = parse_claim(sent[0], **sent[1])
    assert list(map(ids.encode, order_ids)) == members
    assert lease == (LEASE, 3)


@pytest.mark.parametrize(
    ("order_ids", "told"),
    [
        ([], "has 0 order ids"),
        (["7"] * 5001, "has 5001 order ids"),
        ([42], "is 42: it must be text"),
        (["1", None], "is None: it must be text"),
        ([["1"]], "is ['1']: it must be text"),
        ([{"__class__": "x"}], "it must be text"),
        ([True], "is True: it must be text"),
        ([""], "is '': it must be text that is not empty"),
        (["\ud800"], "it must be text that UTF-8 can encode"),
        ([["x" * 10**6]], "… (list, 1000004 characters)"),
    ],
)
def test_what_is_no_id_is_refused(order_ids: list[object], told: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        parse_claim(order_ids, LEASE, None)
    assert told in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("lease", [None, "1896087720.0", True, [], {}, "NaN", "Infinity", "-Infinity", "1" + "0" * 400])
def test_what_is_no_token_is_refused(lease: object) -> None:
    as_sent = json.loads(lease) if isinstance(lease, str) and not lease.startswith("18") else lease
    with pytest.raises(InvalidMessage, match=r"the lease in the message is .* it must be the token of a claim"):
        parse_claim(["42"], as_sent, None)


@pytest.mark.parametrize("shard", [-1, 1024, 2**70, 1.0, "1", True, [0]])
def test_what_is_no_shard_is_refused(shard: object) -> None:
    with pytest.raises(InvalidMessage, match=r"the shard in the message is .* from 0 to 1,023"):
        parse_shard(shard)
