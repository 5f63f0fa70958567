"""What a decoder may see, what its likelihood says, and what comes out of it."""

import math

import pytest
import torch

from tests.conftest import quick_config
from trainwright import catalog as registry
from trainwright.data.levels import sokoban, tiles
from trainwright.data.levels.dataset import open_levels
from trainwright.engine.model import build
from trainwright.errors import UserError
from trainwright.families.sequence_vae.context import TileCanvas, board_context
from trainwright.families.sequence_vae.diagnostics import what_happened
from trainwright.families.sequence_vae.likelihood import MixtureLikelihood, draw_symbol
from trainwright.families.sequence_vae.moves import Moves
from trainwright.families.sequence_vae.quality import two_sample_ratio
from trainwright.families.sequence_vae.rules import repair

SOUND, TILES = "sequence_vae/gaussian_mixture_sound", "sequence_vae/sokoban"


def model(title, *words):
    family, config = quick_config(title, None, *words)
    return build(family, config), family.load(config).open_data(config)


def test_a_tile_at_a_time_sees_what_a_finished_map_shows_it():
    boards = torch.randint(0, 8, (3, 5, 6), generator=torch.Generator().manual_seed(0))
    near, counts = board_context(boards, 8)
    canvas = TileCanvas(3, 5, 6, 8, torch.device("cpu"))
    for row in range(5):
        for column in range(6):
            assert torch.equal(canvas.near(row, column), near[:, row, column])
            assert torch.equal(canvas.counts, counts[:, row, column])
            canvas.put(row, column, boards[:, row, column])
    assert torch.equal(canvas.boards, boards)


@pytest.mark.parametrize("title", [SOUND, TILES])
def test_no_step_sees_itself_or_what_comes_after(title):
    made, data = model(title)
    made.decoder.eval()
    levels = data.some("train", 4)
    z = torch.randn(4, made.model.latent_dim)
    reported = torch.ones(levels.shape if made.symbols else levels.shape[:2])
    steps = levels[0].numel() if made.symbols else levels.shape[1]
    other = levels.clone()
    if made.symbols:
        other.flatten(1)[:, 20:] = (other.flatten(1)[:, 20:] + 1) % 8
    else:
        other[:, 5:] += 0.1
    cut = 21 if made.symbols else 6  # the first changed step is predicted from what came before it
    one, two = (made.decoder(z, steps, made.before(x, reported)) for x in (levels, other))
    assert torch.equal(one[:cut], two[:cut])
    assert not torch.allclose(one[cut:], two[cut:])


@pytest.mark.parametrize("bounds", [((-8.0, 8.0), (-8.0, 8.0)), ((0.0, 8.0), (-1.0, 1.0))], ids=["wide", "cut"])
def test_a_mixture_is_a_density_within_its_bounds_and_draws_follow_it(bounds):
    raw = torch.tensor([0.3, -0.4, 0.2, 0.5, -0.5, -1.0, -0.3, 0.8, -1.2, -0.7])
    mixture = MixtureLikelihood.of(raw, 2, bounds)
    axes = [torch.linspace(low, high, 801) for low, high in bounds]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, 1)
    density = torch.exp(-mixture.negative_log_likelihood(grid))
    cell = math.prod((high - low) / 800 for low, high in bounds)
    assert float(density.sum() * cell) == pytest.approx(1, abs=0.02)
    drawn = MixtureLikelihood.of(raw.expand(20_000, 10), 2, bounds).draw(torch.Generator().manual_seed(0))
    wanted = (density[:, None] * grid).sum(0) / density.sum()
    assert torch.allclose(drawn.mean(0), wanted, atol=0.03)
    low, high = torch.tensor(bounds).unbind(1)
    assert bool((drawn >= low).all() and (drawn <= high).all())


def test_a_mixture_stays_finite_where_it_has_hardly_any_mass():
    raw = torch.full((10,), -9.0, requires_grad=True)
    loss = MixtureLikelihood.of(raw, 2, ((-1.0, 1.0), (-1.0, 1.0))).negative_log_likelihood(torch.tensor([1.0, 1.0]))
    loss.backward()
    assert bool(torch.isfinite(loss)) and bool(torch.isfinite(raw.grad).all())


@pytest.mark.parametrize("order", ["x", "clusters", "drawn"])
def test_moves_lead_back_to_the_points(order):
    points = torch.rand(4, 9, 2, generator=torch.Generator().manual_seed(1))
    points = points.gather(1, points[..., :1].argsort(1).expand_as(points)) if order == "x" else points
    way, last, again = Moves(order), torch.zeros(4, 2), []
    for move in way.of(points).unbind(1):
        last = way.after(last, move, 9)
        again.append(last)
    torch.testing.assert_close(torch.stack(again, 1), points)


def test_symbols_are_drawn_as_often_as_they_are_likely_and_never_if_not_allowed():
    logits = torch.tensor([0.0, math.log(3.0), 9.0]).expand(20_000, 3)
    allowed = torch.tensor([True, True, False]).expand(20_000, 3)
    drawn = draw_symbol(logits, allowed, torch.Generator().manual_seed(0))
    assert float((drawn == 1).float().mean()) == pytest.approx(0.75, abs=0.01)
    assert not bool((drawn == 2).any())


def test_rules_make_every_map_valid_and_leave_real_maps_alone():
    made, data = model(TILES, "rules=sokoban", "data.size=[8, 8]")
    boards = made.levels(64, seed=3).numpy()
    checks = sokoban.checks(boards)
    assert checks["closed"].all() and checks["valid"].mean() > 0.8  # untrained: some have no room for a player
    real = data.some("train", 50)
    assert torch.equal(repair(real, torch.randn(*real.shape, 8)), real)


def test_mending_takes_the_edits_that_cost_least():
    board = torch.tensor([[[0, 0, 0, 0, 0], [0, 1, 2, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]]])
    logits = torch.zeros(1, 4, 5, 8)
    logits[0, 2, 1, tiles.PLAYER] = 3.0
    logits[0, 1, 3, tiles.GOAL] = 2.0
    found = repair(board, logits)[0]
    assert found[2, 1] == tiles.PLAYER and found[1, 3] == tiles.GOAL and found[1, 2] == tiles.BOX
    assert bool(sokoban.checks(found[None].numpy())["valid"][0])


def test_samples_are_a_pure_function_of_the_seed_and_sizes_may_differ_on_both_sides():
    made, _ = model(SOUND, "encoder_hidden=12", "decoder_hidden=20", "decoder_layers=2", "decoder_input_layer=true")
    assert torch.equal(made.levels(3, 5), made.levels(3, 5))
    assert made.encoder.lstm.layers[0].hidden_size == 12 and made.decoder.lstm.layers[1].hidden_size == 20
    assert made.facts(made.open_data(made.config))["asymmetric"] == "layers 1 and 2, hidden 12 and 20"


@pytest.mark.parametrize(("title", "name"), [(SOUND, "points.npy"), (TILES, "levels.txt")])
def test_samples_as_files_can_be_trained_on_again(title, name, tmp_path):
    made, _ = model(title)
    file = tmp_path / name
    file.write_bytes(made.as_files(8, [3, 4])[name])
    words = ("data.order=drawn",) if name == "points.npy" else ()
    _, config = quick_config(title, None, f"data.source={file}", *words)
    if name == "points.npy":
        levels = torch.from_numpy(open_levels(config.data).table.levels)
        written = torch.cat([made.levels(8, 3), made.levels(8, 4)])  # they come back in an order that no file decides
        torch.testing.assert_close(*(x[x[:, 0, 0].argsort()] for x in (levels, written)))
    else:
        boards = [tiles.place(level, 7, 7) for level in tiles.read(str(file))]
        assert len(boards) == 16
        same = [tiles.digest(a) == tiles.digest(b) for a, b in zip(boards[:8], made.levels(8, 3).numpy(), strict=True)]
        assert sum(same) >= 6  # a map of an untrained network may hold walls in the outside, which are cut away


def test_real_levels_are_as_near_to_real_ones_where_none_are_held_out():
    _, data = model("sequence_vae/gaussian_mixture_sound", "data.source=gaussian_mixture", "data.held_out=0")
    assert two_sample_ratio(data.some("train", 4096)[1::2], data) < 2


def test_the_guides_schedule_is_remarked_upon_and_its_numbers_are_right():
    from trainwright.config.schedules import value
    from trainwright.engine.preflight import preflight_of

    family, config = quick_config("sequence_vae/uniform", None, "steps=null", "epochs=200", "epoch_size=64")
    at = {epoch: value(config.optim.beta, 0, epoch) for epoch in (0, 100, 200, 500)}
    assert [round(v, 4) for v in at.values()] == [0.0067, 0.018, 0.0474, 0.5]
    found = preflight_of(family, config, family.load(config).open_data(config), seconds=0.2)
    said = next(c.message for c in found if c.name == "schedule")
    assert "ends at 200, at 0.0474 of 1" in said


def test_free_bits_cost_nothing_below_the_bound():
    from trainwright.metrics.latent import kl_per_dimension

    made, data = model(SOUND, "free_bits=5.0")
    seen = {}

    class StepContext:
        step, epoch = 0, 0.0

        def update(self, group, **terms):
            seen.update(terms)

        def record(self, **signals):
            seen.update(signals)

    batch = data.some("train", 8)
    made.training_step(batch, StepContext())
    assert float(seen["kl"][1].detach()) == pytest.approx(5.0 * made.model.latent_dim)
    with torch.no_grad():
        nats = float(kl_per_dimension(*made.encoder(batch)).sum(1).mean())
    assert float(seen["kl__nats"]) == pytest.approx(nats, rel=1e-5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("data=sokoban", "likelihood=gaussian"), "should be categorical"),
        (("likelihood=categorical",), "should be gaussian or mixture"),
        (("rules=sokoban",), "is for Sokoban levels"),
        (("data.clusters=[5, 2]",), "the fewest first"),
    ],
)
def test_settings_that_do_not_fit_each_other_are_refused(words, said):
    with pytest.raises(UserError, match=said):
        registry.load("sequence_vae/uniform", words)


def test_what_happened_tells_averages_from_a_prior_that_is_elsewhere():
    base = {"kl/nats_heldout": 30.0, "latent/active_units": 12.0, "prior/two_sample_ratio": 9.0}
    assert "averages" in what_happened({**base, "reconstructions/two_sample_ratio": 8.0})
    assert "the prior does not match the codes" in what_happened({**base, "reconstructions/two_sample_ratio": 1.1})
    assert "like real levels" in what_happened({**base, "prior/two_sample_ratio": 1.1})
    assert "collapsed" in what_happened({**base, "kl/nats_heldout": 0.0})
