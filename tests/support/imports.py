"""Who imports whom, read from the code: `python -m tests.support.imports` prints the longest chain of modules."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("recipes", "mixers", "data_prep", "benchmarks")


def modules() -> dict[str, Path]:
    """The file of every module of the project, without tests."""
    files = [*ROOT.glob("*.py"), *(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))]
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


MODULES = modules()


def is_package(module: str) -> bool:
    return MODULES[module].name == "__init__.py"


@cache
def imports_of(module: str) -> frozenset[str]:
    """The modules of the project that a module's code imports, anywhere in it."""
    parents = module.split(".") if is_package(module) else module.split(".")[:-1]
    imported = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = parents[: len(parents) - node.level + 1] if node.level else []
            target = ".".join([*base, *([node.module] if node.module else [])])
            names = (f"{target}.{alias.name}" for alias in node.names)
            imported |= {name if name in MODULES else target for name in names}
    return frozenset(name for name in imported if name in MODULES and name != module)


def longest_chain() -> list[str]:
    """Each imports the next: what must be read to understand the first. Raises ValueError for a circle."""
    chains: dict[str, list[str]] = {}

    def chain_from(module: str, trail: tuple[str, ...]) -> list[str]:
        if module in trail:
            raise ValueError(f"a circle: {' -> '.join([*trail, module])}")
        if module not in chains:
            longest = max(
                (chain_from(name, (*trail, module)) for name in sorted(imports_of(module))), key=len, default=[]
            )
            chains[module] = [module, *longest]
        return chains[module]

    return max((chain_from(module, ()) for module in sorted(MODULES)), key=len)


if __name__ == "__main__":
    arrows = sum(len(imports_of(module)) for module in MODULES)
    print(f"{len(MODULES)} modules, {arrows} imports among them; the longest chain has {len(longest_chain())}:")
    print("\n".join(longest_chain()))
