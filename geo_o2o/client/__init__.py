"""What an app and a till run: a device that enrols and checks in, a till that shows codes and confirms, a receipt that is kept and verified.

    visitor = Visitor("https://visits.example", key="go_app_...", device=Device.make())
    visitor.enrol()
    visit = visitor.check_in(store_id, [Position(60.1690, 24.9414, accuracy_m=12)], code=scanned)
    visitor.keep(visitor.receipt(visit), "coffee.visit")

It knows the service by its public API alone.
"""

from .calls import Refused
from .signing import Device, TillKey
from .till import Till
from .visitor import Position, Visitor

__all__ = ["Device", "Position", "Refused", "Till", "TillKey", "Visitor"]
