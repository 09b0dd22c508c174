"""How a model transcribes, in words for the screen."""

from recipes.inference.recognition.recognition import Recognition


def describe_recognition(recognise: Recognition, longest: float) -> list[str]:
    """Its search, and where there are long recordings what is done with them. longest: seconds of the longest."""
    limits = [recognise.windows.seconds if recognise.windows else recognise.cuts.whole]
    limits += [recognise.cuts.whole] if recognise.search is not None else []
    lines = [describe_search(recognise)]
    return [*lines, describe_long_recordings(recognise)] if longest > min(limits) else lines


def describe_search(recognise: Recognition) -> str:
    if recognise.search is None:
        return "greedy CTC"
    unused = "lm_" if recognise.search.takes_lm and recognise.language_model is None else "no such name"
    values = [(name, value) for name, value in vars(recognise.search).items() if not name.startswith(unused)]
    options = [f"{name} {value}" for name, value in values if isinstance(value, (int, float, str))]
    lm = " and a language model" if recognise.language_model is not None else ""
    return f"{type(recognise.search).__name__} with {', '.join(options)}{lm}"


def describe_long_recordings(recognise: Recognition) -> str:
    windows = recognise.windows
    if windows is None:
        encoder = "long recordings: encoded in one pass, for all mixers are linear"
    else:
        why = "" if recognise.linear else ", for not all mixers are linear"
        overlap = 2 * windows.margin * recognise.frame_seconds
        encoder = f"long recordings: encoded in windows of {windows.seconds:g} s that overlap by {overlap:g} s{why}"
    whole, piece = recognise.cuts
    search = f"; above {whole:.1f} s searched in pieces of at most {piece:.1f} s, cut at silences"
    return encoder + ("" if recognise.search is None else search)
