"""The models of one worker, each loaded once: those its stages need at setup, others when asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from actors.engines.comfyui.loading.by_node import load_audio_vae, load_upscale_model
from actors.engines.comfyui.loading.loaders import (  # fmt: skip
    ComfyModelFiles,
    load_model,
    load_vae,
)
from actors.engines.comfyui.loading.model_kind import model_features
from actors.engines.comfyui.loading.text_encoders import load_text_encoder
from actors.engines.comfyui.loading.tiny import TinyText, has_own_text
from actors.engines.comfyui.text import ClipText, TextEncoder
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from actors.engines.comfyui.core.nodes import Core


class Loaded:
    """ComfyUI objects of one job's model files."""

    def __init__(self, core: Core, files: ComfyModelFiles, dtype: str) -> None:
        self.core = core
        self.files = files
        self.dtype = dtype

    def load(self, stages: frozenset[Stage]) -> None:
        """Load what these stages need; an upscale stage that has no task must not need its model.

        A job that names an audio VAE will hear or make sound: a core that cannot is refused here, before
        anything is rendered, and so is one that cannot run the model.
        """
        for feature in model_features(self.files.transformer):
            self.core.require(feature)
        if self.files.audio_vae is not None:
            self.core.require("audio")
        if Stage.ENCODE in stages:
            _ = self.text
        if Stage.SAMPLE in stages:
            _ = self.model
        if Stage.DECODE in stages:
            _ = self.vae
        if Stage.UPSCALE in stages and self.files.upscale_model is not None:
            _ = self.model, self.vae, self.upscale_model

    @cached_property
    def model(self) -> Any:
        """MODEL, LoRAs applied."""
        return load_model(self.files, self.dtype)

    @cached_property
    def vae(self) -> Any:
        return load_vae(self.files)

    @cached_property
    def upscale_model(self) -> Any:
        return load_upscale_model(self.core, self.files)

    @cached_property
    def audio_vae(self) -> Any:
        return load_audio_vae(self.core, self.files)

    @cached_property
    def text(self) -> TextEncoder:
        checkpoint = self.files.checkpoint
        if not self.files.text_encoders and checkpoint is not None and has_own_text(checkpoint):
            return TinyText(checkpoint)
        return ClipText(self.core, load_text_encoder(self.files))
