"""What the command line sends to the lab daemon it has started: the design, and what every node is given."""

from __future__ import annotations

from pydantic import ConfigDict

from cloison.lab.design import LabDesign
from cloison.lab.service import NodeServices
from cloison.model import EquipmentName, Model


class LabOrder(Model):
    """Everything needed to build one twin. It holds private keys: it travels over a socket and is never written."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    design: LabDesign
    given: dict[EquipmentName, NodeServices]
    """Nodes that are not named are given nothing."""
