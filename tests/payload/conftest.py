"""A schema with namespace, attributes, typed fields and an optional part, as most flows have one."""

from __future__ import annotations

from pathlib import Path

import pytest

REPORT_XSD = """<?xml version="1.0"?>
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:report" targetNamespace="urn:report"
           elementFormDefault="qualified">
  <xs:element name="report">
    <xs:complexType>
      <xs:sequence>
        <xs:element name="month" type="xs:gYearMonth"/>
        <xs:element name="row" maxOccurs="unbounded">
          <xs:complexType>
            <xs:sequence>
              <xs:element name="carrier" type="xs:string"/>
              <xs:element name="flights" type="xs:int"/>
              <xs:element name="delay" type="xs:decimal" minOccurs="0"/>
              <xs:element name="active" type="xs:boolean" minOccurs="0"/>
              <xs:element name="since" type="xs:date" minOccurs="0" nillable="true"/>
            </xs:sequence>
            <xs:attribute name="rank" type="xs:int"/>
          </xs:complexType>
        </xs:element>
        <xs:element name="total" type="xs:int" minOccurs="0"/>
      </xs:sequence>
    </xs:complexType>
  </xs:element>
</xs:schema>
"""


@pytest.fixture
def report_xsd(tmp_path: Path) -> Path:
    path = tmp_path / "report.xsd"
    path.write_text(REPORT_XSD)
    return path
