"""LTX-2.5's second video VAE, whose decoder denoises pixels: its files, and windows that show the same."""

from __future__ import annotations

import weakref
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from actors.engines.diffusers.checkpoint import Checkpoint, Component
from actors.engines.diffusers.configs import UnsupportedCheckpoint
from actors.engines.diffusers.files import find_files
from actors.engines.diffusers.ltx2.loading import Ltx2Loader
from actors.engines.diffusers.ltx2.pixels.component import pixel_vae_component
from actors.engines.diffusers.ltx2.pixels.neighbours import TILE, attend, tiles_of
from actors.engines.diffusers.ltx2.pixels.vae import PixelCodec, codec_of
from actors.engines.latents import DecodeSettings
from farm.topology.memory import DECODE_GIB_PER_PIXEL, DIFFUSION_DECODE, GATHERED_BYTES
from jobs.frames import Span
from jobs.planning.params import Tiles
from jobs.spec.engine import EngineConfig
from tests.official.files import write_sparse
from tests.official.pixel_vae import DECODER, NARROW, pixel_shapes, write_narrow_pixel_vae, write_pixel_vae

LATENTS, START, STOP = 20, 8, 12
CONTEXT = 4
"""What a spec has where it does not say."""


def component(path: Path) -> Component:
    return pixel_vae_component(Checkpoint.open(path))


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_narrow_pixel_vae(tmp_path_factory.mktemp("vae") / "ltx-2.5-video-vae.safetensors")


@pytest.fixture(scope="module")
def codec(narrow: Path) -> PixelCodec:
    found = codec_of(component(narrow).load(torch.float32))
    assert isinstance(found, PixelCodec)
    return found


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("size", "kernel"),
    [((1, 5, 9), (3, 5, 5)), ((6, 9, 17), (3, 3, 5)), ((9, 2, 8), (11, 11, 11)), ((5, 16, 3), (3, 7, 1))],
)
def test_each_place_reads_its_neighbours(size: tuple[int, int, int], kernel: tuple[int, int, int]) -> None:
    query, key, value = drawn(3, 1, *size, 2, 4)
    tiles = tiles_of(size[0], kernel[0], TILE[0], query.device)
    parts = [attend(query[:, each.asked.start : each.asked.stop], key, value, each, kernel) for each in tiles]
    found = torch.cat(parts, dim=1)
    for place in product(*map(range, size)):
        window = [slice(0, 1)]
        for at, length, wide in zip(place, size, kernel, strict=True):
            reach = min(wide, length)
            first = min(max(at - reach // 2, 0), length - reach)
            window.append(slice(first, first + reach))
        keys, values = (each[tuple(window)].reshape(-1, 2, 4) for each in (key, value))
        scores = torch.einsum("hd,nhd->hn", query[0][place], keys).softmax(-1)
        torch.testing.assert_close(found[0][place], torch.einsum("hn,nhd->hd", scores, values))


def test_every_tensor_of_the_published_file_has_its_place(tmp_path: Path) -> None:
    for told in (True, False):
        found = component(write_pixel_vae(tmp_path / f"{told}.safetensors", told))
        module = found.empty()
        assert sum(each.numel() for each in module.parameters()) / 1e9 == pytest.approx(0.736, abs=1e-3)
        read = {found.stored[name].replace(".to_q.", ".qkv.") for name in module.state_dict()}
        read = {key for key in read if ".to_k." not in key and ".to_v." not in key}
        assert read == set(pixel_shapes(DECODER, "full")) - {"decoder.type_emb"}


def test_weights_arrive_whole(narrow: Path) -> None:
    stored, module = load_file(narrow), component(narrow).load(torch.float32)
    assert not any(each.is_meta for each in (*module.parameters(), *module.buffers()))
    attention = module.decoder.diff_blocks[1].attn
    fused = torch.cat([each.weight for each in (attention.to_q, attention.to_k, attention.to_v)])
    assert torch.equal(fused, stored["decoder.diff_blocks.1.attn.qkv.weight"])
    assert torch.equal(attention.to_out[0].bias, stored["decoder.diff_blocks.1.attn.proj.bias"])
    assert torch.equal(module.latents_std, stored["per_channel_statistics.std-of-means"])


@pytest.mark.parametrize(
    ("key", "shape", "said"),
    [
        ("decoder.conv_out.bias", None, "decoder.conv_out.bias of this vae is missing"),
        ("decoder.diff_blocks.0.gate_msa", (16,), "gate_msa is no tensor of an LTX-2 vae"),
        ("decoder.conv_out.bias", (3,), r"decoder.conv_out.bias is \[3\], and \[48\]"),
    ],
)
def test_a_file_that_does_not_fit_says_where(
    key: str, shape: tuple[int, ...] | None, said: str, tmp_path: Path
) -> None:
    entries = {name: ("BF16", size) for name, size in pixel_shapes(NARROW, "narrow").items()}
    entries.pop(key, None)
    if shape is not None:
        entries[key] = ("BF16", shape)
    path = write_sparse(tmp_path / "m.safetensors", entries)
    with pytest.raises(UnsupportedCheckpoint, match=said):
        component(path).empty()


def test_the_folders_of_diffusers(narrow: Path, small_ltx2: Path, tmp_path: Path) -> None:
    """The decoder in one, the encoder in that of the other video VAE; both count in the digest."""
    from diffusers import LTX2VideoDiffusionDecoderModel

    from actors.engines.diffusers.ltx2.components import vae_component

    vae_component(Checkpoint.open(small_ltx2)).load(torch.float32).save_pretrained(tmp_path / "vae")
    module = component(narrow).load(torch.float32)
    decoder = LTX2VideoDiffusionDecoderModel(
        decoder_head_dim=16,
        decoder_stage_channels=(128, 64, 32, 32, 16),
        decoder_stage_depths=(1, 1, 1, 1, 2),
        decoder_t_emb_dim=32,
    )
    own = {name: each for name, each in module.state_dict().items() if not name.startswith("encoder.")}
    decoder.load_state_dict(own)
    folder = tmp_path / "diffusion_decoder"
    decoder.save_pretrained(folder)
    files = find_files(EngineConfig(checkpoint=str(small_ltx2), vae=str(folder)))
    loaded = Ltx2Loader(files, torch.float32).codec()
    assert isinstance(loaded, PixelCodec)
    assert all(torch.equal(each, loaded.vae.state_dict()[name]) for name, each in own.items())
    before = files.digests()["decode"]["vae"]
    weights = load_file(tmp_path / "vae" / "diffusion_pytorch_model.safetensors")
    weights["encoder.conv_out.conv.bias"] += 1.0
    save_file(weights, tmp_path / "vae" / "diffusion_pytorch_model.safetensors")
    assert files.digests()["decode"]["vae"] != before
    assert (tmp_path / "vae").absolute() in files.paths()


@pytest.mark.parametrize("latents", [1, 2, 3])
def test_clips_smaller_than_the_kernel(codec: PixelCodec, latents: int) -> None:
    frames = np.asarray(codec.decode(drawn(1, 128, latents, 2, 2)))
    assert frames.shape == (8 * (latents - 1) + 1, 64, 64, 3)
    assert codec.encode(frames).shape == (1, 128, latents, 2, 2)


def seam(codec: PixelCodec, context: int, first: int) -> tuple[float, float]:
    """By how much a window with `context` latents on each side differs from the same frames of the whole, at
    most and in the mean, of 1; `first` is the number that its first latent goes by."""
    latents, start = drawn(1, 128, LATENTS, 2, 2), START - context
    window = codec.decoded(codec.prepare(latents[:, :, start : STOP + context]), DecodeSettings(first=first))
    shown = Span(8 * START, 8 * (STOP - 1) + 1)
    own = shown.shifted(-8 * start)
    whole = codec.decoded(codec.prepare(latents))
    differs = (whole[:, :, shown.start : shown.stop] - window[:, :, own.start : own.stop]).abs() / 2
    return float(differs.max()), float(differs.mean())


@torch.inference_mode()
def test_windows_agree(codec: PixelCodec) -> None:
    most, _ = seam(codec, CONTEXT, START - CONTEXT)
    found = [seam(codec, context, START - context)[1] for context in (0, 2)]
    other = seam(codec, CONTEXT, 0)[1]
    print(f"at most {most:.1e}; in the mean {found} with 0 and 2 latents, {other} with other noise")
    assert most < 1e-4
    assert 1e-4 < found[1] < 1e-2 < found[0]
    assert other > 0.1


def test_tiles_agree(codec: PixelCodec) -> None:
    latents, how = drawn(1, 128, 14, 2, 2), DecodeSettings(first=5)
    whole, moved = (
        np.asarray(codec.decode(latents, DecodeSettings(first=first)), np.int16) for first in (5, 6)
    )
    tiled = np.asarray(codec.decode_tiled(latents, Tiles(10, CONTEXT), how), np.int16)
    assert tiled.shape == whole.shape
    assert abs(tiled - whole).max() <= 1
    assert abs(moved - whole).mean() > 10


class Peak(TorchDispatchMode):
    """Counts the bytes that are held at once, of tensors that are made inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held: dict[int, int] = {}
        self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in (each for each in tree_iter(made) if isinstance(each, torch.Tensor)):
            storage = tensor.untyped_storage()
            if storage._cdata not in self.held:
                self.held[storage._cdata] = storage.nbytes()
                weakref.finalize(storage, self.held.pop, storage._cdata)
                self.most = max(self.most, sum(self.held.values()))
        return made


class Alone:
    """A rank of a gang whose others have nothing to say."""

    rank = 0

    def __init__(self, size: int) -> None:
        self.size = size

    def gathered(self, mine: torch.Tensor) -> list[torch.Tensor]:
        return [torch.empty_like(mine) for _ in range(self.size)]


def held_by_a_decode(folder: Path, latents: int, ranks: int) -> int:
    """The bytes that a process, or one of several ranks, holds at once of 1536x1024."""
    module = component(write_pixel_vae(folder / "vae.safetensors")).empty().to(torch.bfloat16)
    clip, noise = (
        torch.empty(shape, dtype=torch.bfloat16, device="meta")
        for shape in ((1, 128, latents, 32, 48), (1, 3, 8 * latents - 7, 1024, 1536))
    )
    module.shares.ranks = Alone(ranks) if ranks > 1 else None
    counted = Peak()
    counted.held = dict.fromkeys((each.untyped_storage()._cdata for each in module.state_dict().values()), 0)
    with torch.no_grad(), counted:
        module.denoised(clip, noise)
    return counted.most


@pytest.mark.long
def test_a_rank_has_little_more_of_a_decode(tmp_path: Path) -> None:
    """As the test below, of 25 frames: more than one process by exactly what is gathered."""
    alone, shared = (held_by_a_decode(tmp_path, 4, ranks) for ranks in (1, 2))
    assert shared - alone == GATHERED_BYTES * 1024 * 1536


@pytest.mark.long
@pytest.mark.parametrize("ranks", [1, 8])
def test_a_decode_takes_what_is_reckoned(tmp_path: Path, ranks: int) -> None:
    """At full width, in bfloat16, on a device without memory; weights are counted elsewhere. Each rank of a
    gang has what is gathered, too."""
    reckoned = DIFFUSION_DECODE * DECODE_GIB_PER_PIXEL * 97 * 1024 * 1536 * 2**30
    if ranks > 1:
        reckoned += GATHERED_BYTES * 1024 * 1536
    most = held_by_a_decode(tmp_path, 13, ranks)
    print(f"{most / 2**30:.1f} GiB of {reckoned / 2**30:.1f}")
    assert 0.8 * reckoned < most < reckoned
