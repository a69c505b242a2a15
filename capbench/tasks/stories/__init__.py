"""Short stories with an instruction block, as in TinyStories-Instruct, and a checker that says which plot events they have.

Source: the paper's Sec. 5.2 and App. F. Where the paper asks a paid model whether a story has a twist, here it is known: every
sentence is one of those in `events`, `plain` and `scenes`, and each feature is an event that one sentence tells.
"""
