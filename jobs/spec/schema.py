"""JSON Schema of the job spec, for editors."""

from __future__ import annotations

from typing import Any

from jobs.spec.job import JobSpec

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema that `farm schema` prints."""
    return {"$schema": SCHEMA_DIALECT, **JobSpec.model_json_schema(), "title": "ltx-farm job"}
