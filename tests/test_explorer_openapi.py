"""schemathesis tries to break the API from its own description."""

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from explorer_apps import app_of

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]


@pytest.fixture(scope="module", params=["image", "table", "signal"])
def described(request):
    return schemathesis.openapi.from_asgi(
        "/api/openapi.json", app_of(request.param), headers={"host": "127.0.0.1"}
    )


api = schemathesis.pytest.from_fixture("described")


@api.parametrize()
@settings(max_examples=15, suppress_health_check=[*HealthCheck])  # pyright: ignore[reportArgumentType]
def test_only_documented_answers(case):
    case.call_and_validate(headers={"host": "127.0.0.1"}, checks=CHECKS)
