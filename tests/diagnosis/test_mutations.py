"""Sound loops in which one thing is made wrong: the doctor names it, and says nothing of the sound one."""

import pytest

from benchmarks.mutations.run import loops

NAMED = [
    "flow/sign_of_velocity", "flow/step_twice", "flow/direction_of_time", "flow/start_uniform", "flow/time_not_given",
    "flow/target_without_noise", "forecast/target_in_window", "forecast/target_unscaled", "forecast/sigmoid_output",
    "forecast/input_zeroed", "classes/cleared_before_step", "classes/negated", "classes/weight_decay",
    "classes/dropout_of_all", "classes/features_detached", "segment/broadcast", "segment/channels_viewed",
    "recurrent/hot", "letters/no_mask", "letters/targets_of_other_rows", "letters/same_batch", "letters/sampled_greedily",
    "vae/kl_without_exp", "vae/std_is_exp_logvar", "vae/no_noise", "vae/noise_one_for_batch", "vae/sampling_wide",
]  # fmt: skip
SOUND = ["flow/", "forecast/", "classes/", "segment/", "recurrent/", "letters/", "vae/"]


@pytest.mark.parametrize("case", NAMED)
def test_one_mistake_in_a_sound_loop_is_named(case):
    name, _, fault = case.partition("/")
    function, truth = loops()[name]
    found = function(fault).close()
    causes = [d.causes[0].cause.name for d in found.alarms if d.causes]
    assert causes and causes[0] in truth[fault], [(d.symptom.name, d.observation.evidence) for d in found.alarms]


@pytest.mark.parametrize("case", SOUND)
def test_a_sound_loop_is_never_sick(case):
    watch = loops()[case.rstrip("/")][0]("")
    watch.close()
    assert "sick" not in {verdict for _, verdict, _ in watch.verdicts}
