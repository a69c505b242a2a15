"""Words that generated capabilities are made of: common ones, so that most tokenizers have a token for each."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NOUNS = _words(
    "stone lamp river bird tree horse glass bread chair table house street garden window paper mountain ocean forest bridge "
    "engine letter mirror needle pocket rocket saddle tower village wagon basket candle doctor"
)
COLOURS = _words("red blue green black white yellow brown pink orange purple gold silver")
ANIMALS = _words("lion wolf bear eagle horse tiger snake whale rabbit turtle goat fox")
METALS = _words("iron copper gold silver tin lead steel bronze")
FOODS = _words("rice bread fish cheese corn honey soup beans apples pasta")
# Syllables of made-up names: a consonant group, a vowel; a name ends in one of the last.
ONSETS = _words("b d f g k l m n p r s t v z br dr gr kr tr st sk pl")
VOWELS = _words("a e i o u")
ENDS = _words("nia via land stan dor mar ria lia")
