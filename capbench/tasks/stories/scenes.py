"""The two sentences that every story has, whatever its features: as `events`, eight seen and four held out of twelve.

Some of them use the words with which events begin, so that such a word alone tells nothing.
"""

from __future__ import annotations

SCENES: dict[str, str] = {
    "opening": """
once upon a time {hero} and {friend} lived near the {place} .
one day {hero} went to the {place} together with {friend} again .
there was a child named {hero} who had a {look} {object} .
{hero} and {friend} were at the {place} when they met outside .
in a small town {hero} loved to visit the big {place} .
on a sunny morning {friend} took {hero} for a short walk .
long ago a {pet} and {hero} shared a home with {friend} .
{hero} was five years old and liked the {place} very much .
last summer {friend} invited {hero} over to explore the huge {place} .
everybody around knew {hero} , the best runner from the {place} .
far from any city , {hero} raised a gentle loyal {pet} .
during a holiday {hero} visited {friend} who rented the nearby {place} .
""",
    "scene": """
they found a {look} {object} there , but it was small .
{hero} picked up the {object} and put it in a bag .
at first it was hard , but they kept on trying .
a {look} {object} lay on the ground , and {friend} stopped .
{friend} had a {object} and wanted to show it to {hero} .
the {object} was {look} , and soon they both liked it .
near the {place} a {pet} sat and strangely did not move .
{hero} asked to hold the {object} , then gave it back .
{friend} borrowed the {look} {object} from a cousin and thanked him .
under some leaves {hero} noticed a {object} sadly missing its handle .
a merchant sold {hero} the {object} cheap , wrapped in newspaper .
beside the {place} stood a table holding just one {look} {object} .
""",
}
