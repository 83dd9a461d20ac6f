"""Low-rank adaptation of a language model (LoRA, 2106.09685, by `peft`): a few new weights learn, the others stay.

D width
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from uniaudio.errors import InputError
from uniaudio.lm.frame_model import FrameModel

_TRANSFORMERS = ("global_.", "local_.", "transformer.")


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """`rank` of the updates of the Transformers' matrices, 0: no adaptation; they count `alpha` / `rank`
    times.

    Raises ValueError for a negative rank and an alpha below 1.
    """

    rank: int = 0
    alpha: int = 16

    def __post_init__(self) -> None:
        if self.rank < 0 or self.alpha < 1:
            raise ValueError(f"rank {self.rank} must be 0 or more, and alpha {self.alpha} 1 or more")


class _FirstRows(nn.Module):
    """Puts rows that learn in the place of the first ones of a table [ids, D]."""

    def __init__(self, table: Tensor, count: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(table[:count].detach().clone())

    def forward(self, table: Tensor) -> Tensor:
        return torch.cat((self.rows, table[len(self.rows) :]))


def adapt(model: FrameModel, config: LoraConfig, num_marks: int) -> None:
    """Freeze a model, except for low-rank updates of its Transformers, its roles and the first `num_marks` ids.

    The marks and roles of a new task must be learnt: no other weight says them. Raises InputError without `peft`.
    """
    try:
        import peft
    except ModuleNotFoundError as error:
        raise InputError("lora.rank above 0 needs the package peft: pip install peft") from error
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    targets = [name for name in linear if name.startswith(_TRANSFORMERS)]
    settings = peft.LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=targets)
    peft.inject_adapter_in_model(settings, model)  # this freezes everything else
    parametrize.register_parametrization(model.embedding, "weight", _FirstRows(model.embedding.weight, num_marks))
    if model.role_embedding is not None:
        model.role_embedding.requires_grad_(True)


def merge(model: FrameModel) -> None:
    """Put what `adapt` added into the weights, so that the model has its ordinary modules and names again."""
    from peft.tuners.lora import LoraLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge()
            model.set_submodule(name, module.get_base_layer())
    parametrize.remove_parametrizations(model.embedding, "weight")
