"""What a spec leaves out and what it writes out with the same value are the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import TypeAdapter

import jobs.spec.job  # noqa: F401 - all models of a spec
from jobs.spec.base import Model


def models(base: type[Model] = Model) -> Iterator[type[Model]]:
    for each in base.__subclasses__():
        yield each
        yield from models(each)


@pytest.mark.parametrize("model", list(models()), ids=lambda model: model.__name__)
def test_a_default_has_the_type_of_a_value_that_is_given(model: type[Model]) -> None:
    for name, field in model.model_fields.items():
        default = field.default
        if type(default) in (int, float, bool, str):
            given = TypeAdapter(field.rebuild_annotation()).validate_python(default)
            assert (name, repr(given)) == (name, repr(default))
