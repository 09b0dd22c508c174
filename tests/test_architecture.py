"""Which package may import which: the arrows of docs/architecture.md, read from the code itself."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the top floor down. A package may import those of the floors below it; on its own floor only what
# BESIDE names. `recipes.describe` and the like stand for themselves.
FLOORS = (
    ("train", "train_lm", "evaluate", "compare", "benchmarks"),
    ("recipes.asr", "recipes.lm", "recipes.bakeoff", "recipes.stock"),
    ("recipes.describe", "recipes.training", "recipes.reports"),
    ("recipes.decoding", "recipes.scoring"),
    ("recipes.models",),
    ("recipes.config", "recipes.cost", "recipes.provenance"),
    ("recipes.files",),
    ("recipes.errors",),
    ("data_prep", "mixers"),
)
BESIDE = {
    ("recipes.asr", "recipes.lm"),  # decoding with a language model
    ("recipes.stock", "recipes.asr"),
    ("recipes.stock", "recipes.lm"),
}
FLOOR_OF = {package: floor for floor, packages in enumerate(FLOORS) for package in packages}


def modules() -> dict[str, Path]:
    files = [*ROOT.glob("*.py")]
    for folder in ("recipes", "mixers", "data_prep", "benchmarks"):
        files += (ROOT / folder).rglob("*.py")
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


MODULES = modules()


def package_of(module: str) -> str | None:
    """The package on a floor that a module belongs to; None for `recipes` itself."""
    parts = module.split(".")
    return next((name for name in (".".join(parts[:2]), parts[0]) if name in FLOOR_OF), None)


def imports_of(module: str) -> set[str]:
    """The modules of this repository that a module's code imports, anywhere in it."""
    is_package = MODULES[module].name == "__init__.py"
    here, found = module.split(".") if is_package else module.split(".")[:-1], set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            target = ".".join([*base, *([node.module] if node.module else [])])
            found |= {
                f"{target}.{alias.name}" if f"{target}.{alias.name}" in MODULES else target for alias in node.names
            }
    return {name for name in found if name in MODULES}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_arrows_point_down(module):
    own = package_of(module)
    if own is None:
        assert imports_of(module) == set(), "recipes/__init__.py is no face: import the packages"
        return
    for imported in imports_of(module):
        package = package_of(imported)
        if package == own or (own, package) in BESIDE:
            continue
        assert FLOOR_OF[package] > FLOOR_OF[own], f"{module} imports {imported}, which stands no lower"


def test_no_circle():
    """Between modules; the chain that goes deepest tells how many must be read to understand one."""
    depth, trail = {}, []

    def visit(module: str) -> int:
        assert module not in trail, f"a circle: {' -> '.join([*trail, module])}"
        if module not in depth:
            trail.append(module)
            depth[module] = 1 + max((visit(name) for name in imports_of(module) if name != module), default=0)
            trail.pop()
        return depth[module]

    assert max(map(visit, MODULES)) <= 20


def test_few_modules_stand_directly_in_recipes():
    directly = [path.name for path in (ROOT / "recipes").glob("*.py") if path.name != "__init__.py"]
    assert len(directly) <= 6


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.split(".")[0] == "mixers"))
def test_mixers_import_torch_alone(module):
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
        for name in names:
            top = name.split(".")[0]
            assert top in ("torch", "mixers", "mamba_ssm") or top in __import__("sys").stdlib_module_names
