"""Which forms of a film go together, what a delivery takes from `output`, and how many there may be."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.errors import SpecError
from jobs.loading.load import load_spec
from jobs.planning.plan import make_plan
from jobs.spec.job import JobSpec
from jobs.tasks.segments import encodings


def spec(deliveries: list[dict[str, Any]], **output: Any) -> dict[str, Any]:
    chunks = [
        {"generate": {"prompt": "a", "num_frames": 17}},
        {"extend": {"prompt": "b", "num_new_frames": 16}},
    ]
    return {
        "name": "harbor",
        "engine": {"name": "fake"},
        "videos": [{"name": "dawn", "chunks": chunks}],
        "output": {"deliveries": deliveries, **output},
    }


@pytest.mark.parametrize(
    ("deliveries", "place", "words"),
    [
        ([{"codec": "prores"}], "output.deliveries[0].codec", "`container: mkv or mov`"),
        ([{"profile": "lt"}], "output.deliveries[0].profile", "`codec: prores`"),
        (
            [{"container": "mkv", "codec": "prores", "profile": "4444"}],
            "output.deliveries[0].profile",
            "`container: mov`",
        ),
        (
            [{"container": "mov", "codec": "prores", "pixel_format": "yuv420p"}],
            "output.deliveries[0].pixel_format",
            "`pixel_format: yuv422p10le`",
        ),
        ([{"pixel_format": "bgr0"}], "output.deliveries[0].pixel_format", "`pixel_format: yuv420p`"),
        ([{"sound": "pcm"}], "output.deliveries[0].sound", "`sound: aac`"),
        ([{"container": "mkv", "sound": "aac"}], "output.deliveries[0].sound", "`sound: flac`"),
        ([{}, {"codec": "hevc"}], "output.deliveries", "'{video}-master'"),
        ([{"name": "master"}], "output.deliveries[0].name", "{video}"),
        ([{"name": "{video}/{seed}"}], "output.deliveries[0].name", "'{video}-master'"),
        ([{"name": "{video}-{shot}"}], "output.deliveries[0].name", "{seed}"),
        ([{"profile": "standard"}], "output.deliveries[0].profile", "422"),
        (
            [{"container": "mov", "codec": "h265", "profile": "hq"}],
            "output.deliveries[0].codec",
            "write `hevc`",
        ),
        ([{"container": "avi", "codec": "prores"}], "output.deliveries[0].container", "write one of these"),
        ([{"size": 240}], "output.deliveries[0].size", "1920x1080"),
    ],
)
def test_what_does_not_fit_is_refused(deliveries: list[dict[str, Any]], place: str, words: str) -> None:
    with pytest.raises(SpecError) as error:
        load_spec(spec(deliveries))
    (problem,) = error.value.problems
    assert problem.place == place
    assert words in f"{problem.rule}; {problem.remedy}"


def test_segments_of_all_deliveries_are_bounded_together() -> None:
    data = spec([{}, {"container": "mov"}])
    data["videos"][0]["chunks"][1]["extend"]["repeat"] = 60_000
    with pytest.raises(SpecError) as error:
        load_spec(data)
    (problem,) = error.value.problems
    assert (problem.place, problem.value) == ("output.deliveries", "120002 segments")


def test_a_value_of_output_counts_for_every_delivery() -> None:
    data = spec([{}, {"container": "mkv", "crf": 30}, {"container": "mov"}], crf=20, codec="hevc")
    output = JobSpec.model_validate(data).output
    assert [(form.container, form.codec, form.crf, form.sound) for form in output.formats] == [
        ("mp4", "hevc", 20, "aac"),
        ("mkv", "hevc", 30, "flac"),
        ("mov", "hevc", 20, "aac"),
    ]
    assert type(output).model_validate(output.model_dump(mode="json")).formats == output.formats
    with pytest.raises(SpecError) as error:
        load_spec(spec([{}, {"container": "png-sequence"}], codec="hevc"))
    assert error.value.problems[0].place == "output.codec"
    assert "in deliveries[1]" in error.value.problems[0].remedy


def test_deliveries_that_differ_in_container_or_sound_share_their_segments() -> None:
    data = spec([{}, {"container": "mov", "sound": "pcm"}, {"container": "mkv"}, {"codec": "hevc"}])
    plan = make_plan(JobSpec.model_validate(data))
    assert list(encodings(plan, plan.videos[0]).values()) == ["", "hevc"]
