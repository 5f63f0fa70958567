"""Reading of data that the user hands over: tensors, arrays, lists, Datasets and DataLoaders."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainwright.errors import UserError

MOST = 4096  # items read from a Dataset or a DataLoader
FORMS = "a tensor (n, ...), a numpy array, a list of images, a Dataset or a DataLoader"


def as_tensor(data: Any, name: str) -> Tensor:
    """Return data as a tensor (n, ...) on the CPU; images of (n, H, W, C) become (n, C, H, W).

    Args:
        data: a tensor, an array, a list of them, a Dataset (of images or of tuples that begin with one) or a DataLoader.
        name: what to call it in an error.

    Raises:
        UserError: it has none of these forms.
    """
    if isinstance(data, tuple) and data and isinstance(data[0], Tensor | np.ndarray) and data[0].ndim >= 2:
        data = data[0]
    if not isinstance(data, Tensor | np.ndarray) and hasattr(data, "sample") and isinstance(data.sample, Tensor):
        data = data.sample
    if not isinstance(data, Tensor | np.ndarray | list | tuple):
        data = _items(data, name)
    if isinstance(data, list | tuple):
        data = torch.stack([_one(item, name) for item in data]) if data else torch.empty(0, 1)
    tensor = torch.from_numpy(np.ascontiguousarray(data)) if isinstance(data, np.ndarray) else data
    if tensor.ndim == 0:
        raise UserError(f"watch: {name} is a single number; give {FORMS}.")
    tensor = tensor.detach().cpu()
    if tensor.ndim == 4 and tensor.shape[-1] in (1, 3, 4) and tensor.shape[1] not in (1, 3, 4):
        tensor = tensor.permute(0, 3, 1, 2)
    if tensor.ndim == 1 and not tensor.is_floating_point():
        raise UserError(f"watch: {name} has shape {tuple(tensor.shape)}; give {FORMS}.")
    if tensor.ndim == 1:
        tensor = tensor[:, None]
    return tensor.float() if tensor.dtype == torch.uint8 or tensor.ndim == 5 else tensor


def _items(data: Any, name: str) -> list[Any]:
    """Return at most MOST items of a Dataset or DataLoader, evenly over its length."""
    source = getattr(data, "dataset", data)
    if hasattr(source, "__getitem__") and hasattr(source, "__len__") and not isinstance(source, str | bytes | dict):
        count = len(source)
        return [_first(source[i]) for i in np.linspace(0, count - 1, min(count, MOST)).round().astype(int).tolist()]
    if hasattr(source, "__iter__") and not isinstance(source, str | bytes | dict):
        found = []
        for item in source:
            found.append(_first(item))
            if len(found) >= MOST:
                break
        if found and isinstance(found[0], Tensor) and source is not data and found[0].ndim == 4:
            return list(torch.cat(found))
        return found
    raise UserError(f"watch: {name} is a {type(data).__name__}; give {FORMS}.")


def _first(item: Any) -> Any:
    if isinstance(item, dict):
        return next(
            (v for k, v in item.items() if k in ("image", "images", "pixel_values", "input_ids", "input", "x")),
            next(iter(item.values())),
        )
    return item[0] if isinstance(item, tuple | list) else item


def _one(item: Any, name: str) -> Tensor:
    if isinstance(item, Tensor):
        return item.detach().cpu()
    try:
        array = np.asarray(item)
    except Exception:
        array = np.empty(0, dtype=object)
    if array.dtype == object or array.dtype.kind in "US":
        raise UserError(f"watch: {name} holds a {type(item).__name__}, which is no image or vector; give {FORMS}.")
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if tensor.ndim == 3 and tensor.shape[-1] in (1, 3, 4) and tensor.shape[0] not in (1, 3, 4):
        tensor = tensor.permute(2, 0, 1)
    return tensor.float() if tensor.dtype == torch.uint8 else tensor


def is_tokens(data: Tensor) -> bool:
    """True for ids (n, L), and for one-hot data, which are compared as symbols and not as vectors."""
    if not data.is_floating_point():
        return data.ndim == 2
    if data.ndim not in (2, 3) or data[0].numel() < 16:
        return False
    part = data[:64]
    binary = bool(((part == 0) | (part == 1)).all())
    if not binary:
        return False
    ones = part.flatten(1).sum(1)
    return bool((ones == ones[0]).all()) and float(ones[0]) < 0.5 * part[0].numel()


def match_scale(samples: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the function that brings images of 0 to 255 to the scale of samples: [-1, 1], [0, 1] or as they are."""
    low, high = float(samples.min()), float(samples.max())
    if high > 3:
        return lambda x: x
    if low < -0.05:
        return lambda x: x / 127.5 - 1
    return lambda x: x / 255
