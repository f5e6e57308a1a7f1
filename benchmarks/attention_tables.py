"""The tables of attention_operator.py: times, linearity, memory, and what is achieved of the device's rates."""

from tables import ABSENT, digits, markdown, ratio, spread

REFERENCE_LENGTH = 65536


def times_table(rows, names):
    """Markdown table, one line a number of channels and positions."""
    header = ["channels", "positions", *names, *(f"{name} / moments" for name in names[1:])]
    lines = []
    for row in rows:
        found = [row["programs"].get(name) for name in names]
        lines.append([*_case(row), *(spread(one, 1e3) for one in found), *(ratio(one) for one in found[1:])])
    return markdown(header, lines)


def linearity_table(rows):
    """Markdown table: time a position relative to that at the reference length, one line a program and channels."""
    lengths = sorted({row["positions"] for row in rows})
    reference = REFERENCE_LENGTH if REFERENCE_LENGTH in lengths else lengths[-1]
    medians = {
        (row["mode"], row["channels"], name, row["positions"]): found["median"] / row["positions"]
        for row in rows
        for name, found in row["programs"].items()
    }
    lines = []
    for mode, channels, name in dict.fromkeys(key[:3] for key in medians):
        there = [n for n in lengths if (mode, channels, name, n) in medians]
        # A program that does not get as far is compared with the farthest it gets.
        base = medians[mode, channels, name, reference if reference in there else there[-1]]
        cells = [medians.get((mode, channels, name, n)) for n in lengths]
        lines.append([mode, name, str(channels), *(digits(cell and cell / base) for cell in cells)])
    note = f"Relative to {reference:,} positions, or the most that a program was measured for."
    return f"{note}\n\n{markdown(['', 'program', 'channels', *(f'{n:,}' for n in lengths)], lines)}"


def memory_table(rows, names):
    """Markdown table: extra memory in MB and in units of the input, one line a case."""
    lines = []
    for row in rows:
        cells = []
        for name in names:
            extra = row["extra_bytes"].get(name)
            cells.append(ABSENT if extra is None else f"{digits(extra / 1e6)} ({digits(extra / row['input_bytes'])} x)")
        lines.append([row["mode"], *_case(row), digits(row["input_bytes"] / 1e6), *cells])
    return markdown(["", "channels", "positions", "input (MB)", *(f"{name} (MB)" for name in names)], lines)


def roofline_table(found):
    """Markdown table of what the programs achieve."""
    lines = [
        [
            *(row["mode"], row["program"], *_case(row)),
            *(digits(row["flop_per_second"] / 1e9), f"{row['of_matrix_rate']:.0%}"),
            *(digits(row["bytes_per_second"] / 1e9), f"{row['of_bandwidth']:.0%}"),
        ]
        for row in found
    ]
    header = ["", "program", "channels", "positions", "GFLOP/s", "of float32", "GB/s", "of bandwidth"]
    return markdown(header, lines)


def _case(row):
    return str(row["channels"]), f"{row['positions']:,}"
