"""From recordings and transcripts to manifests, tokenizers and n-grams. Imports nothing else of this repository.

Commands: `python -m data_prep.download`, `.librispeech`, `.tokenizer`, `.ngram`, and `.synthesize` for the demo's
corpus. Only the last one loads `data_prep.synthetic`, and with it espeak-ng (GPL-3).
"""
