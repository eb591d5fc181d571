"""The models are the manual: page and schema are made from them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jsonschema
import pytest
import yaml

from jobs.loading.load import load_spec
from jobs.spec.fields import homes, sections
from jobs.spec.reference import reference_page
from jobs.spec.schema import json_schema

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted(ROOT.glob("examples/*.yaml"))


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")
    assert page == reference_page(), "run: python -m jobs.spec.reference > docs/spec.md"


def test_every_field_is_documented() -> None:
    for place, model in sections():
        for name, info in model.model_fields.items():
            assert (info.description or "").endswith("."), f"{place}.{name}"


def test_every_field_stands_on_the_page() -> None:
    page = reference_page()
    assert all(f"| `{name}` |" in page for name in homes())


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@cache
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json_schema())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_load_and_fit_the_schema(path: Path) -> None:
    validator().validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert load_spec(path)


@pytest.mark.parametrize(
    "chunk", [{}, {"generate": {}, "extend": {}}, {"generate": {"promt": "x"}}, {"extend": {"steps": "3"}}]
)
def test_the_schema_refuses_what_the_loader_refuses(chunk: dict[str, object]) -> None:
    spec = {"name": "x", "videos": [{"name": "a", "chunks": [chunk]}]}
    with pytest.raises(jsonschema.ValidationError):
        validator().validate(spec)
