"""Maps that undo each other, points that stay in the ball, rotations that are rotations, and parameters that learn."""

import copy
import math

import geoopt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.nn.hyperbolic.ball import at_boundary, exp0, limit, log0, project
from trainwright.nn.hyperbolic.level import Nesting
from trainwright.nn.hyperbolic.optimizer import BallAdam
from trainwright.nn.hyperbolic.rotation import phi_angle, product, rotation
from trainwright.nn.hyperbolic.stack import Stack, euclidean, phi_curvature

CURVATURES = st.floats(0.05, 5.0)
DTYPES = st.sampled_from([torch.float32, torch.float64])
FULL = Nesting(rotate=True, dropout=0.0)


def vectors(seed: int, width: int, length: float, dtype: torch.dtype) -> torch.Tensor:
    drawn = torch.randn(16, width, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return drawn / drawn.norm(dim=-1, keepdim=True) * length


def test_the_published_check_values() -> None:
    one = torch.tensor(1.0)
    near, far = torch.tensor([0.3, 0.4]), torch.tensor([3.0, 4.0])
    torch.testing.assert_close(exp0(near, one), torch.tensor([0.2773, 0.3697]), atol=1e-4, rtol=0)
    torch.testing.assert_close(log0(exp0(near, one), one), near)
    torch.testing.assert_close(exp0(far, one), torch.tensor([0.5999, 0.7999]), atol=1e-4, rtol=0)
    torch.testing.assert_close(log0(exp0(far, one), one), torch.tensor([2.971, 3.961]), atol=1e-3, rtol=0)
    torch.testing.assert_close(
        exp0(near, torch.tensor(phi_curvature(3))), torch.tensor([0.2573, 0.3431]), atol=1e-4, rtol=0
    )
    assert [round(phi_curvature(i), 4) for i in range(4)] == [0.4859, 0.7862, 1.2720, 2.0582]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 9), CURVATURES, st.floats(0, 1), DTYPES)
def test_the_logarithm_undoes_the_exponential(
    seed: int, width: int, c: float, share: float, dtype: torch.dtype
) -> None:
    """For every tangent up to the longest that its dtype can bring back, 4.9/√c in 32 bits."""
    curvature = torch.tensor(c, dtype=dtype)
    v = vectors(seed, width, share * 4.9 / math.sqrt(c), dtype)
    point = exp0(v, curvature)
    assert bool((point.norm(dim=-1) * math.sqrt(c) < 1).all())
    tolerance = 5e-3 if dtype == torch.float32 else 1e-9
    torch.testing.assert_close(log0(point, curvature), v, atol=tolerance, rtol=tolerance)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), CURVATURES, st.floats(0, 1e6), DTYPES)
def test_whatever_comes_in_stays_in_the_ball_with_a_finite_gradient(
    seed: int, c: float, length: float, dtype: torch.dtype
) -> None:
    curvature = torch.tensor(c, dtype=dtype, requires_grad=True)
    v = vectors(seed, 5, length, dtype).requires_grad_()
    point = project(exp0(v, curvature) * 1.5, curvature)
    assert bool((point.norm(dim=-1) * math.sqrt(c) <= limit(v) * (1 + 1e-6)).all())
    back = log0(point, curvature)
    assert bool(torch.isfinite(back).all())
    gradients = torch.autograd.grad(back.square().sum(), [v, curvature])
    assert all(bool(torch.isfinite(g).all()) for g in gradients)


def test_the_maps_are_those_of_geoopt_in_64_bits() -> None:
    for c in (0.3, 1.0, 2.5):
        ball = geoopt.PoincareBall(c=torch.tensor(c, dtype=torch.float64))
        v = vectors(3, 6, 1.7, torch.float64)
        curvature = torch.tensor(c, dtype=torch.float64)
        torch.testing.assert_close(exp0(v, curvature), ball.expmap0(v))
        torch.testing.assert_close(log0(ball.expmap0(v), curvature), ball.logmap0(ball.expmap0(v)))


def test_in_32_bits_a_tangent_comes_back_that_geoopt_cuts_off() -> None:
    """Why the maps are not geoopt's own; when it reaches as far, they can be."""
    v = vectors(0, 4, 4.5, torch.float32)
    ball = geoopt.PoincareBall(c=1.0)
    assert float(ball.logmap0(ball.expmap0(v)).norm(dim=-1).max()) < 3.3
    torch.testing.assert_close(log0(exp0(v, torch.tensor(1.0)), torch.tensor(1.0)), v, atol=2e-2, rtol=0)


def test_bfloat16_is_computed_in_32_bits() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert exp0(torch.randn(3, 4, dtype=torch.bfloat16), torch.tensor(1.0)).dtype == torch.float32


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 9), st.integers(0, 10**6), st.floats(0, 3))
def test_a_rotation_is_one_whatever_its_parameters(width: int, seed: int, size: float) -> None:
    turn = rotation(width)
    eye = torch.eye(width)
    torch.testing.assert_close(turn(eye), eye)  # the identity at the start
    own = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in turn.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=own) * size)
    matrix = turn(eye)
    torch.testing.assert_close(matrix @ matrix.T, eye, atol=2e-4, rtol=0)
    assert abs(float(torch.linalg.det(matrix.detach())) - 1) < 1e-3


def test_two_quaternions_reach_all_of_four_dimensions() -> None:
    """One quaternion and its inverse turn three dimensions only; two of them can turn the real axis as well."""
    turn = rotation(4)
    with torch.no_grad():
        turn.left.add_(torch.tensor([0.0, 0.7, 0.0, 0.0]))
    assert float(turn(torch.tensor([1.0, 0, 0, 0])).detach()[1]) > 0.4
    i, j, k = torch.eye(4)[1:]
    torch.testing.assert_close(product(i, j), k)


def test_the_phi_option_begins_at_its_angle() -> None:
    factors = [phi_angle(4, i) / math.log(2) for i in range(5)]
    assert [round(f, 4) for f in factors] == [0.3, 0.4854, 0.7854, 1.2708, 2.0562]
    assert [round(phi_angle(2, i) / math.log(2), 4) for i in range(3)] == [1.0472, 1.6944, 2.7416]
    assert phi_angle(8, 1) == 0
    turn = rotation(2, 0.5)
    torch.testing.assert_close(turn(torch.tensor([1.0, 0.0])), torch.tensor([math.cos(0.5), math.sin(0.5)]))
    trace = float(torch.trace(rotation(4, 0.5)(torch.eye(4))))
    assert trace == pytest.approx(2 + 2 * math.cos(0.5), abs=1e-5)


def test_parameters_are_counted_as_in_the_guides_program() -> None:
    """Ours lacks what that program has and does not read: descriptor, boundary points and spread of the last level (5 d + 1).

    Its combiners do not read the spread before them either: 32 weights of each level but the first.
    """
    plain = Nesting(in_ball=False)

    def size(width_in: int, widths: tuple[int, ...]) -> int:
        stack = Stack(width_in, widths, (1.0,), plain)
        return sum(p.numel() for p in stack.parameters()) + 5 * widths[-1] + 1 - 32 * (len(widths) - 1)

    assert size(128, (64, 32)) == 26822  # S of the command line
    assert size(192, (128, 64)) == 71878  # S of the launcher
    assert size(128, (32,)) == 8643  # M of the command line
    assert size(64, (128,)) == 26083  # T with motion
    assert size(32, (128,)) == 21987  # T without motion
    assert size(128, (256, 128)) == 168134  # T of the launcher with motion
    assert size(64, (256, 128)) == 151750  # and without


@pytest.mark.parametrize("nesting", [Nesting(dropout=0.0), FULL])
@pytest.mark.parametrize("widths", [(6,), (8, 4, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_parameter_gets_a_gradient(nesting: Nesting, widths: tuple[int, ...], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    stack = Stack(5, widths, (1.0,), nesting).to(dtype)
    stack(torch.randn(64, 5, dtype=dtype)).square().mean().backward()
    for name, parameter in stack.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
        assert float(parameter.grad.norm()) > 0, name


def test_curvature_matters_only_where_vectors_are_taken_inside_of_the_ball() -> None:
    """log0 after exp0 at the same origin cancels: a nesting that has nothing else is a Euclidean network in disguise."""

    def moved(in_ball: bool, reach: float) -> float:
        torch.manual_seed(1)
        stack = Stack(6, (6, 4), (0.5,), Nesting(in_ball=in_ball, dropout=0.0)).eval()
        with torch.no_grad():
            for level in stack.levels:
                if level.boundary is not None:
                    level.boundary.mul_(reach)
            x = torch.randn(32, 6)
            before = stack(x)
            for level in stack.levels:
                level.ball.isp_c.add_(1.0)
            return float((stack(x) - before).norm() / before.norm())

    assert moved(in_ball=False, reach=0) < 1e-4
    assert moved(in_ball=True, reach=200) > 1e-2


def test_the_guides_tangents_begin_at_the_boundary_and_unit_tangents_do_not() -> None:
    """A LayerNorm of 64 leaves vectors of length 8, and tanh(8) is the boundary."""
    torch.manual_seed(0)
    x = torch.randn(64, 64)
    shares = {}
    for unit in (False, True):
        stack = Stack(64, (64, 32), (1.0,), Nesting(unit=unit))
        stack(x)
        shares[unit] = float(stack.at_boundary)
    assert shares[False] > 0.5 > 0.1 > shares[True]
    assert float(at_boundary(torch.tensor([[0.995, 0.0], [0.5, 0.0]]), torch.tensor(1.0))) == 0.5


def test_the_optimizer_keeps_points_on_their_ball_and_learns_curvatures() -> None:
    torch.manual_seed(0)
    stack = Stack(5, (8, 4), (1.0,), Nesting(dropout=0.0))
    optimizer = BallAdam(stack.parameters(), lr=0.05, betas=(0.9, 0.999))
    points = [p for p in stack.parameters() if isinstance(p, geoopt.ManifoldParameter)]
    before = [p.detach().clone() for p in points]
    curvatures = [float(level.c) for level in stack.levels]
    x, y = torch.randn(64, 5), torch.randn(64, 4)
    losses = []
    for _ in range(60):
        optimizer.zero_grad(set_to_none=True)
        loss = (stack(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.7 * losses[0]
    for point, old in zip(points, before, strict=True):
        assert bool((point.norm(dim=-1) < 1 / point.manifold.c.sqrt()).all())
        assert float((point - old).norm()) > 1e-3
    assert all(abs(float(level.c) - old) > 1e-3 for level, old in zip(stack.levels, curvatures, strict=True))


def test_points_follow_geoopts_riemannian_adam_and_the_rest_follows_adam() -> None:
    torch.manual_seed(0)
    ours = Stack(5, (8, 4), (1.0,), Nesting(dropout=0.0))
    theirs = copy.deepcopy(ours)
    both = BallAdam(ours.parameters(), lr=0.01, betas=(0.9, 0.999))
    oracle = geoopt.optim.RiemannianAdam(theirs.parameters(), lr=0.01, betas=(0.9, 0.999), stabilize=1)
    x = torch.randn(32, 5)
    for _ in range(5):
        for network, optimizer in ((ours, both), (theirs, oracle)):
            optimizer.zero_grad()
            network(x).square().mean().backward()
            optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.detach(), b.detach(), atol=1e-5, rtol=1e-4)


def test_a_euclidean_stack_of_equal_size() -> None:
    stack = Stack(96, (64, 32), (1.0,), Nesting())
    size = sum(p.numel() for p in stack.parameters())
    control = euclidean(96, (64, 32), Nesting(), size)
    assert abs(sum(p.numel() for p in control.parameters()) / size - 1) < 0.01
    assert control(torch.randn(3, 7, 96)).shape == stack(torch.randn(3, 7, 96)).shape == (3, 7, 32)
