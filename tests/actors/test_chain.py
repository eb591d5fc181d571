"""Chain arithmetic on arrays: what is kept, blended, appended and gathered."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.chain import blend, extend_artifact, gather, tail_of
from jobs.errors import StageBug
from jobs.frames import Span, lay_chain, takeover_weights


def _latents(count: int, value: float = 0.0) -> np.ndarray:
    """`[1, 2, count, 1, 1]` whose entries are `value` + index."""
    return np.broadcast_to(
        np.arange(count, dtype=np.float32).reshape(1, 1, -1, 1, 1) + np.float32(value), (1, 2, count, 1, 1)
    )


def test_the_artifact_is_own_blended_new() -> None:
    tail, sampled = _latents(3, 100), _latents(5, 200)
    artifact = extend_artifact(tail, sampled)
    assert artifact.dtype == np.float32
    assert artifact[0, 0, :, 0, 0].tolist() == pytest.approx(
        [100, 101 * 2 / 3 + 201 / 3, 102 / 3 + 202 * 2 / 3, 203, 204]
    )


def test_a_resampled_end_gives_way_to_the_clip_that_saw_more() -> None:
    artifact = extend_artifact(_latents(3, 100), _latents(5, 200), takeover_weights)
    assert artifact[0, 0, :, 0, 0].tolist() == [100, (101 + 201) / 2, 202, 203, 204]


def test_an_overlap_of_one_is_a_butt_joint() -> None:
    artifact = extend_artifact(_latents(1, 100), _latents(3, 200))
    assert artifact[0, 0, :, 0, 0].tolist() == [100, 201, 202]


def test_blending_a_clip_with_itself_changes_nothing() -> None:
    clip = np.random.default_rng(0).normal(size=(1, 2, 4, 3, 3)).astype(np.float32)
    np.testing.assert_allclose(blend(clip, clip), clip, rtol=1e-6)


def test_a_short_tail_is_refused() -> None:
    with pytest.raises(StageBug, match="2 latents"):
        tail_of(_latents(2), 3)


def test_a_gap_is_refused() -> None:
    with pytest.raises(StageBug, match="not covered"):
        gather([_latents(2), _latents(2)], [Span(0, 2), Span(3, 5)], Span(0, 5))


def test_a_later_first_latent_does_not_count() -> None:
    clip = gather([_latents(3, 100), _latents(3, 200)], [Span(0, 3), Span(1, 4)], Span(0, 4))
    assert clip[0, 0, :, 0, 0].tolist() == [100, 101, 201, 202]


@given(
    st.integers(2, 9),
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 6)), max_size=5),
    st.integers(0, 6),
)
def test_gathered_artifacts_are_the_chain(first: int, extends: list[tuple[int, int]], context: int) -> None:
    """Every window gathered from artifacts equals the same slice of the whole chain, kept as one array."""
    rng = np.random.default_rng(first)
    steps, limit = [(0, first)], first
    for overlap, new in extends:
        steps.append((min(overlap, limit), new))
        limit = new + 1
    spans = lay_chain(steps)
    chain = rng.normal(size=(1, 2, first, 1, 1)).astype(np.float32)
    artifacts = [chain]
    for span in spans[1:]:
        tail = tail_of(artifacts[-1], span.overlap)
        np.testing.assert_array_equal(tail, chain[:, :, chain.shape[2] - span.overlap :])
        artifact = extend_artifact(tail, rng.normal(size=(1, 2, span.sampled, 1, 1)).astype(np.float32))
        chain = np.concatenate([chain[:, :, : span.artifact.start], artifact], axis=2)
        artifacts.append(artifact)
        assert chain.shape[2] == span.stop
        wanted = Span(max(0, span.window.start - context), span.stop)
        clip = gather(artifacts, [span.artifact for span in spans[: len(artifacts)]], wanted)
        np.testing.assert_array_equal(clip, chain[:, :, wanted.start : wanted.stop])
