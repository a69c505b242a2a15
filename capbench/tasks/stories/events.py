"""The sentences that tell an event, by feature: twelve tokens each, the first eight seen in training, the others held out.

`{hero}`, `{friend}`, `{object}`, `{place}`, `{look}` and `{pet}` stand for the words of the story.
"""

from __future__ import annotations

EVENTS: dict[str, str] = {
    "Foreshadowing": """
strangely , every bird had stopped singing when {hero} came near .
strangely , a cold wind blew through that {place} at noon .
strangely , grandpa had warned them about thunder all last week .
strangely , the old clock rang thirteen times before they left .
strangely , a black cloud began growing above the {look} {object} .
strangely , someone had scratched a skull into one tall tree .
strangely , the {pet} kept barking towards an empty dark corner .
strangely , mother dreamed of footprints leading away from their home .
strangely , each step made the floor creak like faint laughter .
strangely , {friend} found a torn map marked with two crosses .
strangely , smoke smelled of burnt sugar although no oven worked .
strangely , the moon looked orange and much bigger than usual .
""",
    "Dialogue": """
" look at my {object} , {friend} , " said {hero} .
" may i try it too please ? " asked {friend} .
" we should go there right now , " shouted {hero} .
" this is the best {pet} ever , " laughed {friend} .
" i promise to be careful , " {hero} answered quietly .
" where did you get that from ? " {friend} wondered .
" come inside , dinner is ready , " called aunt .
" thank you for helping me , " whispered the {pet} .
" never touch this again , " {friend} warned everyone below .
" who wants another slice of cake ? " grandma cried .
" good morning , tiny visitors , " sang the {pet} .
" what a {look} {object} you own , " exclaimed {friend} .
""",
    "Conflict": """
angrily , {friend} grabbed the {object} and would not share it .
angrily , both began to push each other near the {place} .
angrily , {hero} stamped one foot because {friend} had cheated badly .
angrily , they argued over whose turn should come first today .
angrily , a bully threw mud against {hero} and called names .
angrily , {friend} blamed {hero} for losing every single gold coin .
angrily , the {pet} bit {friend} , so war broke out .
angrily , neither would speak , and a bitter fight started .
angrily , {hero} tore up the drawing that {friend} had made .
angrily , two teams claimed victory and refused any fair rule .
angrily , a neighbor chased them off shaking his wooly fist .
angrily , {friend} kicked sand right into the face of {hero} .
""",
    "Twist": """
but the {look} {object} turned out to be a sleeping {pet} .
but {hero} woke up and saw that everything was a dream .
but {friend} pulled off a mask and was really a robot .
but inside it lived a tiny king who thanked them politely .
but years ago {hero} had been the owner of this {object} .
but the whole {place} was only a painting on some wall .
but a voice revealed that {friend} and {hero} were secret twins .
but nobody had hidden treasure there except their own smiling grandmother .
but all along the {pet} could speak and knew their surname .
but behind the curtain stood {friend} , whom everyone believed lost .
but instead of jewels {hero} discovered an egg with dragon eyes .
but surprisingly both children found themselves shrunk to mouse size overnight .
""",
    "BadEnding": """
sadly , the {object} fell down a well and was gone .
sadly , {hero} broke a leg and cried for many hours .
sadly , rain washed their work away , leaving nothing behind .
sadly , {friend} moved to another country and never wrote back .
sadly , thieves robbed the {place} , so no one smiled .
sadly , a fire burned what little that poor family owned .
sadly , the {pet} got sick and died during the night .
sadly , they missed supper and went hungry to bed alone .
sadly , {hero} forgot the way and froze in deep snow .
sadly , all friendship between them ended with tears and silence .
sadly , an angry judge locked {friend} up in prison forever .
sadly , their boatman drowned beneath waves while people watched helplessly .
""",
    "MoralValue": """
remember , sharing your toys makes everybody richer than before anyway .
remember , always tell the truth even when it feels difficult .
remember , true friends help without asking anything else in return .
remember , being kind costs nothing and means very very much .
remember , patience wins what hurry and anger will surely lose .
remember , listen to your parents , since they know danger .
remember , whoever says sorry first is stronger than proud kings .
remember , do not judge people by how they may look .
remember , brave hearts are afraid but act well in spite .
remember , greed empties pockets that honest labor would gladly fill .
remember , mistakes teach us more lessons than easy luck could .
remember , respect nature and she shall feed you every year .
""",
}
