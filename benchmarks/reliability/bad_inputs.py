"""What users get wrong, and the one line that they are shown: a new case is a row of ROWS.

`$recipe`, `$lm_recipe`: files in hparams; `$none`: a path where nothing is; `$here`: the folder of the row's
files; `$run`: an output folder that must not appear; `$trained`, `$small` and more: see `things`. A row's options
come after those of START, and win.
"""

from typing import NamedTuple

from data_prep.own.prepare import KINDS

START = {
    "train": "$recipe --data_folder $none --output_folder $run",
    "train_lm": "$lm_recipe --tokenizer $none --train_text $none --valid_text $none --output_folder $run",
    "compare": "--mixers attention --data_folder $none --out $run",
    "evaluate": "",
    "transcribe": "",
    "recipes.config": "",
    "recipes.describe": "",
    "recipes.inference.release": "",
    "recipes.inference.serve": "$none",
    "recipes.inference.export": "",
    "data_prep.own": "",
}


class BadInput(NamedTuple):
    """One mistake: `line` follows "error: " on stderr, and the exit status is 2. Whatever follows "…" may differ."""

    options: str  # split as a shell does
    line: str
    program: str = "train"
    files: dict[str, str] = {}  # noqa: RUF012 (never changed): text by name in $here
    late: bool = False  # it is in a recording: the program has said what it works with, or lists the problems it found

    @property
    def exports(self) -> bool:
        """Whether it needs the packages of ONNX."""
        return "--onnx" in self.options or self.program == "recipes.inference.export"


def values(key: str, wanted: str, *typed: str, program: str = "train", recipe: str = "$recipe") -> list[BadInput]:
    """The rows of a recipe key: values out of its limits, and the limits in words."""
    return [
        BadInput(f"'--{key}={value}'", f"{recipe}: {key} must be {wanted}, not {value}", program) for value in typed
    ]


def dynamic_chunks(key: str, wanted: str, *typed: str) -> list[BadInput]:
    """The rows of a key of `streaming`, which is null in the recipe."""
    return [
        BadInput(
            f"--streaming '!new:recipes.models.DynamicChunks {{{key}: {value}}}'",
            f"$recipe: streaming.{key} must be {wanted}, not {value}",
        )
        for value in typed
    ]


UP_FROM_1, UP_FROM_0, POSITIVE = "a whole number from 1 up", "a whole number from 0 up", "a number above 0"
PERCENTAGES = "a list of whole percentages from 50 to 200, such as [95, 100, 105]"
SPAN = "[least, most], two whole numbers from 1 up"
SHARE, OBJECT, FLAG = "a number from 0 to 1", "an object (!new: or !name:)", "true or false"

NOT_LISTED = (
    "is not on the list of what a recipe may name (mixers, recipes.models, recipes.decoding, torch.nn, torch.optim): "
    "it would run here; if you know it, and who wrote this recipe, give --trust"
)
HOSTILE = "lr: 1\nx: !apply:os.system [ls]\n"

ROWS = [
    # Sizes of the model.
    *values("d_model", UP_FROM_1, "0", "-16", "16.0", "wide", "null", "true"),
    *values("layers", UP_FROM_1, "0", "2.5", "null"),
    *values("decoder_layers", UP_FROM_1, "0", "-1", "1.5", "null"),
    *values("heads", UP_FROM_1, "0", "-2"),
    *values("d_ffn", UP_FROM_1, "0", "null"),
    *values("kernel_size", UP_FROM_1, "0", "-3"),
    *values("vocab_size", UP_FROM_1, "0", "1e3", "null"),
    *values("dropout", SHARE, "-0.1", "1.5", "none", ".nan"),
    *values("activation", OBJECT, "null"),
    BadInput(
        "--activation GELU",
        "command line: 'activation' is `!name:torch.nn.GELU` and no single value: set one of its keys "
        "('activation.KEY'), or give null to switch it off",
    ),
    *values("token_type", "unigram, bpe or char", "words", "null"),
    *values("mixer", "a name from the table mixers, or a list of such", "null", "3"),
    *values("mixers.xnor.heads", UP_FROM_1, "0", "many", "null"),
    *values("model.encoder.d_ffn", UP_FROM_1, "0", "wide"),
    *values("model.decoder.layers", UP_FROM_1, "0", "null"),
    *values("model.frontend.channels", "a list of whole numbers from 1 up", "[]", "[0]", "32"),
    *values("model.augment.time_masks", UP_FROM_0, "-1", "some"),
    *values("model.augment.time_width", "[least, most], two whole numbers from 1 up", "[5]", "[9, 2]", "5"),
    *values("model.augment.max_share", SHARE, "2"),
    *values("model.encoder", OBJECT, "null"),
    *values("model.frontend", OBJECT, "null"),
    *values("_seeded", OBJECT, "null"),
    BadInput("--mixers.summarymixing null", "$recipe: mixer: mixers.summarymixing is null, no mixer to use"),
    BadInput("--heads 5", "$recipe: model.decoder: TransformerDecoder: heads 5 must divide d_model 144"),
    BadInput(
        "--kernel_size 4", "$recipe: model.encoder: Conformer: kernel_size must be an odd whole number from 1 up, not 4"
    ),
    # Training.
    *values("number_of_epochs", UP_FROM_1, "0", "-1", "1.5", "null", "all"),
    *values("batch_seconds", POSITIVE, "0", "-20", "long", ".inf"),
    *values("batch_buckets", UP_FROM_1, "0", "60.0"),
    *values("average_checkpoints", UP_FROM_1, "0", "1.5"),
    *values("keep_last_checkpoints", UP_FROM_1, "0"),
    *values("valid_search_interval", UP_FROM_1, "0"),
    *values("normalize_utterances", UP_FROM_1, "0", "all"),
    *values("workers", UP_FROM_0, "-1", "two", "true", "null"),
    *values("warmup_steps", UP_FROM_0, "-1", "1e2", "null"),
    *values("lr", POSITIVE, "0", "-1", "fast", "null", ".nan", ".inf", "[0.1]"),
    *values("streaming", f"{OBJECT}, or null", "true", "[8, 32]"),
    *dynamic_chunks("chunk", SPAN, "[0, 8]", "[9, 8]", "16"),
    *dynamic_chunks("left_chunks", SPAN, "2", "[2]"),
    *dynamic_chunks("probability", SHARE, "2", "null"),
    BadInput(
        "--mixer fastformer --streaming '!new:recipes.models.DynamicChunks {probability: 1}'",
        "$recipe: streaming: FastFormer cannot stream or take a context: every new chunk changes the global query, and "
        "with it the weights of all past keys; give --streaming null, or another --mixer",
    ),
    BadInput(
        "--streaming !new:torch.nn.Identity",
        "$recipe: streaming must be !new:recipes.models.DynamicChunks, not Identity",
    ),
    *values("ctc_weight", SHARE, "1.5", "-0.1", "null"),
    *values("label_smoothing", SHARE, "-0.1", "2"),
    *values("consistency_weight", f"{POSITIVE}, or null", "0", "-0.2", "some"),
    BadInput(
        "--consistency_weight 0.2 --ctc_weight 0",
        "$recipe: consistency_weight compares CTC outputs, which ctc_weight 0 does not train: give --ctc_weight a "
        "value above 0, or --consistency_weight null",
    ),
    BadInput(
        "--consistency_weight 0.2 --model.augment !new:torch.nn.Identity",
        "$recipe: consistency_weight needs views that differ: model.augment must be !new:recipes.models.SpecAugment or "
        "AdaptiveSpecAugment, not Identity",
    ),
    *values("speeds", PERCENTAGES, "100", "[]", "[0.9]", "[0]", "[1000]", "null"),
    *values("max_seconds", f"{POSITIVE}, or null", "0", "short"),
    *values("seed", "a whole number from 0 to 4294967295", "-1", "1.5", "random", "null", "4294967296"),
    *values("tensorboard", FLAG, "1", "maybe", "null"),
    *values("opt_class", OBJECT, "null"),
    *values("lr_schedule", OBJECT, "null"),
    *values("lr_schedule.warmup_steps", UP_FROM_0, "-1", "few"),
    BadInput("--opt_class.betas '[2, 3]'", "$recipe: opt_class: Invalid beta parameter at index 0: 2"),
    BadInput("--opt_class !new:torch.nn.Identity", "$recipe: opt_class must be an optimizer, not list"),
    BadInput("--lr_schedule !name:torch.nn.Linear", "$recipe: lr_schedule must give a number for a step, not Linear"),
    BadInput(
        "--opt_class.lr 0.1",
        "$recipe: opt_class.lr has no effect, for the schedule sets the rate of every step from lr: give --lr 0.1",
    ),
    BadInput("--lr", "command line: --lr needs a value"),
    BadInput("--data_folder=", "command line: --data_folder has no value"),
    BadInput("--data_folder", "command line: --data_folder needs a value"),
    # Own data, and weights to begin with.
    *values("text_normalizer", "none, upper or basic, or null", "lower"),
    *values("score_normalizer", "basic or english, or null", "whisper"),
    *values("new_tokenizer", f"{FLAG}, or null", "1"),
    BadInput(
        "--train_manifest $none --valid_manifest $none --test_manifest $none",
        f"$recipe: no manifest $none: give {KINDS}",
    ),
    BadInput("$none $run", f"no manifest $none: give {KINDS}", "data_prep.own"),
    BadInput(
        "$here/mine.csv $run",
        "$here/mine.csv: no column for text (text, wrd, words, transcript, transcription, sentence); its first line is "
        "'id,audio'",
        "data_prep.own",
        {"mine.csv": "id,audio\nu1,a.wav\n"},
    ),
    BadInput(
        "$here/mine.jsonl $run",
        "$here/mine.jsonl is Lhotse's manifest of recordings: give one of cuts (lhotse cut simple makes it)",
        "data_prep.own",
        {"mine.jsonl": '{"id": "r", "sources": []}\n'},
    ),
    *(
        BadInput(
            "$here/mine.jsonl $run",
            f"$here/mine.jsonl: 1 of 1 utterances are unusable, most by: {problem}…",
            "data_prep.own",
            {"mine.jsonl": f'{{"audio": "{audio}", "text": "yes"{span}}}\n', "note.wav": "no audio"},
            late=True,
        )
        for problem, audio, span in (
            (
                "segment beyond the end of its file (the rule: start and end are seconds",
                "$audio",
                ', "start": 5, "end": 9',
            ),
            ("missing audio file (the rule: a relative path", "$none", ""),
            ("damaged audio file; a split is refused when", "$here/note.wav", ""),
        )
    ),
    BadInput("--init_from $none", "init_from: $none does not exist: give the folder of a run or of a release"),
    BadInput(
        "--init_from $here",
        "init_from: $here has neither recipe.yaml nor release.json: give the folder of a run or of a release",
    ),
    BadInput(
        "--init_from $trained $small --d_model 24",
        "init_from: no weight of the encoder of $trained fits by name and shape: is it of another kind, or of another "
        "d_model?",
    ),
    BadInput(
        "--init_from $trained --vocab_size 40",
        "init_from: the tokenizer of $trained goes with 28 outputs and this recipe has 40: give --vocab_size 28, or "
        "--new_tokenizer for one of these data",
    ),
    BadInput("--freeze encoder", "$recipe: freeze is for weights of another run: give --init_from"),
    # Keys that are SpeechBrain's run options too.
    *values("grad_accumulation_factor", UP_FROM_1, "0", "-1", recipe="command line"),
    *values("max_grad_norm", POSITIVE, "0.0", "-1.0", "nan", recipe="command line"),
    *values("ckpt_interval_minutes", "a number from 0 up", "-1", recipe="command line"),
    BadInput("--max_grad_norm null", "argument --max_grad_norm: invalid float value: 'null'"),
    BadInput("--grad_accumulation_factor 1.5", "argument --grad_accumulation_factor: invalid int value: '1.5'"),
    *values("debug_batches", UP_FROM_1, "0", "-1", recipe="command line"),
    *values("optimizer_step_limit", UP_FROM_1, "0", recipe="command line"),
    # Decoding.
    *values("test_batch_seconds", POSITIVE, "0", "null"),
    *values("test_chunk", f"{UP_FROM_1}, or null", "0", "0.5"),
    *values("test_left_chunks", f"{UP_FROM_0}, or null", "-1", "all"),
    BadInput(
        "--mixer fastformer --test_chunk 8",
        "$recipe: test_chunk: FastFormer cannot stream or take a context: every new chunk changes the global query, "
        "and with it the weights of all past keys; give --test_chunk null, or another --mixer",
    ),
    BadInput(
        "--test_left_chunks 2",
        "$recipe: test_left_chunks counts chunks of test_chunk frames: give --test_chunk too",
    ),
    BadInput(
        "--test_search !new:recipes.decoding.TransducerSearch",
        "$recipe: test_search: TransducerSearch reads a transducer, and this model has none: take BeamSearch, or null",
    ),
    BadInput("--test_search.beam 0", "$recipe: test_search: BeamSearch: beam must be a whole number from 1 up, not 0"),
    BadInput(
        "--test_search.beam 2.0", "$recipe: test_search: BeamSearch: beam must be a whole number from 1 up, not 2.0"
    ),
    BadInput(
        "--test_search.lm_weight=-0.5",
        "$recipe: test_search: BeamSearch: lm_weight must be a number from 0 up, not -0.5",
    ),
    BadInput(
        "--test_search '!new:recipes.decoding.NgramCTCSearch {ngram: x.arpa, lm_weight: -1}'",
        "$recipe: test_search: NgramCTCSearch: lm_weight must be a number from 0 up, not -1",
    ),
    # Language models.
    *values("batch_sentences", UP_FROM_1, "0", program="train_lm", recipe="$lm_recipe"),
    *values("longest_sentence", UP_FROM_1, "null", program="train_lm", recipe="$lm_recipe"),
    *values("shuffle_sentences", UP_FROM_1, "-1", program="train_lm", recipe="$lm_recipe"),
    *values("norm_first", FLAG, "yes", program="train_lm", recipe="$lm_recipe"),
    # Other programs check the same.
    BadInput("$recipe --lr 0", f"$recipe: lr must be {POSITIVE}, not 0", "compare"),
    # What a recipe may name.
    BadInput("--model !new:os.Model", f"command line: 'os.Model' {NOT_LISTED}"),
    BadInput("--mixers.xnor !name:mixers.XNORR", "command line: there is no 'XNORR' in 'mixers'; did you mean 'XNOR'?"),
    *(
        BadInput(
            "$here/mine.yaml", f"$here/mine.yaml, line 2: 'os.system' {NOT_LISTED}", program, {"mine.yaml": HOSTILE}
        )
        for program in ("recipes.config", "recipes.describe", "compare")
    ),
    BadInput(
        "$here/run",
        f"$here/run/recipe.yaml, line 2: 'os.system' {NOT_LISTED}",
        "evaluate",
        {"run/recipe.yaml": HOSTILE},
    ),
    *(
        BadInput(
            options, "no audio to transcribe: give RUN, then files, folders, patterns or -, then options", "transcribe"
        )
        for options in ("", "$here/run", "$here/run --format json")
    ),
    BadInput(
        "$none a.wav",
        "$none is no run folder (there is no such folder): give first one that train.py wrote",
        "transcribe",
    ),
    BadInput(
        "$here a.wav",
        "$here is no run folder (it has no recipe.yaml): give first one that train.py wrote",
        "transcribe",
    ),
    BadInput(
        "$here/run a.wav",
        f"$here/run/recipe.yaml, line 2: 'os.system' {NOT_LISTED}",
        "transcribe",
        {"run/recipe.yaml": HOSTILE},
    ),
    BadInput(
        "$here/made a.wav",
        "$here/made is a release of format 99, and this version reads 1: update it",
        "transcribe",
        {"made/release.json": '{"format": 99}'},
    ),
    BadInput(
        "$here/made a.wav",
        "$here/made has no recipe.yaml: it is not the whole release, copy it again",
        "transcribe",
        {"made/release.json": '{"format": 1, "name": "made", "files": {}}'},
    ),
    BadInput(
        "$here/run a.wav",
        "$here/run has no tokenizer/tokenizer.model: was the run stopped before it began? give …",
        "transcribe",
        {"run/recipe.yaml": "base: $recipe\ndata_folder: .\n"},
    ),
    *(
        BadInput(f"$trained {audio} --device cpu", f"{audio}: {reason}", "transcribe", files, late=True)
        for audio, reason, files in (
            ("$none", "No such file or directory", {}),
            ("$here/note.wav", "no audio that can be read (Format not recognised)", {"note.wav": "no audio"}),
            ("$here/empty.wav", "empty audio file", {"empty.wav": ""}),
            ("$brief", "20 ms of audio hold no word; 100 ms is the least", {}),
        )
    ),
    *(
        BadInput(f"$trained {options}", line, "transcribe", {"file": ""})
        for options, line in (
            ("$audio --device cuda:99", "device cuda:99 cannot be used: …"),
            ("$audio --eval_precision fp8 --device cpu", "precision must be one of fp32, bf16, fp16, not fp8"),
            ("$audio --lr 1", "--lr says what was trained and cannot change any more; evaluate.py takes …"),
            ("$audio --test_search.beam 4 b.wav", "'b.wav' is one argument too many: options come last; usage: …"),
            ("$here/x*.wav --device cpu", "$here/x*.wav: no audio file matches"),
            (
                "$audio $brief --format srt --device cpu",
                "--format srt of 2 recordings needs files: give --out FOLDER",
            ),
            (
                "$audio --out $here/file/deep --device cpu",
                "--out $here/file/deep: Not a directory; give another folder",
            ),
        )
    ),
    BadInput("$none a.wav --threads 0", "--threads must be 1 or more, not 0", "transcribe"),
    BadInput(
        "$none a.wav --batch_seconds nan", "--batch_seconds must be a number of seconds above 0, not nan", "transcribe"
    ),
    BadInput("$none a.wav --window 0", "--window must be a number of seconds above 0, not 0", "transcribe"),
    BadInput("$none a.wav --nbest 0", "--nbest must be 1 or more, not 0", "transcribe"),
    BadInput("$none a.wav --nbest 2", "--nbest 2: only --format json holds more than the best reading", "transcribe"),
    BadInput("$recipe --lr 0", "$recipe: lr must be a number above 0, not 0", "recipes.config"),
    BadInput(
        "$here/mine.yaml",
        "$here/mine.yaml: lr must be a number above 0, not -1",
        "recipes.describe",
        {"mine.yaml": "base: $recipe\nlr: -1\n"},
    ),
    # The live server.
    *(
        BadInput(f"--{name} {value}", f"--{name} must be {wanted}, not {value}", "recipes.inference.serve")
        for name, wanted, value in [
            ("clients", "1 or more", "0"),
            ("buffer", "above 0", "-1"),
            ("minutes", "above 0", "0"),
            ("idle", "above 0", "nan"),
            ("threads", "1 or more", "0"),
            ("port", "a whole number from 0 to 65535", "65536"),
        ]
    ),
    BadInput(
        "--origin name.example",
        "--origin name.example: give scheme and name, with the port if there is one: https://name:port",
        "recipes.inference.serve",
    ),
    # Releases.
    BadInput(
        "$none $run",
        "$none is no run folder (it has no recipe.yaml): give first one that train.py wrote",
        "recipes.inference.release",
    ),
    BadInput(
        "$here/mine $run",
        f"$here/mine/recipe.yaml, line 2: 'os.system' {NOT_LISTED}",
        "recipes.inference.release",
        {"mine/recipe.yaml": HOSTILE},
    ),
    BadInput(
        "$here/made $run",
        "$here/made is a release already: copy it",
        "recipes.inference.release",
        {"made/release.json": "{}"},
    ),
    BadInput(
        "$here $here",
        "$here is there already: give another folder",
        "recipes.inference.release",
        {"recipe.yaml": "a: 1"},
    ),
    # Exported models.
    BadInput(
        "--onnx $none a.wav", "no file $none: make one with python -m recipes.inference.export RUN $none", "transcribe"
    ),
    BadInput(
        "--onnx $here/text.onnx a.wav",
        "$here/text.onnx is no ONNX file that can be used: …",
        "transcribe",
        {"text.onnx": "no model"},
    ),
    *(
        BadInput(f"--onnx {options}", line, "transcribe")
        for options, line in (
            (
                "$bare a.wav",
                "$bare has no metadata of this project (format is missing): export a run with python -m "
                "recipes.inference.export",
            ),
            ("$newer a.wav", "$newer is of format 2, and this version reads 1: update it"),
            ("$damaged a.wav", "$damaged: its metadata are damaged: export the run again"),
            ("$alone a.wav", "$alone holds the encoder alone: export the run without --part to transcribe"),
            ("$exported a.wav --stream", "--onnx takes whole recordings: a stream needs a run"),
        )
    ),
    *(
        BadInput(
            f"--onnx $exported a.wav {option} {value}",
            f"{option} needs a run: an exported model gives greedy CTC on the CPU alone",
            "transcribe",
        )
        for option, value in (("--average", "best-2"), ("--device", "cuda"), ("--test_search.beam", "8"))
    ),
    BadInput(
        "$trained $here/model.pt",
        "$here/model.pt: the name of an ONNX file ends in .onnx",
        "recipes.inference.export",
    ),
    BadInput(
        "$trained $here/model.onnx --part transducer",
        "--part transducer: it is not exported yet: a file holds the CTC head, or the encoder alone",
        "recipes.inference.export",
    ),
    BadInput(
        "$trained $here/there.onnx",
        "$here/there.onnx is there already: give another name",
        "recipes.inference.export",
        {"there.onnx": ""},
    ),
    BadInput(
        "$none $here/model.onnx",
        "$none is no run folder (there is no such folder): give first one that train.py wrote",
        "recipes.inference.export",
    ),
]
