"""The checks of a method, in the order in which they are reported; they leave this process as they found it."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from capbench.check.compare import BATCH, alike, equal, readable, same, storages
from capbench.check.findings import Finding
from capbench.check.worlds import World, compiled, grammar
from capbench.configs import TrainConfig
from capbench.errors import MethodError
from capbench.methods.returned import form_fault, weights_fault
from capbench.methods.specs import registry
from capbench.methods.specs.arguments import Value
from capbench.methods.specs.user_code import one_line
from capbench.models.base import Model
from capbench.pipeline.budget import Budget, counting
from capbench.pipeline.process_state import ProcessState, seed_everything, unharmed

_STEPS = 16
_Method = Callable[[Model, Any, TrainConfig], Any]


def check_method(
    method: str | _Method, *, arguments: Mapping[str, Value] | None = None, device: str = "cpu"
) -> list[Finding]:
    """Run a method a few times on models of a few hundred weights, and report what the suites could not rely on.

    method: as `--capbench-method` takes it, or the function itself. arguments: given to it by name. A method that cannot be
    loaded, or fails, is a finding, and checks that need its result are omitted. Raises UsageError for a spec of unknown form.
    """
    with unharmed():
        torch.set_num_threads(1)  # as everywhere in capbench: results do not depend on the machine's cores
        torch.set_grad_enabled(True)
        return _checked(method, dict(arguments or {}), device)


def _checked(method: str | _Method, arguments: dict[str, Value], device: str) -> list[Finding]:
    with unharmed() as before:  # the runs below tell what it does when it is called
        try:
            function = _loaded(method, arguments)
        except MethodError as error:
            return [_finding("loads", False, str(error))]
        left = _Left.since(before)
    found = [_loads(left), _signature(function)]
    if not found[-1].ok:
        return found
    world = grammar()
    config = TrainConfig(steps=_STEPS, batch_size=BATCH, lr=1e-2, seed=0, device=device)
    first = _Run.of(function, world, config, globally=1)
    found.append(_finding("runs", not first.error, first.error or f"one run took {first.seconds:.1f} s"))
    if not first.error:
        found.append(_returned(first.tuned))
    found += [_random(first.left), _process(first.left)]
    if not isinstance(first.tuned, Model):
        return found
    shape = _shape(first.tuned, world, device)
    found += [shape, _input(first, world)]
    if not shape.ok and not all(map(readable, first.tuned.state_dict().values())):
        return found
    found.append(_finite(first.tuned))
    if shape.ok:
        found.append(_reloads(first.tuned, world))
    again = _Run.of(function, world, config, globally=2)
    other = _Run.of(function, world, replace(config, seed=1), globally=1)
    found += [_repeats(first, again), _changes(first, world), _other_seed(first, other), _budget(first, world)]
    found.append(_on_compiled(function, config))
    return found


def _loaded(method: str | _Method, arguments: dict[str, Value]) -> _Method:
    if isinstance(method, str):
        return registry.load(registry.find(method, arguments=tuple(arguments.items())))
    return functools.partial(method, **arguments) if arguments else method


@dataclass(frozen=True, kw_only=True)
class _Left:
    """What was left behind in the process, by name: settings, hooks on all modules, patches, global generators used."""

    settings: list[str]
    hooks: list[str]
    patches: list[str]
    random: list[str]

    @classmethod
    def since(cls, before: ProcessState) -> _Left:
        # Patches first: the others call what may be patched.
        patches = before.patches.changed()
        before.patches.restore()
        hooks, settings, random = before.hooks.changed(), before.settings.changed(), before.generators.changed()
        return cls(settings=settings, hooks=hooks, patches=patches, random=random)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One run: the model it was given, what came back, or why nothing did, and what it left behind in the process."""

    given: Model
    tuned: Any
    error: str
    seconds: float
    budget: Budget
    left: _Left

    @classmethod
    def of(cls, function: _Method, world: World, config: TrainConfig, *, globally: int) -> _Run:
        """globally: the seed of the global generators, which a method should neither use nor change."""
        given, tuned, error = world.base(), None, ""
        with unharmed():
            seed_everything(globally)
            with unharmed() as before:
                with counting() as budget:
                    started = time.perf_counter()
                    try:
                        tuned = function(given, world.task, config)
                    except (Exception, SystemExit) as raised:
                        own_words = str(raised) if isinstance(raised, MethodError) else one_line(raised)
                        error = f"it failed: {own_words}"
                    seconds = time.perf_counter() - started
                left = _Left.since(before)
        return cls(
            given=given,
            tuned=tuned,
            error=error,
            seconds=seconds,
            budget=budget,
            left=left,
        )


def _finding(check: str, ok: bool, message: str, *, note: bool = False) -> Finding:
    return Finding(check=check, ok=ok, message=message, note=note)


def _signature(function: _Method) -> Finding:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return _finding("signature", True, "its parameters cannot be inspected", note=True)
    try:
        signature.bind(None, None, None)
    except TypeError as error:
        message = f"it takes {_parameters(signature)}; it must be callable as method(model, task, config): {error}"
        return _finding("signature", False, message)
    return _finding("signature", True, "callable as method(model, task, config)")


def _parameters(signature: inspect.Signature) -> str:
    return f"({', '.join(signature.parameters)})" if signature.parameters else "nothing"


def _returned(tuned: Any) -> Finding:
    fault = form_fault(tuned)
    return _finding("returns", fault is None, f"it {fault}" if fault else "a Model")


def _loads(left: _Left) -> Finding:
    """Importing is no place to change anything: with other methods it happens in another order."""
    wrong = [f"changes settings ({_some(left.settings)})"] if left.settings else []
    wrong += [f"puts hooks on all modules or optimizers ({_some(left.hooks)})"] if left.hooks else []
    wrong += [f"replaces code of others ({_some(left.patches)})"] if left.patches else []
    wrong += [f"uses or seeds global generators ({_some(left.random)})"] if left.random else []
    if wrong:
        return _finding("loads", False, f"its import {' and '.join(wrong)}; do so within the function, and undo it")
    return _finding("loads", True, "it can be imported")


def _random(left: _Left) -> Finding:
    if left.random:
        used = _some(left.random)
        message = f"it uses or seeds global generators ({used}); draw from torch.Generator().manual_seed(config.seed)"
        return _finding("global random state", False, message)
    return _finding("global random state", True, "left as it was")


def _process(left: _Left) -> Finding:
    """In a suite what it leaves there is lost: the method has a process of its own, and its weights are loaded elsewhere."""
    wrong = []
    if left.settings:
        wrong.append(f"changes settings and does not restore them ({_some(left.settings)}); use a context manager")
    if left.hooks:
        wrong.append(f"leaves hooks on all modules or optimizers ({_some(left.hooks)}); remove them when it ends")
    if left.patches:
        wrong.append(
            f"replaces code of others ({_some(left.patches)}); use a subclass or a copy, as a suite does not see it"
        )
    if wrong:
        return _finding("process", False, f"it {'; it '.join(wrong)}")
    return _finding("process", True, "its settings, hooks and code are left as they were")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + f" and {len(names) - 3} more" * (len(names) > 3)


def _shape(tuned: Model, world: World, device: str) -> Finding:
    fault = weights_fault(tuned, world.base(), device=device)
    kept = "names, shapes and types of the weights are those of the base model"
    return _finding("shape", fault is None, f"it {fault}" if fault else kept)


def _input(run: _Run, world: World) -> Finding:
    fresh, given = world.base(), run.given
    old, new = fresh.state_dict(), given.state_dict()
    wrong = []
    if changed := [key for key in old if key not in new or not equal(old[key], new[key])]:
        wrong.append(f"it changes weights of the model that it is given ({changed[0]}{', …' * (len(changed) > 1)})")
    if new.keys() - old.keys():
        wrong.append("it adds weights to the model that it is given")
    if run.tuned is given or storages(run.tuned) & storages(given):
        wrong.append("what it returns shares weights with the model that it is given")
    if {n: p.requires_grad for n, p in fresh.named_parameters()} != {
        n: p.requires_grad for n, p in given.named_parameters()
    }:
        wrong.append("it changes requires_grad of the model that it is given")
    if any(module.training for module in given.modules()):
        wrong.append("it leaves the model that it is given in training mode")
    if not wrong and not alike(given, fresh, world):
        wrong.append("the model that it is given behaves differently afterwards: a hook or a patch was left on it")
    if wrong:
        return _finding("input", False, f"{'; '.join(wrong)}: work on copy.deepcopy(model)")
    return _finding("input", True, "the model that it is given stays as it was")


def _finite(tuned: Model) -> Finding:
    bad = [key for key, value in tuned.state_dict().items() if not torch.isfinite(value).all()]
    if bad:
        return _finding("finite", False, f"weights are not finite ({', '.join(bad[:2])}{', …' * (len(bad) > 2)})")
    return _finding("finite", True, "all weights are finite")


def _reloads(tuned: Model, world: World) -> Finding:
    fresh = world.empty()
    fresh.load_state_dict({key: value.cpu() for key, value in tuned.state_dict().items()})
    if alike(tuned, fresh, world):
        return _finding("weights tell all", True, "saved and loaded, it answers the same")
    message = (
        "saved and loaded, it answers differently: a hook, a wrapper or an unmerged adapter is lost with its weights"
    )
    return _finding("weights tell all", False, message)


def _repeats(first: _Run, again: _Run) -> Finding:
    if again.error:
        return _finding("repeatable", False, f"run again on the same model, {again.error}")
    if not same(first.tuned, again.tuned):
        message = "two runs with the same config.seed differ; draw from torch.Generator().manual_seed(config.seed)"
        return _finding("repeatable", False, message)
    return _finding("repeatable", True, "two runs with the same config.seed are equal, bit by bit")


def _changes(run: _Run, world: World) -> Finding:
    if same(run.tuned, world.base()):
        return _finding("changes", True, "it changes nothing, like `identity`", note=True)
    return _finding("changes", True, "it changes the model")


def _other_seed(first: _Run, other: _Run) -> Finding:
    if other.error:
        return _finding("seed", False, f"with another config.seed {other.error}")
    if same(first.tuned, other.tuned):
        message = "another config.seed gives the same model: an interval over seeds would mean nothing"
        return _finding("seed", True, message, note=True)
    return _finding("seed", True, "another config.seed gives another model")


def _budget(run: _Run, world: World) -> Finding:
    budget = run.budget
    plain = _STEPS * world.task.sample(BATCH, torch.Generator().manual_seed(0)).tokens.numel()
    used = (
        f"{budget.steps} optimizer steps of config.steps = {_STEPS}; {budget.tokens / plain:.2g} times the tokens of plain "
        f"fine-tuning with gradients, {budget.forward_tokens / plain:.2g} times without"
    )
    if budget.steps > _STEPS:
        return _finding("budget", False, f"{used}: more steps than the other methods take")
    return _finding("budget", True, used, note=budget.steps < _STEPS or budget.tokens > plain)


def _on_compiled(function: _Method, config: TrainConfig) -> Finding:
    world = compiled()
    run = _Run.of(function, world, config, globally=1)
    wrong = run.error
    if not wrong:
        shape = _returned(run.tuned)
        shape = _shape(run.tuned, world, config.device) if shape.ok else shape
        wrong = "" if shape.ok else shape.message
    if wrong:
        return _finding("compiled models", True, f"not for the Tracr suites: {wrong}", note=True)
    return _finding("compiled models", True, "it runs on the architecture of compiled models too")
