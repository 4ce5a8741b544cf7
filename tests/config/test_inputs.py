"""Which files are missed before anything heavy is imported."""

from __future__ import annotations

import pytest

from slowfast.config import load_cfg
from slowfast.config.inputs import LISTED, check_files
from slowfast.datasets import DATASET_REGISTRY
from slowfast.errors import DataError, UsageError


def cfg_of(*words):
    return load_cfg([], ["NUM_GPUS", "0", *words], env={})


def test_the_data_sets_that_read_lists_are_those_of_this_package() -> None:
    own = [
        name.lower()
        for name, entry in DATASET_REGISTRY
        if entry.__module__.startswith("slowfast.datasets.")
    ]
    assert sorted(own) == sorted(LISTED)


def test_lists_of_the_enabled_phases_must_be_there(tmp_path) -> None:
    words = ["DATA.PATH_TO_DATA_DIR", str(tmp_path)]
    (tmp_path / "train.csv").touch()
    with pytest.raises(DataError, match=r"val\.csv: no such list of videos"):
        check_files(cfg_of(*words))
    (tmp_path / "val.csv").touch()
    with pytest.raises(DataError, match=r"test\.csv: no such list of videos"):
        check_files(cfg_of(*words))
    check_files(cfg_of(*words, "TEST.ENABLE", "False"))
    (tmp_path / "vids").mkdir()  # a folder of class folders is a list, too
    check_files(cfg_of(*words, "DATA.TEST_FILE", "vids"))


def test_a_data_set_of_ones_own_reads_what_it_likes() -> None:
    check_files(cfg_of("TRAIN.DATASET", "mine", "TEST.DATASET", "mine"))


@pytest.mark.parametrize("key", ["CLASSES", "SUBSET", "SPATIAL", "TEMPORAL"])
def test_texts_must_be_there(key) -> None:
    own = ("TRAIN.DATASET", "mine", "TEST.DATASET", "mine")
    with pytest.raises(UsageError, match=rf"gone\.csv: no such file of .*\(TEXT\.{key}\)"):
        check_files(cfg_of(*own, f"TEXT.{key}", "gone.csv"))
    check_files(cfg_of(*own, f"TEXT.{key}", "label_db/ucf101/classes.csv"))
    check_files(cfg_of("TRAIN.ENABLE", "False", "TEST.ENABLE", "False", "TEXT.CLASSES", "gone"))
