"""Inspections of a diffusion loop: noise of training beside that of the sampler, and weights of time steps."""

import itertools
import math

import torch
from torch import Tensor

from trainwright.diagnosis.inspection import Inspect, Inspection
from trainwright.diagnosis.observing.calls import Call, error_factor, read_targets
from trainwright.diagnosis.observing.observer import Observed
from trainwright.diagnosis.observing.sampler import neighbours

LEAST = 3  # calls
EARLY = 24  # steps of optimizers, before a network has learned more at some time steps than at others


def beginnings(seen: Observed) -> list[Inspection]:
    """Compare what a sampler begins with and what the network was trained with at the same time."""
    for network in seen.networks:
        if seen.per_sample.get(network.name, 0) < 5:
            continue
        drawn = [c for c in seen.in_sampling(network) if is_timed(c)]
        trained = [c for c in seen.in_use(network) if is_timed(c)]
        if not drawn or len(trained) < LEAST:
            continue
        first = drawn[0]
        time = float(first.arguments[1].values.float().median())
        times = torch.cat([_per_row(c) for c in trained])
        rows = torch.cat([c.arguments[0].values[: len(_per_row(c))].float() for c in trained])
        if rows.shape[1:] != first.arguments[0].values.shape[1:]:
            continue
        low, high = float(times.min()), float(times.max())
        width = max(high - low, 1e-9)
        if not low - 0.3 * width <= time <= high + 0.3 * width:  # few of all times were seen
            return [
                Inspection(
                    "sampler_step_mismatch",
                    "sick",
                    f"sample() begins at time {time:.4g}, but {network.name} is trained at times between {low:.4g} and {high:.4g}",
                    "give the network times of the same scale in training and in sample()",
                )
            ]
        near = rows[(times - time).abs() <= 0.08 * width].cpu()
        begin = first.arguments[0].values.float().cpu()
        if len(near) < 8 or near.numel() < 64 or begin.numel() < 128:
            continue
        if near.ndim == 4 and neighbours(near) > neighbours(begin) + 0.4:
            return [
                Inspection(
                    "sampler_step_mismatch",
                    "sick",
                    f"sample() begins with noise at time {time:.4g}, where {network.name} is trained on nearly clean data: "
                    "time runs the wrong way in one of them",
                    "use the same direction of time in training and in sample()",
                )
            ]
        a, b = float(near.std()), float(begin.std())
        shift = abs(float(near.mean()) - float(begin.mean())) / max(a, b, 1e-9)
        if max(a, b) > 1.3 * min(a, b) or shift > 0.5:
            return [
                Inspection(
                    "noise_distribution_mismatch",
                    "sick",
                    f"sample() begins with noise of mean {float(begin.mean()):.2f} and deviation {b:.2f}; at that time "
                    f"{network.name} is trained on inputs of mean {float(near.mean()):.2f} and deviation {a:.2f}",
                    "begin with the noise that training ends with",
                )
            ]
    return []


def direction(seen: Observed) -> list[Inspection]:
    """Compare what a sampler begins with and the inputs of training at both ends of time: it is like those of the end it begins at."""
    for network in seen.networks:
        drawn = [c for c in seen.in_sampling(network) if is_timed(c)]
        trained = [c for c in seen.in_use(seen.trained_as(network)) if is_timed(c)]
        if seen.per_sample.get(network.name, 0) < 5 or len(drawn) < 5 or len(trained) < LEAST:
            continue
        asked = [float(c.arguments[1].values.float().median()) for c in drawn]
        times = torch.cat([_per_row(c) for c in trained]).cpu()
        rows = torch.cat([c.arguments[0].values[: len(_per_row(c))].float().flatten(1).cpu() for c in trained])
        begin = drawn[0].arguments[0].values.float().flatten(1).cpu()
        low, high = float(times.min()), float(times.max())
        width = high - low
        if len(times.unique()) < 8 or abs(asked[-1] - asked[0]) < 0.6 * width or begin.shape[1] != rows.shape[1]:
            continue
        ends = [rows[times <= low + 0.1 * width], rows[times >= high - 0.1 * width]]
        here, other = ends if asked[0] < asked[-1] else ends[::-1]
        if min(len(here), len(other), len(begin)) < 48:
            continue
        far, near = (max(_distances(begin, end)) for end in (here, other))
        if far > 0.35 and far > 2.5 * near:
            return [
                Inspection(
                    "sampler_step_mismatch",
                    "sick",
                    f"sample() begins with noise at time {asked[0]:.4g}, but {network.name} is trained on noise at the other end of "
                    "time, and on data at this one: time runs the wrong way in one of them",
                    "use the same direction of time in training and in sample(): from the noise to the data",
                )
            ]
    return []


def _distances(a: Tensor, b: Tensor, most: int = 16) -> list[float]:
    """Return the largest difference of two distribution functions for a few columns of two sets of rows (Kolmogorov-Smirnov)."""
    columns = torch.linspace(0, a.shape[1] - 1, min(most, a.shape[1])).long().unique()
    found = []
    for column in columns.tolist():
        x, y = a[:, column].sort().values, b[:, column].sort().values
        at = torch.cat([x, y])
        below = (torch.searchsorted(v, at, right=True).double() / len(v) for v in (x, y))
        found.append(float((next(below) - next(below)).abs().max()))
    return found


def starts(seen: Observed) -> list[Inspection]:
    """Judge where a sampler begins; noise of the other end of time is the same finding as time that runs the wrong way."""
    return direction(seen) or beginnings(seen)


def is_timed(call: Call) -> bool:
    """True for a call with floating data and one time for each row, or one for all."""
    if len(call.arguments) < 2 or not call.arguments[0].floating or call.arguments[0].values.ndim < 2:
        return False
    values = call.arguments[1].values
    return (
        values.numel() in (1, call.arguments[1].shape[0] if values.ndim else 1, len(values) if values.ndim else 1)
        and values.ndim <= 2
    )


def _per_row(call: Call) -> Tensor:
    values = call.arguments[1].values.float().flatten()
    rows = len(call.arguments[0].values)
    return values.expand(rows) if len(values) == 1 else values[:rows]


def times(seen: Observed) -> list[Inspection]:
    """Compare the times that a sampler gives to the network with those of training: do they move, and were they trained?"""
    for network in seen.networks:
        if seen.per_sample.get(network.name, 0) < 5:
            continue
        drawn = [c for c in seen.in_sampling(network) if is_timed(c)]
        trained = [c for c in seen.in_use(network) if is_timed(c)]
        if len(drawn) < 5 or len(trained) < LEAST:
            continue
        asked = [float(t) for c in drawn for t in c.arguments[1].values.float().flatten()[:1]]
        known = torch.cat([_per_row(c) for c in trained])
        others = [a for c in trained for a in c.arguments[2:] if a.values.ndim and len(a.values.unique()) > 1]
        if len(known) >= 64 and len(known.unique()) == 1 and not others and len({c.tick for c in trained}) >= 8:
            return [
                Inspection(
                    "conditioning_ignored",
                    "sick",
                    f"{network.name} is given the time {float(known[0]):.4g} in every call: it does not know how much noise there is",
                    "give the network the time that the noise was drawn for",
                )
            ]
        if len(known) < 64 or len(known.unique()) < 8:
            continue
        if len(set(asked)) == 1:
            return [
                Inspection(
                    "sampler_step_mismatch",
                    "sick",
                    f"sample() gives {network.name} the time {asked[0]:.4g} in each of its {len(asked)} steps, "
                    f"but it is trained at times between {float(known.min()):.4g} and {float(known.max()):.4g}",
                    "give the network the time of the present step in each step of sample()",
                )
            ]
        early = [c.arguments[0].values.float() for c in drawn[1 : max(2, len(drawn) // 2)]]
        clamped = [float(((x == x.max()) | (x == x.min())).float().mean()) for x in early if x.numel() > 256]
        if clamped and sorted(clamped)[len(clamped) // 2] > 0.05 and any(bool(x.std() > 0) for x in early):
            bounds = float(early[-1].min()), float(early[-1].max())
            return [
                Inspection(
                    "sampler_step_mismatch",
                    "sick",
                    f"sample() clamps noisy images to {bounds[0]:.3g} to {bounds[1]:.3g} before it gives them to {network.name}, "
                    "which is trained on noise that is not clamped",
                    "clamp the estimate of the clean image, or the finished sample, and no image that still holds noise",
                )
            ]
        low, high = float(known.min()), float(known.max())
        width = high - low
        strange = sum(not low - 0.3 * width <= t <= high + 0.3 * width for t in asked) / len(asked)
        if strange > 0.15:
            return [
                Inspection(
                    "sampler_step_mismatch",
                    "sick",
                    f"{strange:.0%} of the times in sample() of {network.name} lie outside of {low:.4g} to {high:.4g}, "
                    "between which it is trained",
                    "train at all times that sample() asks for: draw them from the whole range, at the same scale",
                )
            ]
        reach = max(asked) - min(asked)
        if reach < 0.2 * width and len(asked) >= 8:
            return [
                Inspection(
                    "sampler_step_mismatch",
                    "sick",
                    f"the times that sample() gives to {network.name} lie between {min(asked):.4g} and {max(asked):.4g}, "
                    f"but it is trained at times between {low:.4g} and {high:.4g}",
                    "give the network times of the same scale in training and in sample()",
                )
            ]
    return []


def belonging(seen: Observed) -> list[Inspection]:
    """Compare the times that are given with the noise in the inputs, row by row: more or less of it with time, and in that order."""
    for network in seen.networks:
        if seen.per_sample.get(network.name, 0) < 5 or not network.trained:
            continue
        calls = [c for c in seen.in_use(network) if is_timed(c) and c.arguments[0].values.ndim > 1]
        pairs = [
            (t, float(n))
            for c in calls
            if len(c.arguments[0].values) > 3 and c.arguments[0].values[:1].numel() >= 64
            for t, n in zip(_per_row(c).tolist(), _noise_of_rows(c.arguments[0].values.float()).tolist(), strict=False)
        ]
        times = torch.tensor([t for t, _ in pairs], dtype=torch.float64)
        levels = torch.tensor([n for _, n in pairs], dtype=torch.float64)
        if len(pairs) < 128 or len(times.unique()) < 8 or not bool(levels.isfinite().all()):
            continue
        low, high = (float(x) for x in levels.quantile(torch.tensor([0.1, 0.9], dtype=torch.float64)))
        if high < 1.5 * low:
            continue  # the same noise at all times
        if abs(_rank_correlation(times, levels)) < 0.15:
            return [
                Inspection(
                    "labels_mismatched",
                    "sick",
                    f"the times that {network.name} is given say nothing about the noise in its inputs (rank correlation "
                    f"{_rank_correlation(times, levels):.2f} over {len(pairs)} rows)",
                    "give the network the same time for each row that its noise was added with: draw it once for each batch",
                )
            ]
    return []


def _noise_of_rows(x: Tensor) -> Tensor:
    """Return the root mean square of neighbouring differences of each row (n, ...)."""
    return (x[..., 1:] - x[..., :-1]).flatten(1).square().mean(1).sqrt()


def _rank_correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.argsort().argsort().double(), b.argsort().argsort().double()]))[0, 1])


def weights_of_rows(seen: Observed) -> list[Inspection]:
    """Find a weighting by which the noisiest samples of each batch make up nearly all of the gradient, in the first steps.

    Large weights for little noise are usual: a loss of the noise is one of the clean image times the ratio of signal to noise.
    """
    for network in seen.networks:
        shares, ratios = [], []
        for call in seen.in_use(network):
            if call.gradient is None or call.tick > EARLY or len(call.arguments) < 2 or call.gradient.ndim < 2:
                continue
            times = call.arguments[1].values.float()
            if (
                len(call.gradient) < 8
                or call.gradient_numel != call.gradient.numel()
                or times.numel() != len(call.gradient)
            ):
                continue
            rows = call.gradient.float().flatten(1).square().sum(1)
            heavy = rows.argsort(descending=True)[: max(1, len(rows) // 8)]
            if float(times.flatten()[heavy].mean()) > float(times.mean()):
                shares.append(float(rows[heavy].sum() / rows.sum().clamp_min(1e-30)))
                ratios.append(float((rows.max() / rows.median().clamp_min(1e-30)).sqrt()))
        if len(shares) >= 4 and sorted(shares)[len(shares) // 4] > 0.8 and sorted(ratios)[len(ratios) // 4] > 20:
            return [
                Inspection(
                    "loss_weight_inverted",
                    "sick",
                    f"{sum(shares) / len(shares):.0%} of the gradient at {network.name} comes from the noisiest eighth of each batch: "
                    f"the largest weight is {sorted(ratios)[len(ratios) // 2]:.0f} times the median",
                    "check the weights of the loss over time steps: bound them, or use equal ones",
                )
            ]
    return []


def marginals(seen: Observed) -> list[Inspection]:
    """Compare the noise in what a sampler gives to the network at each time with that of training at the same time.

    With a good network both have the same distribution at every time (Ho et al. 2020). A bad network changes the image in it more
    than the noise, so only times are judged at which inputs are nearly pure noise, and an excess of noise at the others.
    """
    if not seen.total or seen.step < BEGUN * seen.total:
        return []
    for network in seen.networks:
        if seen.per_sample.get(network.name, 0) < 5:
            continue
        drawn = [c for c in seen.in_sampling(network) if is_timed(c)]
        drawn = [c for c in drawn if c.turn > 0.5 * seen.watched]  # what an untrained network made says nothing
        source = seen.trained_as(network)
        trained = [c for c in seen.in_use(source) if is_timed(c) and c.gradient is not None]
        if len(drawn) < 5 or len(trained) < LEAST:
            continue
        asked = [float(c.arguments[1].values.float().median()) for c in drawn]
        if len(asked) >= 3 * len(set(asked)):
            continue  # Langevin steps at one time, which begin with the noise of the time before
        times = torch.cat([_per_row(c) for c in trained])
        rows = torch.cat([c.arguments[0].values[: len(_per_row(c))].float() for c in trained])
        if rows.shape[1:] != drawn[0].arguments[0].values.shape[1:] or rows.ndim < 3 or rows.shape[-1] < 4:
            continue
        width = max(float(times.max() - times.min()), 1e-9)
        pure: list[float] = []
        other: list[float] = []
        for call in drawn:
            near = rows[(times - float(call.arguments[1].values.float().median())).abs() <= 0.06 * width]
            if len(near) >= 6:
                ratio = _detail(call.arguments[0].values.float()) / max(_detail(near), 1e-9)
                if not math.isfinite(ratio):
                    return []  # the network is destroyed
                (pure if rows.ndim == 4 and neighbours(near) < 0.15 else other).append(ratio)
        last = drawn[-1]
        near = rows[(times - float(last.arguments[1].values.float().median())).abs() <= 0.06 * width]
        reach = [
            float(x.abs().flatten()[:100_000].quantile(0.99))
            for x in (last.arguments[0].values.float(), near)
            if len(x)
        ]
        signal = len(near) > 3 and rows.ndim == 4 and neighbours(near) > 0.3
        if signal and len(reach) == 2 and reach[0] < 1.35 and reach[1] > 1.8:
            return [
                Inspection(
                    "clipping_of_clean_estimate",
                    "sick",
                    f"at its last step, sample() gives {network.name} inputs within {reach[0]:.2g}, but it is trained on data "
                    f"that reach {reach[1]:.2g}: the estimate of the clean data is clipped",
                    "do not clip the estimate of latents (clip_sample=False), or clip it to the range of the data",
                )
            ]
        trusted = seen.step >= TRAINED * seen.total
        for ratios, low, high in ((pure, 0.85, 1.2), (other if trusted else [], 0.0, 1.5)):
            middle = sorted(ratios)[len(ratios) // 2] if len(ratios) >= LEAST else 1.0
            if not low <= middle <= high:
                return [
                    Inspection(
                        "sampler_step_mismatch",
                        "sick" if ratios is pure else "suspect",
                        f"in sample(), {network.name} gets inputs with {middle:.2f} times the noise of those that it was "
                        "trained on at the same times",
                        "check the update of sample(): the noise that it adds, its step, and whether noisy images are clamped "
                        "(clamp the estimate of the clean image only)",
                    )
                ]
    return []


def same_images(seen: Observed) -> list[Inspection]:
    """Find that the clean images under the noise are the same in every step.

    Where the target is the noise alone, what it leaves of an input is the image.
    """
    for network in seen.networks:
        if seen.per_sample.get(network.name, 0) < 5 or not network.trained or seen.real is None:
            continue
        left: dict[int, tuple[Tensor, Tensor]] = {}
        for call, target in seen.targets_of(network):
            x = call.arguments[0].values.float() if call.arguments else None
            if x is None or x.shape != target.shape or x.ndim < 3 or abs(float(target.std()) - 1) > 0.05:
                continue
            x, target = x.flatten(1), target.flatten(1)
            rest = x - target * ((x * target).sum(1) / target.square().sum(1).clamp_min(1e-12))[:, None]
            clear = rest.norm(dim=1) > 0.7 * x.norm(dim=1)
            left.setdefault(call.tick, (torch.nn.functional.normalize(rest, dim=1), clear))
        steps = list(left.values())
        same, other = [], []
        for (a, p), (b, q) in itertools.pairwise(steps):
            if a.shape == b.shape and len(a) > 3:
                both = p & q
                same += (a * b).sum(1)[both].tolist()
                other += (a * b.roll(1, 0)).sum(1)[p & q.roll(1)].tolist()
        if len(same) >= 24 and len(steps) >= 6 and other:
            middle, chance = sorted(same)[len(same) // 2], sorted(other)[len(other) // 2]
            if middle > 0.9 and middle > chance + 0.1 and 1 - middle < 0.3 * (1 - chance):
                return [
                    Inspection(
                        "same_batch_every_step",
                        "sick",
                        f"under its noise, {network.name} gets the same images in every step",
                        "take the next batch in each step; make the iterator once, before the loop",
                    )
                ]
    return []


def _detail(x: Tensor) -> float:
    """Return the root mean square of differences of neighbouring numbers, in which noise outweighs images."""
    return float((x[..., 1:] - x[..., :-1]).square().mean().sqrt())


def signal_left(seen: Observed) -> list[Inspection]:
    """Measure how much signal is left in training inputs at the time at which the sampler begins with noise.

    The gradient of a squared error gives the target. If that is the noise, the rest of the input is the signal.
    """
    for network in seen.networks:
        drawn = [c for c in seen.in_sampling(network) if is_timed(c)]
        if seen.per_sample.get(network.name, 0) < 5 or not drawn:
            continue
        begin, shares, common = float(drawn[0].arguments[1].values.float().median()), [], []
        calls = [c for c in seen.in_use(network) if is_timed(c) and c.gradient is not None and c.output is not None]
        times = [float(t) for c in calls for t in _per_row(c)]
        factor = error_factor(calls, seen.scalars) or 1.0
        for call in calls:
            x, target = call.arguments[0].values.float(), read_targets(call, factor)
            if target is None or x.shape != target.shape or x.ndim != 4:
                continue
            if abs(float(target.std()) - 1) > 0.03 or abs(float(target.mean())) > 0.05 or neighbours(target) > 0.05:
                continue  # a velocity, or anything else than the noise alone
            both = x.flatten(1).norm(dim=1) * target.flatten(1).norm(dim=1)
            common += ((x * target).flatten(1).sum(1) / both.clamp_min(1e-20)).abs().tolist()
            near = (_per_row(call) - begin).abs() <= 0.08 * max(max(times) - min(times), 1e-9)
            for row, noise in zip(x[near].flatten(1), target[near].flatten(1), strict=True):
                rest = row - noise * (row * noise).mean() / noise.square().mean()
                shares.append(float((rest.square().mean() / row.square().mean().clamp_min(1e-20)).sqrt()))
        numbers = drawn[0].arguments[0].values[:1].numel()
        if len(common) >= 64 and sorted(common)[-len(common) // 8] < 4 / math.sqrt(numbers):
            return [
                Inspection(
                    "labels_mismatched",
                    "sick",
                    f"the targets of {network.name} are noise of which its inputs hold nothing, at no time (the correlation is below "
                    f"{sorted(common)[-len(common) // 8]:.2f})",
                    "compare the output with the same noise that was added to the input, not with a new one",
                )
            ]
        if len(shares) >= 8 and sorted(shares)[len(shares) // 2] > 0.3:
            share = sorted(shares)[len(shares) // 2]
            if share > 0.9 and begin <= min(times) + 0.1 * (max(times) - min(times)):
                return [
                    Inspection(
                        "sampler_step_mismatch",
                        "sick",
                        f"sample() begins with noise at time {begin:.4g}, where {network.name} is trained on nearly clean data: "
                        "time runs the wrong way in one of them",
                        "use the same direction of time in training and in sample(): from the noisiest step to the cleanest",
                    )
                ]
            if begin < 0.7 * max(times) and max(times) - min(times) > 8:
                return [
                    Inspection(
                        "sampler_schedule",
                        "sick",
                        f"sample() begins with pure noise at time {begin:.4g}, but {network.name} is trained at times up to "
                        f"{max(times):.4g}, and at {begin:.4g} {share:.0%} of its inputs is still signal",
                        "use the schedule of training in sample(): as many steps, or every n-th of them from the last one on",
                    )
                ]
            return [
                Inspection(
                    "schedule_leaves_signal",
                    "sick",
                    f"at time {begin:.4g}, where sample() begins with pure noise, {share:.0%} of what {network.name} is trained on "
                    "is still signal",
                    "check the factors of signal and noise, sqrt(alpha_bar) and sqrt(1 - alpha_bar), and let the schedule end "
                    "near zero signal",
                )
            ]
    return []


TRAINED = 0.5  # share of the run before which a network is not expected to remove noise well
BEGUN = 0.2  # share of the run before which a network is not expected to follow its own noise

INSPECTIONS: tuple[Inspect, ...] = (
    times,
    belonging,
    starts,
    marginals,
    signal_left,
    same_images,
    weights_of_rows,
)
