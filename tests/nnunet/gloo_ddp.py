"""The command ``bayes-nnunet`` with several processes on the CPU instead of GPUs.

The parts of nnU-Net that need CUDA are replaced in every process it spawns, because each imports
the file it was started with. The processes use gloo instead of NCCL; everything else is real.

With the variable GLOO_FORKS the processes are forked, so that they need not import torch again,
and the figure of the progress, which takes seconds, is left out.
"""

import os
import warnings

import torch
import torch.distributed
from nnunetv2.run import run_training
from nnunetv2.training.logging.nnunet_logger import LocalLogger
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as module

from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.nnunet import ddp

CPU = torch.device("cpu")
DDP = module.DDP


def set_attribute(trainer, name, value):
    object.__setattr__(trainer, name, CPU if name == "device" else value)


def init_gloo(rank, world_size):
    torch.distributed.init_process_group("gloo", rank=rank, world_size=world_size)


def fork_processes(function, args, nprocs, join):
    torch.multiprocessing.start_processes(function, args, nprocs, join, start_method="fork")


warnings.filterwarnings("ignore", message="torch.cuda.amp.GradScaler")
torch.cuda.set_device = lambda device: None
run_training.setup_ddp = init_gloo
module.DDP = lambda network, device_ids: DDP(network)
module.nnUNetTrainer.__setattr__ = set_attribute
ddp.check_gpus = lambda *arguments, **options: None
if "GLOO_FORKS" in os.environ:
    run_training.mp.spawn = fork_processes
    LocalLogger.plot_progress_png = lambda logger, folder: None

if __name__ == "__main__":
    main()
