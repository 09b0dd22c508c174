"""Users' own recordings: manifests of several kinds, and Kaldi's data folders, turned into this project's manifests.

Command: `python -m data_prep.own MANIFEST… OUT`. See docs/own_data.md.
"""

from data_prep.own.prepare import check_source, manifest_names, manifest_texts, prepare_manifest

__all__ = ["check_source", "manifest_names", "manifest_texts", "prepare_manifest"]
