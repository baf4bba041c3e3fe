"""Card that runs out of memory."""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class FullCard(TorchFunctionMode):
    """Card with ``room`` for new float32 arrays, until such an array is moved off it."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.left = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.zeros_like and kwargs.get("dtype") is torch.float32 and not self.left:
            self.room -= 1
            if self.room < 0:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        if func is torch.Tensor.cpu and args[0].dtype is torch.float32:
            self.left = True
        return func(*args, **kwargs)
