"""Declaration of every event: what a line of ``events.jsonl`` means and its keys besides ``event``, ``step`` and ``time``.

A run writes :data:`EVENTS` through :meth:`trainwright.runs.folder.Run.event`; a study writes :data:`JOURNAL` into a file of the same
name in its own folder. A test compares both tables with the calls in the sources, so an event that is not declared here fails.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class EventType:
    """Declaration of one event.

    Attributes:
        meaning: one sentence on what happened.
        keys: key to meaning, for the keys that every event does not have.
    """

    meaning: str
    keys: Mapping[str, str] = field(default_factory=dict)


COMMON: Mapping[str, str] = {
    "time": "when it was written, in UTC",
    "event": "the name of the event",
    "step": "the step of the run",
}

_MESSAGE = {"message": "one sentence with the reason, where there is one"}
_PHASE = {"phase": "name of the phase"}
_PLATEAU = {
    "signal": "the monitored signal",
    "best": "its best value",
    "best_step": "the step of the best value",
}

EVENTS: Mapping[str, EventType] = {
    "started": EventType("A new run started."),
    "resumed": EventType("The run continues from a checkpoint."),
    "settings_changed": EventType(
        "The run was resumed with other values of hot settings.",
        {"changes": "list of `setting`, `old`, `new`"},
    ),
    "finished": EventType("The run reached its last step.", _MESSAGE),
    "stopped": EventType("A callback, such as the doctor's (`train.on_failure`), ended the run.", _MESSAGE),
    "interrupted": EventType("A signal such as Ctrl-C ended the run after a checkpoint.", _MESSAGE),
    "paused": EventType("The run gave way at a checkpoint; a study decides if it continues.", _MESSAGE),
    "crashed": EventType("A value that is not finite ended the run.", _MESSAGE),
    "files_skipped": EventType(
        "Files of the data could not be read and are not used.", {"files": "list of `name`, `reason`"}
    ),
    "finding": EventType(
        "The doctor found a symptom that was not there before.",
        {
            "symptom": "name of the symptom",
            "onset": "first step at which the condition held",
            "alarm": "step at which it had held for long enough",
            "severity": "`suspect` or `sick`",
            "evidence": "list of `signal`, `value`, `against`, `sentence`, `begin`, `end`",
            "follows": "the symptom that explains this one, or null",
            "causes": "list of `cause`, `score`, `because`, likeliest first",
        },
    ),
    "recovered": EventType("A symptom that was found is no longer there.", {"symptom": "name of the symptom"}),
    "cause_test": EventType(
        "Two short forks of the run decided between causes.",
        {
            "experiment": "name of the experiment",
            "question": "the question that it answers",
            "answer": "true for yes",
            "without": "the signal in the fork without the change, or null",
            "with_change": "the signal in the fork with it, or null",
            "steps": "length of each fork",
            "confirmed": "causes that it confirms",
            "ruled_out": "causes that it speaks against",
            "doubtful": "causes that it did not confirm",
        },
    ),
    "learning_rate_lowered": EventType(
        "The monitored signal reached a plateau, so every learning rate was lowered.",
        {"factor_in_force": "factor on every configured learning rate", **_PLATEAU},
    ),
    "early_stop": EventType(
        "The monitored signal did not improve for long enough, so the run or its phase ends.",
        {**_PLATEAU, "epochs_without_a_better_one": "epochs since the best value"},
    ),
    "non_finite": EventType(
        "A loss or gradient was not finite; the optimizer step did not happen.",
        {"message": "the term and the first tensor", "evidence": "group, term, tensor and values"},
    ),
    "rollback": EventType(
        "After a value that is not finite, training continues from the last checkpoint on another random path.",
        {"failed_at": "the step that failed", "rollbacks": "rollbacks of this run so far"},
    ),
    "checkpoint_damaged": EventType(
        "A checkpoint is damaged, so an older one is used.",
        {"checkpoint": "its folder", "reason": "the first check that failed"},
    ),
    "reinitialized": EventType(
        "Networks whose shape changed start from new weights.",
        {"groups": "names of the parameter groups"},
    ),
    "phase_started": EventType(
        "A phase of the run started.",
        {
            **_PHASE,
            "settings": "the settings of the phase",
            "weights_of_step": "the step of the checkpoint that it starts from",
            "reinitialized": "parameter groups that start from new weights",
        },
    ),
    "phase_ended": EventType(
        "A phase ended.",
        {
            **_PHASE,
            "because": "the gate that was passed, the budget, or early stopping",
            "best": "its best reading, or null",
        },
    ),
    "phase_skipped": EventType(
        "A phase was skipped because its condition does not hold.", {**_PHASE, "because": "the reason"}
    ),
    "best_weights": EventType(
        "The run ends with the best weights of its last phase.",
        {**_PHASE, "weights_of_step": "the step of those weights", "best": "the value of the phase's metric there"},
    ),
}

_EXPERIMENT = {"experiment": "name of the experiment, which is also its run folder"}
JOURNAL: Mapping[str, EventType] = {
    "started": EventType(
        "An experiment started.",
        {
            **_EXPERIMENT,
            "parent": "the run that it was forked from, or null",
            "fork": "the checkpoint that it was forked from, or null",
            "change": "setting to value",
            "hypothesis": "what it is expected to show",
            "expectation": "the condition that it is judged by",
            "settings": "fingerprint of all settings",
        },
    ),
    "ended": EventType(
        "An experiment ended.", {**_EXPERIMENT, "result": "status, verdict, step, symptoms, score and more"}
    ),
    "failed": EventType(
        "An experiment could not be run; the next call tries again.", {**_EXPERIMENT, "reason": "one sentence"}
    ),
    "lost": EventType(
        "A worker died; the experiment is given out again.", {**_EXPERIMENT, "times": "how often it was lost"}
    ),
}
