"""The contract of every mixer, to be run on a mixer of your own: ``check_mixer(build)``.

Needs torch alone. Two environment variables: ``CONTRACT_DEVICE=cuda`` runs all checks on a GPU, and
``CONTRACT_BACKEND=inductor`` lets torch.compile generate kernels, where by default it stops before that step.
"""

from collections.abc import Callable, Sequence

import torch

from .cost import check_linear
from .inputs import Build
from .outputs import check_batch, check_extremes, check_gradients, check_padding, check_shape, check_short
from .precision import check_half_precision, check_long_half_precision
from .streaming import check_context, check_streaming
from .tools import check_checkpoint, check_compile

Check = Callable[[Build], None]

CHECKS: tuple[Check, ...] = (
    check_shape,
    check_gradients,
    check_padding,
    check_batch,
    check_short,
    check_half_precision,
    check_long_half_precision,
    check_compile,
    check_checkpoint,
    check_streaming,
    check_context,
    check_linear,
    check_extremes,
)

__all__ = ["CHECKS", "Build", "Check", "check_mixer"]


def check_mixer(build: Build, checks: Sequence[Check] = CHECKS) -> None:
    """Run the contract on the mixers that ``build`` makes: a callable ``d_model -> Mixer``, as a class is.

    checks: a part of ``CHECKS``, to run that part alone. For tests by name, parametrise a test by ``CHECKS``.
    Raises the error of the first check that fails, with the name of the check as a note. The state of
    torch's random numbers is the same afterwards.
    """
    with torch.random.fork_rng():
        for check in checks:
            try:
                check(build)
            except Exception as error:
                error.add_note(f"in {check.__name__}: {(check.__doc__ or '').splitlines()[0]}")
                raise
