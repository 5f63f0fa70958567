"""Fits on disk: nothing is fitted twice, interrupted work goes on, an image that fails is named, folders can be carried."""

import numpy as np
import pytest
import torch

from trainwright.data.gaussians import pool, store
from trainwright.data.gaussians.config import Fit, GaussianData
from trainwright.data.gaussians.dataset import FittedImages
from trainwright.data.gaussians.folder import write_folder
from trainwright.errors import UserError

FIT = {"count": 32, "max_steps": 25}


@pytest.fixture
def config(sprites, tmp_path, monkeypatch):
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path / "cache"))

    def make(**changes):
        fit = Fit(**{**FIT, **changes.pop("fit", {})})
        return GaussianData(**{"source": str(sprites), "size": 32, "workers": 1, "fitting": fit, **changes})

    return make


@pytest.fixture
def counted(monkeypatch):
    fitted: list[str] = []
    original = pool.fit_pixels

    def count(pixels, settings, digests, device="cpu"):
        fitted.extend(digests)
        return original(pixels, settings, digests, device)

    monkeypatch.setattr(pool, "fit_pixels", count)
    return fitted


def test_nothing_is_fitted_twice(config, counted):
    first = store.load(config())
    assert len(counted) == len(set(first.digests)) == 40
    again = store.load(config())
    assert len(counted) == 40
    assert np.array_equal(first.sets, again.sets)
    store.load(config(fit={"max_steps": 26}))
    assert len(counted) == 80


def test_interrupted_work_goes_on(config, counted):
    class Stop(Exception):
        pass

    def stop(done, total):
        if done >= 12:
            raise Stop

    with pytest.raises(Stop):
        store.load(config(), stop)
    assert len(counted) == 12
    store.load(config())
    assert len(counted) == 40


def test_a_damaged_fit_is_made_anew(config, counted, tmp_path):
    store.load(config())
    files = sorted((tmp_path / "cache" / "gaussians" / "fits").rglob("*.safetensors"))
    files[3].write_bytes(files[3].read_bytes()[:100])
    for folder in (tmp_path / "cache" / "arrays" / "gaussian_sets").iterdir():
        (folder / "index.json").unlink()
    store.load(config())
    assert len(counted) == 41


def test_two_processes_do_the_same_as_one(config, monkeypatch, tmp_path):
    one = store.load(config())
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path / "other"))
    two = store.load(config(workers=2))
    assert np.array_equal(one.sets, two.sets)


@pytest.fixture
def failing(monkeypatch):
    original = pool.fit_pixels

    def fail(pixels, settings, digests, device="cpu"):
        found = original(pixels, settings, digests, device)
        if FAILS in digests:
            found[digests.index(FAILS)].set.fill_(float("nan"))
        return found

    monkeypatch.setattr(pool, "fit_pixels", fail)


def test_a_picture_that_fails_is_named_or_left_out(config, failing):
    global FAILS
    images = store.load_images(config())
    FAILS = images.digests[7]
    with pytest.raises(UserError, match=images.names[7]):
        store.load(config())
    found = store.load(config(on_error="skip"))
    assert [name for name, _ in found.skipped] == [images.names[7]]
    assert len(found.names) == len(found.sets) == len(found.pixels) == 39
    assert np.array_equal(found.pixels[7], images.pixels[8])


FAILS = ""


def test_a_folder_of_fits_is_the_same_data(config, tmp_path):
    here = store.load(config())
    write_folder(tmp_path / "fits", here, config())
    there = store.load(config(source=str(tmp_path / "fits")))
    assert np.array_equal(here.sets, there.sets) and np.array_equal(here.pixels, there.pixels)
    assert here.identity == there.identity


def test_a_folder_of_other_fits_says_what_to_give(config, tmp_path):
    write_folder(tmp_path / "fits", store.load(config()), config())
    with pytest.raises(UserError, match=r"Add fitting\.count=32"):
        store.load(config(source=str(tmp_path / "fits"), fit={"count": 64}))
    (tmp_path / "fits" / "fits.safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match="damaged fits"):
        store.load(config(source=str(tmp_path / "fits")))


@pytest.mark.parametrize(("form", "layout", "normalise"), [
    ("raw", "adaptive", "parameter"), ("canonical", "slots", "slot"), ("canonical", "slots", "parameter"),
])  # fmt: skip
def test_training_data_are_normalised_and_the_held_out_kept_apart(config, form, layout, normalise):
    order = "fitted" if layout == "slots" else "morton"
    settings = {"layout": layout, "variables": "log_covariance"}
    data = FittedImages.open(config(form=form, order=order, normalise=normalise, fit=settings))
    sets = data.some("train", len(data))
    assert sets.shape == (len(data), data.form.width, 32)
    assert sets.mean((0, 2)).abs().max() < 1e-3
    spread = sets.std((0, 2), unbiased=False)
    assert torch.allclose(spread, torch.ones_like(spread), atol=2e-2)
    assert torch.allclose(sets.mean(0), data.slot_mean, atol=1e-3)
    assert not set(data.train) & set(data.held_out)
    if normalise == "slot":
        assert data.slot_mean.abs().max() < 1e-3
