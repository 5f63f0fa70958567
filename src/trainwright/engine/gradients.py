"""Inspection of one update of a parameter group: size of the step, and each term's share in the gradient."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from trainwright.engine.model import Terms


def gradient_shares(group: str, terms: Terms, network: nn.Module) -> dict[str, float]:
    """Return ``gradient_share/GROUP/TERM``: each weighted term's gradient norm over the sum of all terms.

    The norm is taken on the network's last weight matrix. The graph stays usable. The result is empty for a single term, or if no
    term reaches that matrix. After GradNorm (Chen et al. 2018).
    """
    matrices = [p for p in network.parameters() if p.ndim >= 2 and p.requires_grad]
    if len(terms) < 2 or not matrices:
        return {}
    norms = {}
    for name, (weight, term) in terms.items():
        found = None
        if term.requires_grad:
            (found,) = torch.autograd.grad(term, matrices[-1], retain_graph=True, allow_unused=True)
        norms[name] = 0.0 if found is None else abs(weight) * float(found.norm())
    whole = sum(norms.values())
    return {f"gradient_share/{group}/{name}": norm / whole for name, norm in norms.items()} if whole > 0 else {}


def copies(networks: Mapping[str, nn.Module]) -> dict[str, list[Tensor]]:
    """Return a copy of every parameter."""
    return {name: [p.detach().clone() for p in network.parameters()] for name, network in networks.items()}


@torch.no_grad()
def update_ratios(before: Mapping[str, Sequence[Tensor]], networks: Mapping[str, nn.Module]) -> dict[str, float]:
    """Return ``update_ratio/NETWORK``: norm of the weights' change over the norm of the weights; about 1e-3 is usual."""
    found = {}
    for name, network in networks.items():
        after = list(network.parameters())
        moved = torch.nn.utils.get_total_norm([a.detach() - b for a, b in zip(after, before[name], strict=True)])
        norm = torch.nn.utils.get_total_norm(before[name])
        found[f"update_ratio/{name}"] = float(moved / norm.clamp_min(1e-12))
    return found
