"""The words that a story is about: people, things, places. Those held out never occur in training, reFT or the fitting of probes.

None of them occurs in a sentence of `events`, `plain` or `scenes`, so that text can be read without doubt.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Words that take one another's place. seen: those that models are trained on; held_out: those that only evaluation uses."""

    seen: tuple[str, ...]
    held_out: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return self.seen + self.held_out


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NAMES = Kind(
    seen=_words("""
lily tom mia ben anna max sue tim lucy sam emma jack zoe leo ella finn ruby noah ivy owen clara hugo nina felix
rosa otto alice peter grace oscar molly henry sara louis daisy victor jane simon carla edgar
"""),
    held_out=_words("""
freya bruno wendy ralph stella milo greta cyrus hazel boris tilda ivan naomi jasper olga quentin
"""),
)
OBJECTS = Kind(
    seen=_words("""
kite ball lantern drum boat puzzle basket whistle ladder blanket teapot wagon violin kettle compass hammer necklace
marble trumpet bucket pillow candle jacket mirror spoon ribbon statue bicycle helmet scarf telescope feather trunk
rope jar lamp shovel doll sled bottle crayon flute saddle cushion saucer button guitar vase bracelet parcel magnet
raft stool tray wheel pitcher broom cloak goblet harp
"""),
    held_out=_words("""
piano ticket medal barrel mandolin camera hourglass shield pencil wallet tent notebook mitten globe teacup lunchbox
bell purse rocket spade
"""),
)
PLACES = Kind(
    seen=_words("""
garden park beach forest barn market library castle meadow harbor attic school kitchen river island cave bakery
orchard lighthouse village farm museum bridge valley
""")
)
LOOKS = Kind(
    seen=_words("""
red shiny wooden golden broken heavy soft purple dusty striped silver crooked yellow spotted pretty rusty green
square painted woolen paper carved round pink
""")
)
PETS = Kind(
    seen=_words("""
cat dog rabbit parrot turtle hedgehog pony duck squirrel frog goose lamb kitten puppy hamster donkey fox beaver
badger mole
""")
)
# The parts that are drawn for a story, and the words that each may be.
PARTS: dict[str, Kind] = {
    "hero": NAMES,
    "friend": NAMES,
    "object": OBJECTS,
    "place": PLACES,
    "look": LOOKS,
    "pet": PETS,
}
