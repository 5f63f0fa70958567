"""What the doctor's callback compares samples with."""

from types import SimpleNamespace

from tests.conftest import quick_config
from trainwright.engine.callbacks.diagnosis import REAL, DiagnosisCallback
from trainwright.engine.model import build


def test_copies_are_searched_among_all_training_images():
    family, config = quick_config("wgan_gp/tiny", None, "data=sprites", "size=16")
    data = family.load(config).open_data(config)
    callback = DiagnosisCallback()
    callback.on_train_start(SimpleNamespace(config=config, data=data, model=build(family, config)))
    everything = data.images("train", 10_000)
    assert len(everything) > 2 * REAL
    copies = everything[:: len(everything) // 100]
    assert callback.samples.measure(copies)["samples/nearest_training_ratio"] < 0.01
