"""Causes in the networks: upsampling, weight averaging, size, and frequency of updates."""

import numpy as np

from trainwright.diagnosis.definitions import Assessment, Cause, Observation
from trainwright.diagnosis.history import History


def _transposed(h: History, observation: Observation) -> Assessment | None:
    kinds = h.facts.get("transposed")
    if kinds is None:
        return Assessment(
            0.5, "the upsampling of the generator is unknown; transposed convolutions are the usual reason"
        )
    return Assessment(0.85, f"the generator upsamples by transposed convolutions ({kinds})") if kinds else None


def _critic_steps(h: History, observation: Observation) -> Assessment | None:
    n = h.number("n_critic")
    if n is None:
        return None
    batches = h.facts.get("batches_per_epoch")
    if n > 10:
        size = f", and an epoch has {batches:.0f} batches" if batches else ""
        return Assessment(0.93, f"n_critic = {n:.0f} (usual: 5){size}")
    return Assessment(0.15, f"n_critic = {n:.0f}, which is usual")


def _few_critic_steps(h: History, observation: Observation) -> Assessment | None:
    n, kind = h.number("n_critic"), h.facts.get("adversarial")
    if n is None or kind != "wasserstein":
        return None
    return (
        Assessment(0.4, f"n_critic = {n:.0f}: with fewer than 2 critic updates the Wasserstein estimate is poor")
        if n < 2
        else Assessment(0.08, f"n_critic = {n:.0f}")
    )


def _blocks(h: History, observation: Observation) -> Assessment | None:
    for name, series in h.match("updates_per_epoch/"):
        most = series.values.max()
        if len(series) > 3 and most > 0 and np.mean(series.values < most / 2) > 0.2:
            return Assessment(0.93, f"the {name} is updated in some epochs and not in others")
    return None


def _ema(h: History, observation: Observation) -> Assessment | None:
    decay = h.number("ema_decay")
    updates = sum(float(s.values.sum()) for n, s in h.match("updates_per_epoch/") if n == "generator") or h.now
    if decay and decay > 0:
        left = decay**updates
        raw, averaged = h.get("raw/diversity_ratio"), h.get("samples/diversity_ratio")
        if raw is not None and averaged is not None and raw.last < 2 * averaged.last < 0.2:
            return Assessment(0.1, f"ema_decay = {decay:g}, but samples of the raw weights are no more diverse")
        if left > 0.3:
            return Assessment(
                0.93,
                f"ema_decay = {decay:g}: after {updates:.0f} updates the initial weights still make up {left:.0%} of the average",
            )
        return Assessment(0.3, f"ema_decay = {decay:g}")
    return None


def _ema_buffers(h: History, observation: Observation) -> Assessment | None:
    kept = h.facts.get("ema_buffers")
    return (
        Assessment(0.97, "the averaged copy still has the BatchNorm statistics of the untrained network")
        if kept is False
        else None
    )


def _not_trained(h: History, observation: Observation) -> Assessment | None:
    frozen = h.facts.get("not_trained")
    if frozen:
        return Assessment(0.96, f"{', '.join(frozen)}: parameters have requires_grad=False")
    rate = [s for n, s in h.match("lr/")]
    if rate and all(float(s.values.max()) > 0 for s in rate):
        return Assessment(0.6, "its learning rate is above 0, so the gradient does not reach it")
    return Assessment(0.35, "it is unknown whether its parameters require a gradient")


def _dead_units(h: History, observation: Observation) -> Assessment | None:
    share = h.get("dead_units/critic", "dead_units/discriminator")
    if share is not None and share.last > 0.9:
        return Assessment(0.9, f"{share.last:.0%} of its ReLU units are never active")
    return Assessment(0.35, "its units may be dead; a few updates with too high a learning rate are enough")


def _capacity(h: History, observation: Observation) -> Assessment | None:
    ratio = h.facts.get("parameter_ratio")
    if ratio is None:
        return Assessment(0.2, "the sizes of the networks are unknown")
    if ratio > 10:
        return Assessment(0.75, f"the critic has {ratio:.0f} times the parameters of the generator (usual: at most 10)")
    return Assessment(0.1, f"the critic has {ratio:.2g} times the generator's parameters")


def _latent(h: History, observation: Observation) -> Assessment | None:
    size = h.number("latent_dim")
    if size is None:
        return Assessment(0.15, "latent_dim is unknown")
    return (
        Assessment(0.9, f"latent_dim = {size:.0f}, so samples lie on a manifold of very low dimension")
        if size < 8
        else Assessment(0.1, f"latent_dim = {size:.0f}, which is enough")
    )


def _short(h: History, observation: Observation) -> Assessment | None:
    share = h.now / h.budget
    n, batch = h.facts.get("training"), h.number("batch_size")
    passes = h.now * batch / n if n and batch else None
    if passes is not None and passes < 200:
        return Assessment(0.55, f"training has run for {passes:.0f} epochs; the WGAN-GP guide recommends at least 500")
    return Assessment(0.35, f"{share:.0%} of the planned steps are done")


def _small(h: History, observation: Observation) -> Assessment | None:
    top = h.get("samples/top_octave_ratio", least=4)
    if top is not None:
        middle, now = (
            float(np.median(top.values[len(top) // 2 - 1 : len(top) // 2 + 1])),
            float(np.median(top.values[-2:])),
        )
        if now < 1.3 * middle:
            return Assessment(
                0.6, "fine detail has not increased since the middle of the run, so the network may lack capacity"
            )
    return Assessment(0.3, "the network may be too small for this detail")


def _overflow(h: History, observation: Observation) -> Assessment | None:
    precision = h.setting("precision")
    if precision is None:
        return Assessment(0.15, "the numerical precision is unknown")
    return (
        Assessment(0.5, f"training uses {precision}, which has a small range or few digits")
        if "16" in str(precision)
        else None
    )


def _hangs(h: History, observation: Observation) -> Assessment | None:
    return Assessment(0.5, "the process hangs, or was killed before it could record its end")


def _weak_discriminator(h: History, observation: Observation) -> Assessment | None:
    noise = h.number("instance_noise")
    if noise is not None and noise > 2:
        return Assessment(0.92, f"its instance noise has a standard deviation of {noise:g}, but images lie in [-1, 1]")
    norms = {n: float(np.median(s.values[-10:])) for n, s in h.match("grad_norm/")}
    d = norms.get("discriminator", norms.get("critic"))
    if d is not None and d < 1e-3:
        return Assessment(0.4, f"the discriminator's gradient norm is {d:.2g}, below 0.001")
    return Assessment(0.12, "the discriminator may be too small or too strongly regularised")


CAUSES = [
    Cause(
        name="transposed_conv",
        title="transposed convolutions",
        of=("checkerboard",),
        assess=_transposed,
        advice="upsample by resizing, then convolve; or use a kernel size that the stride divides",
    ),
    Cause(
        name="too_many_critic_steps",
        title="too many critic updates per generator update",
        of=("generator_undertrained", "critic_dominance", "mode_collapse", "ema_lag", "colour_cast"),
        assess=_critic_steps,
        kinds=("adversarial",),
        advice="make 1 to 5 critic updates for each generator update",
    ),
    Cause(
        name="too_few_critic_steps",
        title="too few critic updates per generator update",
        of=("mode_collapse", "mode_dropping", "generator_dominance", "oscillation"),
        assess=_few_critic_steps,
        kinds=("adversarial",),
        advice="make 2 to 5 critic updates for each generator update of a Wasserstein critic",
    ),
    Cause(
        name="uneven_updates",
        title="networks are trained in alternating blocks of epochs",
        of=("oscillation", "critic_dominance", "generator_dominance", "mode_collapse"),
        assess=_blocks,
        kinds=("adversarial",),
        advice="update both networks in every epoch",
    ),
    Cause(
        name="ema_too_slow",
        title="the EMA decay is too high",
        of=("ema_lag", "mode_collapse", "colour_cast"),
        assess=_ema,
        advice="use a lower decay, or sample from the raw weights",
    ),
    Cause(
        name="ema_without_buffers",
        title="the averaged copy lacks the BatchNorm statistics",
        of=("ema_lag", "mode_collapse", "colour_cast"),
        assess=_ema_buffers,
        advice="copy the BatchNorm buffers into the averaged copy",
    ),
    Cause(
        name="not_trained",
        title="parameters do not receive gradients",
        of=("frozen_network",),
        assess=_not_trained,
        advice="check requires_grad, detach() and no_grad() between the network and its loss",
    ),
    Cause(
        name="dead_units",
        title="dead units",
        of=("dead_critic", "frozen_network"),
        assess=_dead_units,
        advice="start again with leaky ReLUs or a lower learning rate",
    ),
    Cause(
        name="latent_too_small",
        title="the latent is too small",
        of=("mode_dropping", "blur"),
        assess=_latent,
        advice="use a latent of 32 dimensions or more",
    ),
    Cause(
        name="critic_too_large",
        title="the critic is much larger than the generator",
        of=("critic_dominance", "mode_collapse"),
        assess=_capacity,
        kinds=("adversarial",),
        advice="use a critic of the generator's size",
    ),
    Cause(
        name="trained_too_short",
        title="training was too short",
        of=("blur", "slow", "checkerboard"),
        assess=_short,
        advice="train longer",
    ),
    Cause(
        name="network_too_small",
        title="the network is too small",
        of=("blur", "plateau"),
        assess=_small,
        advice="use a larger network",
    ),
    Cause(
        name="precision",
        title="the arithmetic overflows",
        of=("non_finite", "exploding"),
        assess=_overflow,
        advice="train in float32, or keep losses and norms in float32",
    ),
    Cause(name="hanging", title="the process hangs or was killed", of=("stalled",), assess=_hangs),
    Cause(
        name="discriminator_too_weak",
        title="the discriminator is too weak",
        of=("discriminator_guessing", "generator_dominance", "mode_collapse"),
        assess=_weak_discriminator,
        kinds=("adversarial",),
        advice="give the discriminator more capacity or a higher learning rate, and less noise",
    ),
]
