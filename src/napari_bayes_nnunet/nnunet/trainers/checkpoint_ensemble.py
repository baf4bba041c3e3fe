"""Trainer that nnU-Net finds if ``nnUNet_extTrainer`` names this folder."""

from napari_bayes_nnunet.nnunet.trainer import CheckpointEnsembleTrainer

__all__ = ["CheckpointEnsembleTrainer"]
