"""Gates on the code's form that no other tool checks. Exceptions stand in tables, with a reason.

Sizes, where the config may be read, and what every public name must carry.
"""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = sorted((ROOT / "slowfast").rglob("*.py"))
SOURCES = [*PACKAGE, *sorted((ROOT / "ost").rglob("*.py")), *ROOT.glob("*.py")]
MAX_FILE, MAX_FUNCTION = 400, 60

LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}
CFG_READERS = {
    "slowfast/checkpoint/compat.py:is_checkpoint_epoch": "PySlowFast's signature",
    "slowfast/checkpoint/compat.py:load_test_checkpoint": "PySlowFast's signature",
    "slowfast/checkpoint/compat.py:load_train_checkpoint": "PySlowFast's signature",
    "slowfast/datasets/loader.py:_batch_sampler": "a part of construct_loader",
    "slowfast/datasets/loader.py:_settings": "a part of construct_loader",
    "slowfast/datasets/loader.py:processes_here": "a part of construct_loader",
    "slowfast/datasets/utils.py:pack_pathway_output": "PySlowFast's signature",
    "slowfast/models/heads/texts.py:_bank": "a part of build_vocabulary and its siblings",
    "slowfast/models/heads/texts.py:check_texts": "calls them before anything is built",
    "slowfast/utils/distributed.py:init_distributed_training": "PySlowFast's signature",
    "slowfast/utils/misc.py:is_eval_epoch": "PySlowFast's signature, which people's loops call",
}
UNTYPED: dict[str, str] = {}
# Where cfg may be read: the config package, functions that build from it, the engine and above.
CFG_PLACES = (
    *("slowfast/config/", "slowfast/datasets/from_config.py", "slowfast/launch/launch.py"),
    *("slowfast/engine/", "slowfast/studies/", "ost/"),
)
CFG_PREFIXES = ("from_cfg", "build_", "construct_")

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    """Return the path below the repository, with slashes."""
    return path.relative_to(ROOT).as_posix()


def parse(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def functions(
    tree: ast.AST, prefix: str = "", public: bool = True
) -> Iterator[tuple[str, FunctionNode, bool]]:
    """Yield (qualified name, node, whether it is public) of every function and method."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, FunctionNode):
            shown = public and not node.name.startswith("_")
            yield f"{prefix}{node.name}", node, shown
            yield from functions(node, f"{prefix}{node.name}.", public=False)
        elif isinstance(node, ast.ClassDef):
            inner = public and not node.name.startswith("_")
            yield from functions(node, f"{prefix}{node.name}.", public=inner)
        else:
            yield from functions(node, prefix, public)


def excuse(found: dict[str, str], table: dict[str, str]) -> dict[str, str]:
    """Return what no exception covers; an exception that nothing needs any more is an error too."""
    stale = sorted(set(table) - set(found))
    assert not stale, f"exceptions that nothing needs: {stale}"
    return {key: value for key, value in found.items() if key not in table}


def test_files_are_short() -> None:
    lengths = {name_of(p): len(p.read_text(encoding="utf-8").splitlines()) for p in SOURCES}
    longer = {name: f"{n} lines" for name, n in lengths.items() if n > _limit(name)}
    assert excuse(longer, LONG_FILES) == {}


def _limit(name: str) -> int:
    # The list of all options is one line each; splitting it would hide options from their readers.
    return 600 if name == "slowfast/config/defaults.py" else MAX_FILE


def test_functions_are_short() -> None:
    longer = {}
    for path in SOURCES:
        for name, node, _ in functions(parse(path)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION:
                longer[f"{name_of(path)}:{name}"] = f"{length} lines"
    assert excuse(longer, LONG_FUNCTIONS) == {}


def reads_of_cfg(node: ast.AST) -> set[str]:
    """Return the sections that a function reads from ``cfg`` or ``something.cfg``."""
    found = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and inner.attr.isupper():
            owner = ast.unparse(inner.value).rsplit(".", 1)[-1]
            if owner in ("cfg", "config", "_C"):
                found.add(inner.attr)
    return found


def may_read_cfg(path: str, name: str) -> bool:
    """Return whether a function may read the config by where it stands or what it is called."""
    last = name.rsplit(".", 1)[-1].lstrip("_")
    return path.startswith(CFG_PLACES) or last.startswith(CFG_PREFIXES)


def test_cfg_is_read_at_the_door_only() -> None:
    readers = {}
    for path in PACKAGE:
        for name, node, _ in functions(parse(path)):
            read = reads_of_cfg(node)
            if read and not may_read_cfg(name_of(path), name):
                readers[f"{name_of(path)}:{name}"] = ", ".join(sorted(read))
    assert excuse(readers, CFG_READERS) == {}


def test_nothing_assigns_to_the_config_once_it_is_loaded() -> None:
    writers = []
    for path in PACKAGE:
        if name_of(path).startswith("slowfast/config/"):
            continue
        for node in ast.walk(parse(path)):
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            if isinstance(node, ast.Assign | ast.AugAssign) and any(
                isinstance(t, ast.Attribute) and ast.unparse(t).startswith("cfg.") for t in targets
            ):
                writers.append(f"{name_of(path)}:{node.lineno}")
    assert writers == []


@pytest.mark.parametrize("kind", ["docstring", "signature"])
def test_every_public_function_has(kind: str) -> None:
    missing = {}
    for path in SOURCES:
        for name, node, public in functions(parse(path)):
            if not public:
                continue
            if kind == "docstring" and ast.get_docstring(node) is None:
                missing[f"{name_of(path)}:{name}"] = "no docstring"
            if kind == "signature" and (gaps := untyped(node, in_class="." in name)):
                missing[f"{name_of(path)}:{name}"] = f"no type: {gaps}"
    assert excuse(missing, UNTYPED if kind == "signature" else {}) == {}


def untyped(node: FunctionNode, *, in_class: bool) -> str:
    """Return the arguments (and "return") of a function that have no type."""
    arguments = [*node.args.posonlyargs, *node.args.args]
    static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
    if in_class and not static:
        arguments = arguments[1:]
    arguments += node.args.kwonlyargs
    arguments += [a for a in (node.args.vararg, node.args.kwarg) if a is not None]
    gaps = [a.arg for a in arguments if a.annotation is None]
    return ", ".join(gaps + ([] if node.returns is not None else ["return"]))


def test_every_module_and_public_class_has_a_docstring() -> None:
    missing = []
    for path in SOURCES:
        tree = parse(path)
        if tree.body and ast.get_docstring(tree) is None:
            missing.append(name_of(path))
        for node in ast.walk(tree):
            shown = isinstance(node, ast.ClassDef) and not node.name.startswith("_")
            if shown and ast.get_docstring(node) is None:
                missing.append(f"{name_of(path)}:{node.name}")
    assert missing == []


def test_the_package_does_not_print() -> None:
    printing = [
        f"{name_of(path)}:{node.lineno}"
        for path in PACKAGE
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "pprint", "exit")
    ]
    assert printing == []


def test_no_exception_is_swallowed_blindly() -> None:
    """``except Exception`` needs ``noqa: BLE001`` with a reason on its line, as ruff demands."""
    blind = []
    for path in SOURCES:
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(parse(path)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = ast.unparse(node.type) if node.type is not None else "all"
            reviewed = "# noqa: BLE001 - " in lines[node.lineno - 1]
            if caught in ("all", "Exception", "BaseException") and not reviewed:
                raises = any(isinstance(n, ast.Raise) and n.exc is None for n in node.body)
                if not raises:
                    blind.append(f"{name_of(path)}:{node.lineno}")
    assert blind == []


def test_promises_carry_a_number() -> None:
    """A comment that promises work names an issue."""
    words = ("TO" + "DO", "FIX" + "ME", "X" * 3)
    loose = []
    for path in SOURCES:
        with tokenize.open(path) as file:
            for token in tokenize.generate_tokens(file.readline):
                promise = token.type == tokenize.COMMENT and any(w in token.string for w in words)
                if promise and "#" not in token.string[1:]:
                    loose.append(f"{name_of(path)}:{token.start[0]}")
    assert loose == []


def test_help_needs_no_torch() -> None:
    """The modules behind ``ost run --help`` import nothing heavy at their top level."""
    heavy = {"torch", "torchvision", "open_clip", "av", "cv2", "numpy", "matplotlib"}
    slow = []
    for name in (
        "cli",
        "load",
        "merge",
        "node",
        "tree",
        "defaults",
        "validate",
        "derive",
        "extensions",
    ):
        path = ROOT / "slowfast" / "config" / f"{name}.py"
        for node in parse(path).body:
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            else:
                continue
            slow += [f"{name}: {m}" for m in modules if m.split(".")[0] in heavy]
    assert slow == []


# What the gates themselves do, on code that breaks them.


def _tree(text: str) -> ast.Module:
    return ast.parse(text)


def test_the_gates_see_what_they_are_for() -> None:
    tree = _tree("class A:\n  def f(self, x): return cfg.TRAIN.ENABLE\n  def _g(self): ...\n")
    found = {name: (node, public) for name, node, public in functions(tree)}
    assert set(found) == {"A.f", "A._g"}
    assert found["A.f"][1]
    assert not found["A._g"][1]
    assert untyped(found["A.f"][0], in_class=True) == "x, return"
    assert reads_of_cfg(found["A.f"][0]) == {"TRAIN"}


@pytest.mark.parametrize(
    ("path", "name", "allowed"),
    [
        ("slowfast/config/x.py", "anything", True),
        ("slowfast/engine/train.py", "train", True),
        ("slowfast/models/ost.py", "OST.from_cfg", True),
        ("slowfast/models/build.py", "build_model", True),
        ("slowfast/models/losses.py", "_build_ost", True),
        ("slowfast/models/ost.py", "OST.forward", False),
        ("slowfast/datasets/video.py", "VideoDataset.__init__", False),
    ],
)
def test_who_may_read_the_config(path: str, name: str, allowed: bool) -> None:
    assert may_read_cfg(path, name) == allowed


def test_an_exception_that_nothing_needs_is_an_error() -> None:
    assert excuse({"a": "1", "b": "2"}, {"a": "reason"}) == {"b": "2"}
    with pytest.raises(AssertionError, match="nothing needs"):
        excuse({}, {"a": "reason"})
