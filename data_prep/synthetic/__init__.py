"""Corpora of synthetic read speech for the demo: which kinds there are, and the plan of everything that one holds.

The only package that uses espeak-ng (GPL-3), and only when it speaks; the command is `python -m data_prep.synthesize`.
"""

from data_prep.synthetic.context import homophones_text
from data_prep.synthetic.espeak import find_espeak
from data_prep.synthetic.kinds import KINDS
from data_prep.synthetic.plan import Kind, Split, plan
from data_prep.synthetic.speaker import Speaker

__all__ = ["KINDS", "Kind", "Speaker", "Split", "find_espeak", "homophones_text", "plan"]
