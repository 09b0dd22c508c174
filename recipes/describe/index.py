"""The index of all recipes, hparams/README.md."""

import re
from collections.abc import Sequence

from recipes.describe.description import About, Description, LanguageModelDescription
from recipes.describe.tables import cells, language_model_cells, markdown

# By `about.purpose`, in the order of the page.
SECTIONS = {
    "base": "Bases",
    "960 h": "LibriSpeech, 960 hours",
    "100 h": "LibriSpeech, train-clean-100",
    "mini": "Mini LibriSpeech",
    "own data": "A few hours of own recordings",
    "demo": "The demo",
    "comparison": "Comparisons of mixers",
    "language model": "Language models",
}
OTHERS = "Others"

HEAD = """\
# Recipes

Made by `python -m recipes.describe hparams/*.yaml --index > hparams/README.md`; do not edit it by hand.

A recipe is a few lines that name a base and state what differs; `python -m recipes.config hparams/NAME.yaml` prints
the whole of it. Its first comment has the command. Any mixer goes into any recipe: `--mixer NAME`.

Multiply-adds are counted from features to CTC, for one utterance of so many seconds, in matrix products and
convolutions. State: numbers that all mixers together keep of 60 s of speech when they stream, in chunks of 16 frames
(640 ms) with all the past visible. Published figures are their authors'; those with a language model are marked so.
"""

REPEAT = """\
## To repeat a paper's experiment on LibriSpeech

| paper | commands: `python train.py hparams/X.yaml --data_folder …` with X = |
| --- | --- |
| SummaryMixing, [2307.07421](https://arxiv.org/abs/2307.07421) | `conformer_summarymixing` beside \
`conformer_attention`; `branchformer_summarymixing` beside the same with `--mixer attention`, `fastformer`, \
`hypermixing` or `conv_only` |
| HyperConformer, [2305.18281](https://arxiv.org/abs/2305.18281) | `hyperconformer_8M`, `hyperconformer_22M` beside \
`conformer_small`; `hyperbranchformer_13M`, `hyperbranchformer_25M` |
| XNOR-Former, [2210.16643](https://arxiv.org/abs/2210.16643) | `conformer_xnor` beside the same with \
`--mixer linear_attention`, `cosformer` or `attention` |

A recipe's batch and accumulation are those of one process. On N GPUs \
(`torchrun --nproc_per_node N train.py …`, [training](../docs/training.md)) a step is over N times as many batches: \
divide `batch_seconds` by N to keep it as it is, or set by `--global_batch` how many batches a step has on all of them \
together. Figures with a Transformer language model need one, `hparams/lm_transformer.yaml`, and a wide beam: \
[decoding](../docs/decoding.md#language-models). Precision is fp32 unless `--precision bf16` or `fp16` is given.

None of them has been run by us.
"""


def index(descriptions: Sequence[Description | LanguageModelDescription]) -> str:
    """The page: for each purpose a table of its recipes, with their papers and notes."""
    sections = [_section(title, chosen) for title, chosen in _by_purpose(descriptions).items() if chosen]
    return "\n".join([HEAD, *sections, REPEAT])


def _by_purpose(descriptions: Sequence[Description | LanguageModelDescription]) -> dict[str, list]:
    chosen: dict[str, list] = {title: [] for title in (*SECTIONS.values(), OTHERS)}
    for description in descriptions:
        chosen[SECTIONS.get(description.about.purpose, OTHERS)].append(description)
    return chosen


def _section(title: str, descriptions: Sequence[Description | LanguageModelDescription]) -> str:
    lines = [f"## {title}", ""]
    for kind, row_of in ((Description, cells), (LanguageModelDescription, language_model_cells)):
        rows = [_linked(row_of(description)) for description in descriptions if isinstance(description, kind)]
        lines += [*markdown(rows), ""] if rows else []
    notes = {description.recipe: _notes(description.about) for description in descriptions}
    lines += [f"- `{name}`: {text}." for name, text in notes.items() if text]
    return "\n".join(lines).rstrip("\n") + "\n"


def _linked(row: dict[str, str]) -> dict[str, str]:
    return {**row, "recipe": f"[{row['recipe']}]({row['recipe'].strip('`')}.yaml)"}


def _notes(about: About) -> str:
    details = f"also published: {about.published_details}" if about.published_details else ""
    text = "; ".join(filter(None, (about.paper, details, about.note)))
    return re.sub(r"arXiv (\d{4}\.\d{5})", r"[\1](https://arxiv.org/abs/\1)", text)
