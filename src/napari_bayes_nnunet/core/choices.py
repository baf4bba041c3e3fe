"""Values that a user chooses from, without numpy, so that the command line loads quickly."""

from __future__ import annotations

from typing import Literal, TypeAlias

Mirroring: TypeAlias = Literal["full", "spread", "none"]
"""Mirrored copies of the image that a pass sees: all, one in turn with the others, or none."""
Window: TypeAlias = Literal["heart", "whole"]
"""Part of the slices that all members see: a window around the structures, or all of them."""
DropoutPlacement: TypeAlias = Literal["encoder", "everywhere"]
"""Blocks of a network that drop channels: those of the encoder with the bottleneck, or all."""
Augmentation: TypeAlias = Literal["nnunet", "wide"]
"""Random changes of training images: those of nnU-Net, or those of other scanners too."""
LargestComponent: TypeAlias = Literal["auto", "on", "off"]
"""Whether only the largest component is kept: as the ensemble's training data show, or chosen."""
Precision: TypeAlias = Literal["auto", "full"]
"""Numbers of a network: half precision if the device is fast with it, or always float32."""
