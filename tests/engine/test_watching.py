"""What a watcher holds samples beside."""

from tests.conftest import quick_config
from trainwright.engine.monitor import REAL, Watcher
from trainwright.engine.session import build
from trainwright.runs.folder import Run


def test_copies_are_looked_for_among_all_training_pictures(tmp_path):
    family, config = quick_config("wgan_gp/tiny", None, "data=sprites", "size=16")
    data = family.load(config).open_data(config)
    watcher = Watcher(build(family, config), data, Run(tmp_path), 10)
    watcher.prepare()
    everything = data.images("train", 10_000)
    assert len(everything) > 2 * REAL
    copies = everything[:: len(everything) // 100]
    assert watcher.samples.measure(copies)["samples/nearest_training_ratio"] < 0.01
