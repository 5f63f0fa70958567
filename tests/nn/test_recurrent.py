"""The layers give what ``nn.LSTM`` gives, forwards and backwards, however their input comes."""

import pytest
import torch
from torch import nn

from trainwright.nn.recurrent import Recurrent

STEPS, BATCH, HIDDEN = 7, 5, 6


def pair(width, constant, layers=2):
    torch.manual_seed(3)
    ours, plain = Recurrent(width, constant, HIDDEN, layers, 0.0), nn.LSTM(width + constant, HIDDEN, layers)
    with torch.no_grad():
        for i, layer in enumerate(ours.layers):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(plain, f"{name}_l{i}").copy_(getattr(layer, f"{name}_l0"))
    return ours, plain


@pytest.mark.parametrize(("width", "constant"), [(3, 0), (0, 4), (3, 4)])
def test_outputs_states_and_gradients_are_those_of_nn_lstm(width, constant):
    ours, plain = pair(width, constant)
    x = torch.randn(STEPS, BATCH, width, requires_grad=True) if width else None
    z = torch.randn(BATCH, constant, requires_grad=True) if constant else None
    out, states = ours(x, z, STEPS)
    joined = torch.cat([p for p in (x, None if z is None else z.expand(STEPS, BATCH, constant)) if p is not None], -1)
    wanted, (h, c) = plain(joined)
    torch.testing.assert_close(out, wanted)
    torch.testing.assert_close(states[-1], (h[-1], c[-1]))
    pull, other = torch.randn_like(out), torch.randn(BATCH, HIDDEN)
    inputs = [p for p in (x, z) if p is not None]
    found = torch.autograd.grad((out * pull).sum() + (states[-1][1] * other).sum(), [*inputs, *ours.parameters()])
    right = torch.autograd.grad((wanted * pull).sum() + (c[-1] * other).sum(), [*inputs, *plain.parameters()])
    for a, b in zip(found, right, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_one_step_after_the_other_gives_the_same_as_all_at_once():
    ours, _ = pair(3, 4)
    x, z = torch.randn(STEPS, BATCH, 3), torch.randn(BATCH, 4)
    whole, _ = ours(x, z)
    states, parts = None, []
    for step in x:
        part, states = ours(step[None], z, 1, states)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts), whole)


def test_gradients_pass_the_numerical_check():
    from trainwright.nn.recurrent import Steps

    torch.manual_seed(0)
    with torch.random.fork_rng():
        torch.set_default_dtype(torch.float64)
        try:
            shapes = ((4, 3, 2), (12, 2), (12, 6), (3, 2), (3, 2))
            x, fixed, weight, h, c = (torch.randn(*s, requires_grad=True) for s in shapes)
            assert torch.autograd.gradcheck(Steps.apply, (x, fixed, weight, h, c))
            nothing = torch.zeros(4, 0, 2)
            assert torch.autograd.gradcheck(lambda *a: Steps.apply(nothing, *a), (fixed, weight[:, 3:], h, c))
        finally:
            torch.set_default_dtype(torch.float32)


def test_dropout_falls_between_layers_in_training_only():
    torch.manual_seed(0)
    net = Recurrent(3, 0, HIDDEN, 2, 0.5)
    x = torch.randn(STEPS, BATCH, 3)
    assert not torch.equal(net(x)[0], net(x)[0])
    net.eval()
    assert torch.equal(net(x)[0], net(x)[0])
