"""schemathesis tries to break the API from its own description: with what fits it, and with what does not."""

import pytest
import schemathesis
from explorer_apps import app_of
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

HOST = {"host": "127.0.0.1"}
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
CHECKS += [negative_data_rejection, unsupported_method]
# rows are long, and wrong ones are found by trying
UNHURRIED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
UNHURRIED += [HealthCheck.filter_too_much]
N_OPERATIONS = 12
NEVER_WRONG = ("/api/model", "/api/columns/{name}", "/api/land")  # by their types alone
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["image", "table", "signal"])
def test_only_documented_answers(kind: str, mode: GenerationMode):
    found = schemathesis.openapi.from_asgi("/api/openapi.json", app_of(kind), headers=HOST)
    operations = [result.ok() for result in found.get_all_operations() if isinstance(result, Ok)]
    assert len(operations) == N_OPERATIONS
    answered = 0
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and operation.path in NEVER_WRONG:
            continue
        statuses = _tried(operation, mode)
        answered += 200 in statuses
    assert mode is GenerationMode.NEGATIVE or answered >= 9  # not everything is refused


def _tried(operation, mode: GenerationMode) -> set[int]:
    """Check the answers to what is made up for an operation; return their statuses."""
    statuses = set()

    @settings(max_examples=12, database=None, suppress_health_check=UNHURRIED)
    @given(case=operation.as_strategy(generation_mode=mode))
    def tried(case: schemathesis.Case) -> None:
        statuses.add(case.call_and_validate(headers=HOST, checks=CHECKS).status_code)

    tried()
    return statuses
