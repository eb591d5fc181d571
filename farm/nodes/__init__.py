"""The ComfyUI nodes. Importing this package needs neither torch nor ComfyUI; running a node needs both."""

from __future__ import annotations

from farm.nodes.ltxv_extend import RSLTXVExtend
from farm.nodes.ltxv_generate import RSLTXVGenerate
from farm.nodes.tiny_prompt import RSLTXVTinyPrompt

NODE_CLASS_MAPPINGS = {
    "RSLTXVGenerate": RSLTXVGenerate,
    "RSLTXVExtend": RSLTXVExtend,
    "RSLTXVTinyPrompt": RSLTXVTinyPrompt,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "RSLTXVGenerate": "RS LTXV Generate",
    "RSLTXVExtend": "RS LTXV Extend",
    "RSLTXVTinyPrompt": "RS LTXV Tiny Prompt",
}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
