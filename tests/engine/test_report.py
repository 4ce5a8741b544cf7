from types import SimpleNamespace as Some

import pytest

from slowfast.engine.report import broken_videos
from slowfast.errors import DataError


class Repeated:
    """Ten listed videos, five times in an epoch."""

    videos = range(10)

    def __len__(self):
        return 50


def make_job(tmp_path, dataset, count):
    found = {f"{i}.mp4": "no video stream" for i in range(count)}
    return Some(
        ranks=Some(broken_of_all=lambda: found),
        train_loader=Some(dataset=dataset),
        cfg=Some(DATA=Some(MAX_BROKEN=0.2)),
        output_dir=tmp_path,
    )


def test_the_share_of_broken_videos_is_one_of_the_list_and_not_of_a_long_epoch(tmp_path, caplog):
    broken_videos(make_job(tmp_path, Repeated(), 2), 0)
    assert "epoch 1: 2 of 10 videos could not be read" in caplog.text
    with pytest.raises(DataError, match=r"3 of 10 videos .* above DATA.MAX_BROKEN=0.2"):
        broken_videos(make_job(tmp_path, Repeated(), 3), 0)


def test_other_data_sets_are_as_long_as_they_say(tmp_path):
    broken_videos(make_job(tmp_path, range(50), 10), 0)
    with pytest.raises(DataError, match="11 of 50 videos"):
        broken_videos(make_job(tmp_path, range(50), 11), 0)
