"""Compiled RASP programs (Tracr) as torch models."""

from capbench.models.tracr.checking import RaspWarning
from capbench.models.tracr.compiling import compile_rasp
from capbench.models.tracr.config import TracrConfig
from capbench.models.tracr.transformer import TracrTransformer

__all__ = ["RaspWarning", "TracrConfig", "TracrTransformer", "compile_rasp"]
