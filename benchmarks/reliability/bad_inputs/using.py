"""What users get wrong where they use a trained model: transcribing, the server, releases, exports."""

from benchmarks.reliability.bad_inputs.row import (
    HOSTILE,
    NOT_LISTED,
    BadInput,
)

ROWS = [
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
        "$here/made a.wav",
        "$here/made has no release.json: it is not the whole release, copy it again",
        "transcribe",
        {"made/recipe.yaml": "base: $recipe\ndata_folder: .\n", "made/model.safetensors": ""},
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
    *(
        BadInput(f"$none a.wav --threads {threads}", f"--threads must be from 1 to 1024, not {threads}", "transcribe")
        for threads in (0, 100000)
    ),
    BadInput(
        "$none a.wav --batch_seconds nan", "--batch_seconds must be a number of seconds above 0, not nan", "transcribe"
    ),
    BadInput(
        "$none a.wav --format SRT",
        "argument --format: invalid choice: 'SRT' (choose from …",
        "transcribe",
    ),
    *(
        BadInput(
            f"$none {name} --format srt", f"{name} is no option: for a file of that name write ./{name}", "transcribe"
        )
        for name in ("-dash.wav", "--dashes.FLAC")
    ),
    *(
        BadInput(
            options,
            f"argument {name}: it is empty: give a value (the current folder is .); see {shown} --help",
            program,
        )
        for program, shown, options, name in (
            ("transcribe", "transcribe.py", "$trained ''", "AUDIO"),
            ("transcribe", "transcribe.py", "'' a.wav", "RUN"),
            ("transcribe", "transcribe.py", "$none a.wav --out ''", "--out"),
            ("transcribe", "transcribe.py", "$none a.wav --ngram=", "--ngram"),
            ("evaluate", "evaluate.py", "''", "RUN_FOLDER"),
            ("evaluate", "evaluate.py", "$none --out=", "--out/--output"),
            ("evaluate", "evaluate.py", "$none --average ''", "--average"),
            ("data_prep.own", "python -m data_prep.own", "$none ''", "out_folder"),
        )
    ),
    BadInput("$none a.wav --window inf", "--window must be a number of seconds above 0, not inf", "transcribe"),
    *(
        BadInput(f"$none a.wav --{option}", f"--{option.split()[0]} is for streams: give --stream too", "transcribe")
        for option in ("chunk 8", "left_chunks 2", "rescore")
    ),
    *(
        BadInput(
            f"$none a.wav --stream --{option}",
            f"--{option.split()[0]} is for a search, and streams are decoded greedily: give --rescore too",
            "transcribe",
        )
        for option in ("piece 3", "batch_seconds 3", "ngram a.arpa", "test_search.beam 3", "lm_folder lm")
    ),
    BadInput(
        "$none a.wav --rate 8000",
        "--rate 8000 is for bare samples on standard input, and - is not among the audio",
        "transcribe",
    ),
    BadInput(
        "$trained $audio --nbest 2 --format json --test_search null --device cpu",
        "--nbest 2: greedy CTC (test_search: null) has one reading alone",
        "transcribe",
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
            ("minutes", "above 0", "inf"),
            ("minutes", "above 0", "0"),
            ("idle", "above 0", "nan"),
            ("threads", "from 1 to 1024", "0"),
            ("port", "a whole number from 0 to 65535", "65536"),
        ]
    ),
    BadInput(
        "--origin name.example",
        "--origin name.example: give scheme and name, with the port if there is one: https://name:port",
        "recipes.inference.serve",
    ),
    # Evaluations.
    BadInput(
        "$trained --data_folder $none --tune --test_search null",
        "greedy CTC has nothing to tune: leave out --tune, or give a --test_search",
        "evaluate",
    ),
    BadInput(
        "$trained --data_folder $none --nbest 2 --test_search null",
        "--nbest 2: greedy CTC (test_search: null) has one reading alone",
        "evaluate",
    ),
    BadInput(
        "$trained b --test_search null",
        "'b' is one argument too many; usage: evaluate.py RUN_FOLDER [--key value …]",
        "evaluate",
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
            (
                "$exported a.wav --stream",
                "$exported takes whole recordings: export the run with --part stream to stream",
            ),
            (
                "$streamed a.wav",
                "$streamed goes chunk by chunk: give --stream, or export the run without --part",
            ),
            ("$streamed a.wav --stream --chunk 8", "--chunk 8: $streamed was exported with 4: leave it out"),
            (
                "$streamed a.wav --stream --left_chunks 8",
                "--left_chunks 8: $streamed was exported with all: leave it out",
            ),
            (
                "$none a.wav --stream",
                "no file $none: make one with python -m recipes.inference.export RUN $none --part stream",
            ),
            (
                "$streamed a.wav --stream --rescore",
                "--rescore needs a run: an exported model decodes greedily, on the CPU alone",
            ),
        )
    ),
    *(
        BadInput(
            f"--onnx $exported a.wav {option} {value}",
            f"{option} needs a run: an exported model decodes greedily, on the CPU alone",
            "transcribe",
        )
        for option, value in (("--average", "best-2"), ("--device", "cuda"), ("--test_search.beam", "8"))
    ),
    BadInput(
        "$trained $here/model.pt",
        "$here/model.pt: the name of an ONNX file ends in .onnx",
        "recipes.inference.export",
    ),
    BadInput("$trained $here/model.onnx --chunk 8", "--chunk is for --part stream", "recipes.inference.export"),
    BadInput(
        "$trained $here/model.onnx --part stream --chunk 0",
        "chunk must be a whole number from 1 up, not 0",
        "recipes.inference.export",
    ),
    BadInput(
        "$trained $here/model --part stream",
        "$here/model: the model has no transducer: for its CTC head give a name with .onnx",
        "recipes.inference.export",
    ),
    BadInput(
        "$trained $here/model.onnx --part transducer",
        "$here/model.onnx: a transducer is a folder of three files: give a name without .onnx",
        "recipes.inference.export",
    ),
    BadInput(
        "$trained $here/model --part transducer",
        "--part transducer: the model's decoder is none: leave --part out for its CTC head",
        "recipes.inference.export",
    ),
    BadInput(
        "--onnx $here a.wav",
        "no file $here/encoder.onnx: make one with python -m recipes.inference.export RUN $here --part transducer",
        "transcribe",
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
