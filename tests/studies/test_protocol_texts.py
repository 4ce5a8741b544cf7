"""Whose descriptors the steps of a protocol read, and how many."""

from pathlib import Path

import pytest

from slowfast.config import load_cfg
from slowfast.errors import UsageError
from slowfast.studies.protocol import Request, plan

SETS = ("kinetics400", "ucf101", "hmdb51", "kinetics600")


def cfgs(**changes):
    values = {"protocol": "zero_shot", "method": "OST", "dataset": "kinetics400", **changes}
    steps = plan(Request(data_root=Path("/data"), **values))
    return [load_cfg(step.config, step.opts, env={}) for step in steps]


def write(folder: Path, num: int = 4, names=SETS) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True)
        for kind in ("spatial", "temporal"):
            (folder / name / f"{kind}_{num}.json").write_text("{}")
    return folder


def test_a_folder_of_descriptors_reaches_each_data_set_with_its_own_files(tmp_path) -> None:
    folder = write(tmp_path / "released")
    own = folder / "kinetics600" / "split2"
    own.mkdir()
    (own / "spatial_4.json").write_text("{}")
    found = cfgs(descriptors=folder)
    assert len(found) == 10
    for cfg in found:
        dataset = Path(cfg.TEXT.CLASSES).parent.name
        split2 = dataset == "kinetics600" and cfg.TEST.SPLIT == "2"
        assert Path(cfg.TEXT.SPATIAL) == (own if split2 else folder / dataset) / "spatial_4.json"
        assert Path(cfg.TEXT.TEMPORAL) == folder / dataset / "temporal_4.json"
        assert "runs/ost/zero_shot/released/" in cfg.OUTPUT_DIR
    weights = {cfg.TEST.CHECKPOINT_FILE_PATH for cfg in found[1:]}
    assert weights == {f"{found[0].OUTPUT_DIR}/checkpoints/checkpoint_epoch_00010.pyth"}


@pytest.mark.parametrize("num", [2, 4, 8])
def test_the_number_of_descriptors_is_one_option(num) -> None:
    """Table 4c: N = 2, 4, 8 in training and in every test, results apart."""
    found = cfgs(overrides=("OST.N", str(num)), protocol="few_shot", dataset="hmdb51", shots=(2,))
    (cfg,) = found
    assert f"label_db/hmdb51/descriptors/spatial_{num}.json" == cfg.TEXT.SPATIAL
    assert f"label_db/hmdb51/descriptors/temporal_{num}.json" == cfg.TEXT.TEMPORAL
    assert f"runs/ost/few_shot/n{num}/hmdb51/2shot_seed1" == cfg.OUTPUT_DIR


def test_files_that_are_not_there_are_named_at_once(tmp_path) -> None:
    write(tmp_path / "mine", names=SETS[:1])
    with pytest.raises(UsageError, match=r"no spatial_4.json in .*mine/ucf101; expected FOLDER/"):
        cfgs(descriptors=tmp_path / "mine")
    write(tmp_path / "four")
    with pytest.raises(UsageError, match=r"no spatial_8.json in .*four/kinetics400"):
        cfgs(descriptors=tmp_path / "four", overrides=("OST.N", "8"))


def test_one_file_for_every_data_set_is_refused() -> None:
    with pytest.raises(UsageError, match="TEXT.SPATIAL behind -- would reach every data set"):
        cfgs(overrides=("TEXT.SPATIAL", "label_db/kinetics400/descriptors/spatial_8.json"))
