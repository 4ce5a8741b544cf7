from slowfast.config import CfgNode, configurable


class Parent:
    @configurable
    def __init__(self, size, *, name="x"):
        self.size, self.name = size, name

    @classmethod
    def from_cfg(cls, cfg, name="from cfg", **more):
        return {"size": cfg.SIZE, "name": name, **more}


class Child(Parent):
    @classmethod
    def from_cfg(cls, cfg):
        return {"size": cfg.SIZE * 2}


CFG = CfgNode({"SIZE": 3})


def test_plain_arguments_pass_through():
    assert (Parent(5, name="y").size, Parent(size=5).name) == (5, "x")


def test_a_config_goes_through_from_cfg():
    built = Parent(CFG, "z")
    assert (built.size, built.name) == (3, "z")
    assert Parent(cfg=CFG).name == "from cfg"
    assert Parent(CFG, name="k").name == "k"


def test_a_child_may_read_its_own_options():
    assert Child(CFG).size == 6


def test_the_signature_is_kept():
    assert Parent.__init__.__name__ == "__init__"
