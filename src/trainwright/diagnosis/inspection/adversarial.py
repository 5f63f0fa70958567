"""Inspections of an adversarial loop: do discriminator and generator pull a sample's score in opposite directions?"""

from collections.abc import Iterable

from trainwright.diagnosis.inspection import Inspect, Inspection
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


INSPECTIONS: tuple[Inspect, ...] = (opposed,)
