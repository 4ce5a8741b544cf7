from __future__ import annotations

import pytest

from slowfast.config.configurable import configurable
from slowfast.errors import UsageError
from slowfast.utils.registry import Registry


@pytest.fixture
def registry() -> Registry:
    return Registry("THING", contract="obj(cfg, size=number) -> thing")


def test_one_gesture_with_a_name_and_marks_of_its_own(registry):
    @registry.register()
    def plain(cfg): ...

    @registry.register(names=["short"], warmup=False)
    def a_longer_name(cfg): ...

    assert registry.register(print, names=["called"]) is print
    assert registry.names() == ["called", "plain", "short"]
    assert registry.get("short").warmup is False


def test_a_name_is_given_once(registry):
    registry.register(print)
    with pytest.raises(UsageError, match="THING 'print' is registered twice"):
        registry.register(print)


def test_an_entry_that_takes_other_arguments_is_named_with_the_contract(registry):
    @registry.register()
    class Tensorish:
        def __init__(self, preds, labels): ...

    with pytest.raises(UsageError) as caught:
        registry.build("Tensorish", object(), size=3)
    assert str(caught.value) == (
        "THING Tensorish takes (preds, labels): missing a required argument: 'labels'; "
        "expected obj(cfg, size=number) -> thing"
    )


def test_what_fails_inside_an_entry_is_raised_as_it_is(registry):
    @registry.register()
    def careless(cfg, size):
        return cfg.nothing

    with pytest.raises(AttributeError, match="nothing"):
        registry.build("careless", object(), size=3)


def test_a_class_built_from_a_config_is_measured_by_its_from_cfg(registry):
    @registry.register()
    class Scale:
        @configurable
        def __init__(self, *, factor): ...

        @classmethod
        def from_cfg(cls, cfg):
            return {"factor": 1}

    with pytest.raises(UsageError, match=r"THING Scale takes \(cfg\): got an unexpected keyword"):
        registry.build("Scale", object(), size=3)
