"""What users get wrong in recipes, training, decoding and their own data."""

from benchmarks.reliability.bad_inputs.row import (
    FLAG,
    HOSTILE,
    NOT_LISTED,
    OBJECT,
    PERCENTAGES,
    POSITIVE,
    SHARE,
    SPAN,
    UP_FROM_0,
    UP_FROM_1,
    UP_FROM_ZERO,
    BadInput,
    dynamic_chunks,
    values,
)
from data_prep.own.prepare import KINDS

OTHER_PART = "give one of recipes.models, or a class that does"
AUDIO = "audio (audio, wav, path, audio_path, audio_filepath, file)"
TEXT = "text (text, wrd, words, transcript, transcription, sentence)"
AS_MANY = "they must be as many"

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
        "('activation.KEY'), or give another object (!new: or !name:)",
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
    *(
        BadInput(
            f"--{key} 5",
            f"command line: '{key}' is `!new:recipes.{kind}` and no single value: set one of its keys ('{key}.KEY'), "
            f"or give {other}",
        )
        for key, kind, other in (
            ("model.augment", "models.SpecAugment", "another object (!new: or !name:)"),
            ("model.decoder", "models.TransformerDecoder", "null to switch it off"),
            ("test_search", "decoding.BeamSearch", "null to switch it off"),
        )
    ),
    BadInput("--mixers.summarymixing null", "$recipe: mixer: mixers.summarymixing is null, no mixer to use"),
    BadInput(
        "--d_model 145 --heads 5 --mixer conv_only",
        "$recipe: model.decoder: TransformerDecoder: d_model must be an even whole number from 2 up, not 145",
    ),
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
    *values("joined_seconds", f"{POSITIVE}, or null", "0", "-30", "long"),
    BadInput(
        "--joined_seconds 60 --batch_seconds 20",
        "$recipe: joined_seconds 60 is more than a batch holds: raise --batch_seconds (now 20), or lower it",
    ),
    *values("consistency_weight", f"{POSITIVE}, or null", "0", "-0.2", "some"),
    BadInput(
        "--consistency_weight 0.2 --ctc_weight 0",
        "$recipe: consistency_weight compares CTC outputs, which ctc_weight 0 does not train: give --ctc_weight a "
        "value above 0, or --consistency_weight null",
    ),
    BadInput(
        "--consistency_weight 0.2 --model.augment !new:torch.nn.Identity",
        "$recipe: model.augment: Identity does not take (features, lengths); " + OTHER_PART,
    ),
    *values("speeds", PERCENTAGES, "100", "[]", "[0.9]", "[0]", "[1000]", "null"),
    *values("max_seconds", f"{POSITIVE}, or null", "0", "short"),
    *values("seed", "a whole number from 0 to 4294967295", "-1", "1.5", "random", "null", "4294967296"),
    *values("tensorboard", FLAG, "1", "maybe", "null"),
    *values("opt_class", OBJECT, "null"),
    *values("lr_schedule", OBJECT, "null"),
    *values("lr_schedule.warmup_steps", UP_FROM_0, "-1", "few"),
    *values(
        "opt_class.betas", "two numbers from 0 to below 1, such as [0.9, 0.98]", "[2, 3]", "[0.9]", "0.9", "[0, 1]"
    ),
    *values("opt_class.weight_decay", UP_FROM_ZERO, "none", "-1"),
    BadInput("--opt_class.eps=-1.0e-8", "$recipe: opt_class: Invalid epsilon value: -1e-08"),
    BadInput("--opt_class !new:torch.nn.Identity", "$recipe: opt_class must be an optimizer, not list"),
    *(
        BadInput(f"--opt_class !name:torch.optim.{name}", f"$recipe: opt_class: no optimizer for this training: {why}")
        for name, why in (
            ("LBFGS", "LBFGS.step() missing 1 required positional argument: 'closure'"),
            ("SparseAdam", "SparseAdam does not support dense gradients, please consider Adam instead"),
        )
    ),
    BadInput("--lr_schedule !name:torch.nn.Linear", "$recipe: lr_schedule must give a number for a step, not Linear"),
    BadInput(
        "--opt_class.lr 0.1",
        "$recipe: opt_class.lr has no effect, for the schedule sets the rate of every step from lr: give --lr 0.1",
    ),
    BadInput("--lr '!ref <batch_seconds> / 0'", "$recipe: division by zero"),
    BadInput("--lr '!ref <model.nothing>'", "$recipe: lr: 'Recogniser' object has no attribute 'nothing'"),
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
    *(
        BadInput(
            "$here/mine.csv $run",
            f"$here/mine.csv: no column for {missing}; its first line is '{line}': {hint}",
            "data_prep.own",
            {"mine.csv": f"{line}\na.wav;yes\n"},
        )
        for line, missing, hint in (
            (
                "wav;text",
                f"{AUDIO} and {TEXT}",
                "separate the values by commas, or by tabs in a file that ends in .tsv",
            ),
            ("wav,Text", TEXT, "write the names in small letters"),
        )
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
        "--init_from $here/lm",
        "$here/lm is no run of a recogniser: a language model is for --lm_folder",
        files={"lm/recipe.yaml": "language_model: null\n"},
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
    *values("optimizer_step_limit", f"{UP_FROM_1}, or null", "0", recipe="command line"),
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
    BadInput(
        "--test_search '!name:recipes.decoding.BeamSearch {beam: 4}'",
        "$recipe: test_search: is no search of recipes.decoding, but partial: begin it with !new:",
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
    # Features.
    *values("model.features.sample_rate", "16000, at which recordings are read", "8000", "null"),
    BadInput(
        "--model.features.n_mels 40",
        "$recipe: model: Recogniser: its parts must have the same n_mels, not features 40, normalize 80, frontend 80",
    ),
    # Parts that cannot be what they are named for.
    BadInput(
        "--model.encoder !new:torch.nn.Identity",
        "$recipe: model.encoder: Identity does not take (frames, lengths, context); " + OTHER_PART,
    ),
    BadInput(
        "--model.decoder !new:torch.nn.Identity",
        "$recipe: model.decoder: Identity does not take (encoded, tokens); " + OTHER_PART,
    ),
    BadInput(
        "--model.normalize '!new:torch.nn.Bilinear {in1_features: 1, in2_features: 1, out_features: 1}'",
        "$recipe: model.normalize: Bilinear does not have measure; " + OTHER_PART,
    ),
    # Parts that do not go together, and outputs that are not the tokenizer's: not after the data, nor after training.
    *(
        BadInput(
            f"--{part}.vocab_size 40", f"$recipe: {name} has 40 outputs, and the tokenizer vocab_size 32: {AS_MANY}"
        )
        for part, name in (("model", "model.ctc"), ("model.decoder", "model.decoder"))
    ),
    *(
        BadInput(options, f"$recipe: {part} cannot take its input [2, 11, …")
        for options, part in (
            ("--model.frontend.d_model 32", "model.encoder"),
            ("--model.encoder.d_model 32", "model.encoder"),
            ("--model.decoder.d_model 32", "model.decoder"),
            ("--model.d_model 32", "model.ctc"),
            ("--activation !name:torch.nn.GLU", "model.encoder"),
            ("--mixers.summarymixing !name:torch.nn.ReLU --mixer summarymixing", "model.encoder"),
        )
    ),
    BadInput("--model !new:torch.nn.Identity", "$recipe: model must be a recipes.models.Recogniser, not Identity"),
    BadInput(
        "--language_model !new:torch.nn.Identity",
        "$lm_recipe: language_model: Identity does not have init_cache, step, vocab_size; " + OTHER_PART,
        "train_lm",
    ),
    BadInput(
        "--language_model.vocab_size 40",
        f"$lm_recipe: language_model has 40 outputs, and the tokenizer vocab_size 32: {AS_MANY}",
        "train_lm",
    ),
    *(
        BadInput("$recipe --model.d_model 32", "$recipe: model.ctc cannot take its input [2, 10, 144]: …", program)
        for program in ("recipes.describe", "compare")
    ),
    # Other programs check the same.
    BadInput("$recipe --lr 0", f"$recipe: lr must be {POSITIVE}, not 0", "compare"),
    BadInput("$recipe --seeds -5 2", "--seeds -5 2: a seed is a whole number from 0 to 4294967295, not -5", "compare"),
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
]
