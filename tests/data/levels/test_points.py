"""Levels of points depend on seed and position alone, and are what the guide says that they are."""

import numpy as np
import pytest
import torch

from trainwright.data.levels.config import KINDS, LevelData
from trainwright.data.levels.dataset import open_levels
from trainwright.data.levels.drawing import draw_points
from trainwright.data.levels.points import by_clusters, by_x, draw, uniforms
from trainwright.errors import UserError
from trainwright.metrics.point_sets import clusters


def made(kind, start=0, size=2000, seed=0):
    return draw(kind, seed, 0, start, size, 50, (3, 6), 50.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_level_is_a_function_of_seed_and_position_whatever_the_batches_are(kind):
    whole = made(kind, 0, 40)
    assert np.array_equal(np.concatenate([made(kind, 0, 7), made(kind, 7, 33)]), whole)
    assert not np.array_equal(made(kind, 0, 40, seed=1), whole)
    assert whole.dtype == np.float32 and whole.min() >= 0 and whole.max() <= 1
    assert len(np.unique(whole.reshape(40, -1), axis=0)) == 40


def test_the_table_of_random_numbers_is_uniform_and_rows_are_independent():
    u = uniforms(3, 0, 10**12, 20_000, 5)
    assert abs(u.mean() - 0.5) < 0.005 and abs(u.var() - 1 / 12) < 0.002
    assert np.abs(np.corrcoef(u[:-1, 4], u[1:, 0])[0, 1]) < 0.03


def test_sorted_uniform_points_have_the_moments_of_order_statistics():
    x = by_x(made("uniform", size=20_000))[..., 0]
    k = np.arange(1, 51)
    assert np.allclose(x.mean(0), k / 51, atol=0.003)
    assert np.allclose(x.var(0), k * (51 - k) / (51**2 * 52), atol=3e-4)


def test_mixtures_have_three_to_six_clusters_that_keep_their_shape():
    levels = torch.from_numpy(made("gaussian_mixture"))
    counted = clusters(levels).float()
    assert 3.5 < counted.mean() < 5.5  # clusters that touch count as one
    assert (counted >= 7).float().mean() < 0.1
    assert torch.equal(levels.amin(1), torch.zeros(2000, 2))
    assert torch.allclose(levels.amax((1, 2)), torch.ones(2000))


def groups(level):
    """Sets of points that are connected by steps below .08, by hand."""
    left, found = set(range(len(level))), []
    while left:
        edge = [left.pop()]
        found.append(set(edge))
        while edge:
            here = level[edge.pop()]
            near = {k for k in left if np.square(level[k] - here).sum() < 0.08**2}
            left -= near
            found[-1] |= near
            edge += near
    return found


def test_groups_stay_together_the_leftmost_first_and_nothing_else_changes():
    levels = made("gaussian_mixture", size=30)
    for grouped, level in zip(by_clusters(levels), levels, strict=True):
        assert np.array_equal(np.sort(grouped, axis=0), np.sort(level, axis=0))
        for members in groups(grouped):
            assert members == set(range(min(members), max(members) + 1))
            drawn = [int(np.flatnonzero((level == grouped[k]).all(1))[0]) for k in sorted(members)]
            assert drawn == sorted(drawn)
        firsts = [min(grouped[k, 0] for k in members) for members in sorted(groups(grouped), key=min)]
        assert firsts == sorted(firsts)


def test_links_stay_within_their_reach():
    levels = made("links")
    runs = [level for level in levels if np.abs(np.diff(level[:5], axis=0)).max() <= 0.1]
    assert 0.7 < len(runs) / len(levels) < 0.8  # three lengths of four keep the first five points together


def test_batches_of_a_run_never_hold_what_is_held_out():
    data = open_levels(LevelData(source="uniform", points=12, epoch_size=64))
    batch = data.fetch(0x5EED, 0, 64)
    for part in ("train", "held_out"):
        assert not set(map(bytes, data.some(part, 64).numpy())) & set(map(bytes, batch))
    assert torch.equal(data.some("train", 8), data.some("train", 64)[:8])


def test_own_points_are_read_and_wrong_ones_named(tmp_path):
    file = tmp_path / "mine.npy"
    np.save(file, made("links", size=40))
    data = open_levels(LevelData(source=str(file)))
    assert 30 <= len(data) < 40 and data.fetch(0, 0, 16).shape == (16, 50, 2)
    np.save(file, made("links", size=40) * 3)
    with pytest.raises(UserError, match=r"scale the points to \[0, 1\]"):
        open_levels(LevelData(source=str(file)))
    np.save(file, np.zeros((40, 3)))
    with pytest.raises(UserError, match=r"\(levels, points, 2\)"):
        open_levels(LevelData(source=str(file)))
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="plain numbers"):
        open_levels(LevelData(source=str(file)))
    with pytest.raises(UserError, match="no file"):
        open_levels(LevelData(source=str(tmp_path / "not.npy")))


def test_dots_lie_where_the_points_are_and_nothing_else_is_drawn():
    image = draw_points(torch.tensor([[[0.0, 0.0], [1.0, 0.5], [5.0, 5.0], [float("nan"), 0.5]]]))[0, 0]
    assert image[63, 0] == -1 and image[:, 63].min() < -0.6 and (image < 0).sum() < 20
    assert int(image[:, 63].argmin()) in (31, 32)
