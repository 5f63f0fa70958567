"""Inspections of codes: KL against mean and log-variance, the noise that codes are drawn with, codebooks, terms that are left out."""

import math
import re
from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainwright.diagnosis.inspection import Inspect, Inspection
from trainwright.diagnosis.observing.calls import Call
from trainwright.diagnosis.observing.graph import FIXED
from trainwright.diagnosis.observing.observer import Observed
from trainwright.diagnosis.signal_names import AS_KL, mapping


def latents(seen: Observed) -> list[Inspection]:
    """Find an activation on the mean or log-variance of a posterior, which keeps it from the prior."""
    cut = {"Relu": "below 0", "Sigmoid": "outside 0 to 1", "Softplus": "below 0", "Softmax": "outside 0 to 1"}
    for graph in seen.graphs.values():
        if graph.latent is None:
            continue
        if graph.latent[1] == FIXED:
            return [
                Inspection(
                    "noise_drawn_once",
                    "sick",
                    "the noise of the codes is a parameter: it is the same for all samples and steps",
                    "draw new noise in each step: mean + deviation * torch.randn_like(mean)",
                )
            ]
        if graph.latent[1] == "Tanh":
            return [
                Inspection(
                    "latent_activation",
                    "suspect",
                    "the log-variance of the posterior comes out of a tanh, so that its deviation stays between 0.6 and 1.6",
                    "end in a linear layer: take the tanh off the log-variance, and clamp it to -10 to 10 if it overflows",
                )
            ]
        for what, by in zip(("mean", "log-variance"), graph.latent, strict=True):
            if by in cut:
                return [
                    Inspection(
                        "latent_activation",
                        "sick",
                        f"the {what} of the posterior comes out of a {by.lower()}, so it is never {cut[by]}",
                        f"end in a linear layer: take the {by.lower()} off the {what}",
                    )
                ]
    return []


def divergences(seen: Observed) -> list[Inspection]:
    """Compare the KL that was handed over with that of the codes of the same step: sign, formula, and the deviation of the noise.

    For a mean m and a log-variance v it is 0.5 (m^2 + exp(v) - 1 - v), up to a constant factor (Kingma and Welling 2014).
    """
    read, coders = _codes_of_turns(seen)
    turns = [t for t in sorted(read) if seen.scalars[t]]
    width = min((len(seen.scalars[t]) for t in turns), default=0)
    if len(turns) < 5:
        return []
    found: dict[str, float] = {}
    for name, formula in FORMULAS.items():
        expected = [float(formula(*(x.double() for x in read[t]))) for t in turns]
        for place in range(width):
            ratios = [seen.scalars[t][place] / e for t, e in zip(turns, expected, strict=True) if abs(e) > 1e-9]
            middle = sorted(ratios)[len(ratios) // 2] if len(ratios) >= 5 else 0.0
            steady = middle and max(abs(r - middle) for r in ratios) < 0.005 * abs(middle)
            if steady and max(map(abs, expected)) > 1.02 * min(map(abs, expected)):
                found.setdefault(name, middle)
    right = found.get("")
    if right is not None and right < 0:
        return [
            _divergence(
                "the KL that is handed over is the negative of that of the codes: it is pushed up instead of down"
            )
        ]
    if right is not None or "twice" in found:
        fixed = [r["network"] for r in seen.more.get("draws") or () if r and not r["draws"] and r["network"] in coders]
        means: dict[int, list[Tensor]] = {}
        for c in seen.calls:
            if c.codes is not None and not c.sampling:
                means.setdefault(c.turn, []).append(c.codes[0])
        fixed += [n.name for n in seen.networks if n.trained and _given_means(seen.in_use(n), means)]
        if fixed:
            return [
                Inspection(
                    "noise_not_used",
                    "sick",
                    f"{fixed[0]} uses the means of the codes, without noise, so the KL says nothing about what is decoded",
                    "decode mean + deviation * torch.randn_like(mean) in training",
                )
            ]
    if not any(g.latent for g in seen.graphs.values()) and seen.graphs:
        return []
    if right is None and "twice" not in found and found:
        return [_divergence(f"the KL that is handed over {next(iter(found))}")]
    halved = {g.halved for g in seen.graphs.values() if g.halved is not None}
    if (right is not None and halved == {False}) or (right is None and "twice" in found and halved == {True}):
        return [
            Inspection(
                "deviation_formula",
                "sick",
                "the KL takes the encoder's second output for a log-variance, and the noise of the codes for a log-deviation"
                if right is not None
                else "the KL takes the encoder's second output for a log-deviation, and the noise of the codes for a log-variance",
                "for a log-variance v use deviation = exp(0.5 * v) and KL = 0.5 (mean^2 + exp(v) - 1 - v)",
            )
        ]
    return []


def _codes_of_turns(seen: Observed) -> tuple[dict[int, tuple[Tensor, Tensor]], set[str]]:
    """Return mean and log-variance of each step, and the networks that make them.

    Of several pairs, as halves of features, those count that have the form of what another network is given.
    """
    given = {(c.turn, c.arguments[0].shape[1:]) for c in seen.calls if c.arguments and not c.sampling}
    read: dict[int, tuple[Tensor, Tensor]] = {}
    coders: dict[int, str] = {}
    for wanted in (False, True):
        for call in seen.calls:
            if call.sampling or call.codes is None or call.turn not in seen.scalars:
                continue
            if wanted is ((call.turn, tuple(call.codes[0].shape[1:])) in given):
                read[call.turn], coders[call.turn] = call.codes, call.network.name
    return read, set(coders.values())


def _given_means(calls: list[Call], means: dict[int, list[Tensor]]) -> bool:
    """True if a network was called with means of codes as they are; ``means`` by turn."""
    given = [(c.turn, c.arguments[0].values) for c in calls if c.arguments and c.codes is None]
    exact = [
        any(m.shape[1:] == x.shape[1:] and torch.equal(m[: len(x)], x[: len(m)]) for m in means.get(turn, ()))
        for turn, x in given
        if x.ndim == 2 and x.is_floating_point()
    ]
    return len(exact) >= 4 and all(exact)


def drawn_codes(seen: Observed) -> list[Inspection]:
    """Look at the noise of codes: new in each step and for each sample, and of the same distribution in sample()."""
    for encoder in {id(c.network): c.network for c in seen.calls if c.codes is not None and not c.sampling}.values():
        codes = {c.turn: c.codes for c in seen.calls if c.network is encoder and c.codes is not None}
        width = next(iter(codes.values()))[0].shape[1]
        given = [
            c for c in seen.calls if c.network is not encoder and c.arguments and c.arguments[0].shape[1:] == (width,)
        ]
        firsts = {c.turn: c for c in given[::-1] if not c.sampling}  # layers after it may have the same width
        drawn = [(c.arguments[0].values, codes[turn]) for turn, c in sorted(firsts.items()) if turn in codes]
        drawn = [(z, pair) for z, pair in drawn if len(z) > 3 and len(z) <= len(pair[0])]
        if not drawn:
            continue
        steady = alike = fits = False
        for k in (0.5, 1.0):  # log-variances, or log-deviations
            noises = [
                (z - mean[: len(z)]).double() / (k * other[: len(z)].double()).exp().clamp(1e-12, 1e12)
                for z, (mean, other) in drawn
            ]
            noises = [e for e in noises if e.shape == noises[0].shape and bool(e.any())]
            if len(noises) < 4 or not all(bool(e.isfinite().all()) for e in noises):
                continue
            fits |= all(0.6 < float(e.square().mean().sqrt()) < 1.7 for e in noises)
            steady |= max(float((e - noises[0]).abs().mean()) for e in noises[1:]) < 0.02 * float(
                noises[0].abs().mean()
            )
            alike |= all(float(e.std(0).mean()) < 0.02 * float(e.abs().mean()) for e in noises)
        if steady or alike:
            return [
                Inspection(
                    "noise_drawn_once",
                    "sick",
                    f"the noise of the codes of {encoder.name} is the same "
                    f"{'in every step' if steady else 'for all samples of a batch'}",
                    "draw new noise for each sample in each step: mean + deviation * torch.randn_like(mean)",
                )
            ]
        sampled = [c.arguments[0].values.float() for c in given if c.sampling]
        encoded = any(c.network is encoder and c.sampling for c in seen.calls)  # sample() reconstructs
        if not fits or encoded or not sampled or not sampled[0].numel() >= 128:
            continue
        z = sampled[0]
        trained = torch.cat([z for z, _ in drawn]).float()
        std, own = float(z.std()), float(trained.std())
        reach = float(z.abs().max()) / max(std, 1e-9)
        if abs(std - own) < 0.3 * own and abs(float(z.mean()) - float(trained.mean())) < 0.3 * own and reach > 2:
            continue
        if (
            std > 1e-6
            and (std > 1.6 or std < 0.5 or abs(float(z.mean())) > 0.3 or (reach < 2 and z.numel() > 200))
            and 0.5 < own < 2
        ):
            return [
                Inspection(
                    "noise_distribution_mismatch",
                    "sick",
                    f"sample() decodes codes of mean {float(z.mean()):.2f} and deviation {std:.2f}, up to {float(z.abs().max()):.2f}; "
                    f"in training they have mean {float(trained.mean()):.2f} and deviation {own:.2f}",
                    "draw the codes of samples from the prior of the KL: torch.randn(n, z)",
                )
            ]
    return []


def same_codes(seen: Observed) -> list[Inspection]:
    """Find that mean and log-variance are the same numbers."""
    for network in {id(c.network): c.network for c in seen.calls if c.codes is not None and not c.sampling}.values():
        coded = {(c.turn, c.arguments[0].shape[1:]) for c in seen.calls if c.arguments and c.network is not network}
        pairs = [c.codes for c in seen.in_use(network) if c.codes and (c.turn, tuple(c.codes[0].shape[1:])) in coded]
        if len(pairs) >= 4 and all(bool((a == b).all()) and bool(a.std() > 0) for a, b in pairs):
            return [
                Inspection(
                    "layer_used_twice",
                    "sick",
                    f"the mean and the log-variance of {network.name} are the same numbers: both come from one layer",
                    "give the log-variance a layer of its own, and call that one",
                )
            ]
    return []


def far_codes(seen: Observed) -> list[Inspection]:
    """Compare the codes of training with those that sample() decodes, once training is well on its way.

    The KL brings them together; what is decoded from codes that training never had is not trained.
    """
    if not seen.total or seen.step < FAR_FROM * seen.total:
        return []
    for decoder in {id(c.network): c.network for c in seen.calls if c.sampling}.values():
        sampled = [c.arguments[0].values for c in seen.calls if c.network is decoder and c.sampling and c.arguments]
        drawn = [c.codes for c in seen.calls if c.codes is not None and not c.sampling]
        drawn = [pair for pair in drawn if sampled and pair[0].shape[1:] == sampled[-1].shape[1:]][-8:]
        if not drawn or not decoder.trained or sampled[-1].ndim != 2 or sampled[-1].numel() < 128:
            continue
        means = torch.cat([mean for mean, _ in drawn]).float()
        deviations = torch.cat([(0.5 * other.float()).exp().clamp(max=1e3) for _, other in drawn])
        z = sampled[-1].float()
        if abs(float(z.std()) - 1) > 0.3 or len(means) < 32:
            continue  # not the prior of a KL
        spread = (means.var(0) + deviations.square().mean(0)).sqrt()
        narrow = float(deviations.median())
        if float(spread.median()) > 2.0 and narrow < 0.3 * float(spread.median()):
            return [
                Inspection(
                    "beta_too_small",
                    "sick" if float(spread.median()) > 3.0 else "suspect",
                    f"codes of training have a deviation of {float(spread.median()):.1f} in the middle, and sample() decodes codes of "
                    f"deviation {float(z.std()):.2f}: the KL is too weak to bring them to the prior",
                    "give the KL more weight, and sum both terms over the same axes; or sample from the distribution of the codes",
                )
            ]
    return []


def unused_codes(seen: Observed) -> list[Inspection]:
    """Find a codebook most of whose entries never get a gradient, or whose counts of use are near 0."""
    for network in seen.networks:
        calls = [c for c in seen.in_use(network) if c.graph and c.arguments]
        record = seen.record_of(network)
        if (
            record is None
            or not network.trained
            or len(calls) < 4
            or not all(a.floating for c in calls for a in c.arguments)
        ):
            continue  # a table of symbols, classes or times
        named = {id(p): n for n, p in network.module.named_parameters()}
        shares = {
            named[i]: (float(rows.float().mean()), len(rows))
            for i, rows in record.rows.items()
            if i in named and bool(rows.any())
        }
        for name, buffer in network.module.named_buffers():
            if COUNTS.search(name.lower()) and buffer.numel() >= 16 and bool(buffer.float().sum() > 0):
                used = buffer.flatten().float() > 0.02 * buffer.float().mean()
                shares[name] = float(used.float().mean()), buffer.numel()
        for name, (share, count) in shares.items():
            if share < USED and record.steps >= max(150, 0.15 * (seen.total or 0)) and len(record.measured) >= 12:
                return [
                    Inspection(
                        "codebook_unused",
                        "sick" if share < 0.5 * USED else "suspect",
                        f"{share:.0%} of the {count} entries of {network.name}.{name} are used: the others never win, and never move",
                        "start the codes at some outputs of the encoder, and replace those that are never used",
                    )
                ]
    return []


COUNTS = re.compile("cluster_?size|usage|ema_count")
USED = 0.2  # share of a codebook
FAR_FROM = 0.6  # share of a run


def _divergence(message: str) -> Inspection:
    return Inspection("kl_sign", "sick", message, "use 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(1).mean()")


FORMULAS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "": lambda m, v: (m.square() + v.exp() - 1 - v).sum(),
    "twice": lambda m, v: (m.square() + (2 * v).exp() - 1 - 2 * v).sum(),
    "holds the means alone, not the variances: 0.5 mean^2": lambda m, v: m.square().sum(),
    "lacks the exponential: exp(logvar) became logvar": lambda m, v: (m.square() - 1).sum(),
    "lacks the logarithm: 0.5 (mean^2 + variance - 1)": lambda m, v: (m.square() + v.exp() - 1).sum(),
    "lacks the square of the mean": lambda m, v: (m + v.exp() - 1 - v).sum(),
    "holds the variances alone, not the means": lambda m, v: (v.exp() - 1 - v).sum(),
    "has the wrong sign before the log-variance": lambda m, v: (m.square() + v.exp() - 1 + v).sum(),
    "has the wrong sign before the mean": lambda m, v: (v.exp() - 1 - v - m.square()).sum(),
    "takes the mean for the log-variance and the log-variance for the mean": lambda m, v: (
        v.square() + m.exp() - 1 - m
    ).sum(),
    "takes the log-variance for the variance": lambda m, v: (m.square() + v - 1 - v.abs().clamp_min(1e-9).log()).sum(),
}


def reductions(seen: Observed) -> list[Inspection]:
    """Find a codebook whose errors are averaged beside an error that is summed over all numbers."""
    for name, graph in seen.graphs.items():
        summed = [c for c in graph.criteria if c.reduction == "sum"]
        averaged = [c for c in graph.criteria if c.reduction == "mean" and c.operation == "MseLoss"]
        codes = {c.shape for c in averaged if c.shape} - {c.shape for c in summed}
        if summed and len(averaged) > 1 and codes and graph.operations & {"Embedding", "Index", "IndexSelect"}:
            numbers = math.prod(max(codes, key=math.prod))
            return [
                Inspection(
                    "reduction_mismatch",
                    "suspect",
                    f"{name} sums one error over all numbers and averages those of the codebook over {numbers}, so they hardly count",
                    "use the same reduction for all terms: sum each over a sample, or average each",
                )
            ]
    return []


def cut_codes(seen: Observed) -> list[Inspection]:
    """Find a reconstruction from a codebook whose error does not reach the encoder, since nothing passes the choice of a code."""
    for network in seen.networks:
        own = {id(p): p.numel() for p in network.module.parameters() if p.requires_grad}
        graphs = {n: g for n, g in seen.graphs.items() if g.parameters & own.keys()}
        reached = set().union(*(g.parameters for g in graphs.values()), set()) & own.keys()
        kinds = (nn.Linear, nn.modules.conv._ConvNd)
        layers = {id(p) for m in network.module.modules() if isinstance(m, kinds) for p in m.parameters(recurse=False)}
        for name, graph in graphs.items():
            alone = graph.parameters - set().union(*(g.parameters for n, g in graphs.items() if n != name), set())
            if not alone & layers:
                continue  # it reaches no decoder that the other terms do not, so it is no reconstruction
            missing = reached - graph.parameters
            share = sum(own[i] for i in missing) / max(1, sum(own.values()))
            coded = "Embedding" in graph.operations and not graph.operations & {"LogSoftmax", "ArgMax"}
            others = [n for n, g in graphs.items() if g.parameters & missing and n != name]
            if network.trained and coded and share > 0.1 and others and graph.operations & {"Convolution", "Addmm"}:
                return [
                    Inspection(
                        "term_without_gradient",
                        "sick",
                        f"{name} does not reach {share:.0%} of the parameters of {network.name} (the encoder): the choice of a code "
                        "passes no gradient",
                        "pass it straight through: z + (codes - z).detach() into the decoder",
                    )
                ]
    return []


def left_out(seen: Observed) -> list[Inspection]:
    """Find a KL divergence that is computed and logged, and that no backward pass goes through."""
    drawn = any(g.latent and g.passed and not g.waiting for g in seen.graphs.values())
    for name, graph in seen.graphs.items():
        kl = mapping((name,), {}).get(name) == "kl/raw" or name in AS_KL
        if drawn and kl and name in seen.values and graph.waiting and not graph.passed:
            return [
                Inspection(
                    "kl_weight_stays_zero",
                    "sick",
                    f"{name} is computed, but no backward pass goes through it: nothing brings the codes to the prior",
                    f"add {name} to the loss before its backward pass",
                )
            ]
    return []


INSPECTIONS: tuple[Inspect, ...] = (
    latents,
    same_codes,
    divergences,
    drawn_codes,
    far_codes,
    unused_codes,
    cut_codes,
    left_out,
    reductions,
)
