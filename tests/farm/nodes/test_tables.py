"""The input tables, literally: names, types, defaults, steps and order are what saved workflows rely on."""

from __future__ import annotations

from typing import Any

from farm.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

MODELS = [("model", "MODEL"), ("positive", "CONDITIONING"), ("negative", "CONDITIONING"), ("vae", "VAE")]
SAMPLING = [("steps", "INT", 20), ("cfg", "FLOAT", 3.0), ("seed", "INT", 0), ("frame_rate", "FLOAT", 25.0)]
GENERATE_REQUIRED = [
    *MODELS,
    ("width", "INT", 768, 32),
    ("height", "INT", 512, 32),
    ("num_frames", "INT", 97, 8),
    *SAMPLING,
]
EXTEND_REQUIRED = [
    *MODELS,
    ("latent", "LATENT"),
    ("num_new_frames", "INT", 80, 8),
    ("overlap_frames", "INT", 16, 8),
    ("overlap_strength", "FLOAT", 1.0),
    *SAMPLING,
]
AFTER_IMAGES = [
    ("image_strength", "FLOAT", 0.95),
    ("crf", "INT", 35),
    ("audio", "AUDIO"),
    ("audio_vae", "VAE"),
    ("attention_mode", ["auto", "default", "sage"], "auto"),
    ("ffn_chunks", "INT", 0),
    ("upscale", "BOOLEAN", False),
    ("upscale_model", "LATENT_UPSCALE_MODEL"),
    ("upscale_steps", "INT", 10),
    ("upscale_cfg", "FLOAT", 3.0),
    ("upscale_denoise", "FLOAT", 0.5),
    ("decode", "BOOLEAN", False),
    ("guider", "GUIDER"),
    ("sampler", "SAMPLER"),
    ("sigmas", "SIGMAS"),
    ("max_shift", "FLOAT", 2.05),
    ("base_shift", "FLOAT", 0.95),
]
GENERATE_OPTIONAL = [
    ("first_image", "IMAGE"),
    ("middle_image", "IMAGE"),
    ("last_image", "IMAGE"),
    ("first_strength", "FLOAT", 1.0),
    ("middle_strength", "FLOAT", 1.0),
    ("last_strength", "FLOAT", 1.0),
    *AFTER_IMAGES,
]
EXTEND_OPTIONAL = [("last_image", "IMAGE"), ("last_strength", "FLOAT", 1.0), *AFTER_IMAGES]


def described(table: dict[str, tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Name, type, default and step of each entry, as far as the expected entry names them."""
    rows = []
    for (name, entry), wanted in zip(table.items(), expected, strict=True):
        options = entry[1] if len(entry) > 1 else {}
        values = [options.get("default"), options.get("step")]
        rows.append((name, entry[0], *values[: len(wanted) - 2]))
    return rows


def test_generate() -> None:
    node: Any = NODE_CLASS_MAPPINGS["RSLTXVGenerate"]
    table = node.INPUT_TYPES()
    assert list(table) == ["required", "optional"]
    assert described(table["required"], GENERATE_REQUIRED) == GENERATE_REQUIRED
    assert described(table["optional"], GENERATE_OPTIONAL) == GENERATE_OPTIONAL
    assert table["required"]["num_frames"][1]["min"] == 9
    assert table["optional"]["ffn_chunks"][1]["max"] == 16


def test_extend() -> None:
    node: Any = NODE_CLASS_MAPPINGS["RSLTXVExtend"]
    table = node.INPUT_TYPES()
    assert list(table) == ["required", "optional"]
    assert described(table["required"], EXTEND_REQUIRED) == EXTEND_REQUIRED
    assert described(table["optional"], EXTEND_OPTIONAL) == EXTEND_OPTIONAL


def test_outputs_and_names() -> None:
    for name in ("RSLTXVGenerate", "RSLTXVExtend"):
        node: Any = NODE_CLASS_MAPPINGS[name]
        assert node.RETURN_TYPES == ("LATENT", "IMAGE", "LATENT")
        assert node.RETURN_NAMES == ("latent", "images", "audio_latent")
        assert node.CATEGORY == "rs-nodes"
        assert callable(getattr(node(), node.FUNCTION))
    assert NODE_DISPLAY_NAME_MAPPINGS["RSLTXVGenerate"] == "RS LTXV Generate"
    assert NODE_DISPLAY_NAME_MAPPINGS["RSLTXVExtend"] == "RS LTXV Extend"
    assert NODE_CLASS_MAPPINGS.keys() == NODE_DISPLAY_NAME_MAPPINGS.keys()


def test_unconnected_inputs_take_their_defaults() -> None:
    from farm.nodes.tables import with_defaults

    filled = with_defaults(NODE_CLASS_MAPPINGS["RSLTXVExtend"](), {"steps": 5})
    assert filled["steps"] == 5
    assert filled["crf"] == 35
    assert filled["last_image"] is None
