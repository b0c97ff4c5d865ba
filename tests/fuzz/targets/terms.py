"""What stands beside a car and a lease, any JSON: bounded texts and plausible terms, or a remark where they are not."""

from typing import Any

from functions.api.answers import RequestError, decoded
from functions.leasing.terms import (
    MAX_ANNUAL_MILEAGE_KM,
    MAX_TEXT,
    PLAUSIBLE_YEARS,
    CarDescription,
    describe_car,
    read_terms,
)


def check(data: bytes) -> None:
    """Hold both readers to their bounds."""
    try:
        value = decoded(data, Any)
    except RequestError:
        return
    _check_description(describe_car(value))
    terms = read_terms(value)
    complete = None not in {terms.start_date, terms.end_date, terms.annual_mileage}
    assert complete or terms.remarks
    assert all(day is None or day.year in PLAUSIBLE_YEARS for day in (terms.start_date, terms.end_date))
    assert terms.annual_mileage is None or 0 < terms.annual_mileage <= MAX_ANNUAL_MILEAGE_KM
    assert all(len(remark) <= MAX_TEXT for remark in terms.remarks)


def _check_description(car: CarDescription) -> None:
    for text in (car.vin, car.manufacturer, car.model, car.model_year):
        assert len(text) <= MAX_TEXT
        text.encode()
