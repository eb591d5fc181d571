"""The text encoders of published models: configs as they stand beside the weights, and their tensors.

Values are those of `google/gemma-3-12b-it`, `google/gemma-4-12B-it` and T5-XXL as
`PixArt-alpha/PixArt-XL-2-1024-MS` has it. The tensors are counted out of transformers' own modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.gpu.weights import Shapes

TIED = ("lm_head.weight", "encoder.embed_tokens.weight")
"""The embeddings by another name, which files leave out."""
TOKENS = {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}

_GEMMA = {
    "hidden_size": 3840, "intermediate_size": 15360, "num_hidden_layers": 48, "num_attention_heads": 16,
    "num_key_value_heads": 8, "head_dim": 256, "sliding_window": 1024,
}  # fmt: skip
_NARROW = {
    "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 32, "sliding_window": 1024,
}  # fmt: skip


@dataclass(frozen=True)
class Encoder:
    """`real` and `narrow` are the `config.json` of either size, `words` counts their vocabularies. `names`
    are starts of tensors' names in files, by those that transformers has."""

    real: Mapping[str, Any]
    narrow: Mapping[str, Any]
    words: tuple[int, int]
    tokenizer: str
    begins: bool = True
    dtype: str = "BF16"
    names: Mapping[str, str] = field(default_factory=dict)

    def config(self, real: bool) -> dict[str, Any]:
        """The `config.json`."""
        return dict(self.real if real else self.narrow)

    def shapes(self, real: bool) -> Shapes:
        """Every tensor of its files by the name it has there."""
        import torch
        import transformers

        config = self.config(real)
        known = transformers.AutoConfig.for_model(**config)
        with torch.device("meta"):
            module = getattr(transformers, config["architectures"][0])(known)
        return {
            self._published(name): tuple(tensor.shape)
            for name, tensor in module.state_dict().items()
            if name not in TIED
        }

    def _published(self, name: str) -> str:
        for start, published in self.names.items():
            if name.startswith(start):
                return published + name[len(start) :]
        return name


def _gemma_3(words: int, text: Mapping[str, Any], vision: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "dtype": "bfloat16",
        "text_config": {
            "model_type": "gemma3_text", "vocab_size": words,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, **text,
        },
        "vision_config": {"model_type": "siglip_vision_model", "vision_use_head": False, **vision},
        "mm_tokens_per_image": 256, "boi_token_index": 255999 % words, "eoi_token_index": 256000 % words,
        "image_token_index": words - 64, "tie_word_embeddings": True, **TOKENS,
    }  # fmt: skip


def _gemma_4(words: int, text: Mapping[str, Any], vision: Mapping[str, Any]) -> dict[str, Any]:
    ids = {"boi": 255999, "eoi": 258882, "image": 258880, "video": 258884, "boa": 256000, "audio": 258881}
    return {
        "architectures": ["Gemma4UnifiedForConditionalGeneration"], "model_type": "gemma4_unified",
        "dtype": "bfloat16",
        "text_config": {
            "model_type": "gemma4_unified_text", "vocab_size": words, "attention_k_eq_v": True,
            "final_logit_softcapping": 30.0, "num_global_key_value_heads": 1, **text,
        },
        "vision_config": {"model_type": "gemma4_unified_vision", **vision},
        **{f"{name}_token_id": number % words for name, number in ids.items()},
        "tie_word_embeddings": True, **TOKENS,
    }  # fmt: skip


def _t5(**sizes: int) -> dict[str, Any]:
    return {
        "architectures": ["T5EncoderModel"], "model_type": "t5", "dtype": "float32",
        "dense_act_fn": "gelu_new", "feed_forward_proj": "gated-gelu", "is_gated_act": True,
        "is_encoder_decoder": True, "layer_norm_epsilon": 1e-06, "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128, "tie_word_embeddings": False, "pad_token_id": 0,
        "eos_token_id": 1, "decoder_start_token_id": 0, **sizes,
    }  # fmt: skip


ENCODERS: Mapping[str, Encoder] = MappingProxyType(
    {
        "ltx2.3": Encoder(
            _gemma_3(
                262208,
                _GEMMA,
                {"hidden_size": 1152, "image_size": 896, "intermediate_size": 4304, "patch_size": 14,
                 "num_attention_heads": 16, "num_hidden_layers": 27},
            ),
            _gemma_3(
                2048,
                _NARROW,
                {"hidden_size": 32, "image_size": 28, "intermediate_size": 32, "patch_size": 14,
                 "num_attention_heads": 2, "num_hidden_layers": 1},
            ),
            (262144, 1984),
            "GemmaTokenizer",
            names={
                "model.language_model.": "language_model.model.",
                "model.vision_tower.": "vision_tower.vision_model.",
                "model.multi_modal_projector.": "multi_modal_projector.",
            },
        ),
        "ltx2.5": Encoder(
            _gemma_4(
                262144,
                _GEMMA | {"global_head_dim": 512},
                {"mm_embed_dim": 3840, "mm_posemb_size": 1120, "output_proj_dims": 3840},
            ),
            _gemma_4(
                2048,
                _NARROW | {"global_head_dim": 64},
                {"mm_embed_dim": 64, "mm_posemb_size": 4, "output_proj_dims": 64},
            ),
            (262144, 1984),
            "GemmaTokenizer",
            begins=False,
            names={
                "model.embed_vision.multimodal_embedder.": "model.embed_vision.",
                "model.embed_vision.p": "model.vision_embedder.p",
            },
        ),
        "2b": Encoder(
            _t5(d_model=4096, d_ff=10240, d_kv=64, num_layers=24, num_heads=64, vocab_size=32128),
            _t5(d_model=64, d_ff=64, d_kv=16, num_layers=2, num_heads=4, vocab_size=2048),
            (32000, 1900),
            "T5Tokenizer",
            dtype="F32",
        ),
    }
)  # fmt: skip
"""By the model whose prompts they read: Gemma 3 12B, Gemma 4 12B, T5-XXL."""
