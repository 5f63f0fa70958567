"""Names that version 0.1.0 wrote into run folders, and their current names.

Old settings are aliases in the config itself (``formerly`` in :func:`trainwright.config.base.setting`).
"""

from collections.abc import Mapping
from typing import Any

SIGNAL_PREFIXES = {
    "explained/": "r2/",
    "explained_beyond_mean/": "r2_beyond_mean/",
    "in_force/lr/": "lr_factor/",
    "watch/share": "monitor/time_share",
    "vae/picture": "vae/image",
    "weight/vae/picture": "weight/vae/image",
    "share/vae/picture": "share/vae/image",
    "gradient_share/vae/picture": "gradient_share/vae/image",
}
EVENTS = {
    "begun_anew": "reinitialized",
    "healed": "recovered",
    "phase_begun": "phase_started",
    "phase_passed_over": "phase_skipped",
    "left_out": "files_skipped",
    "experiment": "cause_test",
}
EVENT_KEYS = {"begun_anew": "reinitialized"}
SYMPTOMS = {
    "sample_lag": "ema_lag",
    "starved_generator": "generator_undertrained",
    "averaging": "mean_regression",
    "aggregate_mismatch": "prior_hole",
}
CAUSES = {"few_pictures": "few_images"}
RECIPES = {"gaussian_vae/sound_picture": "gaussian_vae/sound_image"}
_FIRST = tuple(SIGNAL_PREFIXES)


def signal(name: str) -> str:
    """Return the current name of a signal."""
    if not name.startswith(_FIRST):
        return name
    old = next(prefix for prefix in _FIRST if name.startswith(prefix))
    return SIGNAL_PREFIXES[old] + name.removeprefix(old)


def row(old: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of ``metrics.jsonl`` under current signal names."""
    return {signal(name): value for name, value in old.items()}


def facts(old: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``run.json`` under current names."""
    new = {("monitor_share" if key == "watch_share" else key): value for key, value in old.items()}
    new["recipe"] = RECIPES.get(str(old.get("recipe")), old.get("recipe"))
    data = new.get("data")
    if isinstance(data, dict) and "left_out" in data:
        new["data"] = {("skipped" if key == "left_out" else key): value for key, value in data.items()}
    return new


def event(old: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line of ``events.jsonl`` under current names of events, symptoms and causes."""
    new = {EVENT_KEYS.get(key, key): value for key, value in old.items()}
    new["event"] = EVENTS.get(str(new.get("event")), new.get("event"))
    if "symptom" in new:
        new["symptom"] = SYMPTOMS.get(str(new["symptom"]), new["symptom"])
    if isinstance(new.get("causes"), list):
        new["causes"] = [
            {**cause, "cause": CAUSES.get(str(cause.get("cause")), cause.get("cause"))}
            if isinstance(cause, dict)
            else cause
            for cause in new["causes"]
        ]
    for key in ("confirmed", "doubtful", "ruled_out"):
        if isinstance(new.get(key), list):
            new[key] = [CAUSES.get(name, name) for name in new[key]]
    return new


def checkpoint_state(old: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``state.json`` of a checkpoint in the current format, for resuming a run of 0.1.0."""
    if "callbacks" in old:
        return dict(old)
    looks, stride = old.get("looks", [0, 1])
    states = {
        "plateau": old.get("plateau"),
        "controller": old.get("controller"),
        "diagnosis": {"measurements": looks, "stride": stride},
    }
    return {**old, "phases": old.get("course"), "callbacks": {name: state for name, state in states.items() if state}}
