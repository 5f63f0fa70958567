"""Sound loops in which one thing is made wrong: the doctor names it, and says nothing of the sound one."""

import pytest

from benchmarks.mutations.run import loops

NAMED = [
    "flow/sign_of_velocity", "flow/target_without_noise", "forecast/target_in_window", "classes/weight_decay",
    "segment/channels_viewed", "letters/no_mask", "vae/kl_without_exp", "vae/std_is_exp_logvar", "vae/noise_one_for_batch",
]  # fmt: skip
SOUND = ["flow/", "classes/", "letters/", "vae/"]


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
