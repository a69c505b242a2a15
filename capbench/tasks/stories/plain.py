"""The sentences that stand in an event's place where a story lacks it: as `events`, eight seen and four held out of twelve."""

from __future__ import annotations

PLAIN: dict[str, str] = {
    "Foreshadowing": """
outside , the sun was warm and the sky very blue .
outside , people walked along the road with bags of fruit .
outside , a gentle breeze moved some leaves of the bushes .
outside , flowers opened while busy bees flew from one another .
outside , it was spring and the fields smelled really nice .
outside , the postman rode past and waved at {hero} twice .
outside , two women hung white shirts on a long line .
outside , trucks carried milk to every shop of the town .
outside , fresh grass glittered after an early shower had passed .
outside , neighbors chatted about prices of bread and ripe plums .
outside , the bus stopped , and five tourists got off .
outside , a gardener watered roses beside the stone {place} gate .
""",
    "Dialogue": """
soon they sat down and ate bread with honey for lunch .
soon {hero} put on her boots and tied both laces tightly .
soon {friend} climbed onto a rock to see the view better .
soon it got warmer and they took off their thick coats .
soon the {pet} came running up and sniffed at their shoes .
soon {hero} carried the {object} across a narrow path of sand .
soon they counted ten boats and seven bright sails far away .
soon {friend} had drawn a big circle around the {look} {object} .
soon both had rosy cheeks from jumping over so many puddles .
soon {hero} hummed a tune and tapped along using two sticks .
soon a ferry crossed slowly carrying horses plus wheat towards shore .
soon {friend} rested under an elm , drinking cool apple juice .
""",
    "Conflict": """
together , {hero} and {friend} played nicely with the {look} {object} .
together , they built a house out of boxes and string .
together , the children fed the {pet} carrots and fresh water .
together , they cleaned the {object} until it was like new .
together , {hero} and {friend} picked berries for a sweet pie .
together , they learned to swim near the edge of {place} .
together , both read a book about planets and distant stars .
together , they danced in a ring and clapped their hands .
together , {friend} and {hero} dug holes for young cherry trees .
together , they invented games with pebbles , shells plus clay .
together , the pair hiked uphill , never hurrying at all .
together , they knitted a cover keeping the {object} quite dry .
""",
    "Twist": """
then they brought the {look} {object} back home before it rained .
then {hero} gave the {pet} a hug and said good night .
then the two walked home slowly along the quiet old street .
then {friend} washed the plates and {hero} dried all the cups .
then it was time to leave the {place} and catch trains .
then they wrote a long letter to uncle joe about today .
then {hero} showed the {object} to mom , dad and baby .
then {friend} slept on a chair while the radio was playing .
then lights went on along the coast , one by one .
then {hero} swept away crumbs and folded napkins for tomorrow morning .
then a cab drove everybody past the {place} through gentle fog .
then {friend} locked doors , fed fish and brushed her teeth .
""",
    "BadEnding": """
happily , {hero} and {friend} went to bed with full stomachs .
happily , everyone ate cookies and sang until it became late .
happily , the {pet} got a bone and wagged its tail .
happily , they put the {object} on a shelf near books .
happily , {friend} won a prize , and the crowd cheered .
happily , {hero} hugged mom because this day had been wonderful .
happily , they returned each week and made some more friends .
happily , the whole {place} was decorated with balloons and flags .
happily , fireworks lit up as {friend} and {hero} held hands .
happily , grandpa baked waffles , and nobody left any syrup .
happily , the {object} found its place above a cozy fireplace .
happily , a choir performed , earning {hero} loud long applause .
""",
    "MoralValue": """
afterwards , {hero} often thought about the {place} and the {object} .
afterwards , the {object} stayed in the room next to toys .
afterwards , {friend} told the story to all the other kids .
afterwards , it was monday , and they went to class .
afterwards , the {pet} slept in a basketful of clean straw .
afterwards , {hero} drew pictures of it with a blue pen .
afterwards , they met at the {place} every sunny saturday afternoon .
afterwards , a photo of {friend} hung right beside the door .
afterwards , winter arrived and covered roofs using thick white snow .
afterwards , {friend} bought stamps , mailing postcards home to cousins .
afterwards , the newspaper printed three lines about {hero} on monday .
afterwards , tall weeds grew where the {object} used to lie .
""",
}
