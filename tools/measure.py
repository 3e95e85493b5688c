"""Style numbers that a stranger can check; they may only tighten.

Prints what the tree is and fails when a number is worse than `tools/measure.toml` allows.
`--tighten` writes the present numbers there where they are better.
"""

import argparse
import ast
import re
import statistics
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "bitlinkpay"
TESTS = ROOT / "tests"
LIMITS = ROOT / "tools" / "measure.toml"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LOOSE = re.compile(r"\bAny\b|\bcast\(|# type: ignore")
UNDONE = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XXX)\b")
MOCKS = re.compile(r"unittest\.mock|MagicMock|monkeypatch\.setattr\(.*bitlinkpay")
FLOATY = re.compile(r"\bfloat\(")
MONEY = ("core", "ledger", "payins", "deposits", "chains")


def python_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "node_modules" not in path.parts)


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines())


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, FUNCTIONS))


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's statements, its docstring left out."""
    first = node.body[0]
    is_documented = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    body = node.body[1:] if is_documented else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def has_local_import(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(inner, ast.Import | ast.ImportFrom) for inner in ast.walk(node))


def is_annotated(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    named = [argument for argument in arguments if argument.arg not in {"self", "cls"}]
    return node.returns is not None and all(argument.annotation for argument in named)


def largest_cycle(graph: dict[str, set[str]]) -> int:
    """Size of the largest strongly connected set of modules (Tarjan), 0 when there is no cycle."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    sizes = [0]

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in graph[name]:
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            sizes.append(len(stack) - at if len(stack) - at > 1 else 0)
            del stack[at:]

    for name in graph:
        if name not in index:
            visit(name)
    return max(sizes)


def import_graph(trees: dict[Path, ast.Module]) -> dict[str, set[str]]:
    names = {".".join(("bitlinkpay", *path.relative_to(SOURCE).with_suffix("").parts)): path for path in trees}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    graph: dict[str, set[str]] = {name: set() for name in names}
    for name, path in names.items():
        for node in ast.walk(trees[path]):
            if isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names} & names.keys()
                graph[name] |= inner or ({node.module} & names.keys())
            elif isinstance(node, ast.Import):
                graph[name] |= {alias.name for alias in node.names} & names.keys()
        graph[name].discard(name)
    return graph


def measure() -> dict[str, float]:
    sys.setrecursionlimit(10_000)
    sources, tests = python_files(SOURCE), python_files(TESTS)
    trees = {path: ast.parse(path.read_text()) for path in sources}
    every = [node for tree in trees.values() for node in functions(tree)]
    sizes = sorted(body_lines(node) for node in every)
    file_sizes = [lines_of(path) for path in sources]
    texts = {path: path.read_text() for path in sources}
    total = sum(file_sizes)
    money = [path for path in sources if path.relative_to(SOURCE).parts[0] in MONEY]
    return {
        "import_cycle_max": largest_cycle(import_graph(trees)),
        "imports_in_functions": sum(has_local_import(node) for node in every),
        "file_lines_median": statistics.median(file_sizes),
        "file_lines_max": max(file_sizes),
        "function_lines_median": statistics.median(sizes),
        "function_lines_p95": sizes[int(len(sizes) * 0.95)],
        "function_lines_max": sizes[-1],
        "functions_unannotated": sum(not is_annotated(node) for node in every),
        "loose_types_per_1000_lines": round(sum(len(LOOSE.findall(text)) for text in texts.values()) * 1000 / total, 2),
        "undone_marks": sum(len(UNDONE.findall(text)) for text in texts.values()),
        "floats_near_money": sum(len(FLOATY.findall(texts[path])) for path in money),
        "mocks_of_our_own": sum(len(MOCKS.findall(path.read_text())) for path in tests),
        "source_lines_per_test_line": round(total / max(1, sum(lines_of(path) for path in tests)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tighten", action="store_true")
    is_tightening = parser.parse_args().tighten
    limits = tomllib.loads(LIMITS.read_text())
    present = measure()
    worse = [name for name, value in present.items() if value > limits[name]]
    for name, value in present.items():
        print(f"{name:30} {value:>8g}   at most {limits[name]:g}{'   WORSE' if name in worse else ''}")
    if is_tightening:
        kept = {name: min(value, limits[name]) for name, value in present.items()}
        LIMITS.write_text(
            "# Limits of tools/measure.py; they may only tighten.\n"
            + "".join(f"{n} = {v:g}\n" for n, v in kept.items())
        )
    if worse:
        sys.exit(f"worse than tools/measure.toml allows: {', '.join(worse)}")


if __name__ == "__main__":
    main()
