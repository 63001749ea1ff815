"""Drawings of characters: a profile by layer as bars, and a number with its interval."""

from __future__ import annotations

from collections.abc import Sequence

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_HEIGHT = 5
_WIDEST_BAR = 3


def bars(values: Sequence[float | None], width: int) -> list[str]:
    """Lines of at most ``width`` columns: bars from zero to the greatest value, and an axis of layer numbers.

    Args:
        values: h[0], h[1], ...; a place without a value has no bar. At least one has one.
        width: columns there are. Where they are fewer than the layers, a bar is the mean of several neighbours.
    """
    greatest = max(value for value in values if value is not None)
    axis = (f"{greatest:.2f} ", "0 ")
    room = max(8, width - len(axis[0]) - 1)
    together = -(-len(values) // room)
    columns = [_mean(values[i : i + together]) for i in range(0, len(values), together)]
    wide = min(_WIDEST_BAR, room // len(columns))
    # A least bar of one eighth, so that a small value differs from none.
    filled = [0 if c is None else max(1, round(c / (greatest or 1) * 8 * _HEIGHT)) for c in columns]
    lines = []
    for row in reversed(range(_HEIGHT)):
        label = axis[0] if row == _HEIGHT - 1 else axis[1] if row == 0 else ""
        cells = (_EIGHTHS[min(8, max(0, eighths - 8 * row))] for eighths in filled)
        gap = " " if wide > 1 else ""
        lines.append(f"{label:>{len(axis[0])}}┤" + "".join(cell * (wide - len(gap)) + gap for cell in cells).rstrip())
    first, last = "h[0]", f"h[{len(values) - 1}]"
    between = max(1, len(columns) * wide - len(first) - len(last))
    lines.append(" " * (len(axis[0]) + 1) + first + " " * between + last)
    if together > 1:
        lines.append(" " * (len(axis[0]) + 1) + f"a bar is the mean of {together} layers")
    return lines


def interval(
    value: float,
    ends: tuple[float, float] | None,
    axis: tuple[float, float],
    width: int,
    reference: float | None = None,
) -> str:
    """One line of ``width`` columns: a dot between the ends of its interval, on an axis shared with others.

    Args:
        value: where the dot stands.
        ends: of its interval, on the axis; None for a dot alone.
        axis: its least and greatest value.
        width: columns there are.
        reference: a value at which a line stands, on the axis.
    """

    def column(x: float) -> int:
        return round((x - axis[0]) / (axis[1] - axis[0] or 1) * (width - 1))

    cells = [" "] * width
    if ends:
        low, high = map(column, ends)
        cells[low : high + 1] = "─" * (high + 1 - low)
        cells[low], cells[high] = "├", "┤"
    if reference is not None:
        cells[column(reference)] = "│" if cells[column(reference)] == " " else "┼"
    cells[column(value)] = "●"
    return "".join(cells)


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None
