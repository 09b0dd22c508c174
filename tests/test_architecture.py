"""Which package may import which: the floors of docs/architecture.md, read from the code itself."""

import ast
import importlib
import re
import sys

import pytest

from tests.support.imports import MODULES, ROOT, imports_of, is_package, longest_chain

# From the top floor down. A package may import those of the floors below it; on its own floor only what
# BESIDE names. `recipes.describe` and the like stand for themselves.
FLOORS = (
    ("train", "train_lm", "evaluate", "transcribe", "compare", "benchmarks"),
    ("recipes.inference",),
    ("recipes.asr", "recipes.lm", "recipes.bakeoff", "recipes.stock"),
    ("recipes.describe", "recipes.training", "recipes.reports"),
    ("recipes.decoding", "recipes.scoring"),
    ("recipes.models",),
    ("recipes.config", "recipes.cost", "recipes.provenance"),
    ("recipes.release_files",),
    ("recipes.files",),
    ("recipes.errors", "recipes.faces"),
    ("data_prep", "mixers"),
)
BESIDE = {
    ("recipes.asr", "recipes.lm"),  # decoding with a language model
    ("recipes.stock", "recipes.asr"),
    ("recipes.stock", "recipes.lm"),
}
FLOOR_OF = {package: floor for floor, packages in enumerate(FLOORS) for package in packages}
INSIDE_INFERENCE = (
    ("serve",),
    ("command", "export"),
    ("transcriber", "onnx"),
    ("streams",),
    ("recognition",),
    ("audio", "transcripts", "long_recordings", "release", "in_speechbrain"),
)
LONGEST_CHAIN = 20
FACES = sorted(
    name for name in MODULES if is_package(name) and name in FLOOR_OF and name.startswith(("recipes", "mixers"))
)
NO_NAMES = {"recipes.stock"}  # its modules are used by themselves: importing one must not load the others


def package_of(module: str) -> str | None:
    """The package on a floor that a module belongs to; None for `recipes` itself."""
    parts = module.split(".")
    return next((name for name in (".".join(parts[:2]), parts[0]) if name in FLOOR_OF), None)


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


def test_no_circle_and_no_long_chain():
    chain = longest_chain()
    assert len(chain) <= LONGEST_CHAIN, " -> ".join(chain)


def test_arrows_inside_inference_point_down():
    """Of its folders, and of the modules that stand directly in it."""
    floor_of = {part: floor for floor, parts in enumerate(INSIDE_INFERENCE) for part in parts}
    part_of = {name: name.split(".")[2] for name in MODULES if name.startswith("recipes.inference.")}
    assert set(part_of.values()) == set(floor_of)
    for module, part in part_of.items():
        for imported in imports_of(module) & part_of.keys():
            other = part_of[imported]
            assert other == part or floor_of[other] > floor_of[part], f"{module} imports {imported}"


@pytest.mark.parametrize(("name", "floors"), [("floors", FLOORS), ("inference", INSIDE_INFERENCE)])
def test_the_page_has_the_same_floors(name, floors):
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"^```{name}\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    assert [set(line.split()) for line in block.splitlines()] == [set(floor) for floor in floors]


def test_programs_end_with_their_status():
    """Else a shell takes a mistake for success."""
    endings = {}
    for name, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.If) and "__name__ ==" in ast.unparse(node.test):
                endings[name] = ast.unparse(node)
    assert len(endings) > 20
    assert [name for name, ending in endings.items() if not re.search(r"sys\.exit\(|raise SystemExit\(", ending)] == []


def test_few_modules_stand_directly_in_recipes():
    directly = [path.name for path in (ROOT / "recipes").glob("*.py") if path.name != "__init__.py"]
    assert len(directly) <= 6


def test_no_file_is_long():
    files = [*MODULES.values(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "hparams").glob("*.yaml")]
    lengths = {str(file): len(file.read_text(encoding="utf-8").splitlines()) for file in files}
    assert {file: lines for file, lines in lengths.items() if lines > 400} == {}


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.split(".")[0] == "mixers"))
def test_mixers_import_torch_alone(module):
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
        for name in names:
            top = name.split(".")[0]
            assert top in ("torch", "mixers", "mamba_ssm") or top in sys.stdlib_module_names


@pytest.mark.parametrize("package", FACES)
def test_a_package_has_a_face(package):
    face = importlib.import_module(package)
    assert face.__doc__
    if package not in NO_NAMES:
        assert face.__all__ and all(hasattr(face, name) for name in face.__all__)
        # A module of the same name would take the place of what a lazy face gives, once it is imported.
        assert not hasattr(face, "__getattr__") or not {f"{package}.{name}" for name in face.__all__} & set(MODULES)


YAML_FILES = [*sorted((ROOT / "hparams").glob("*.yaml")), ROOT / "evaluate.py"]


@pytest.mark.parametrize("file", YAML_FILES, ids=lambda file: file.name)
def test_yaml_names_faces(file):
    for target in re.findall(r"!(?:new|name|apply):((?:recipes|mixers)[\w.]*)", file.read_text(encoding="utf-8")):
        package, _, name = target.rpartition(".")
        assert package in FACES and name in importlib.import_module(package).__all__, target
