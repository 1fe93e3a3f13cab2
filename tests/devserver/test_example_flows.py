"""The flows of the example DAGs, with real figures of the example's data."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pypdf
import pytest
from devserver_calling import Caller

from smartflows_provider.devserver.server import running_server

FLOWS = Path(__file__).parents[2] / "example_dags" / "flows"

REPORT = b"""<FlightReport><Year>2013</Year><Month>1</Month>
<Carrier><Code>UA</Code><Name>United Air Lines Inc.</Name><Flights>4637</Flights><MeanDelay>8.33</MeanDelay>
<CancelledFlights>54</CancelledFlights><Distance>6778116</Distance></Carrier>
<Carrier><Code>EV</Code><Name>ExpressJet Airlines Inc.</Name><Flights>4171</Flights>
<MeanDelay>24.23</MeanDelay><CancelledFlights>267</CancelledFlights><Distance>2108120</Distance></Carrier>
</FlightReport>"""

RANKING = b"""<CarrierRanking><Year>2013</Year><Month>1</Month>
<Carrier><Code>UA</Code><Name>United</Name><Flights>4637</Flights><MeanDelay>8.33</MeanDelay></Carrier>
<Carrier><Code>AS</Code><Name>Alaska</Name><Flights>62</Flights><MeanDelay>-5.0</MeanDelay></Carrier>
</CarrierRanking>"""

LETTER = b"""<CarrierLetter><Year>2013</Year><Month>1</Month>
<Carrier><Rank>1</Rank><Name>Alaska</Name><MeanDelay>-5.0</MeanDelay></Carrier></CarrierLetter>"""

ROUTE = b"""<RouteReport><Origin>LGA</Origin><Destination>ATL</Destination>
<Carrier><Name>Delta Air Lines Inc.</Name><Flights>10163</Flights><MeanDelay>11.46</MeanDelay></Carrier>
<Carrier><Name>SkyWest Airlines Inc.</Name><Flights>1</Flights></Carrier></RouteReport>"""


@pytest.fixture
def example_caller() -> Iterator[Caller]:
    with running_server(flows=FLOWS) as server:
        caller = Caller(server)
        yield caller
        caller.session.close()


def _run(caller: Caller, flow: str, body: bytes) -> dict[str, object]:
    flow_id = caller.get(f"/flows/{flow}").json()["id"]
    execution = caller.started(flow_id, body)
    caller.server.advance(60)
    shown = caller.progress(execution)
    assert shown["status"] == "Success", caller.execution(execution)["state"]["errors"]
    model: dict[str, object] = shown["model"]
    return model


def _text(caller: Caller, reference: dict[str, str]) -> str:
    content = caller.get(f"/documents/{reference['id']}/content").content
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages)


def test_the_flight_report_gives_figures_and_a_pdf_with_every_carrier(example_caller: Caller) -> None:
    model = _run(example_caller, "Flight report", REPORT)
    reference = model.pop("delivery")["documents"]["report"]
    assert model == {
        "year": 2013,
        "month": 1,
        "carriers": 2,
        "flights": 8808,
        "cancelled": 321,
        "busiest_carrier": "United Air Lines Inc.",
        "worst_delay": {"carrier": "ExpressJet Airlines Inc.", "minutes": 24.23},
    }
    assert reference["displayName"] == "Flight report 2013-01.pdf"
    text = _text(example_caller, reference)
    for expected in (
        "Flight report 2013-01",
        "United Air Lines Inc.",
        "4,637",
        "ExpressJet",
        "24.2",
        "8,808",
    ):
        assert expected in text


def test_the_flight_report_takes_about_twelve_seconds(example_caller: Caller) -> None:
    flow_id = example_caller.get("/flows/Flight report").json()["id"]
    execution = example_caller.started(flow_id, REPORT)
    example_caller.server.advance(11.5)
    assert example_caller.progress(execution)["message"] == "Filing a copy"


def test_the_ranking_lists_the_most_punctual_first(example_caller: Caller) -> None:
    model = _run(example_caller, "Carrier ranking", RANKING)
    assert [carrier["Code"] for carrier in model["ranking"]] == ["AS", "UA"]
    assert model["best"] == "Alaska"


def test_the_letter_names_its_addressees(example_caller: Caller) -> None:
    model = _run(example_caller, "Carrier letter", LETTER)
    assert model["addressees"] == ["Alaska"]
    assert "To Alaska" in _text(example_caller, model["letter"])


def test_the_route_report_shows_the_carriers_of_a_route_also_one_without_a_delay(
    example_caller: Caller,
) -> None:
    model = _run(example_caller, "Route report", ROUTE)
    reference = model.pop("report")
    assert model == {"route": "LGA-ATL", "flights": 10_164, "carriers": 2}
    assert reference["displayName"] == "Route LGA-ATL.pdf"
    text = _text(example_caller, reference)
    for expected in ("From LGA to ATL", "10,164 flights in 2013", "Delta Air Lines Inc.", "11.5", "SkyWest"):
        assert expected in text
