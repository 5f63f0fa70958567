"""Inspections of an adversarial loop: do discriminator and generator pull a sample's score in opposite directions?"""

from collections.abc import Iterable

from torch import Tensor

from trainwright.diagnosis.inspection import Inspect, Inspection
from trainwright.diagnosis.inspection.data import classes
from trainwright.diagnosis.observing.graph import VIEWS
from trainwright.diagnosis.observing.networks import Network
from trainwright.diagnosis.observing.observer import Observed

AGREED = 0.9  # share of a gradient that has one sign
LEAST = 3  # calls


def opposed(seen: Observed) -> list[Inspection]:
    """Compare the signs of the gradients at the discriminator's output.

    The discriminator moves scores of real data and of samples apart; the generator moves those of samples the other way. A descent
    step lowers a score where the gradient is positive.
    """
    found = []
    for d in _judges(seen):
        own = seen.record_of(d)
        if own is None:
            continue
        key = own.key
        real = _signs(c.pulled.get(key) for c in seen.in_use(d) if c.source == "data")
        fake = _signs(c.pulled.get(key) for c in seen.in_use(d) if c.source in ("generated", "attached"))
        others = [r.key for r in seen.optimizers if r is not own]
        against = _signs(
            c.pulled.get(k) for c in seen.in_use(d) if c.source == "attached" for k in others if k in c.pulled
        )
        if real and fake and real == fake and _aims_differ(seen, d):
            continue
        judged = [c for c in seen.in_use(d) if key in c.pulled]
        if real and against and len(judged) >= 2 * LEAST and all(c.source == "data" for c in judged):
            found.append(
                Inspection(
                    "labels_do_not_oppose",
                    "sick",
                    f"the loss of {d.name} {_moves(real)} the scores of real data, and holds no scores of samples",
                    f"add the loss of {d.name} for samples.detach(), with the label of samples, before its backward pass",
                )
            )
            continue
        if real and fake and real == fake:
            found.append(
                Inspection(
                    "labels_do_not_oppose",
                    "sick",
                    f"the loss of {d.name} {_moves(real)} the scores of real data and of samples alike",
                    f"train {d.name} with different labels (or signs) for real data and samples",
                )
            )
        elif fake and against and fake == against:
            entropy = any(
                c.operation.startswith("BinaryCrossEntropy") for g in seen.graphs.values() for c in g.criteria
            )
            names = [n.name for n in seen.networks if n.role == "generator"] or ["the generator"]
            found.append(
                Inspection(
                    "labels_do_not_oppose" if entropy else "wrong_sign",
                    "sick",
                    f"{names[0]} {_moves(against)} the scores of its samples, and so does {d.name}: they do not oppose each other",
                    f"train {names[0]} with the label of real data"
                    if entropy
                    else f"change the sign of the loss of {names[0]}",
                )
            )
    return found


def _aims_differ(seen: Observed, d: Network) -> bool:
    """True if a squared error pulls scores of real data and of samples to different values, though for now in the same direction."""
    own = {id(p) for p in d.module.parameters()}
    if not any(g.head & {"MseLoss", "Pow", "SmoothL1Loss"} for g in seen.graphs.values() if g.parameters & own):
        return False
    aims: dict[bool, list[float]] = {True: [], False: []}
    record = seen.record_of(d)
    for call in seen.in_use(d):
        judged = record is not None and set(call.pulled) == {record.key}
        if (
            judged
            and call.gradient is not None
            and call.output is not None
            and call.gradient.shape == call.output.shape
        ):
            aim = call.output.float() - call.gradient.float() * call.gradient_numel / 2
            aims[call.source == "data"].append(float(aim.mean()))
    middles = [sorted(a)[len(a) // 2] for a in aims.values() if a]
    return len(middles) == 2 and abs(middles[0] - middles[1]) > 0.2


def _judges(seen: Observed) -> list[Network]:
    return [n for n in seen.networks if n.role == "discriminator" and n.trained]


def _signs(pulls: Iterable[float | None]) -> int:
    """Return the common sign of gradients; 0 if there are few or they differ."""
    known = [p for p in pulls if p is not None]
    if len(known) < LEAST:
        return 0
    if all(p > AGREED for p in known):
        return 1
    return -1 if all(p < -AGREED for p in known) else 0


def _moves(sign: int) -> str:
    return "lowers" if sign > 0 else "raises"


def activations(seen: Observed) -> list[Inspection]:
    """Find a discriminator that ends in a bounded activation although its loss is not one of probabilities."""
    for d in _judges(seen):
        lasts = {c.last for c in seen.in_use(d) if c.last}
        if len(lasts) != 1 or not lasts <= {"Sigmoid", "Tanh", "Relu", "Softmax"}:
            continue
        own = {id(p) for p in d.module.parameters()}
        heads = [g.head for g in seen.graphs.values() if g.parameters & own]
        if not heads or any(any(o.startswith(PROBABILITIES) for o in head) for head in heads):
            continue
        last = lasts.pop().lower()
        squared = any("MseLoss" in head or "Pow" in head for head in heads)
        return [
            Inspection(
                "output_activation",
                "suspect" if squared and last != "relu" else "sick",
                f"{d.name} ends in a {last}, but its loss is {'a squared error' if squared else 'linear or a hinge'} of scores: "
                f"where the {last} is flat, no gradient passes",
                f"remove the {last} at the end of {d.name}",
            )
        ]
    return []


def proportions(seen: Observed) -> list[Inspection]:
    """Compare how often discriminator and generator step."""
    generators = [n for n in seen.networks if n.role == "generator" and n.trained]
    if len(_judges(seen)) != 1 or len(generators) != 1:
        return []
    (d,), (g,) = _judges(seen), generators
    own, other = seen.record_of(d), seen.record_of(g)
    if own is None or other is None or own is other or min(own.steps, other.steps) < 2:
        return []
    if max(own.steps, other.steps) < 24:
        return []
    for record, network, cause in ((own, d, "critic_lr_too_high"), (other, g, "generator_lr_too_high")):
        if record.rate > FAST and "adam" in record.kind.lower():
            return [
                Inspection(
                    cause,
                    "suspect",
                    f"the learning rate of {network.name} is {record.rate:.2g}; adversarial training with {record.kind} is usual "
                    "at 1e-5 to 1e-3",
                    f"lower the learning rate of {network.name} to 2e-4, and change one thing at a time from there",
                )
            ]
    ratio = own.steps / other.steps
    entropy = any(o.startswith("BinaryCrossEntropy") for graph in seen.graphs.values() for o in graph.head)
    if ratio < 2 and own.rate < 2 * other.rate and (_linear(seen, d) or not seen.graphs) and _clipped(d):
        return [
            Inspection(
                "too_few_critic_steps",
                "suspect",
                f"{d.name} is a Wasserstein critic with clipped weights, and steps {ratio:.1f} times for each step of {g.name} at a "
                f"rate of {own.rate:.2g} beside {other.rate:.2g}",
                f"step {d.name} 5 times for each step of {g.name}, so that it stays near its optimum",
            )
        ]
    if ratio < 0.4:
        return [
            Inspection(
                "too_few_critic_steps",
                "suspect",
                f"{d.name} steps {ratio:.2f} times for each step of {g.name}",
                f"step {d.name} at least as often as {g.name}",
            )
        ]
    if ratio > 2.9 and entropy:
        return [
            Inspection(
                "too_many_critic_steps",
                "suspect",
                f"{d.name} steps {ratio:.1f} times for each step of {g.name}; with a cross-entropy it soon tells all samples apart",
                f"step both equally often, or use a Wasserstein loss with a gradient penalty for {d.name}",
            )
        ]
    return []


def saturating(seen: Observed) -> list[Inspection]:
    """Find the minimax loss of a generator: a cross-entropy with the label of samples, negated.

    Its gradient vanishes where the discriminator tells samples apart (Goodfellow et al. 2014, section 3).
    """
    judging = {id(p) for d in _judges(seen) for p in d.module.parameters()}
    making = {id(p) for n in seen.of("generator") if n.trained for p in n.module.parameters()}
    for name, graph in seen.graphs.items():
        entropy = any(c.operation.startswith("BinaryCrossEntropy") for c in graph.criteria)
        both = graph.parameters & judging and graph.parameters & making
        if entropy and both and "Neg" in graph.head and seen.values.get(name, 0.0) < 0 and len(graph.criteria) == 1:
            return [
                Inspection(
                    "flat_loss",
                    "suspect",
                    f"{name} is a negated cross-entropy (the minimax loss), flat where the discriminator tells samples apart",
                    "use the cross-entropy with the label of real data instead (the non-saturating loss)",
                )
            ]
    return []


def unbounded(seen: Observed) -> list[Inspection]:
    """Find a Wasserstein critic whose slope nothing bounds: no clipping, no penalty, no spectral normalisation."""
    if seen.watched < 8:
        return []
    for d in _judges(seen):
        if not _linear(seen, d) or any(c.source == "penalty" for c in seen.in_use(d)) or _normalised(d) or _clipped(d):
            continue
        return [
            Inspection(
                "critic_unbounded",
                "suspect",
                f"{d.name} is a Wasserstein critic without clipping, gradient penalty or spectral norm: nothing bounds its slope",
                "add a gradient penalty (weight 10), or clip the weights after each step of the critic",
            )
        ]
    return []


def steep(seen: Observed) -> list[Inspection]:
    """Report a critic with a gradient penalty whose slope at its inputs is far above the 1 that the penalty asks for."""
    result = seen.more.get("slope")
    if not result or result["slope"] < STEEP or not seen.total or seen.step < 0.1 * seen.total:
        return []
    return [
        Inspection(
            "penalty_too_small",
            "sick" if result["slope"] > 3 * STEEP else "suspect",
            f"the gradient of {result['network']} at its inputs has a norm of {result['slope']:.1f}; a gradient penalty pulls it to 1",
            "use a weight of 10 for the gradient penalty, and take its norm over all numbers of a sample",
        )
    ]


STEEP = 6.0  # norm of a critic's gradient


def _linear(seen: Observed, network: Network) -> bool:
    """True if all losses of a critic are differences of means of its scores, without a gradient penalty."""
    own = {id(p) for p in network.module.parameters()}
    graphs = [g for g in seen.graphs.values() if g.parameters & own]
    return bool(graphs) and all(g.head <= LINEAR and not g.double_backward for g in graphs)


def _normalised(network: Network) -> bool:
    """True if a layer has spectral or weight normalisation, of the old or the new kind."""
    return any(
        hasattr(m, "parametrizations") or any("norm" in type(h).__name__.lower() for h in m._forward_pre_hooks.values())
        for m in network.module.modules()
    )


def _clipped(network: Network) -> bool:
    """True if most layers have largest weights of the same size and many weights near it, as after clipping."""
    weights = [p.detach().abs() for p in network.module.parameters() if p.ndim > 1]
    if len(weights) < 2:
        return False
    bound = max(float(w.max()) for w in weights)
    if sum(int((w == bound).sum()) for w in weights) > 0.005 * sum(w.numel() for w in weights):
        return True
    at = [w for w in weights if float(w.max()) > 0.9 * bound]
    near = sum(int((w > 0.9 * bound).sum()) for w in at) / sum(w.numel() for w in at)
    return len(at) >= 2 and sum(w.numel() for w in at) > 0.5 * sum(w.numel() for w in weights) and near > NEAR_BOUND


def labelled(seen: Observed) -> list[Inspection]:
    """Compare the label that a sample was made with and the one that it is judged with."""
    for d in _judges(seen):
        same = other = 0
        g = ""
        for call in seen.in_use(d):
            if call.source not in ("generated", "attached") or len(call.arguments) < 2:
                continue
            makers = [
                c
                for c in seen.calls
                if c.turn == call.turn
                and c.address == call.arguments[0].address
                and c.network is not d
                and not c.sampling
            ]
            for made in makers[-1:]:
                pairs = [
                    (a.values, b.values)
                    for a in made.arguments
                    for b in call.arguments[1:]
                    if a.values.shape == b.values.shape and a.values.dtype == b.values.dtype and _is_label(a.values)
                ]
                if pairs and all(_is_label(b) for _, b in pairs):
                    g = made.network.name
                    hit = any(bool((a == b).all()) for a, b in pairs)
                    same, other = same + hit, other + (not hit)
        if other >= 2 * LEAST and same == 0:
            return [
                Inspection(
                    "labels_mismatched",
                    "sick",
                    f"{d.name} judges samples with other labels than those that {g} made them for",
                    f"give {d.name} the same labels that the samples were made with",
                )
            ]
    return []


def _is_label(values: Tensor) -> bool:
    """True for classes (n,) that differ, and for one-hot rows."""
    return len(values) >= 4 and bool((values != values[:1]).any()) and classes(values) is not None


def unasked(seen: Observed) -> list[Inspection]:
    """Find generators that no gradient reaches through the discriminator, although it is trained on their samples."""
    judges = _judges(seen)
    own = {r.key for d in judges if (r := seen.record_of(d)) is not None}
    makers = [n for n in seen.networks if n.trained and n.role != "discriminator" and _learns(seen, n, own)]
    calls = [c for d in judges for c in seen.in_use(d)]
    if not judges or not makers:
        return []
    theirs = {r.key for n in makers if (r := seen.record_of(n)) is not None} - own
    reached = any(c.source == "attached" and c.pulled.keys() & theirs for c in calls)
    judging = {id(p) for d in judges for p in d.module.parameters()}
    making = {id(p) for n in makers for p in n.module.parameters()}
    if not theirs or reached:
        return []
    d, g = judges[0].name, makers[0].name
    if any(c.source == "data" and c.pulled.keys() & theirs for c in calls):
        return [
            Inspection(
                "term_without_gradient",
                "sick",
                f"the loss of {g} holds scores of {d} for data and none for its own samples, so {d} teaches it nothing",
                f"call {d} on the samples of {g}, not detached, in the loss of {g}",
            )
        ]
    if sum(c.source in ("generated", "attached") for c in calls) < 2 * SEEN:
        return []
    through = {n: g for n, g in seen.graphs.items() if g.parameters & judging and g.parameters & making}
    if any(not g.waiting & judging for g in through.values()):
        return []  # a graph that may have been used, as for features of the discriminator
    named = sorted(n for n, graph in through.items() if not graph.passed and n in seen.values)
    what = f"{named[0]} is computed, but no backward pass goes through it" if named else f"none of its losses asks {d}"
    return [
        Inspection(
            "term_left_out",
            "sick",
            f"{g} is not trained against {d}: {what}",
            f"add {named[0] if named else f'the score of {d} for its samples'} to the loss of {g} before its backward pass",
        )
    ]


def _learns(seen: Observed, network: Network, judges: set[int]) -> bool:
    """True if gradients of an optimizer other than the discriminator's arrived at a network's output in several calls."""
    record = seen.record_of(network)
    if record is None or record.key in judges:
        return False
    return sum(record.key in c.pulled for c in seen.in_use(network)) >= SEEN


SEEN = 4  # calls
FAST = 1.5e-2  # learning rate of Adam; DCGAN has 2e-4 (Radford et al. 2016), WGAN-GP 1e-4 (Gulrajani et al. 2017)
NEAR_BOUND = 0.2  # share of weights; a tenth of them where they are distributed evenly, as at initialisation
PROBABILITIES = ("Log", "BinaryCrossEntropy", "Softplus", "Nll", "SoftMargin")
LINEAR = frozenset({"Mean", "Neg", "Sub", "Add", "Mul", "Div", "Sum", *VIEWS})

INSPECTIONS: tuple[Inspect, ...] = (opposed, labelled, activations, proportions, saturating, steep, unbounded, unasked)
