"""``check``, ``doctor`` and ``explain`` as a user meets them: real runs, real processes, exit codes, wrong input."""

import json
import subprocess
import sys

import pytest

from trainwright.data.sources import items
from trainwright.diagnosis.symptoms import symptoms


def run(*words: str, cwd=None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trainwright", *words], capture_output=True, text=True, timeout=200, cwd=cwd
    )


@pytest.fixture(scope="module")
def collapsed(tmp_path_factory):
    """A run that collapses on purpose, with its preflight's words."""
    folder = tmp_path_factory.mktemp("sick") / "collapsed"
    images = tmp_path_factory.mktemp("many")
    for i, item in enumerate(items("sprites")[::4]):
        item.open().save(images / f"{i}.png")
    words = (
        "size=32",
        "fitting.count=32",
        "fitting.max_steps=25",
        "latent_dim=32",
        "encoder_filters=[16,16]",
        "decoder_filters=[16,16]",
    )
    lengths = (
        "steps=400",
        "max_beta=3000",
        "batch_size=8",
        "log_every=4",
        "validate_every=16",
        "checkpoint_every=200",
        "sample_every=200",
        "sample_count=4",
    )
    usual = (f"data={images}", "workers=1", "threads=1", "tracker=none", "--run", str(folder))
    done = run("train", "gaussian_vae/sabotage_beta", *usual, *words, *lengths)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_preflight_says_before_the_first_step_that_it_will_collapse(collapsed):
    _, said = collapsed
    assert "this cannot work" in said
    assert "the posterior will collapse" in said
    assert said.index("this cannot work") < said.index("step ")


def test_the_run_says_what_is_wrong_while_it_trains(collapsed):
    folder, said = collapsed
    assert "sick: posterior collapse" in said
    facts = json.loads((folder / "run.json").read_text())
    assert facts["verdict"] == "sick"
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    found = [e for e in events if e["event"] == "finding" and e["symptom"] == "posterior_collapse"]
    assert found[0]["causes"][0]["cause"] == "beta_above_threshold"
    assert found[0]["evidence"]


def test_doctor_says_it_again_with_cause_remedy_chart_and_exit_code(collapsed):
    folder, _ = collapsed
    said = run("doctor", str(folder), "--chart", str(folder / "doctor.svg"))
    assert said.returncode == 11
    assert "posterior collapse, since step" in said.stdout
    assert "cause 1: the KL weight is above the collapse threshold of the data" in said.stdout
    assert "try: optim.max_beta=" in said.stdout
    assert (folder / "doctor.svg").read_text().startswith("<svg")


def test_doctor_speaks_json(collapsed):
    found = json.loads(run("doctor", str(collapsed[0]), "--json").stdout)
    assert found["verdict"] == "sick"
    assert found["findings"][0]["symptom"] == "posterior_collapse"


def test_a_test_decides_between_causes(collapsed):
    folder, _ = collapsed
    said = run("doctor", str(folder), "--test-causes", "--test-steps", "150")
    assert said.returncode == 11, said.stderr
    assert "Does z carry information again without the KL term?" in said.stdout
    assert "(without_kl)" in said.stdout  # the answer weighs on the causes
    again = json.loads(run("doctor", str(folder), "--json").stdout)
    assert any("(without_kl)" in c["because"] for c in again["findings"][0]["causes"])
    forks = sorted(p.name for p in (folder / "experiments" / "without_kl").iterdir())
    assert forks == ["with", "without"]


def test_doctor_reads_a_log_of_another_program(tmp_path):
    log = tmp_path / "losses.csv"
    log.write_text("epoch,d_loss,g_loss\n" + "".join(f"{i},{-3 - i % 3},{i % 5}\n" for i in range(60)) + "60,nan,1\n")
    said = run("doctor", str(log))
    assert said.returncode == 12
    assert "NaN" in said.stdout
    tried = [line for line in said.stdout.splitlines() if line.startswith(("  try: ", "    do: "))]
    assert tried or "no known cause fits" in said.stdout
    assert not [line for line in tried if "=" in line.partition(" (")[0]]  # advice, since its settings have other names


@pytest.mark.parametrize(
    "words, expected",
    [
        (("doctor", "nowhere"), "no such file or folder"),
        (("doctor", "."), "trainwright"),
        (("explain", "mode_colapse"), "mode_collapse"),
        (("explain", "mode_collapse", "--family", "gan"), "no family"),
        (("check", "wgan_gp/tinny"), "wgan_gp/tiny"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(words, expected, tmp_path):
    said = run(*words, cwd=tmp_path)
    assert said.returncode == 2, said.stdout
    assert expected in said.stderr
    assert "Traceback" not in said.stderr


def test_explain_knows_every_symptom():
    listed = run("explain").stdout
    assert all(name in listed for name in symptoms())
    one = run("explain", "posterior_collapse").stdout
    for part in ("measured:", "thresholds:", "Burda et al.", "causes:", "reduction_mismatch", "remedies"):
        assert part in one


def test_check_is_quick_and_finds_nothing_wrong_with_the_healthy_twin(sprites):
    said = run("check", "gaussian_vae/small", f"data={sprites}", "fitting.max_steps=25", "workers=1", "--json")
    found = json.loads(said.stdout)
    assert not [c for c in found if c["grade"] == "stop"]
    assert {c["name"] for c in found} >= {"posterior_collapse", "lr_probe"}
