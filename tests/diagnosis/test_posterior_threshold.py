"""The collapse threshold: closed forms, and a real VAE on real sprites on either side of it."""

import pytest
import torch
from torch import nn

from trainwright.data.config import ImageData
from trainwright.data.images import Images
from trainwright.metrics.latent import active_units, kl_per_dimension
from trainwright.metrics.posterior_threshold import predict


def test_the_threshold_is_twice_the_largest_eigenvalue():
    torch.manual_seed(0)
    data = torch.randn(4000, 6) * torch.tensor([3.0, 2.0, 1.0, 1.0, 0.5, 0.1])
    found = predict(data, torch.ones(6), 1.0)
    assert found.beta == pytest.approx(18, rel=0.1)
    assert found.active(10.0) == 1 and found.active(1.5) == 4
    assert found.nats(17.9 / 4) == pytest.approx(
        0.5 * torch.tensor(4.0).log().item() + 0.5 * torch.tensor(8 / 4.475).log().item(), rel=0.15
    )


def test_reductions_only_change_units():
    data = torch.randn(50, 12, generator=torch.Generator().manual_seed(0))
    whole = predict(data, torch.ones(12), 1.0)
    assert predict(data, torch.full((12,), 1 / 12), 1.0).beta == pytest.approx(whole.beta / 12, rel=1e-6)
    assert predict(data, torch.ones(12), 1 / 8).beta == pytest.approx(whole.beta * 8, rel=1e-6)


def test_more_numbers_than_samples_give_the_same_eigenvalues():
    data = torch.randn(20, 300, generator=torch.Generator().manual_seed(0))
    wide = predict(data, torch.ones(300), 1.0).dimensions[:19]
    centred = (data - data.mean(0)).double()
    values = torch.linalg.svdvals(centred)[:19] ** 2 / 20 * 2
    assert torch.allclose(wide, values)


@pytest.mark.parametrize(("share", "collapsed"), [(0.6, False), (1.3, True)])
def test_a_vae_on_real_sprites_collapses_beyond_it_and_not_before(share, collapsed):
    torch.manual_seed(0)
    data = Images.open(ImageData(source="sprites", size=16)).some("train", 600).flatten(1)
    data = (data - data.mean(0)) / data.std()
    beta = share * predict(data, torch.ones(data.shape[1]), 1.0).beta
    encoder = nn.Sequential(nn.Linear(data.shape[1], 64), nn.ELU(), nn.Linear(64, 16))
    decoder = nn.Sequential(nn.Linear(8, 64), nn.ELU(), nn.Linear(64, data.shape[1]))
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 2e-3, fused=True)
    for _ in range(1500):
        x = data[torch.randint(len(data), (128,))]
        mean, log_variance = encoder(x).chunk(2, 1)
        output = decoder(mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance))
        loss = (output - x).square().sum(1).mean() + beta * kl_per_dimension(mean, log_variance).sum(1).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        mean, log_variance = encoder(data).chunk(2, 1)
        nats = float(kl_per_dimension(mean, log_variance).sum(1).mean())
    assert (active_units(mean) == 0) == collapsed
    assert (nats < 0.02) == collapsed
