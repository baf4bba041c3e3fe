"""Training on several cards, with processes on the CPU in their place.

What nnU-Net does with CUDA alone is replaced in every process it spawns, as all of them import the
file they were started with. They talk by gloo instead of NCCL; everything else is the real thing.

    python gloo_ddp.py train …     is ``bayes-nnunet train …``
    python gloo_ddp.py DATASET …   is the command that it starts
"""

import sys
import warnings

import torch
import torch.distributed
from nnunetv2.run import run_training
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as module

from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.nnunet import ddp

CPU = torch.device("cpu")
DDP = module.DDP


def set_attribute(trainer, name, value):
    object.__setattr__(trainer, name, CPU if name == "device" else value)


def init_gloo(rank, world_size):
    torch.distributed.init_process_group("gloo", rank=rank, world_size=world_size)


def gloo_command(*arguments, **options):
    return [sys.executable, "-P", __file__, *ddp_command(*arguments, **options)[4:]]


warnings.filterwarnings("ignore", message="torch.cuda.amp.GradScaler")
torch.cuda.set_device = lambda device: None
run_training.setup_ddp = init_gloo
module.DDP = lambda network, device_ids: DDP(network)
module.nnUNetTrainer.__setattr__ = set_attribute
ddp_command, ddp.ddp_command = ddp.ddp_command, gloo_command
ddp.check_cards = lambda *arguments, **options: None

ddp.end_with_parent()
if __name__ == "__main__":
    if sys.argv[1] == "train":
        main()
    else:
        ddp.main()
