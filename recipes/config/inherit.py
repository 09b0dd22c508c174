"""Read a recipe together with the recipes that it builds on.

`base: conformer.yaml` (relative to the file that names it; a base may have a base) is the file that a recipe
builds on; its other keys are differences, by the rules of `recipes.config.merge`. `about`, which describes one
recipe for readers, is not inherited.
"""

import re
import sys
from pathlib import Path

from ruamel.yaml.nodes import MappingNode, ScalarNode

from data_prep.files import expand_user
from recipes.config.keys import Role, keys_of
from recipes.config.merge import Edit, edited, key_span, merge_edits, set_edits
from recipes.config.messages import nearest
from recipes.config.source import STANDARD, Source, read
from recipes.config.trust import Trust, trust_in
from recipes.errors import RecipeError

HEAD_COMMENT = re.compile(r"\A(?:#.*\n)+")


def read_recipe(path: Path, *, trust: bool = False) -> Source:
    """The recipe with all its bases as one text; the loader's own keys are not filled in yet.

    trust: let it name any class and function, also of modules beside it; see `recipes.config.trust`. Raises
    RecipeError for a missing file, one that cannot be used (see `recipes.config.source.read`), bases in a circle,
    and a difference that does not fit its base."""
    path = Path(path)
    if trust and str(path.parent.resolve()) not in sys.path:
        sys.path.append(str(path.parent.resolve()))  # for good: loading processes need the modules too
    return _with_base(path, (), Trust.ALL if trust else trust_in(path))


def check_not_filled(base: Source, difference: Source) -> None:
    """Raises RecipeError where `difference` sets a key that the loader fills in."""
    for key, _ in difference.root.value if base.find("mixers") is not None else ():
        if key.value in keys_of(Role.FILLED):
            place = difference.at(key)
            raise RecipeError(f"{place}: '{key.value}' follows from 'mixer' and 'layers': set those")


def _with_base(path: Path, above: tuple[Path, ...], trust: Trust) -> Source:
    """The file merged into its base, and that into its own. `above`: the files that build on this one."""
    _check_exists(path)
    source = read(path, trust)
    base_node = source.find("base")
    if base_node is None:
        return source
    base_path = path.parent / expand_user(base_node.value) if isinstance(base_node, ScalarNode) else path.parent
    above = (*above, path.resolve())
    if not base_path.is_file():
        beside = sorted(file.name for file in base_path.parent.glob("[!.]*.yaml") if file.resolve() not in above)
        hint = nearest(base_path.name, beside) or "; a base is looked for beside the file that names it"
        raise RecipeError(f"{source.at(base_node)}: there is no base '{base_path}'{hint}")
    if base_path.resolve() in above:
        raise RecipeError(f"{source.at(base_node)}: the base '{base_path}' builds on this file in turn")
    base = _with_base(base_path, above, trust if trust is Trust.ALL else min(trust, trust_in(base_path)))
    pairs = [(key, value) for key, value in source.root.value if key.value not in ("base", "about")]
    difference = source._replace(root=MappingNode(source.root.tag, pairs, flow_style=False))
    check_not_filled(base, difference)
    edits = merge_edits(base, difference) + _head_edits(base, source) + _about_edits(base, source)
    if base.find("recipe") is not None and difference.find("recipe") is None:
        # A base that was flattened carries the name of the recipe it was.
        edits += set_edits(base, {"recipe": ScalarNode(f"{STANDARD}null", "null")})
    return edited(base, edits, source.name)


def _head_edits(base: Source, source: Source) -> list[Edit]:
    """The recipe's own comment at the top in place of the base's, which stays where there is no other."""
    own, inherited = HEAD_COMMENT.match(source.text), HEAD_COMMENT.match(base.text)
    if not own:
        return []
    end = inherited.end() if inherited else 0
    blank_lines = re.match(r"\n*", base.text[end:]).end()
    return [(0, end + blank_lines, own.group() + "\n")]


def _about_edits(base: Source, source: Source) -> list[Edit]:
    """The recipe's own `about`, as it is written, in the place of the base's, which is never inherited."""
    own = source.find("about")
    if base.find("about") is None:
        return [] if own is None else set_edits(base, {"about": own})
    start, end = key_span(base, "about")
    if own is None:
        return [(start, end + 1, "")]
    own_start, own_end = key_span(source, "about")
    return [(start, end, source.text[own_start:own_end])]


def _check_exists(path: Path) -> None:
    if path.is_file():
        return
    if path == Path():
        raise RecipeError("no recipe is given: give a file, such as hparams/conformer_summarymixing.yaml")
    if (path / "recipe.yaml").is_file():
        raise RecipeError(f"{path} is the folder of a run: give {path / 'recipe.yaml'}")
    if (ours := Path("hparams", f"{path.stem}.yaml")).is_file():
        raise RecipeError(f"there is no recipe '{path}'; did you mean '{ours}'?")
    for folder in (path.parent, Path("hparams")):
        names = sorted(file.stem for file in folder.glob("[!.]*.yaml"))
        if names:
            hint = nearest(path.stem, names) or ";"
            raise RecipeError(f"there is no recipe '{path}'{hint} recipes in {folder}: {', '.join(names)}")
    raise RecipeError(f"there is no recipe '{path}'")
