"""The picture of a transport plan."""

import builtins

import numpy as np
import pytest

from slowfast.errors import UsageError
from slowfast.visualization.transport_plan import (
    PlanPanel,
    draw_transport_plans,
    frame_shares,
    save_figure,
)

pytest.importorskip("matplotlib")


def frames(count: int = 3) -> np.ndarray:
    return np.full((count, 12, 16, 3), 200, np.uint8)


def panel(kind: str = "spatial", num_frames: int = 3, num_descriptors: int = 2) -> PlanPanel:
    texts = [f"{kind} text {n}" for n in range(num_descriptors)]
    plan = np.arange(1.0, 1 + num_frames * num_descriptors).reshape(num_frames, num_descriptors)
    return PlanPanel(kind, texts, plan / plan.sum())


def texts_of(figure) -> list[str]:
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [text.get_text() for text in axes.texts]
        found += [label.get_text() for label in axes.get_yticklabels()]
        found.append(axes.get_title(loc="left"))
    return found


def test_shares_of_a_frame_sum_to_one() -> None:
    shares = frame_shares(panel().plan_TN)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(shares[0], [1 / 3, 2 / 3])


def test_picture_says_what_it_shows() -> None:
    figure = draw_transport_plans(
        frames(),
        [panel(), panel("temporal", num_descriptors=4)],
        title="red square spinning",
        subtitle="score 0.5",
        seconds=[0.0, 0.5, 1.0],
    )
    words = texts_of(figure)
    assert {"red square spinning", "score 0.5", "0.5 s", "spatial text 1", "temporal text 3"} < set(
        words
    )
    assert {"spatio descriptors", "temporal descriptors"} < set(words)
    # Row 1 of the first map: 2/3, 4/7, 6/11 of each frame's mass.
    assert [text.get_text() for text in figure.axes[3].texts][3:] == ["67", "57", "55"]


def test_frames_stand_above_their_columns() -> None:
    figure = draw_transport_plans(frames(4), [panel(num_frames=4)], title="t")
    *pictures, heat_map = figure.axes
    box = heat_map.get_position()
    for t, axes in enumerate(pictures):
        centre = axes.get_position(original=True)
        assert (centre.x0 + centre.x1) / 2 == pytest.approx(box.x0 + (t + 0.5) / 4 * box.width)
        assert centre.y0 > box.y1


def test_map_shows_descriptors_by_rows_and_frames_by_columns() -> None:
    figure = draw_transport_plans(frames(), [panel()], title="t")
    np.testing.assert_allclose(
        np.asarray(figure.axes[-1].images[0].get_array()), frame_shares(panel().plan_TN).T
    )


def test_file_is_a_png_and_nothing_is_left_beside_it(tmp_path) -> None:
    path = save_figure(
        draw_transport_plans(frames(), [panel()], title="t"), tmp_path / "new" / "plan.png"
    )
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in path.parent.iterdir()] == ["plan.png"]


def test_drawing_leaves_no_window_behind() -> None:
    import matplotlib.pyplot as plt

    draw_transport_plans(frames(), [panel()], title="t")
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("images", "panels", "message"),
    [
        (frames(0), [panel()], "nothing to draw: 0 frames"),
        (frames(), [], "nothing to draw: 3 frames, 0 plans"),
        (frames(2), [panel()], r"spatial plan has shape \(3, 2\), expected \(2, 2\)"),
        (frames(), [panel()._replace(descriptors=["one"])], r"expected \(3, 1\)"),
    ],
)
def test_what_does_not_fit_is_refused(images, panels, message) -> None:
    with pytest.raises(UsageError, match=message):
        draw_transport_plans(images, panels, title="t")


def test_missing_matplotlib_is_said_in_one_line(monkeypatch) -> None:
    real = builtins.__import__

    def fake(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fake)
    with pytest.raises(UsageError, match="pictures need matplotlib, .*pip install matplotlib"):
        draw_transport_plans(frames(), [panel()], title="t")
