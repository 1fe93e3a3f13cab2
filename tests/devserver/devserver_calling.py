"""A caller of the devserver that needs nothing of the package's own clients, and flows to call."""

from __future__ import annotations

from typing import Any

import requests

from smartflows_provider.devserver.server import DevServer

XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
  <xs:element name="Order">
    <xs:complexType>
      <xs:sequence>
        <xs:element name="Customer" type="xs:string"/>
        <xs:element name="Item" maxOccurs="unbounded">
          <xs:complexType>
            <xs:sequence>
              <xs:element name="Name" type="xs:string"/>
              <xs:element name="Price" type="xs:decimal"/>
            </xs:sequence>
            <xs:attribute name="sku" type="xs:string"/>
          </xs:complexType>
        </xs:element>
      </xs:sequence>
    </xs:complexType>
  </xs:element>
</xs:schema>"""

ORDER = """<Order>
  <Customer>Łukasz &amp; Sons</Customer>
  <Item sku="a-1"><Name>Bolt</Name><Price>12.50</Price></Item>
</Order>""".encode()


class Caller:
    """Calls the API below its prefix with a key."""

    def __init__(self, server: DevServer, key: str | None = None) -> None:
        self.server = server
        self.session = requests.Session()
        self.session.headers["X-API-Key"] = server.api_key if key is None else key

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        options.setdefault("timeout", 20)
        url = f"{self.server.url}/api/v1{path}"
        return self.session.request(method, url, allow_redirects=False, **options)

    def get(self, path: str, **query: Any) -> requests.Response:
        return self.call("GET", path, params=query)

    def start(self, flow: str, body: bytes = b"", content_type: str = "application/xml") -> requests.Response:
        headers = {"Content-Type": content_type} if body else {}
        return self.call("POST", "/flows/executions", params={"flowId": flow}, data=body, headers=headers)

    def started(self, flow: str, body: bytes = b"") -> str:
        answer = self.start(flow, body)
        assert answer.ok, answer.text
        return str(answer.json()["id"])

    def progress(self, execution_id: str, timeout: int = 0) -> Any:
        return self.get(f"/flows/executions/{execution_id}/progress", timeout=timeout).json()

    def execution(self, execution_id: str) -> Any:
        return self.get(f"/flows/executions/{execution_id}").json()


def panel_flow(server: DevServer, *steps: dict[str, Any], **more: Any) -> str:
    """Add a flow without input and return its id."""
    return server.add_flow(steps=list(steps), **{"name": "Panel flow", **more}).id


def order_flow(server: DevServer, *steps: dict[str, Any], **more: Any) -> str:
    """Add a flow that takes an order and return its id."""
    settings = {"name": "Order flow", "start_from": "program", "xsd": XSD, **more}
    return server.add_flow(steps=list(steps), **settings).id
