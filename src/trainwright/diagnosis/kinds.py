"""Inference of the kind of model from signals and facts; causes and symptoms of another kind are not considered.

A run can be of several kinds: a VAE-GAN is adversarial and variational. An empty answer means unknown, and excludes nothing.
"""

from collections.abc import Mapping
from typing import Any

from trainwright.diagnosis.history import History

KINDS: Mapping[str, str] = {
    "adversarial": "a GAN",
    "variational": "a VAE",
    "diffusion": "a diffusion model",
    "autoregressive": "a sequence model",
    "prediction": "a prediction model",
    "supervised": "a supervised model",
}
CALLS = 6  # calls of one network in one sample, from which it is sampled step by step


def kinds_of(history: History) -> frozenset[str]:
    """Return the kinds of model that signals and facts show, or that the user gave (``facts["kind"]``)."""
    given = history.facts.get("kind")
    if given:
        return frozenset([given] if isinstance(given, str) else given)
    found = set()
    names = set(history.signals)
    networks: Mapping[str, Any] = history.facts.get("networks") or {}
    roles = {n.get("role") for n in networks.values()}
    if any(n.startswith(("discriminator/", "critic/", "generator/")) for n in names) or "discriminator" in roles:
        found.add("adversarial")
    if any(n.startswith(("kl/", "latent/")) or n in ("weight/vae/kl", "vae/loss", "validation/kl") for n in names):
        found.add("variational")
    if history.facts.get("posterior"):
        found.add("variational")
    if found:
        return frozenset(found)
    operations = set(history.facts.get("operations") or ())
    calls = history.facts.get("calls_per_sample") or {}
    stepwise = max(calls.values(), default=0) >= CALLS
    likelihood = any(o.startswith("Nll") for o in operations)
    if ("denoiser" in roles or stepwise) and not likelihood:
        return frozenset({"diffusion"})
    if likelihood and (stepwise or history.facts.get("tokens")):
        return frozenset({"autoregressive"})
    if likelihood and not calls:
        return frozenset({"supervised"})
    return frozenset()


def impossible(history: History) -> frozenset[str]:
    """Return the kinds that a watched loop cannot be of, where its kind is not known otherwise.

    A loop of one optimizer is no GAN, one whose losses draw from no posterior is no VAE, and one
    whose samples take few calls of a network is no diffusion model.
    """
    facts = history.facts
    if kinds_of(history) or not facts.get("networks"):
        return frozenset()
    found = {"adversarial"} if len(facts.get("optimizers") or ()) < 2 else set()
    if facts.get("operations") and not facts.get("posterior"):
        found.add("variational")
    calls = facts.get("calls_per_sample")
    if calls and max(calls.values()) < CALLS:
        found.add("diffusion")
    return frozenset(found)
