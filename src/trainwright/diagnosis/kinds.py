"""Inference of the kind of model from signals and facts; causes and symptoms of another kind are not considered.

A run can be of several kinds: a VAE-GAN is adversarial and variational. An empty answer means unknown, and excludes nothing.
The kind of a log is read off the names of its columns. Reinforcement learning is recognised to say that it is out of scope.
"""

import re
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
    "fine_tune": "a fine-tune",
    "reinforcement": "reinforcement learning",
}
OUT_OF_SCOPE = "reinforcement"  # whose rewards and losses say nothing by the rules of this package
# losses of kohya's sd-scripts, OneTrainer and the scripts of diffusers, which fine-tune diffusion models
TRAINERS = r"^(?:loss/(?:current|average)|avr_loss|smooth loss|step_loss)$"
COLUMNS = {  # what only logs of one kind call a column
    "reinforcement": re.compile(
        r"ep_?(?:rew|ret|len)|epi?s?o?d?e?[ _/]*(?:reward|return|length)|episodic|rollout/|^rewards?$|reward_?mean"
        r"|(?:mean|avg|average|eval)[ _/]?(?:episode[ _])?return|(?:mean|avg|average|eval|train|test)[ _/]rewards?$"
        r"|q_?values?$|td_?(?:loss|error)|(?:policy|pi)(?:_gradient)?_loss|approx_?kl|clip_?fraction|success_rate|(?:mean|max)_q$"
    ),
    "adversarial": re.compile(r"^(?:loss[_/])?[dg]_[ab]$|^cycle_[ab]$|discrim|(?:^|[/_ ])gan(?:$|[/_ ])"),
    "fine_tune": re.compile(
        r"^(?:rewards/|logps/|logits/|completions/)|mean_token_accuracy|^num_(?:input_)?tokens|lora|max_norm"
        rf"|{TRAINERS}|lr/(?:unet|text_?encoder|group)|^reward_std$"
    ),
    "diffusion": re.compile(
        r"(?:^|/)(?:loss|mse|vb)_q[0-3]$|diffusion|ddpm|denois|timestep|(?:^|[/_ ])snr|flow_?(?:matching|loss)"
        rf"|(?:noise|eps|score|velocity)_(?:loss|mse|pred)|{TRAINERS}|implicit loss"
    ),
    "autoregressive": re.compile(
        r"(?:^|[/_ ])(?:ppl|perplexity|bpc|bpb|bits_per_(?:byte|char)|mfu|xent|wpb)(?:$|[/_ ])"
        r"|tokens|(?:^|[/_ ])tok(?:_per_sec(?:ond)?|/s)$"
    ),
    "supervised": re.compile(
        r"(?:^|[/_. ])(?:acc(?:uracy)?\d?|top_?[15](?:_acc(?:uracy)?)?|f1(?:[_-]?score)?|auc(?:roc)?|map(?:50)?(?:-95)?(?:\(b\))?"
        r"|m?iou|dice)(?:$|[/_ ])"
    ),
}  # fmt: skip
MONITOR = frozenset({"r", "l", "t"})  # reward, length and time of an episode
TOLD = ("codebook/", "kl/", "latent/")  # signals of models that have codes, whose perplexity is not one of words
TRAINER = (
    {"loss", "learning_rate", "epoch"},
    {"loss", "learning_rate", "grad_norm"},
)  # what the trainer of Hugging Face logs
UNTRAINED = 9.0  # nats; a language model that begins there has random weights
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
    if history.foreign:
        if "variational" in found and not any(n.startswith(("discriminator/", "critic/")) for n in names):
            found.discard("adversarial")  # the "generative loss" of a VAE
        return frozenset(found) if found and not _rewarded(history) else _of_log(history)
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


def _rewarded(history: History) -> bool:
    """True for a log of rewards that is none of a fine-tune by preferences."""
    columns = [str(c).lower() for c in history.facts.get("columns") or ()]
    if set(columns) >= MONITOR:
        return True
    tuned = any(COLUMNS["fine_tune"].search(c) for c in columns)
    return not tuned and any(COLUMNS["reinforcement"].search(c) for c in columns)


def _of_log(history: History) -> frozenset[str]:
    """Return the kinds that the columns of a log tell."""
    if _rewarded(history):
        return frozenset({"reinforcement"})
    columns = [str(c).lower().strip() for c in history.facts.get("columns") or ()]
    found = {kind for kind, names in COLUMNS.items() if any(names.search(c) for c in columns)} - {"reinforcement"}
    if any(n.startswith(TOLD) for n in history.signals):
        found.discard("autoregressive")
    if history.facts.get("log") == "huggingface" or any(names <= set(columns) for names in TRAINER):
        loss = history.signals.get("loss")
        untrained = loss is not None and len(loss) and loss.values[0] > UNTRAINED
        found.add("autoregressive" if untrained else "fine_tune")
    if "diffusion" in found or "autoregressive" in found:
        found.discard("supervised")  # the accuracy of tokens
    return frozenset(found)


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
