"""Asks several ComfyUI checkouts what they have, runs the thirteen checks on them, and writes the table.

    python -m benchmarks.comfyui_matrix CHECKOUT[=NAME]... [--python PYTHON] [--page docs/comfyui.md]

Each checkout is tested in a process of its own. A column is called by NAME, else by the version that the
checkout gives itself: development between two releases keeps the older one's. The table replaces what stands
between the marks on the page. Exit code 1 when a check fails, or is skipped where the list of allowed skips
does not have it, or when a core does not start.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from actors.engines.comfyui.core.probe import probe
from actors.engines.comfyui.core.requirements import FEATURES
from jobs.errors import CannotRun

ROOT = Path(__file__).resolve().parents[1]
CHECKS = "tests/comfyui/test_checks.py"
BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"
NAMES = {
    "test_01_text_to_video": "text to video",
    "test_02_first_image": "first image",
    "test_03_first_and_last_image": "first, middle and last image",
    "test_04_lora_applied_outside": "LoRA applied outside",
    "test_05_external_guider": "external STG-like guider",
    "test_06_external_sampler_and_sigmas": "external sampler and sigmas",
    "test_07_sage_attention": "sage override called; one warning on fallback",
    "test_08_ffn_chunks": "ffn_chunks = 8",
    "test_09_upscale": "upscale gives 2x",
    "test_10_decode": "decode gives IMAGE",
    "test_11_audio": "audio and audio_vae",
    "test_12_extend": "extend continues seamlessly",
    "test_13_full_pipeline_frees_vram": "full pipeline frees VRAM at each hand-over",
}


@dataclass(frozen=True)
class Column:
    """One core: its version, by feature of the requirements what it lacks or calls otherwise, and the outcome
    of each check, `passed`, `failed` or `skipped`."""

    version: str
    missing: Mapping[str, tuple[str, ...]]
    outcomes: Mapping[str, str]

    @property
    def clean(self) -> bool:
        """Every check ran or was skipped; the checks themselves refuse a skip that is not on the list."""
        return self.outcomes.keys() == NAMES.keys() and "failed" not in self.outcomes.values()


def run(named: str, python: str) -> Column:
    """Test one checkout, `PATH` or `PATH=NAME`. Raises CannotRun when its core does not start."""
    place, _, name = named.partition("=")
    checkout = Path(place)
    report = probe(checkout.resolve(), python)
    for feature, faults in report.missing.items():
        if faults:
            print(f"{name or report.version}: {feature}: {'; '.join(faults)}", file=sys.stderr)
    return Column(name or report.version, report.missing, _outcomes(checkout, python))


def _outcomes(checkout: Path, python: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [python, "-m", "pytest", CHECKS, "-m", "comfyui", "-q", f"--junitxml={report}"]
        paths = {"COMFYUI_PATH": str(checkout.resolve()), "PYTHONPATH": str(ROOT)}
        # Threads that spin while they wait would starve each other on a busy machine.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", **paths}
        subprocess.run(command, cwd=ROOT, env=environment, check=False)
        cases = ElementTree.parse(report).getroot().iter("testcase")
        return {case.get("name", ""): _outcome(case) for case in cases}


def _outcome(case: ElementTree.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


def table(columns: Sequence[Column]) -> str:
    """Markdown: one row for each feature that is called as the core has it, then one for each check."""
    words = {"passed": "yes", "failed": "**no**", "skipped": "core cannot"}
    lines = [_row("", [column.version for column in columns]), _row("---", ["---"] * len(columns))]
    for feature in FEATURES:
        lines.append(_row(f"`{feature}`", ["core cannot" if c.missing[feature] else "yes" for c in columns]))
    for test, name in NAMES.items():
        lines.append(_row(name, [words[column.outcomes.get(test, "failed")] for column in columns]))
    return "\n".join(lines)


def _row(first: str, cells: Sequence[str]) -> str:
    return f"| {first} | " + " | ".join(cells) + " |"


def insert(page: str, made: str) -> str:
    """The page with `made` between its marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{made}\n{END}{rest.split(END)[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.comfyui_matrix", description=__doc__)
    parser.add_argument("checkouts", nargs="+", metavar="CHECKOUT[=NAME]")
    parser.add_argument("--python", default=sys.executable, help="Python that has ComfyUI's packages")
    parser.add_argument("--page", type=Path, help="page whose table is replaced")
    options = parser.parse_args()
    try:
        columns = [run(checkout, options.python) for checkout in options.checkouts]
    except CannotRun as error:
        sys.exit(str(error))
    made = table(columns)
    print(made)
    if options.page is not None:
        options.page.write_text(insert(options.page.read_text(), made))
    sys.exit(0 if all(column.clean for column in columns) else 1)


if __name__ == "__main__":
    main()
