"""Counts the parameters of every file that a recipe fetches out of its layout, and writes them into the
recipes.

    python -m tools.recipe_sizes
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from farm.topology.file_sizes import parts_in
from jobs.parsing.document import read_document
from jobs.recipes.recipe import FOLDER, ModelFile, Part
from tests.official.recipe_files import write_published

NOTE = "# parameters by part, counted out of the published layouts by `python -m tools.recipe_sizes`"
BLOCK = re.compile(r"^sizes:.*\n(?:  .*\n)*", re.MULTILINE)

Sizes = Mapping[str, Mapping[Part, int]]


def main() -> None:
    for path in sorted(FOLDER.glob("*.yaml")):
        text = BLOCK.sub("", path.read_text(encoding="utf-8"))
        made = "".join(_lines(counted(fields_by_name(path))))
        path.write_text(text.replace("\nfills:\n", f"\n{made}fills:\n"), encoding="utf-8")


def fields_by_name(recipe: Path) -> dict[str, str]:
    """A field that names it for each file of a recipe, in either engine's form."""
    data = read_document(recipe).data
    named: dict[str, str] = {}
    for files in (data["files"], *data.get("files_of", {}).values()):
        for field, said in files.items():
            file = ModelFile.model_validate(said)
            named.setdefault(file.name, field)
            if file.projection is not None:
                named.setdefault(file.projection.name, field)
    return named


def counted(fields: Mapping[str, str]) -> Sizes:
    """What the reader of headers finds in sparse files of the published layouts."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            name: {
                part: size.parameters
                for part, size in parts_in(write_published(Path(folder), name), field).items()
            }
            for name, field in fields.items()
        }


def _lines(sizes: Sizes) -> Iterator[str]:
    yield f"sizes:  {NOTE}\n"
    for name, parts in sizes.items():
        yield f"  {name}: {{{', '.join(f'{part}: {count}' for part, count in parts.items())}}}\n"


if __name__ == "__main__":
    main()
