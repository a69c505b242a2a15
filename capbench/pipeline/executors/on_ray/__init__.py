"""Steps carried out on a Ray cluster: dependencies are Ray's futures, artefacts travel as bytes, no file system is shared.

`where` says which cluster, and needs no Ray; `executor` is the plan's side, `worker` a node's, `ledger` what both ask.
"""
