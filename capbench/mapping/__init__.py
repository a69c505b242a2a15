"""Maps of conditions: over two of them as a grid, where does a capability stay, hide, or go? (`capbench map`)"""
