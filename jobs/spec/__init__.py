"""The job spec: pydantic models that are the manual, the schema and the checks at once."""

from jobs.spec.chunk import MAX_PROMPT, Chunk, Defaults, Extend, Generate, Guider, Settings
from jobs.spec.engine import COMFYUI_PATH, NO_CODE, Code, EngineConfig, FakeConfig, Lora
from jobs.spec.job import JobSpec, RecipeUse, Upscale
from jobs.spec.run import Deadlines, Decode, Output, Run, Tiling, Verify
from jobs.spec.video import Audio, Source, Video

__all__ = [
    "COMFYUI_PATH",
    "MAX_PROMPT",
    "NO_CODE",
    "Audio",
    "Chunk",
    "Code",
    "Deadlines",
    "Decode",
    "Defaults",
    "EngineConfig",
    "Extend",
    "FakeConfig",
    "Generate",
    "Guider",
    "JobSpec",
    "Lora",
    "Output",
    "RecipeUse",
    "Run",
    "Settings",
    "Source",
    "Tiling",
    "Upscale",
    "Verify",
    "Video",
]
