"""The sections that every server has.

They stand in a module of their own because each section's module needs :mod:`.sections`.
"""

from __future__ import annotations

from collections.abc import Sequence

from smartflows_provider.devserver.ocp import OcpSection
from smartflows_provider.devserver.phixflow import PhixFlowSection
from smartflows_provider.devserver.sections import Section
from smartflows_provider.devserver.workflow_server import WorkflowServerSection

SECTIONS: Sequence[type[Section]] = (WorkflowServerSection, PhixFlowSection, OcpSection)
