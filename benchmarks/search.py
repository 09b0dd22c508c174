"""Our beam search beside SpeechBrain's own, with the same weights: python -m benchmarks.search RUN_FOLDER

First both decode utterances of the run's first test set, and one judge that belongs to neither search gives what each
found its joint score. Then both are timed, in turns in this process, on the run's speech and on a decoder of the size
of conformer_small (vocabulary 5000) that was taught made-up sentences. Stock runs as its LibriSpeech recipes have it,
CTC scoring every token, and with partial scoring, CTC scoring twice the beam. All get the same encoder frames and the
same CTC log probabilities; the encoder's time counts for none. Stock's largest tensors grow with beam, batch,
vocabulary and frames: where they would take minutes, the frames of a row say how much shorter its utterances are.
"""

import argparse
import functools
import statistics
import sys
import time
from pathlib import Path

import torch
from torch.nn.functional import one_hot

from data_prep.librispeech import find_corpus
from data_prep.tokenizer import BLANK, END, START, load_tokenizer
from recipes.asr import data
from recipes.config import load
from recipes.decoding.beam_search import BeamSearch
from recipes.errors import RecipeError, command_line
from recipes.files import write_json
from recipes.models.decoder import TransformerDecoder
from recipes.models.encoder import Encoded
from recipes.provenance import machine
from recipes.stock.search import SearchTask, joint_score, run_stock, stock_search
from recipes.training.run_folder import WEIGHTS

STOCK = {"stock_full": False, "stock_partial": True}  # by whether CTC scoring is partial
SAME = 1e-6  # two joint scores so close are equal
# Most hypotheses * frames² of made-up sentences that stock is timed on: half a minute or so.
LARGEST = {"stock_full": 10 * 250**2, "stock_partial": 80 * 250**2}


def arguments(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder, with recipe.yaml and averaged.ckpt")
    parser.add_argument("--data_folder", help="the corpus, where it is no longer where the run found it")
    parser.add_argument("--utterances", type=int, default=100, help="utterances to compare the scores of (default 100)")
    parser.add_argument("--compare_beam", type=int, default=10, help="beam of that comparison (default 10)")
    parser.add_argument("--beams", type=int, nargs="*", default=[10, 66], help="beams to time (default 10 66)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8], help="utterances at once (default 1 8)")
    parser.add_argument("--frames", type=int, default=250, help="frames of the made-up sentences (default 250: 10 s)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="numbers of threads (default 1)")
    parser.add_argument("--repeats", type=int, default=5, help="times each searcher is timed, at most (default 5)")
    parser.add_argument("--seconds", type=float, default=5, help="no repeat of a searcher that took these (default 5)")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file too")
    return parser.parse_args(argv)


# --- what is searched -----------------------------------------------------------------------------------------------


class Speech:
    """Utterances of the first test set of a run, evenly spread from its longest to its shortest, and its model.

    Raises RecipeError or DataError, one line each, for a folder without a trained run or its audio.
    """

    def __init__(self, folder: Path, data_folder: str | None, utterances: int):
        for name in ("recipe.yaml", WEIGHTS):
            if not (folder / name).is_file():
                raise RecipeError(f"{folder} has no {name}: give the folder of a run that was trained and tested")
        manifests = sorted(folder.glob("manifests/test*.csv"))
        if not manifests:
            raise RecipeError(f"{folder} has no manifests/test*.csv: give the folder of a run that was tested")
        hparams = load(folder / "recipe.yaml", {"data_folder": data_folder} if data_folder else {}).hparams
        self.set, self.model, self.search = manifests[0].stem, hparams["model"].eval(), hparams["test_search"]
        if self.model.decoder is None or self.search is None:
            raise RecipeError(f"{folder}: the run decodes by CTC alone, so there is no joint search to compare")
        self.model.load_state_dict(torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True))
        root, tokenizer = find_corpus(hparams["data_folder"]), load_tokenizer(folder / "tokenizer/tokenizer.model")
        dataset = data.utterances(manifests[0], root, data.AudioReader(), tokenizer)
        number = min(utterances, len(dataset))
        self.items = [dataset[one * len(dataset) // number] for one in range(number)]

    @torch.no_grad()
    def task(self, start: int, batch: int) -> SearchTask:
        """A batch of like lengths."""
        audio = data.collate(self.items[start : start + batch])
        encoded = self.model.encode(audio.audio, audio.lengths)
        return SearchTask(self.model.decoder, encoded, self.model.ctc(encoded.frames).log_softmax(-1))


@torch.no_grad()
def made_up(
    batch: int,
    frames: int,
    *,
    vocab_size: int = 5000,
    d_model: int = 144,
    heads: int = 4,
    layers: int = 4,
    d_ffn: int = 1024,
    frames_per_token: int = 8,
    seed: int = 0,
) -> SearchTask:
    """Random sentences, CTC peaks that spell them, and a decoder that knows how they go on; its default size is that
    of conformer_small.

    A random decoder would never end where CTC does, and partial scoring would never meet the right tokens. So the
    output layer of this one is fitted to the states that its sentences take it through; all else is random.
    """
    torch.manual_seed(seed)
    decoder = TransformerDecoder(d_model, vocab_size, layers=layers, heads=heads, d_ffn=d_ffn, dropout=0.0).eval()
    tokens = frames // frames_per_token
    sentences = 3 + torch.randperm(vocab_size - 3)[: batch * tokens].view(batch, tokens)
    encoded = Encoded(torch.randn(batch, frames, d_model), torch.full((batch,), frames))

    logits = torch.randn(batch, frames, vocab_size)
    logits[..., BLANK] = 14
    at = frames_per_token // 2 + frames_per_token * torch.arange(tokens)
    logits[torch.arange(batch)[:, None], at, sentences] = 16.5  # about 0.9 of the frame, the blank most of the rest

    states = []
    hook = decoder.final_norm.register_forward_hook(lambda module, given, made: states.append(made))
    decoder(encoded, torch.cat([torch.full((batch, 1), START), sentences], 1))
    hook.remove()
    told = states[0].flatten(0, 1)
    following = torch.cat([sentences, torch.full((batch, 1), END)], 1).flatten()
    fitted = torch.linalg.pinv(told) @ (14.0 * one_hot(following, vocab_size))  # e^14 times what the others get
    decoder.out.weight.copy_(fitted.T)
    decoder.out.bias.zero_()[[BLANK, START]] = -20.0
    return SearchTask(decoder, encoded, logits.log_softmax(-1))


# --- scores ---------------------------------------------------------------------------------------------------------


def compare(batches: list[SearchTask], search: BeamSearch) -> dict[str, dict]:
    """By stock's scoring: on how many utterances the joint score is the same, or higher for ours or for stock's."""
    found = {name: {"same": 0, "ours_higher": 0, "stock_higher": 0, "largest_deficit": 0.0} for name in STOCK}
    for batch in batches:
        ours = [best for best, *_ in search(batch.decoder, batch.encoded, batch.ctc_log_probs)]
        for name, partial in STOCK.items():
            theirs = run_stock(stock_search(batch, search, partial=partial), batch.encoded)
            for row, (one, other) in enumerate(zip(ours, theirs, strict=True)):
                alone = batch.utterance(row)
                scores = [joint_score(alone, sentence.tokens, search) for sentence in (one, other)]
                deficit = scores[1] - scores[0] if one.tokens != other.tokens else 0.0
                outcome = "same" if abs(deficit) <= SAME else "stock_higher" if deficit > 0 else "ours_higher"
                found[name][outcome] += 1
                found[name]["largest_deficit"] = round(max(found[name]["largest_deficit"], deficit), 6)
    return found


# --- seconds --------------------------------------------------------------------------------------------------------


def measure(task: SearchTask, search: BeamSearch, names, options: argparse.Namespace) -> dict:
    """Median seconds and decoder steps of ours and of stock's ``names``, which take turns, and stock's times ours."""
    stock = {name: stock_search(task, search, partial=STOCK[name]) for name in names}
    runs = {"ours": lambda: search(task.decoder, task.encoded, task.ctc_log_probs)}
    runs |= {name: functools.partial(run_stock, one, task.encoded) for name, one in stock.items()}
    outputs = {"ours": task.decoder.out, **{name: one.fc for name, one in stock.items()}}  # each runs once a step
    seconds, steps = {name: [] for name in runs}, {}
    runs["ours"]()  # warm-up
    for _ in range(options.repeats):
        for name, run in runs.items():
            if sum(seconds[name]) > options.seconds:
                continue
            calls = []
            hook = outputs[name].register_forward_hook(lambda *_, calls=calls: calls.append(1))
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
            hook.remove()
            steps[name] = len(calls)
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    return {
        "repeats": {name: len(taken) for name, taken in seconds.items()},
        "seconds": {name: round(taken, 4) for name, taken in median.items()},
        "steps": steps,
        "times_ours": {name: round(median[name] / median["ours"], 1) for name in names},
    }


def tasks(speech: Speech, batch: int, beam: int, most_frames: int) -> list[tuple[str, SearchTask, list[str]]]:
    """What is timed with one batch size and beam: the model's name, the task, and stock's searchers."""
    middle = max((len(speech.items) - batch) // 2, 0)
    timed, by_frames = [("run", speech.task(middle, batch), list(STOCK))], {}
    for name, most in LARGEST.items():
        frames = min(most_frames, max(int((most / (beam * batch)) ** 0.5), 8))
        by_frames.setdefault(frames, []).append(name)
    return timed + [("small", made_up(batch, frames), names) for frames, names in by_frames.items()]


def row_text(row: dict) -> str:
    about = f"{row['model']:6}{row['frames']:>7}{row['threads']:>8}{row['beam']:>6}{row['batch']:>6}"
    for name in ("ours", *STOCK):
        seconds, steps = row["seconds"].get(name), row["steps"].get(name)
        about += f"{seconds:>12.3f} s{steps:>6}" if seconds else f"{'-':>14}{'-':>6}"
    return about + "".join(f"{row['times_ours'].get(name, '-'):>20}" for name in STOCK)


def check(options: argparse.Namespace) -> None:
    """RecipeError for numbers that nothing can be done with."""
    for name in ("utterances", "frames", "compare_beam", "repeats", "beams", "batches", "threads"):
        value = getattr(options, name)
        if min(value if isinstance(value, list) else [value], default=1) < 1:
            raise RecipeError(f"--{name} must be 1 or more")


@command_line
def main(argv=None) -> None:
    options = arguments(argv)
    check(options)
    torch.set_num_threads(options.threads[0])
    speech = Speech(options.run, options.data_folder, options.utterances)

    def search(beam: int) -> BeamSearch:
        return BeamSearch(beam=beam, ctc_weight=speech.search.ctc_weight, temperature=speech.search.temperature)

    batches = [speech.task(at, 8) for at in range(0, len(speech.items), 8)]
    scores = compare(batches, search(options.compare_beam))
    print(f"{len(speech.items)} utterances of {speech.set}, beam {options.compare_beam}; joint score of the best:")
    for name, counts in scores.items():
        print(f"  against {name}: " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in counts.items()))
    print(f"{'model':6}{'frames':>7}{'threads':>8}{'beam':>6}{'batch':>6}", end="")
    print("".join(f"{name:>14} steps" for name in ("ours", *STOCK)), "".join(f"{name + '/ours':>20}" for name in STOCK))
    rows = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        for beam in options.beams:
            for batch in options.batches:
                for model, task, names in tasks(speech, batch, beam, options.frames):
                    frames = task.encoded.frames.shape[1]
                    where = {"model": model, "frames": frames, "threads": threads, "beam": beam, "batch": batch}
                    rows.append({**where, **measure(task, search(beam), names, options)})
                    print(row_text(rows[-1]), flush=True)
    if options.out:
        command = " ".join(["python -m benchmarks.search", *(argv or sys.argv[1:])])
        options.out.parent.mkdir(parents=True, exist_ok=True)
        about = {"command": command, "machine": machine("cpu"), "set": speech.set, "utterances": len(speech.items)}
        write_json(options.out, {**about, "compare_beam": options.compare_beam, "joint_scores": scores, "rows": rows})


if __name__ == "__main__":
    sys.exit(main())
