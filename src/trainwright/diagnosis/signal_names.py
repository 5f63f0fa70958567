"""Mapping of column names of foreign logs to signals, by a table of common names, and signals derived from them.

A column name is split into words: ``train/loss_G_adv`` is {loss, g, adv}. Words about phase or averaging are dropped, and spellings
of a word are unified. All remaining words must match an entry of the table, so that ``perceptual_loss`` is not read as the loss.
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from trainwright import plugins
from trainwright.diagnosis.adversarial_loss import AdversarialLoss, infer_adversarial_loss
from trainwright.diagnosis.history import History, Series
from trainwright.errors import UserError, nearest


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


STEP = [
    "step",
    "steps",
    "_step",
    "global_step",
    "train_step",
    "training_step",
    "iteration",
    "iterations",
    "iter",
    "iters",
    "itr",
    "n_iter",
    "niter",
    "num_updates",
    "batch",
    "it",
    "kimg",
    "nimg",
    "epoch",
    "epochs",
    "index",
]
EPOCH = ("epoch", "epochs")
CLOCK = _set("time wall_time elapsed elapsed_time timestamp _timestamp _runtime runtime date datetime total_flos tick")
TIMED = re.compile(r"(?:^|_)(?:(?:samples|steps|tokens|it)_per_sec(?:ond)?|runtime|seconds?|flos|time|eta)$")

NOISE = _set(
    "train training tr step epoch batch iter iteration avg avr average mean running smoothed net log logs metric metrics scalar "
    "scalars total tot overall current value raw"
)
GAINS = _set(
    "elbo acc accuracy psnr ssim reward return score f1 auc bleu likelihood iou map wer cer"
)  # the higher the better, or no loss
TRAINED = _set("train training tr")
HELD_OUT = _set("val valid validation eval evaluation test testing dev heldout holdout")
SAME = {
    **dict.fromkeys(("disc", "discriminator", "dis", "discrim", "netd"), "d"),
    **dict.fromkeys(("gen", "generator", "netg"), "g"),
    **dict.fromkeys(("losses", "cost", "err", "error", "objective"), "loss"),
    **dict.fromkeys(("kld", "kldiv"), "kl"),
    **dict.fromkeys(("rec", "reco", "recons", "reconst", "reconstruct", "reconstruction", "reconstructions"), "recon"),
    "adversarial": "adv",
    "gradient": "grad",
    "gradients": "grad",
    "negative": "neg",
    "dist": "distance",
}
TOGETHER = {
    **dict.fromkeys(("dloss", "lossd", "errd", "discloss"), "d loss"),
    **dict.fromkeys(("gloss", "lossg", "errg", "genloss"), "g loss"),
    **dict.fromkeys(("klloss", "kldloss"), "kl loss"),
    **dict.fromkeys(("reconloss", "recloss", "reconstructionloss"), "recon loss"),
    "criticloss": "critic loss",
    "advloss": "adv loss",
    "totalloss": "loss",
    "trainloss": "loss",
    "valloss": "val loss",
    "testloss": "test loss",
    "gradnorm": "grad norm",
    "gnorm": "grad norm",
    "wdist": "w distance",
    "nelbo": "neg elbo",
}
PHRASES = (("learning rate", "lr"), ("grad penalty", "gp"), ("kl divergence", "kl"), ("kl div", "kl"))

# signal: the sets of words that denote it
TRAINING = {
    "discriminator/loss": "d loss, d, d adv loss, d gan loss, discrim loss, d gan",
    "discriminator/real": "d real loss, d real, l d real, critic real, critic real loss",
    "discriminator/fake": "d fake loss, d fake, l d fake, critic fake, critic fake loss",
    "critic/loss": "critic loss, critic, crit loss, crit",
    "critic/penalty": "gp, gp loss, d gp, d gp loss, critic gp, critic gp loss",
    "critic/wasserstein": "wasserstein, wasserstein distance, wasserstein d, w distance, wasserstein estimate, em distance, emd",
    "generator/loss": "g loss, g, l g total",
    "generator/adversarial": "g adv loss, g adv, adv loss, adv, g gan loss, g gan, l g gan, a loss",
    "kl/raw": "kl, kl loss, kl term, kl d loss, vae kl, vae kl loss",
    "weight/vae/kl": "beta, kl weight, kl beta, kl coeff, kl coef, kl lambda",
    "reconstruction/weighted": "recon, recon loss, recon mse, recon bce, recon l1, recon mse loss, recon bce loss, recon l1 loss, "
    "g l1, g l1 loss, l g pix, l g l1, l1, l1 loss, r loss, vae r loss",
    "codebook/loss": "vq loss, codebook loss, commitment loss, commit loss, vq, commitment, quantization loss, "
    "embedding loss, embed loss",
    "codebook/perplexity": "perplexity, codebook perplexity, codebook usage perplexity",
    "samples/fid": "fid, fid50k, fid50k full, results fid50k full, fid score, metrics fid",
    "latent/active_units": "active units",
    "grad_norm/all": "grad norm",
    "grad_norm/generator": "g grad norm",
    "grad_norm/discriminator": "d grad norm",
    "grad_norm/critic": "critic grad norm",
    "lr/all": "lr, lr adam, lr adamw, lr sgd, lr rmsprop, lr abs",
    "lr/generator": "lr g",
    "lr/discriminator": "lr d",
    "lr/critic": "lr critic",
    "vae/loss": "vae loss",
    "loss": "loss, neg elbo, neg elbo loss, elbo loss, diffusion loss",
}
# names of the KL and of the error in a loop that draws from a posterior
AS_KL = (
    "latent_loss", "loss_latent", "prior_loss", "reg_loss", "regularization", "regularizer", "rate", "dkl", "d_kl", "loss_reg",
)  # fmt: skip
AS_ERROR = ("distortion", "nll", "mse", "bce", "l1", "mse_loss", "bce_loss", "likelihood", "log_likelihood")
HELD = {
    "validation/loss": "loss, vae loss, neg elbo, neg elbo loss, elbo loss, diffusion loss",
    "validation/reconstruction": TRAINING["reconstruction/weighted"].partition(", g l1")[0]
    + ", r loss, vae r loss, l1, l1 loss",
    "validation/kl": TRAINING["kl/raw"],
    "validation/error": "rmse, mse, mae, mape, nll, perplexity, ppl, wer, cer, bpc, bpb",
    "validation/accuracy": "acc, accuracy, acc1, top1 acc, top1, top 1 accuracy, token accuracy",
}
# further signals that shared symptoms and causes read, and prefixes of names with a free last part;
# a family declares its own signals
KNOWN = _set(
    """baseline/error_ratio critic/gradient_norm critic/score_spread critic/wasserstein_heldout critic/wasserstein_train
    data/std discriminator/gradient_norm
    discriminator/score_spread discriminator/term generator/adversarial kl/nats kl/nats_heldout
    latent/active_share latent/prior_gap latent/shuffled_error_ratio validation/loss_at_full_beta
    real/coverage real/precision raw/diversity_ratio samples/channel_shift samples/contrast_ratio samples/coverage
    samples/diversity_ratio samples/duplicate_share samples/lattice_ratio samples/lattice_share samples/nearest_training_ratio
    samples/nyquist_ratio samples/pair_distance samples/precision samples/range_ratio samples/top_octave_ratio"""
) | frozenset(TRAINING | HELD)
OPEN = re.compile(
    r"^(samples|prior|raw|real|reconstructions|r2|r2_beyond_mean|std_ratio|grad_norm|lr|update_ratio|gradient_share|weight|"
    r"share|clipped|updates_per_epoch|overfit|dead_units|latent|kl)/[\w.]+(/[\w.]+)?$"
)
ONE_OF = re.compile(r"^eval_(?!loss)\w+_loss$")  # Hugging Face's names where several sets are held out
TAGGED = re.compile(r"(/dataloader_idx_0|__(?:MIN|MAX))$")


def _table(entries: Mapping[str, str]) -> dict[frozenset[str], str]:
    return {frozenset(words.split()): signal for signal, several in entries.items() for words in several.split(", ")}


_TRAINING, _HELD = _table(TRAINING), _table(HELD)


def words(column: str) -> frozenset[str]:
    """Return the words of a column name with unified spelling: ``Loss_D``, ``loss/D``, ``dLoss`` and ``errD`` are {loss, d}."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", column)
    parts = re.sub(r"[^a-z0-9]+", " ", apart.lower()).split()
    parts = " ".join(TOGETHER.get(w, w) for w in parts).split()
    text = " ".join(SAME.get(w, w) for w in parts)
    for phrase, word in PHRASES:
        text = re.sub(rf"\b{phrase}\b", word, text)
    return frozenset(text.split())


def is_ours(columns: Iterable[str]) -> bool:
    """True if a run of Trainwright wrote these columns."""
    return sum("/" in c and c in KNOWN for c in columns) >= OURS


CODES = _set(
    "vq codebook code codes commit commitment embed embedding quantization recon usage"
)  # words of models with a codebook
OURS = 3  # columns with names of ours


def recognise(column: str, ours: bool = False) -> str | None:
    """Return the signal that a column of a log holds, or None; ``ours`` if it may be one that only a family declares."""
    if column in KNOWN or OPEN.match(column) or (ours and is_signal(column)):
        return column
    name = column.rpartition(" - ")[2]  # "run name - column": how W&B exports charts
    if name.endswith(("__MIN", "__MAX")):
        return None
    known = words(TAGGED.sub("", name))
    held, rest = known & HELD_OUT, known - HELD_OUT - NOISE
    if {"grad", "norm"} <= rest:
        rest -= {"2", "0", "l2", "global"}  # the order of the norm, and "global"
    return (_HELD if held else _TRAINING).get(rest)


def is_signal(name: str) -> bool:
    """True if a symptom, a cause or a chart uses a signal of this name."""
    if name in KNOWN or OPEN.match(name):
        return True
    return any(s.matches(name) for s in plugins.signals().values())


def is_gain(name: str) -> bool:
    """True for a column that is better the higher it is, such as an ELBO, an accuracy or a PSNR."""
    known = words(name)
    return bool(known & GAINS) and "neg" not in known


def step_column(columns: Iterable[str]) -> str | None:
    """Return the column that counts steps, or None."""
    lower: dict[str, str] = {}
    for column in (c for c in columns if "loss" not in c.lower()):  # "loss/train_step" is a loss
        lower.setdefault(column.strip().lower().rpartition("/")[2].replace(" ", "_"), column)
    return next((lower[name] for name in STEP if name in lower), None)


def epoch_column(columns: Iterable[str]) -> str | None:
    """Return the column that counts epochs, or None."""
    return next((c for c in columns if c.strip().lower().rpartition("/")[2] in EPOCH), None)


def is_counter(column: str) -> bool:
    """True if a column is a step, an epoch or a time, and therefore not a signal."""
    name = column.strip().lower().rpartition("/")[2].replace(" ", "_")
    if "loss" in column.lower():
        return False
    timed = name in CLOCK or TIMED.search(name) is not None
    return name in STEP or timed or name.startswith(("progress/", "speed/")) or column.startswith("monitor/")


def check_mapping(given: Mapping[str, str], columns: Iterable[str]) -> None:
    """Check the pairs of columns and signals that a user gave.

    Raises:
        UserError: a column or a signal does not exist.
    """
    known = list(columns)
    for column, signal in given.items():
        if column not in known:
            raise UserError(
                f"--map {column}=...: no such column.{nearest(column, known)} There are: {', '.join(known[:12])}."
            )
        if not is_signal(signal):
            signals = KNOWN | plugins.signals().keys()
            raise UserError(
                f"--map {column}={signal}: no such signal.{nearest(signal, signals)} docs/how-to/diagnose-a-log.md lists them."
            )


def mapping(
    columns: Iterable[str], given: Mapping[str, str], readings: Mapping[str, int] | None = None
) -> dict[str, str]:
    """Map columns to signals, the given pairs first.

    Args:
        columns: names of columns.
        given: column -> signal, given by the user.
        readings: number of values of each column; of two columns for one signal the longer one is used, else the first.

    Raises:
        UserError: a given pair names a column that does not exist.
    """
    known = list(columns)
    for column in given:
        if column not in known:
            raise UserError(
                f"--map {column}=...: no such column.{nearest(column, known)} There are: {', '.join(known[:12])}."
            )
    found = dict(given)
    taken = set(given.values())
    many, ours = readings or {}, is_ours(known)
    for column in sorted(known, key=lambda c: -many.get(c, 0)):
        signal = (recognise(column, ours) or _of_pair(column, known)) if column not in found else None
        if signal == "grad_norm/all" and "critic/penalty" in map(recognise, known) and "gradient" in column.lower():
            continue  # with a gradient penalty, "gradient_norm" may be the norm at the critic's input
        if signal == "codebook/perplexity" and not any(words(c) & CODES for c in known):
            continue  # of a language model
        if signal is not None and signal not in taken:
            found[column] = signal
            taken.add(signal)
    if "validation/loss" not in taken:
        several = [c for c in known if c not in found and ONE_OF.match(c)]
        if several:
            found[several[0]] = "validation/loss"
    return {column: found[column] for column in known if column in found}


def _of_pair(column: str, columns: Iterable[str]) -> str | None:
    """Return the signal of a column that is named for its data only: ``train`` beside ``val``."""
    names = {c: words(c) for c in columns}
    training = [c for c, w in names.items() if w & TRAINED and not w & (HELD_OUT | GAINS) and not is_counter(c)]
    if training == [column] and not any(
        (_TRAINING | _HELD).get(w - NOISE - HELD_OUT) == "loss" for w in names.values()
    ):
        return "loss"  # the only one of training: train_rf, train_objective
    bare = {c for c, w in names.items() if w and not w - HELD_OUT - TRAINED}
    held = {c for c in bare if names[c] & HELD_OUT}
    if column not in bare or not held or held == bare:
        return None
    return "validation/loss" if column in held else "loss"


def derive(history: History) -> History:
    """Add derived signals to a foreign log: kind of adversarial loss, cross-entropy per term, KL in nats.

    Uncertain quantities are not added, so that symptoms that need them report "unknown". Columns whose names suggest losses on real
    and fake data are removed if their values show that they hold scores.
    """
    signals, facts = dict(history.signals), dict(history.facts)
    found = infer_adversarial_loss(signals, facts.get("adversarial"))
    if found.kind is not None:
        facts["adversarial"] = found.kind
    if found.kind == "wasserstein":
        _wasserstein(history, signals, found)
    elif found.kind == "bce":
        _cross_entropy(signals, found)
    if not found.terms_are_losses:
        for name in ("discriminator/real", "discriminator/fake"):
            signals.pop(name, None)
    raw = signals.get("kl/raw")
    if raw is not None and facts.get("kl_unit") == "nats":
        signals.setdefault("kl/nats", raw)
    return History(signals, history.settings, facts, history.total)


def _wasserstein(history: History, signals: dict[str, Series], found: AdversarialLoss) -> None:
    d = signals.pop("discriminator/loss", None)
    loss = signals.get("critic/loss") or d
    if loss is None:
        return
    signals["critic/loss"] = loss
    penalty, weight = signals.get("critic/penalty"), history.number("lambda_gp")
    if found.estimate is not None:
        signals.setdefault("critic/wasserstein", found.estimate)
    elif penalty is not None and weight is not None:
        signals.setdefault("critic/wasserstein", Series(loss.steps, weight * penalty.at(loss.steps) - loss.values))


def _cross_entropy(signals: dict[str, Series], found: AdversarialLoss) -> None:
    real, fake = signals.get("discriminator/real"), signals.get("discriminator/fake")
    d, g = signals.get("discriminator/loss"), signals.get("generator/loss")
    if real is not None and fake is not None and found.terms_are_losses:
        both = (real.values + fake.at(real.steps)) / 2
        keep = ~np.isnan(fake.at(real.steps)) | np.isnan(real.values)
        signals.setdefault("discriminator/term", Series(real.steps[keep], both[keep]))
    elif d is not None and found.terms is not None:
        signals.setdefault("discriminator/term", Series(d.steps, d.values / found.terms))
    if g is not None:
        signals.setdefault("generator/adversarial", g)
