"""Share of each group of numbers that a reconstruction explains."""

from collections.abc import Mapping

from torch import Tensor


def r2(target: Tensor, output: Tensor, groups: Mapping[str, slice], slot_mean: Tensor) -> dict[str, float]:
    """Signals for each group of channels.

    Args:
        target: (B, F, N), at least two, normalised over the training data.
        output: (B, F, N), the reconstruction of the same.
        groups: channels of each group.
        slot_mean: (F, N), the training data's mean at each place: what a model that ignores its input can learn.

    Returns:
        ``r2/PART``: 1 - squared error / variance about the group's mean over everything, 0 = predicts the mean;
        ``r2_beyond_mean/PART``: the same about each place's own mean, which a constant output cannot raise above 0;
        ``std_ratio/PART``: standard deviation of the output over that of the target, about each place's own mean.
    """
    found: dict[str, float] = {}
    for name, channels in groups.items():
        t, o, base = target[:, channels], output[:, channels], slot_mean[channels].to(target)
        error = (t - o).square().mean()
        plain = (t - t.mean((0, 2), keepdim=True)).square().mean().clamp_min(1e-12)
        beyond = (t - base).square().mean().clamp_min(1e-12)
        found[f"r2/{name}"] = float(1 - error / plain)
        found[f"r2_beyond_mean/{name}"] = float(1 - error / beyond)
        found[f"std_ratio/{name}"] = float((o.var(0).mean() / beyond).sqrt())
    return found
