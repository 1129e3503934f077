"""The layers of the house: imports only go down, as docs/architecture.md has the floors."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "crawler"

DOCUMENT = PACKAGE.parent / "docs" / "architecture.md"
# From the bottom up; the table begins with the top.
FLOORS = [
    set(re.findall(r"`(\w+)/?`", row))
    for row in reversed(DOCUMENT.read_text(encoding="utf-8").partition("## The floors")[2].splitlines())
    if row.startswith("| ")
][:-2]
FLOORS[-1] |= {"__init__", "__main__"}
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def room(module: Path) -> str:
    return module.parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The rooms that a module needs, wherever it imports them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "crawler":
            parts = (node.module or "").split(".")[1:]
            found |= {parts[0]} if parts else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("crawler.")}
    return found


def test_every_room_has_a_floor() -> None:
    """A new file says where it belongs."""
    assert set(FLOOR) == {room(module) for module in MODULES}


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_go_down(module: Path) -> None:
    """A module needs only what is on its own floor or below."""
    if room(module) == "__init__":
        return  # the front door names what is inside, and loads it when it is asked for
    above = {name for name in imports(PACKAGE / module) if FLOOR[name] > FLOOR[room(module)]}

    assert set() == above
