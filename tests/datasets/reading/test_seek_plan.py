from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slowfast.datasets.reading.seek_plan import PacketTable, plan_runs


def table(groups: list[list[int]], hidden: tuple[int, ...] = ()) -> PacketTable:
    """Packets in decoding order by presentation time; each group begins with a key frame."""
    pts = np.array([p for group in groups for p in group])
    key = np.array([i == 0 for group in groups for i in range(len(group))])
    return PacketTable(pts, np.arange(len(pts)), key, ~np.isin(pts, hidden))


CLOSED = table([[0, 3, 1, 2], [4, 7, 5, 6], [8, 11, 9, 10]])
# The second key frame is shown after frames 3 and 4, which are decoded behind it.
OPEN = table([[0, 2, 1], [5, 3, 4, 7, 6]])


def test_presentation_order_and_places() -> None:
    assert CLOSED.positions.tolist() == [0, 2, 3, 1, 4, 6, 7, 5, 8, 10, 11, 9]
    assert CLOSED.frame_pts.tolist() == list(range(12))
    assert CLOSED.place[7] == 5
    assert CLOSED.entries.tolist() == [0] * 4 + [4] * 4 + [8] * 4


def test_leading_frames_of_an_open_group_start_at_the_group_before() -> None:
    assert OPEN.entries.tolist() == [0, 0, 0, 0, 0, 3, 3, 3]
    runs = plan_runs(OPEN, [4, 7], seek_cost=0)
    assert runs[0].first == 0
    assert not runs[0].seek
    assert runs[0].last == 6  # the run goes on: nothing is gained by jumping back to position 3
    assert runs[0].wanted == (4, 7)


def test_dropped_frames_are_not_counted() -> None:
    cut = table([[0, 3, 1, 2], [4, 7, 5, 6]], hidden=(0, 1))
    assert cut.frame_pts.tolist() == [2, 3, 4, 5, 6, 7]
    assert plan_runs(cut, [0])[0].first == 0


def test_a_jump_must_be_worth_its_price() -> None:
    assert [r.seek for r in plan_runs(CLOSED, [0, 4], seek_cost=3)] == [False]
    assert [r.seek for r in plan_runs(CLOSED, [0, 8], seek_cost=3)] == [False, True]
    assert [r.seek for r in plan_runs(CLOSED, [0, 8], seek_cost=100)] == [False]
    assert plan_runs(CLOSED, [9], seek_cost=3)[0]._asdict() == {
        "first": 8,
        "last": 10,
        "seek": True,
        "wanted": (9,),
    }


def test_key_frames_out_of_order_are_never_jumped_to() -> None:
    odd = PacketTable(
        np.array([4, 5, 0, 1]), np.arange(4), np.array([1, 0, 1, 0], bool), np.ones(4, bool)
    )
    assert odd.entries.tolist() == [0, 0, 0, 0]
    none = PacketTable(np.arange(3), np.arange(3), np.zeros(3, bool), np.ones(3, bool))
    assert none.entries.tolist() == [0, 0, 0]


@given(
    st.lists(st.permutations(range(6)), min_size=1, max_size=6),
    st.data(),
    st.integers(0, 30),
)
def test_every_wanted_frame_is_in_its_run_behind_a_key_frame(groups, data, cost) -> None:
    built = []
    for i, order in enumerate(groups):
        built.append([6 * i, *(6 * i + p for p in order if p)])
    packets = table(built)
    frames = data.draw(st.sets(st.integers(0, 6 * len(groups) - 1), min_size=1))
    wanted = sorted(frames)
    runs = plan_runs(packets, wanted, cost)
    assert [frame for run in runs for frame in run.wanted] == wanted
    for run in runs:
        assert packets.key[run.first]
        assert all(run.first <= packets.positions[f] <= run.last for f in run.wanted)
        assert all(packets.pts[run.first] <= packets.frame_pts[f] for f in run.wanted)
    decoded = sum(run.last - run.first + 1 for run in runs)
    assert decoded <= max(packets.positions[wanted]) + 1
