"""The job spec: pydantic models that are the manual, the schema and the checks at once."""
