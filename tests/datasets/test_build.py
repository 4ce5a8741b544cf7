import pytest
from yacs.config import CfgNode

from slowfast.datasets.build import DATASET_REGISTRY, build_dataset, find_dataset
from slowfast.datasets.video import VideoDataset
from slowfast.errors import UsageError


@pytest.fixture
def register(monkeypatch):
    """Return a function that registers classes of no items for one test."""
    monkeypatch.setattr(DATASET_REGISTRY, "_obj_map", dict(DATASET_REGISTRY._obj_map))

    def make(name):
        def init(self, cfg, split):
            self.got = (cfg, split)

        cls = type(name, (), {"__init__": init, "__len__": lambda self: 0})
        DATASET_REGISTRY.register(cls)
        return cls

    return make


def test_exact_name_wins_over_its_capitalised_form(register):
    exact, capitalised = register("myData"), register("Mydata")
    assert find_dataset("myData") is exact
    assert find_dataset("mydata") is capitalised
    assert find_dataset("Mydata") is capitalised


def test_any_case_finds_a_unique_name(register):
    mine = register("MyOwnData")
    assert find_dataset("myowndata") is mine
    register("MYOWNDATA")
    with pytest.raises(UsageError, match="no DATASET named 'myowndata'"):
        find_dataset("myowndata")


def test_every_published_name_is_there():
    for name in (
        "kinetics",
        "Kinetics",
        "ucf101",
        "hmdb51",
        "ssv2videos",
        "activitynet",
        "framefolder",
    ):
        assert issubclass(find_dataset(name), VideoDataset)


def test_a_miss_lists_the_known_names():
    with pytest.raises(
        UsageError, match=r"no DATASET named 'kinetic'; known: .*did you mean 'Kinetics'"
    ):
        find_dataset("kinetic")


def test_the_class_is_called_with_config_and_split(register):
    register("Toy")
    assert build_dataset("toy", CfgNode({"A": 1}), "val").got == ({"A": 1}, "val")
