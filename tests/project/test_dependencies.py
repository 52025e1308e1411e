"""What is imported is declared: in the dependencies, or in an extra of its own."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from paths import ROOT, SUPPORT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LIBRARY = ("keras_maskdef", "kernels", "maskdef")
AROUND = ("tests", "benchmarks", "examples")
# Packages that are not called what their modules are.
PACKAGES = {
    "PIL": "pillow",
    "art": "adversarial-robustness-toolbox",
    "cuda": "cuda-core",
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
}
# Compared with where it is found. It has a build for each CUDA, to be chosen by hand.
BY_HAND = {"cupy", "cupyx"}


def declared(requirements: list[str]) -> set[str]:
    """The packages of a list of requirements, those of named extras among them."""
    found = set()
    for requirement in requirements:
        name, extras = re.match(r"([\w.-]+)(?:\[([\w,-]+)\])?", requirement).groups()
        if name == PROJECT["name"]:
            named = (EXTRAS[extra] for extra in extras.split(","))
            found |= set().union(*map(declared, named))
        else:
            found.add(name)
    return found


DEPENDENCIES = declared(PROJECT["dependencies"])
EVERYTHING = DEPENDENCIES.union(*map(declared, EXTRAS.values()))


def modules(folders: tuple[str, ...]) -> Iterator[tuple[Path, ast.Module]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text())


def imports(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """The modules that statements name in order to import them."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def outside_functions(tree: ast.AST) -> Iterator[ast.AST]:
    """What runs as soon as a module is imported."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from outside_functions(node)


def required(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The modules that `require` imports by name, each with its extra."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require":
            named = [item for item in node.args if isinstance(item, ast.Constant)]
            if len(named) == 2:
                yield named[0].value, named[1].value


def package(module: str) -> str:
    top = module.partition(".")[0]
    return PACKAGES.get(top, top.replace("_", "-"))


def foreign(names: Iterator[str]) -> set[str]:
    """The packages of the modules that are neither Python's nor of this repository."""
    folders = (ROOT, SUPPORT, *(ROOT / folder for folder in AROUND))
    own = {path.stem for folder in folders for path in folder.glob("*.py")}
    known = own | set(LIBRARY) | set(sys.stdlib_module_names)
    return {package(name) for name in names if name.partition(".")[0] not in known}


def missing(found: dict[Path, set[str]], allowed: set[str]) -> dict[str, set[str]]:
    left = {str(path): names - allowed for path, names in found.items()}
    return {path: names for path, names in left.items() if names}


def test_what_the_library_imports_when_it_is_imported_is_a_dependency():
    found = {
        path: foreign(imports(outside_functions(tree)))
        for path, tree in modules(LIBRARY)
    }
    assert {"keras", "numba", "rich"} <= set().union(*found.values())
    assert missing(found, DEPENDENCIES) == {}


@pytest.mark.parametrize("folders", [LIBRARY, AROUND])
def test_what_is_imported_anywhere_is_declared(folders):
    found = {path: foreign(imports(ast.walk(tree))) for path, tree in modules(folders)}
    assert set().union(*found.values())
    assert missing(found, EVERYTHING | BY_HAND) == {}


def test_a_required_module_is_in_the_extra_that_is_named():
    named = [pair for _, tree in modules(LIBRARY) for pair in required(tree)]
    assert ("jinja2", "report") in named
    wrong = [
        (module, extra)
        for module, extra in named
        if package(module) not in DEPENDENCIES | declared(EXTRAS[extra])
    ]
    assert wrong == []
