"""SummaryMixing without its summary: nothing crosses frames."""

from .summaries import Identity
from .summarymixing import SummaryMixing


class LocalOnly(SummaryMixing):
    """SummaryMixing (https://arxiv.org/abs/2307.07421) without its summary: the control of equal size.

        f_t = MLP_local(x_t),  s_t = MLP_summary(x_t),  y_t = GELU(W [f_t ; s_t] + b)

    The mean over time is replaced by the frame's own s_t, as if the window were one frame wide: the same
    parameters and products, all of them trained, so that a difference in error rate is the summary's alone.
    Options and errors are those of SummaryMixing's ``full`` variant.
    """

    def __init__(
        self,
        d_model: int,
        *,
        heads: int = 1,
        hidden_sizes: list[int] | None = None,
        local_size: int | None = None,
        summary_size: int | None = None,
    ):
        super().__init__(
            d_model, heads=heads, hidden_sizes=hidden_sizes, local_size=local_size, summary_size=summary_size
        )
        self.statistic = Identity()
