"""Wiring: an inspection of the loop's networks, optimizers, gradients and losses found a fault."""

from trainwright.diagnosis.definitions import Bound, Evidence, Judgement, Observation, Severity, Symptom, Unknown
from trainwright.diagnosis.history import History

BOUNDS = {"steps": Bound(4, "steps of an optimizer that are observed before its gradients are judged", "ours")}


def detect(h: History) -> Judgement:
    """Report what inspections found; each of them names its cause."""
    results = h.facts.get("inspections")
    if results is None:
        return Unknown("trainwright.watch in the loop, which sees networks and optimizers")
    found = [r for r in results if r["severity"] != "note"]
    if not found:
        return None
    severity: Severity = "sick" if any(r["severity"] == "sick" for r in found) else "suspect"
    step = min(float(r["step"]) for r in found)
    seen = tuple(Evidence(f"inspection/{r['cause']}", 1.0, 0.0, r["message"], float(r["step"]), h.now) for r in found)
    return Observation(step, step, severity, seen)


SYMPTOM = Symptom(
    name="wiring",
    title="the loop is wired wrongly",
    what="Networks, optimizers, gradients, losses or data do not fit together, whatever the losses show.",
    measured="Inspections of the loop in its first steps: which optimizer steps what with which gradients, which loss reaches which "
    "network, ranges, shapes, labels, sampling.",
    bounds=BOUNDS,
    detect=detect,
    speed="fast",
    explains=(
        "blur",
        "checkerboard",
        "codebook_collapse",
        "colour_cast",
        "critic_dominance",
        "dead_critic",
        "discriminator_guessing",
        "ema_lag",
        "exploding",
        "frozen_network",
        "generator_dominance",
        "generator_undertrained",
        "loss_imbalance",
        "mean_regression",
        "mode_collapse",
        "mode_dropping",
        "off_data",
        "oscillation",
        "overfitting",
        "plateau",
        "posterior_collapse",
        "prior_hole",
        "slow",
        "spike",
        "trivial_baseline",
        "unbounded_loss",
        "vanishing_losses",
        "variance_collapse",
    ),
)
