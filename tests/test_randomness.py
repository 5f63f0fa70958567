"""Two processes draw the two halves of what one draws; a step draws the same each time."""

import pytest
import torch

from trainwright.randomness import normal, seed_step, stratified, uniform

DRAWS = {
    "uniform": lambda count: uniform(count, 3),
    "normal": lambda count: normal(count, 2, 2),
    "stratified": stratified,
}


@pytest.mark.parametrize("name", DRAWS)
def test_processes_draw_the_parts_of_what_one_draws(name):
    draw = DRAWS[name]

    def step(number: int, count: int, rank: int = 0, processes: int = 1) -> torch.Tensor:
        seed_step(7, number, 0, rank, processes)
        uniform(count)  # something before it
        return draw(count)

    whole = step(3, 6)
    assert torch.equal(whole, step(3, 6))
    assert not torch.equal(whole, step(4, 6))
    assert torch.equal(whole, torch.cat([step(3, 3, rank, 2) for rank in (0, 1)]))
    assert torch.equal(whole, torch.cat([step(3, 2, rank, 3) for rank in (0, 1, 2)]))
    seed_step(0, 0, 0)


def test_what_a_process_draws_for_itself_differs():
    found = []
    for rank in (0, 1):
        seed_step(7, 3, 0, rank, 2)
        found.append(torch.rand(3))
    seed_step(0, 0, 0)
    assert not torch.equal(*found)


def test_stratified_numbers_fall_one_into_each_stretch():
    assert ((stratified(8) * 8).long() == torch.arange(8)).all()
