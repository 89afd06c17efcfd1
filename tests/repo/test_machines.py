"""The rules of a machine, held by reading its source: what it may import, say and do.

One source serves four drivers only as long as it stays this plain: see docs/architecture.md.
"""

import ast
from pathlib import Path

import pytest

MODEL = Path(__file__).parents[2] / "model"
MACHINES = ("sentinel", "redis_server", "registrar", "register_prober", "sip_client", "srv", "effects", "draws")

FORBIDDEN = {
    ast.Raise: "raise: what a peer does wrong is no exception",
    ast.Try: "try",
    ast.With: "with",
    ast.Lambda: "lambda",
    ast.Yield: "yield",
    ast.YieldFrom: "yield",
    ast.Await: "await",
    ast.AsyncFunctionDef: "async",
    ast.Global: "global: state lives in the record",
    ast.Nonlocal: "nonlocal",
    ast.ClassDef: "class",
    ast.Import: "import",
    ast.ImportFrom: "import",
    ast.ListComp: "comprehension: allocates",
    ast.DictComp: "comprehension: allocates",
    ast.SetComp: "comprehension: allocates",
    ast.GeneratorExp: "generator",
    ast.Dict: "dict",
    ast.Set: "set",
    ast.List: "list: arrays are fields of the record",
    ast.JoinedStr: "string",
    ast.Div: "true division: gives a float",
    ast.Pow: "power: may give a float",
}


def source(machine):
    return ast.parse((MODEL / f"{machine}.py").read_text(encoding="utf-8"))


def functions(machine):
    return [node for node in ast.walk(source(machine)) if isinstance(node, ast.FunctionDef)]


def statements(function):
    """The body without its docstring."""
    return function.body[1:] if ast.get_docstring(function) is not None else function.body


def complaints(function):
    """Yield (line, what is wrong) for one function."""
    for statement in statements(function):
        for node in ast.walk(statement):
            if type(node) in FORBIDDEN:
                yield getattr(node, "lineno", function.lineno), FORBIDDEN[type(node)]
            elif isinstance(node, ast.Constant) and not isinstance(node.value, int):
                yield node.lineno, f"the constant {node.value!r}: integers only"
            elif isinstance(node, ast.Call) and not _is_plain_call(node):
                yield node.lineno, f"the call {ast.unparse(node.func)}(): plain functions of machines only"
    if function.args.vararg or function.args.kwarg or function.decorator_list:
        yield function.lineno, "decorator, *args or **kwargs"


def _is_plain_call(call):
    """``name(...)``, or ``draws.name(...)`` of another module of the model; no methods, no keywords."""
    is_module = isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") in MACHINES
    return (isinstance(call.func, ast.Name) or is_module) and not call.keywords


@pytest.mark.parametrize("machine", MACHINES)
def test_a_machine_imports_nothing_but_the_model(machine):
    for node in ast.walk(source(machine)):
        if isinstance(node, ast.Import):
            pytest.fail(f"{machine}.py:{node.lineno}: import {node.names[0].name}")
        if isinstance(node, ast.ImportFrom):
            assert node.module in ("__future__", "model") or node.module.startswith("model."), node.module


@pytest.mark.parametrize("machine", MACHINES)
def test_a_machine_is_plain_functions_on_integers(machine):
    found = [f"{machine}.py:{line}: {what}" for each in functions(machine) for line, what in complaints(each)]
    assert not found


@pytest.mark.parametrize("machine", MACHINES)
def test_a_machine_keeps_no_state_of_its_own(machine):
    """Module level holds constants and declarations: nothing that a handler could change."""
    mutable = [node for node in source(machine).body if isinstance(node, ast.Assign | ast.AnnAssign)]
    for node in mutable:
        assert not isinstance(node.value, ast.List | ast.Dict | ast.Set), f"{machine}.py:{node.lineno}"


@pytest.mark.parametrize("machine", ["sentinel", "redis_server", "registrar", "register_prober", "sip_client"])
def test_a_machine_has_the_two_handlers(machine):
    signatures = {each.name: [argument.arg for argument in each.args.args] for each in functions(machine)}
    assert signatures["on_timer"] == ["node", "now_us", "which", "out"]
    assert signatures["on_message"] == ["node", "now_us", "source", "message", "out"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("def f(x):\n    return x * 0.5", "0.5"),
        ("def f(x):\n    return 'a'", "'a'"),
        ("def f(x):\n    return x / 2", "true division"),
        ("def f(x):\n    x.append(1)", "x.append"),
        ("def f(x):\n    raise ValueError", "raise"),
        ("def f(x):\n    return [y for y in x]", "comprehension"),
        ("def f(x):\n    return g(x, k=1)", "g()"),
        ("@g\ndef f(x):\n    pass", "decorator"),
    ],
)
def test_the_rules_themselves_notice(text, what):
    assert any(what in complaint for _, complaint in complaints(ast.parse(text).body[0]))
