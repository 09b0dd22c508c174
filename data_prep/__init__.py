"""From recordings and transcripts to manifests and tokenizers; imports nothing else of this repository."""
