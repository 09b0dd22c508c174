"""Recipes are read by libyaml where it gives the same nodes as ruamel.yaml's own parser."""

from pathlib import Path

import pytest
from ruamel.yaml.main import CParser
from ruamel.yaml.nodes import ScalarNode

from recipes.config.source import _compose_fast, _compose_slowly

HPARAMS = Path(__file__).parents[2] / "hparams"
TEXTS = {path.stem: path.read_text() for path in HPARAMS.glob("*.yaml")} | {
    "styles": "a: |\n  one\n\n  two\n# comment\nb: >-\n  long\n  line\n\nc: 'x''y'  # end\nd: \"z\"\ne: {f: [1, 2]}\n",
    "letters": "about: – → × 漢字 Übung mit Größen, ¿qué?\nlast: ωΣ\n",
    "numbers": "a: 1e-3\nb: 0o17\nc: 017\nd: 1_000\ne: 12:30:45\nf: yes\ng: ~\nh: 2001-01-01\n",
    "order": "b: 1\nb: 2\n? c\n: 3\n",
}
OTHERS = {
    "a tab": "a: b\tc\n",
    "a line end of its own": "a: b\x85c: d\n",
    "an empty value": "a:\n# comment\n",
    "an anchor": "a: !new:x.y &z [1]\n",
    "an alias": "a: &x 1\nb: *x\n",
    "a tag in a tag": "a: !new:!!str b\n",
    "no line end": "a: b",
    "no mapping": "|\n  a\n",
    "an error": "a: [1, 2\n",
    "nothing": "",
}


def described(node) -> list[tuple]:
    """A node and all below it: class, tag, place, style, and the text of a scalar."""
    place = (node.start_mark.index, node.start_mark.line, node.start_mark.column, node.end_mark.index)
    own = (type(node), str(node.tag), *place, (node.style if isinstance(node, ScalarNode) else node.flow_style) or None)
    if isinstance(node, ScalarNode):
        return [(*own, node.value)]
    below = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
    return [own, *(row for part in below for row in described(part))]


@pytest.mark.skipif(CParser is None, reason="ruamel.yaml.clib is not installed")
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_both_parsers_give_the_same_nodes(text):
    assert described(_compose_fast(text)) == described(_compose_slowly(text, "x"))


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS)
def test_what_they_may_see_differently_is_for_one_of_them(text):
    assert _compose_fast(text) is None
