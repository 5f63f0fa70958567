"""Causes in the learning rates: too high, too low, out of proportion, zero; and Adam's momentum."""

from collections.abc import Callable

from trainwright.diagnosis.definitions import Assessment, Cause, Observation
from trainwright.diagnosis.history import History
from trainwright.diagnosis.kinds import kinds_of

USUAL = {"generator": (1e-5, 1e-3), "critic": (1e-5, 1e-3), "discriminator": (1e-5, 1e-3), "vae": (1e-4, 5e-3)}
ANY = (1e-5, 5e-3)
SGD = (1e-3, 0.2)  # of an optimizer whose step is proportional to the gradient
OF_KIND = {  # where a log does not tell the optimizer
    "fine_tune": (1e-6, 5e-4),  # full fine-tunes from 1e-6 to 5e-5, LoRA from 5e-5 to 5e-4
    "supervised": (1e-5, SGD[1]),
    "autoregressive": (1e-5, 5e-3),
}


def rates(h: History) -> dict[str, float]:
    """Return the learning rate of each group: the largest logged value, else the configured one."""
    found = {name: float(series.values.max()) for name, series in h.match("lr/")}
    for group, keys in {"generator": ("lr_g", "learning_rate_gen"), "critic": ("lr_d", "learning_rate_disc")}.items():
        value = h.number(*keys)
        if value is not None:
            found.setdefault(group, value)
    value = h.number("learning_rate", "lr")
    if value is not None and not found:
        found["loss"] = value
    return found


def usual(h: History, group: str) -> tuple[float, float]:
    """Return the usual range of the learning rate of a network, for its optimizer or for the kind of model of a log."""
    kind = next((k for k in OF_KIND if h.foreign and k in kinds_of(h)), None)
    if kind is not None:
        return OF_KIND[kind]
    networks = h.facts.get("networks") or {}
    for known in (h.facts.get("optimizers") or {}).values():
        held = [n for n in known.get("networks", ()) if group in (n, networks.get(n, {}).get("role"), "all", "loss")]
        if held and str(known.get("class", "")).startswith("SGD"):
            return SGD
    return USUAL.get(group, ANY)


def _too_high(groups: tuple[str, ...] | None) -> Callable[[History, Observation], Assessment | None]:
    def assess(h: History, observation: Observation) -> Assessment | None:
        known = rates(h)
        chosen = {g: r for g, r in known.items() if groups is None or g in groups}
        if not chosen:
            return (
                Assessment(0.3, "the learning rate is unknown; too high a rate is the most common reason")
                if not known and groups is None
                else None
            )
        group, rate = max(chosen.items(), key=lambda item: item[1] / usual(h, item[0])[1])
        over = rate / usual(h, group)[1]
        rose = _rose_with(h, group, observation) if groups is None and over <= 1 else ""
        if rose:
            return Assessment(
                0.7, rose, f"lower the learning rate from {rate:g} to {rate / 10:g}, or warm it up for longer"
            )
        if over <= 1:
            return Assessment(
                0.12 if over > 0.3 else 0.05,
                f"the learning rate of the {group} is {rate:g}, which is in the usual range",
            )
        return Assessment(
            min(0.95, 0.6 + 0.1 * over),
            f"the learning rate of the {group} is {rate:g}, {over:.0f} times the usual maximum",
            f"lower the learning rate from {rate:g} to {rate / 10:g}" if groups is None else "",
        )

    return assess


def _rose_with(h: History, group: str, observation: Observation) -> str:
    """Return that the loss rose as the rate did, in words; empty if not."""
    series = h.get(f"lr/{group}", least=4)
    if series is None:
        return ""
    highest = float(series.values.max())
    before = series.values[series.steps <= observation.onset]
    if not len(before) or highest <= 0 or before[-1] < 0.7 * highest or before[0] > 0.5 * highest:
        return ""
    return f"the loss rose at step {observation.onset:.0f}, as the learning rate came to its maximum of {highest:g}"


def _too_low(h: History, observation: Observation) -> Assessment | None:
    known = {g: r for g, r in rates(h).items() if r > 0}
    if not known:
        return Assessment(0.3, "the learning rate is unknown")
    group, rate = min(known.items(), key=lambda item: item[1] / usual(h, item[0])[0])
    lowest = usual(h, group)[0]
    under = lowest / rate
    if under < 1:
        return Assessment(0.1, f"the learning rate of the {group} is {rate:g}, which is in the usual range")
    where = "the lower end of the usual range" if under < 1.05 else f"and usual rates start at {lowest:g}"
    return Assessment(min(0.95, 0.6 + 0.1 * under), f"the learning rate of the {group} is {rate:g}, {where}")


def _zero(h: History, observation: Observation) -> Assessment | None:
    still = [g for g, r in rates(h).items() if r == 0]
    return Assessment(0.97, f"the learning rate of the {still[0]} is 0") if still else None


def _outruns(
    fast: str, slow: str, from_: float, score: float, most: float, why: str
) -> Callable[[History, Observation], Assessment | None]:
    """Make an assessment of the ratio of two learning rates; a discriminator counts as a critic."""

    def assess(h: History, observation: Observation) -> Assessment | None:
        known = rates(h)
        if "discriminator" in known:
            known.setdefault("critic", known["discriminator"])
        if not known.get(slow) or fast not in known:
            return None
        ratio = known[fast] / known[slow]
        if ratio >= from_:
            return Assessment(
                min(most, score + 0.02 * ratio), f"the {fast}'s learning rate is {ratio:.0f} times the {slow}'s{why}"
            )
        return Assessment(0.1, f"the {fast}'s learning rate is {ratio:.2g} times the {slow}'s")

    return assess


def _momentum(h: History, observation: Observation) -> Assessment | None:
    beta = h.setting("beta1", "betas")
    first = beta[0] if isinstance(beta, list | tuple) else beta
    if first is None:
        return None
    if first >= 0.8:
        return Assessment(0.85, f"Adam's beta1 is {first:g}; GANs are usually trained with 0 to 0.5")
    return Assessment(0.05, f"Adam's beta1 is {first:g}, which is usual for GANs")


CAUSES = [
    Cause(
        name="momentum_too_high",
        title="Adam's beta1 is too high for adversarial training",
        of=("mode_dropping", "mode_collapse", "oscillation", "exploding"),
        assess=_momentum,
        kinds=("adversarial",),
        advice="set Adam's beta1 to 0.5 or 0",
    ),
    Cause(
        name="generator_lr_too_high",
        title="the generator's learning rate is too high",
        of=(
            "mode_collapse",
            "mode_dropping",
            "oscillation",
            "checkerboard",
            "colour_cast",
            "generator_dominance",
            "dead_critic",
        ),
        assess=_too_high(("generator",)),
        kinds=("adversarial",),
        advice="lower the generator's learning rate to 1e-4 to 2e-4",
    ),
    Cause(
        name="critic_lr_too_high",
        title="the critic's learning rate is too high",
        of=("exploding", "oscillation", "critic_dominance", "dead_critic", "non_finite", "mode_collapse"),
        assess=_too_high(("critic", "discriminator")),
        kinds=("adversarial",),
        advice="lower the critic's learning rate to 1e-4 to 2e-4",
    ),
    Cause(
        name="lr_too_high",
        title="the learning rate is too high",
        of=(
            "exploding",
            "non_finite",
            "oscillation",
            "plateau",
            "spike",
            "variance_collapse",
            "posterior_collapse",
            "frozen_network",
            "trivial_baseline",
            "diverging",
        ),
        assess=_too_high(None),
        advice="lower the learning rate by a factor of 3 to 10, or warm it up",
    ),
    Cause(
        name="lr_too_low",
        title="the learning rate is too low",
        of=(
            "slow",
            "plateau",
            "trivial_baseline",
            "mode_collapse",
            "discriminator_guessing",
            "generator_dominance",
            "off_data",
            "blur",
        ),
        assess=_too_low,
        advice="raise the learning rate by a factor of 3 to 10",
    ),
    Cause(
        name="lr_zero",
        title="a learning rate is 0",
        of=("frozen_network", "dead_critic", "plateau", "mode_collapse"),
        assess=_zero,
        advice="set a learning rate above 0",
    ),
    Cause(
        name="lr_ratio",
        title="the critic's learning rate is too high relative to the generator's",
        of=("critic_dominance", "mode_collapse", "mode_dropping", "colour_cast"),
        assess=_outruns(
            "critic", "generator", 8, 0.55, 0.93, "; the author of the WGAN-GP guide withdrew a ratio of 10"
        ),
        advice="bring the critic's learning rate to 1 to 4 times the generator's",
    ),
    Cause(
        name="generator_outruns",
        title="the generator's learning rate is too high relative to the critic's",
        of=("mode_collapse", "mode_dropping", "generator_dominance"),
        assess=_outruns("generator", "critic", 5, 0.7, 0.96, ""),
        kinds=("adversarial",),
        advice="bring the generator's learning rate down to the critic's",
    ),
]
