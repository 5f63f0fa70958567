"""Discovery of the networks and optimizers of a loop, and of the names that the user gave them."""

import gc
import itertools
import math
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal

import torch
from torch import Tensor, nn

Role = Literal["generator", "discriminator", "encoder", "decoder", "denoiser", "model"]
ROLES: Mapping[Role, re.Pattern[str]] = {
    "discriminator": re.compile(
        r"^(net_?|model_?)?(d|dis|disc|discrim|d_?net|d_?model)(_?[a-z]|_?\d+)?$|discriminat(or|ive)|critic"
    ),
    "generator": re.compile(r"^(net_?|model_?)?(g|gen|generator|g_?net|g_?model)(_?[a-z]{1,3}|_?\d+)?$|generat(or|ive)"),
    "encoder": re.compile(r"^(enc|e|q)(_?\d+)?$|encoder|inference"),
    "decoder": re.compile(r"^(dec|p)(_?\d+)?$|decoder"),
    "denoiser": re.compile(r"unet|denois|diffusion|velocity|^eps|^score|(^|_)dit($|_)"),
}  # fmt: skip
CONTAINERS = (nn.ModuleList, nn.ModuleDict)
INSIDE = "trainwright."
LEAST_ROWS = 16  # of a table
MOST_NUMBERS = 1_000_000  # of a table; codebooks are small, and vocabularies are not followed


@dataclass(eq=False)
class Network:
    """Network of the loop.

    Attributes:
        name: as the user calls it; the class name if no variable was found.
        module: the module.
        role: by its name; ``model`` if that tells nothing.
        trained: False if no optimizer that steps holds any of its parameters.
        beside_frozen: True if a module of the user's holds it beside frozen parameters, so that it is meant to be trained.
    """

    name: str
    module: nn.Module
    role: Role
    trained: bool = True
    beside_frozen: bool = False
    part_of: "Network | None" = None  # for a layer that is only observed when it is given codes

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All parameters."""
        return list(self.module.parameters())


def user_frame() -> FrameType | None:
    """Return the innermost frame outside of this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith(INSIDE):
        frame = frame.f_back
    return frame


def names_in(frame: FrameType | None) -> dict[int, str]:
    """Return the variable names of modules and optimizers by id: locals, attributes of ``self``, entries of dicts, globals."""
    found: dict[int, str] = {}
    for _ in range(3):  # a loop may call a helper of its own that calls the watch
        if frame is None:
            break
        for scope in (frame.f_locals, frame.f_globals):
            for name, value in list(scope.items()):
                _name(found, name, value)
        frame = frame.f_back
    return found


def _name(found: dict[int, str], name: str, value: Any) -> None:
    if name.startswith("__"):
        return
    kind = type(value)
    if issubclass(kind, nn.Module | torch.optim.Optimizer):
        known = found.setdefault(id(value), name)
        if role_of(known) == "model" != role_of(name) and issubclass(kind, nn.Module):
            found[id(value)] = name  # of two names of one network, the one that tells what it is
    if issubclass(kind, nn.Module):
        for child, module in value._modules.items():
            if module is not None and not child.isdigit():
                found.setdefault(id(module), f"{name}.{child}" if name != "self" else child)
    elif issubclass(kind, dict) and 0 < len(value) < 20:
        for key, entry in list(value.items()):
            if isinstance(key, str) and issubclass(type(entry), nn.Module | torch.optim.Optimizer):
                found.setdefault(id(entry), key)
    elif issubclass(kind, list | tuple) and 0 < len(value) < 20:
        for i, entry in enumerate(value):
            if issubclass(type(entry), nn.Module | torch.optim.Optimizer):
                found.setdefault(id(entry), f"{name}[{i}]")
    if name == "self" and hasattr(value, "__dict__"):
        for attribute, entry in list(vars(value).items()):
            if issubclass(type(entry), nn.Module | torch.optim.Optimizer):
                _name(found, attribute, entry)


def invalid_constants(frame: FrameType | None) -> list[tuple[str, int, int]]:
    """Return name, number of NaN and length of each constant (T,) with NaN among buffers, attributes and variables of a frame."""
    found: dict[str, tuple[str, int, int]] = {}

    def look(name: str, value: Any) -> None:
        if isinstance(value, Tensor) and value.ndim == 1 and 4 <= len(value) <= 10_000 and value.is_floating_point():
            missing = int(value.detach().isnan().sum()) if not value.requires_grad else 0
            if missing:
                found.setdefault(name, (name, missing, len(value)))

    for outer, value in list(frame.f_locals.items()) if frame is not None else []:
        look(outer, value)
        if isinstance(value, nn.Module):
            for name, buffer in value.named_buffers(outer):
                look(name, buffer)
        if not isinstance(value, type) and hasattr(value, "__dict__"):
            for name, inner in list(vars(value).items()):
                look(f"{outer}.{name}", inner)
    return list(found.values())


def living(*kinds: type) -> list[Any]:
    """Return all objects of these classes that exist in this process.

    Objects have few types, so each type is asked once; a process may hold a million objects.
    """
    objects = gc.get_objects()
    wanted = {t for t in set(map(type, objects)) if issubclass(t, kinds)}
    return list(itertools.compress(objects, map(wanted.__contains__, map(type, objects))))


def role_of(*names: str) -> Role:
    """Return the role that a name suggests, the first name that says anything deciding."""
    for name in names:
        last = name.rpartition(".")[2].lower()
        for role, pattern in ROLES.items():
            if pattern.search(last):
                return role
    return "model"


def find_networks(
    parameter_sets: Iterable[set[int]],
    names: Mapping[int, str],
    modules: Iterable[nn.Module],
    wrappers: Collection[int] = (),
) -> list[Network]:
    """Return the networks that hold these parameters.

    For each set (the parameters of one optimizer, say) the largest modules are taken whose parameters all belong to the set;
    plain containers and the modules of training frameworks are replaced by what they contain.

    Args:
        parameter_sets: ids of parameters.
        names: names of modules by id.
        modules: candidates.
        wrappers: ids of modules that are replaced by what they contain, as those of training frameworks.
    """
    sets = [s for s in parameter_sets if s]
    owned: dict[int, frozenset[int]] = {}
    wanted = set().union(*sets) if sets else set()
    kept: list[nn.Module] = []
    for module in modules:
        ids = frozenset(id(p) for p in module.parameters())
        if ids & wanted:
            owned[id(module)] = ids
            kept.append(module)
    chosen: dict[int, nn.Module] = {}
    for held in sets:
        inside = [m for m in kept if not _outer(m, wrappers) and not isinstance(m, CONTAINERS) and owned[id(m)] <= held]
        below = {id(d) for m in inside for d in m.modules() if d is not m}
        for module in inside:
            if id(module) not in below:
                chosen.setdefault(id(module), module)
        # a network of which only a part is in the optimizer
        covered = set().union(*(owned[id(m)] for m in inside)) if inside else set()
        for module in kept:
            if id(module) in chosen or _outer(module, wrappers) or isinstance(module, CONTAINERS):
                continue
            if (owned[id(module)] & held) - covered and not any(
                id(c) in owned and owned[id(c)] & (held - covered) for c in module.children()
            ):
                chosen.setdefault(id(module), module)
    chosen = _merge_layers(_inner_of_wrappers(chosen, owned), kept, owned, names, wrappers)
    found, taken = [], set()
    for module in chosen.values():
        name = names.get(id(module)) or type(module).__name__
        base, i = name, 2
        while name in taken:
            name, i = f"{base}_{i}", i + 1
        taken.add(name)
        found.append(Network(name, module, role_of(name, type(module).__name__)))
    return found


def _inner_of_wrappers(chosen: Mapping[int, nn.Module], owned: Mapping[int, frozenset[int]]) -> dict[int, nn.Module]:
    """Replace modules that hold the same parameters, such as a trainer and a sampler around one network, by what they share."""
    found = dict(chosen)
    for module in chosen.values():
        alike = [m for m in chosen.values() if owned[id(m)] == owned[id(module)]]
        if len(alike) < 2 or id(module) not in found:
            continue
        held = [[d for d in m.modules() if owned.get(id(d)) == owned[id(module)]] for m in alike]
        shared = [d for d in held[0] if all(any(d is other for other in each) for each in held[1:])]
        if shared:
            for m in alike:
                found.pop(id(m), None)
            found[id(shared[0])] = shared[0]
    return found


def _merge_layers(
    chosen: dict[int, nn.Module],
    kept: list[nn.Module],
    owned: Mapping[int, frozenset[int]],
    names: Mapping[int, str],
    wrappers: Collection[int],
) -> dict[int, nn.Module]:
    """Replace parts of one module that the user has a variable for by that module.

    With a frozen or a forgotten part, the largest module that an optimizer holds as a whole is only a layer.
    """
    found = dict(chosen)
    for parent in sorted(kept, key=lambda m: len(owned[id(m)])):
        if id(parent) in found or _outer(parent, wrappers) or isinstance(parent, CONTAINERS):
            continue
        inside = [i for i in found if any(id(d) == i for d in parent.modules() if d is not parent)]
        if not inside:
            continue
        if any(owned.get(i) == owned[id(parent)] for i in inside):
            continue  # a wrapper, which adds nothing to it
        separate = sum(role_of(names.get(i, "")) != "model" for i in inside)
        if id(parent) in names and separate < 2:
            for i in inside:
                del found[i]
            found[id(parent)] = parent
    return found


def _outer(module: nn.Module, wrappers: Collection[int]) -> bool:
    return id(module) in wrappers or is_framework(module)


def is_framework(module: nn.Module) -> bool:
    """True for modules that hold networks and are not called themselves: those of a training framework, or without forward()."""
    if type(module).forward is nn.Module.forward:
        return True
    return any(c.__name__ in ("LightningModule", "_FabricModule") for c in type(module).__mro__)


def initial_weights(network: Network) -> dict[str, Any] | None:
    """Return the sizes of a network's weights: of linear and convolutional layers, times the root of the inputs of a unit.

    That is 1.4 for He's initialisation and 0.6 for PyTorch's. Layers with a parametrization are left out.
    """
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    sizes = []
    with torch.no_grad():
        for module in network.module.modules():
            if type(module) not in kinds or not isinstance(module.weight, nn.Parameter) or module.weight.numel() < 16:
                continue
            turned = "Transpose" in type(module).__name__
            inputs = module.weight[:, :1] if turned else module.weight[:1]
            strided = math.prod(tuple(module.stride)) if turned else 1  # type: ignore[arg-type]
            sizes.append(float(module.weight.float().std()) * math.sqrt(inputs.numel() / strided))
    return {"network": network.name, "sizes": sizes} if len(sizes) > 1 else None


def tables(module: nn.Module) -> list[nn.Parameter]:
    """Return the tables (K, D) that a module holds itself: embeddings, and parameters of the user's modules."""
    own = [p for p in module._parameters.values() if p is not None and p.ndim == 2]
    own = [p for p in own if p.shape[0] >= LEAST_ROWS and p.numel() <= MOST_NUMBERS]
    return own if isinstance(module, nn.Embedding) or not type(module).__module__.startswith("torch.") else []


def storage(tensor: Tensor) -> int:
    """Return the address of a tensor's storage; views and detached tensors share it."""
    try:
        return int(tensor.untyped_storage().data_ptr())
    except (RuntimeError, NotImplementedError):
        return 0
