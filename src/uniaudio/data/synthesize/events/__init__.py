"""THE EVENT TABLE: every class of made sound event, by name; a new class is one function and one line in its family."""

from uniaudio.data.synthesize.events.alarms import ALARMS
from uniaudio.data.synthesize.events.animals import ANIMALS
from uniaudio.data.synthesize.events.event import Event
from uniaudio.data.synthesize.events.household import HOUSEHOLD
from uniaudio.data.synthesize.events.human import HUMAN
from uniaudio.data.synthesize.events.impacts import IMPACTS
from uniaudio.data.synthesize.events.machines import MACHINES
from uniaudio.data.synthesize.events.water import WATER

EVENTS: dict[str, Event] = {**WATER, **MACHINES, **ALARMS, **ANIMALS, **IMPACTS, **HOUSEHOLD, **HUMAN}
