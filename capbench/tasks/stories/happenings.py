"""What can be asked about an event: by feature, a question and its one-word answer for each phrasing in `events`, in order."""

from __future__ import annotations

# Animals in sentences that are no part of a story which is drawn: where one occurs, another animal is not the only one.
ANIMALS = frozenset({"bird", "bees", "fish", "horses", "dragon", "mouse"})
HAPPENINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "Twist": (
        ("What did the {object} turn out to be?", "{pet}"),
        ("What was everything?", "dream"),
        ("What was {friend} really?", "robot"),
        ("Who lived inside?", "king"),
        ("What had {hero} been years ago?", "owner"),
        ("What was the whole {place} only?", "painting"),
        ("What were {friend} and {hero} to each other?", "twins"),
        ("Who had hidden treasure there?", "grandmother"),
        ("What did the animal know of them?", "surname"),
        ("Behind what did {friend} stand?", "curtain"),
        ("What did {hero} discover instead of jewels?", "egg"),
        ("To the size of which animal were both children shrunk?", "mouse"),
    ),
    "BadEnding": (
        ("Down what did the {object} fall?", "well"),
        ("What did {hero} break?", "leg"),
        ("What washed their work away?", "rain"),
        ("To another what did {friend} move?", "country"),
        ("Who robbed the {place}?", "thieves"),
        ("What burned all that the family owned?", "fire"),
        ("During what did the animal die?", "night"),
        ("What did they miss?", "supper"),
        ("In what did {hero} freeze?", "snow"),
        ("With silence and what did the friendship end?", "tears"),
        ("Where did the judge lock {friend} up?", "prison"),
        ("Who drowned?", "boatman"),
    ),
}
