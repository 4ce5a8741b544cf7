"""Finding files, proving labels, checking videos, cutting segments."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from slowfast.datasets.preparation import proof as proof_module
from slowfast.datasets.preparation import verifying
from slowfast.datasets.preparation.class_table import ClassTable, load_table
from slowfast.datasets.preparation.proof import Proof
from slowfast.datasets.preparation.resolving import FileIndex, resolve
from slowfast.datasets.preparation.trimming import Cut, target_name, trim, trim_all
from slowfast.datasets.preparation.verifying import check_video, verify
from slowfast.datasets.reading.decoder import VideoReader
from slowfast.errors import DataError, DecodeError
from tests.datasets.miniatures import LABEL_DB
from tests.video_files import frame_numbers, sequential, write_truncated, write_video


def tree(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


# -- finding -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "listed", "how", "path"),
    [
        ("train/run/a.mp4", "train/run/a.mp4", "exact", "train/run/a.mp4"),
        ("a.mp4", "train/run/a.mp4", "by name", "a.mp4"),
        ("part_1/run/a.mp4", "a.mp4", "by name", "part_1/run/a.mp4"),
        ("x/7.mp4", "7.webm", "other suffix", "x/7.mp4"),
        ("run/v_Run_g01_c01.avi", "Run/v_Run_g01_c01", "other suffix", "run/v_Run_g01_c01.avi"),
        ("a.b_1.mkv", "val/a.b_1.mp4", "other suffix", "a.b_1.mkv"),
        ("abc.mp4", "v_abc.mp4", "other suffix", "abc.mp4"),
    ],
)
def test_files_are_found_in_any_layout(there, listed, how, path, tmp_path: Path) -> None:
    found = resolve([listed, listed], FileIndex(tree(tmp_path, there, "other/b.avi")))
    assert (found.paths, found.how, found.unlisted) == ({listed: path}, {how: 1}, 1)


def test_identifiers_that_differ_in_case_are_different_videos(tmp_path: Path) -> None:
    index = FileIndex(tree(tmp_path, "aBc_000001_000011.mp4", "x.mp4"))
    found = resolve(["abc_000001_000011.mp4", "x.mp4"], index)
    assert found.missing == ["abc_000001_000011.mp4"]


def test_of_several_files_the_one_in_the_listed_folders_is_taken(tmp_path: Path) -> None:
    index = FileIndex(tree(tmp_path, "train/air_drumming/a.mp4", "val/air_drumming/a.mp4"))
    found = resolve(["val/air drumming/a.mp4", "a.mp4"], index)
    assert found.paths == {"val/air drumming/a.mp4": "val/air_drumming/a.mp4"}
    assert found.ambiguous["a.mp4"] == ["train/air_drumming/a.mp4", "val/air_drumming/a.mp4"]


def test_folders_of_images_are_videos_too(tmp_path: Path) -> None:
    root = tree(tmp_path, "run/a/img_00001.jpg", "run/a/img_00002.jpg", "run/.hidden.mp4")
    index = FileIndex(root)
    assert (index.paths, index.images) == ({"run/a"}, {"run/a": 2})
    assert resolve(["jump/a"], index).paths == {"jump/a": "run/a"}


def test_optical_flow_beside_the_frames_makes_no_video_longer(tmp_path: Path) -> None:
    kinds = ("img_{:05d}.jpg", "flow_x_{:05d}.jpg", "flow_y_{:05d}.jpg")
    flow = [f"run/a/{kind.format(i)}" for kind in kinds[1:] for i in (1, 2, 3)]
    frames = [f"run/a/{kinds[0].format(i)}" for i in (1, 2, 3, 4)]
    root = tree(tmp_path, *frames, *flow, "run/a/thumbnail.jpg", "run/b/00001.png")
    assert FileIndex(root).images == {"run/a": 4, "run/b": 1}


def test_links_that_go_in_circles_are_followed_once(tmp_path: Path) -> None:
    tree(tmp_path, "x/a.mp4")
    (tmp_path / "x" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert FileIndex(tmp_path).paths == {"x/a.mp4"}


def test_nothing_to_find(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder of videos"):
        FileIndex(tmp_path / "gone")
    with pytest.raises(DataError, match="neither videos nor folders of images"):
        FileIndex(tree(tmp_path, "readme.txt"))
    with pytest.raises(DataError, match=r"none of the 1 listed .* \(first: b.mp4; one .*: a.mp4"):
        resolve(["b.mp4"], FileIndex(tree(tmp_path, "a.mp4")))


# -- proving -----------------------------------------------------------------------------------

HMDB = load_table(LABEL_DB / "hmdb51")
UCF = load_table(LABEL_DB / "ucf101")


def prove(name: str, videos: list[tuple[str, int]], *more: object) -> Proof:
    return proof_module.prove({name: videos}, *more)


def title(name: str, number: int = 0) -> str:
    return f"Some_{name}_f_cm_np1_ba_med_{number}.avi"


@pytest.mark.parametrize(
    ("path", "label", "classes"),
    [
        ("HandstandPushups/v_HandStandPushups_g01_c01.avi", 36, UCF),
        ("v_HandStandPushups_g01_c01.mp4", 36, UCF),
        ("frames/v_Archery_g01_c01", 2, UCF),
        (f"kick_ball/{title('kick_ball')}", 21, HMDB),
        (title("draw_sword"), HMDB.names.index("draw sword"), HMDB),
        (title("sword"), 44, HMDB),
        (title("sword_exercise"), 45, HMDB),
        ("val/hurling_sport/x.mp4", 161, load_table(LABEL_DB / "kinetics400")),
    ],
)
def test_names_prove_labels(path, label, classes) -> None:
    proof = prove("l", [(path, label)], classes)
    assert (proof.proven, proof.silent, proof.odd) == (1, 0, [])
    with pytest.raises(DataError, match=f"l: labels contradict the videos: .*label {label - 1} "):
        prove("l", [(path, label - 1)], classes)


def test_names_that_say_nothing(tmp_path: Path) -> None:
    proof = prove("l", [("20bn/123.webm", 3), ("train/abc_000001_000002.mp4", 0)], UCF)
    assert (proof.proven, proof.silent) == (0, 2)


def test_only_the_first_contradictions_are_named() -> None:
    wrong = [(f"Archery/{i}.avi", 0) for i in range(9)]
    with pytest.raises(DataError) as error:
        prove("train", [("Archery/x.avi", 2), *wrong], UCF)
    assert "Archery/4.avi has label 0 ('ApplyEyeMakeup'), its folder says 'Archery'; 4 more" in str(
        error.value
    )


def test_a_few_titles_may_speak_for_another_class_but_not_most() -> None:
    kicks = [(title("kick", i), 20) for i in range(3)]
    proof = prove("l", [*kicks, (title("run"), 20)], HMDB)
    assert (proof.proven, len(proof.odd)) == (3, 1)
    assert "says 'run'" in proof.odd[0]
    assert prove("l", [(f"kick/{title('run')}", 20)], HMDB).odd == []  # the folder decides


def test_exchanged_lists_are_refused_and_exchanged_names_reported() -> None:
    with pytest.raises(DataError, match="says 'kick_ball'"):
        prove("l", [(title("kick_ball", i), 20) for i in range(3)], HMDB)
    published = load_table(LABEL_DB / "hmdb51", "published")
    proof = prove("l", [(title("kick"), 20)], published)
    assert proof.proven == 1
    assert "20 'kick ball' (videos of 'kick'), 21 'kick'" in proof.notes[0]


def test_the_official_annotation_proves_what_names_do_not() -> None:
    classes = ClassTable(("a", "b"), ("a", "b"), Path("c.csv"))
    assert prove("l", [("x/12.webm", 1)], classes, {"12": 1}).proven == 1
    with pytest.raises(DataError, match="its official annotation says 'a'"):
        prove("l", [("x/12.webm", 1)], classes, {"12": 0})


# -- checking ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    write_video(root / "good.mp4", 20)
    write_truncated(root / "cut.mp4", 0.9)
    (root / "zero.mp4").touch()
    (root / "text.mp4").write_text("no video " * 100)
    return root


NAMES = ["good.mp4", "cut.mp4", "zero.mp4", "text.mp4", "gone.mp4"]


@pytest.mark.parametrize("mode", ["quick", "full"])
def test_broken_videos_are_told_apart(mode, videos: Path, tmp_path: Path) -> None:
    found = verify(NAMES, str(videos), tmp_path, mode=mode, workers=1, progress="none")
    assert found.frames["good.mp4"] == 20
    assert found.problems["zero.mp4"] == "empty file (0 bytes)"
    assert found.problems["gone.mp4"] == "no such file"
    assert "not a video" in found.problems["text.mp4"]
    cut = "of the 4.00 s that the container states are missing"
    assert found.problems.get("cut.mp4", "").endswith(cut) == (mode == "full")
    assert (found.checked, found.remembered) == (5, 0)


def test_mode_none_looks_at_nothing(videos: Path, tmp_path: Path) -> None:
    assert verify(NAMES, str(videos), tmp_path, mode="none", workers=1) == ({}, {}, 0, 0)
    assert not list(tmp_path.iterdir())


def test_a_second_run_remembers(tmp_path: Path, monkeypatch) -> None:
    def run(mode: str) -> tuple[int, int]:
        found = verify(paths, str(tmp_path), tmp_path, mode=mode, workers=1, progress="none")
        return found.checked, found.remembered

    paths = ["a.mp4", "b.mp4"]
    for name in paths:
        write_video(tmp_path / name, 6)
    assert run("quick") == (2, 0)
    monkeypatch.setattr(verifying, "check_video", lambda *_, **__: pytest.fail("checked again"))
    assert run("quick") == (0, 2)
    monkeypatch.undo()
    assert run("full") == (2, 0)  # quick is not enough for it
    assert run("quick") == (0, 2)  # full is more than enough
    (tmp_path / "a.mp4").write_bytes(b"")
    assert run("quick") == (1, 1)
    assert run("full") == (0, 2)  # broken stays broken
    os.utime(tmp_path / "b.mp4", ns=(5, 5))
    assert run("full") == (1, 1)


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 2}', '{"version": 1, "videos": {}}'])
def test_a_damaged_memory_is_said_and_made_anew(text, videos: Path, tmp_path: Path, caplog) -> None:
    (tmp_path / "verified.json").write_text(text)
    found = verify(NAMES[:1], str(videos), tmp_path, mode="quick", workers=1, progress="none")
    assert found.checked == 1
    assert "verified.json cannot be used" in caplog.text
    assert set(json.loads((tmp_path / "verified.json").read_text())["videos"]) == {"good.mp4"}


def test_what_was_checked_before_an_interruption_is_kept(videos, tmp_path, monkeypatch) -> None:
    real = verifying.check_video

    def stop(path: str, **options: bool) -> object:
        if path.endswith("zero.mp4"):
            raise KeyboardInterrupt
        return real(path, **options)

    monkeypatch.setattr(verifying, "check_video", stop)
    with pytest.raises(KeyboardInterrupt):
        verify(NAMES, str(videos), tmp_path, mode="quick", workers=1, progress="none")
    monkeypatch.undo()
    found = verify(NAMES, str(videos), tmp_path, mode="quick", workers=1, progress="none")
    assert (found.checked, found.remembered) == (3, 2)


def test_several_processes_find_the_same(videos: Path, tmp_path: Path) -> None:
    for i in range(20):
        os.link(videos / NAMES[i % 4], tmp_path / f"{i}.mp4")
    paths = [f"{i}.mp4" for i in range(20)]
    one = [verifying._check(str(tmp_path), True, 1, path) for path in paths]
    assert list(verifying.check_all(paths, str(tmp_path), quick=True, workers=2)) == one


def _die(root: str, quick: bool, min_frames: int, path: str) -> verifying.Verdict:
    if path == "9":
        os._exit(1)
    return verifying.Verdict(path, 1, "")


@pytest.mark.skipif(os.name != "posix", reason="the patched function reaches forked processes only")
def test_a_video_that_kills_its_process_is_broken(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(verifying, "_check", _die)
    paths = [str(i) for i in range(70)]
    found = list(verifying.check_all(paths, str(tmp_path), quick=True, workers=2))
    assert [verdict.path for verdict in found] == paths
    problems = {verdict.path: verdict.problem for verdict in found if verdict.problem}
    assert problems == {"9": "the decoder crashes on it"}


def test_folders_of_images_are_read_at_their_ends(tmp_path: Path) -> None:
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"img_{i}.jpg"), np.zeros((8, 8, 3), np.uint8))
    assert check_video(str(tmp_path), quick=True) == (str(tmp_path), 3, "")
    (tmp_path / "img_1.jpg").write_text("no image")
    assert check_video(str(tmp_path), quick=True).problem == ""
    assert check_video(str(tmp_path)).problem == "image img_1.jpg cannot be decoded"
    assert check_video(str(tmp_path), quick=True, min_frames=4).problem == "only 3 frames"


# -- cutting -----------------------------------------------------------------------------------


def test_a_segment_has_exactly_its_frames(tmp_path: Path) -> None:
    source = write_video(tmp_path / "v_a.mp4", 60, gop=25, b_frames=2)
    cut = Cut(str(source), 1.0, 1.5, str(tmp_path / "out" / target_name(str(source), 1.0, 1.5)))
    trim(cut)
    target = tmp_path / "out" / "v_a_000100_000150.mp4"
    assert frame_numbers(sequential(target)) == list(range(30, 45))
    with VideoReader(target) as reader:
        assert reader.num_frames == 15
        assert reader.timeline.fps == pytest.approx(30)
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_odd_sides_and_rotation_survive(tmp_path: Path) -> None:
    options = {"qp": "0"}
    source = write_video(tmp_path / "a.mkv", 10, size=(65, 49), pix_fmt="yuv444p", options=options)
    trim(Cut(str(source), 0, 0.2, str(tmp_path / "b.mp4")))
    assert sequential(tmp_path / "b.mp4").shape == (6, 48, 64, 3)
    turned = write_video(tmp_path / "c.mp4", 10, rotation=90)
    trim(Cut(str(turned), 0, 0.2, str(tmp_path / "d.mp4")))
    with VideoReader(turned) as before, VideoReader(tmp_path / "d.mp4") as after:
        assert before.read([0]).shape == after.read([0]).shape


def test_segments_that_cannot_be_cut_leave_nothing(tmp_path: Path) -> None:
    source = str(write_video(tmp_path / "a.mp4", 10))
    broken = tmp_path / "b.mp4"
    broken.write_text("no video " * 100)
    out = tmp_path / "out"
    cuts = [
        Cut(source, 0.0, 0.2, str(out / "good.mp4")),
        Cut(source, 5.0, 6.0, str(out / "late.mp4")),
        Cut(str(broken), 0.0, 1.0, str(out / "broken.mp4")),
    ]
    problems = trim_all(cuts, workers=2, progress="none")
    assert problems[str(out / "late.mp4")] == "no frame from 5.0 to 6.0 seconds"
    assert "cannot be cut" in problems[str(out / "broken.mp4")]
    assert [path.name for path in out.iterdir()] == ["good.mp4"]
    with pytest.raises(DecodeError):
        trim(cuts[1])


def test_segments_that_are_there_are_not_cut_again(tmp_path: Path) -> None:
    cut = Cut("gone.mp4", 0.0, 1.0, str(tmp_path / "done.mp4"))
    (tmp_path / "done.mp4").touch()
    assert trim_all([cut], workers=1, progress="none") == {}
