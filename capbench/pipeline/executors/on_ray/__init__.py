"""Steps carried out on a Ray cluster: dependencies are Ray futures, artefacts are sent as bytes, no file system is shared.

`cluster` says which cluster, and needs no Ray; `executor` is the plan's side, `worker` a node's, `ledger` the state they share.
"""
