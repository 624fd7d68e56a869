"""Draws the comparison: an SVG made of the results of `cargo xtask bench`, readable in light and in dark mode.

Above: the Python package beside the reference, one row for each thing that programs do; the grey bar is the reference, as
long for each row, and ours is the part of it that ours takes. Below: the crate beside other crates. Every number is one of the
results, rounded; a row that was not measured is left out.
"""

from html import escape

WIDTH = 880
STYLE = """
  .card { fill: #ffffff; stroke: #d5dae1 }
  text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2630 }
  .title { font-size: 17px; font-weight: 600 }
  .head { font-weight: 600 }
  .dim { fill: #5d6673 }
  .small { font-size: 11.5px }
  .gain { font-weight: 600; fill: #0b5fc4 }
  .ours { fill: #1a73e8 }
  .theirs { fill: #c9d0d9 }
  .gap { stroke: #ffffff }
  @media (prefers-color-scheme: dark) {
    .card { fill: #11161d; stroke: #313a46 }
    text { fill: #e4e9f0 }
    .dim { fill: #9aa5b3 }
    .gain { fill: #7fb5ff }
    .ours { fill: #4c93f5 }
    .theirs { fill: #47515e }
    .gap { stroke: #11161d }
  }
"""

# What the results call it, and what it is called here.
PYTHON = [
    ("time", "switch_noarg", "switch there and back"),
    ("time", "switch_value", "the same, with a value"),
    ("time", "generator", "a value from a generator"),
    ("time", "throw", "throw an exception, catch it"),
    ("time", "create", "create, run, finish"),
    ("time", "memory", "memory of a suspended one"),
    ("programs", "gevent: two greenlets take turns by sleep(0)", "gevent: sleep(0) in turns"),
    ("programs", "gevent: spawn(f).join()", "gevent: spawn(f).join()"),
    ("programs", "gevent: a Queue between two greenlets", "gevent: a Queue between two"),
    ("programs", "eventlet: spawn(f).wait()", "eventlet: spawn(f).wait()"),
    ("programs", "SQLAlchemy: a query by the asyncio engine, aiosqlite", "SQLAlchemy: an asyncio query"),
]
DRIVES, CREATES, SUSPENDED = "main drives one, nothing to copy", "create + run + finish", "a suspended one"
# A title, a unit, and its rows: group, name, what it is called here, whether it is ours.
CRATE = [
    (
        "There and back, ns",
        "ns",
        [
            (DRIVES, "raw, inlined", "greenlet::raw", True),
            (DRIVES, "Greenlet::switch", "Greenlet", True),
            (DRIVES, "corosensei", "corosensei", False),
            (DRIVES, "context (Boost)", "context (Boost)", False),
            (DRIVES, "wasmtime-fiber", "wasmtime-fiber", False),
            (DRIVES, "generator", "generator", False),
        ],
    ),
    (
        "Create, run, finish, ns",
        "ns",
        [
            (CREATES, "raw", "greenlet::raw", True),
            (CREATES, "Greenlet, closure of 0 bytes", "Greenlet", True),
            (CREATES, "corosensei, stack kept", "corosensei, pooled", False),
            (CREATES, "wasmtime-fiber, stack kept", "wasmtime, pooled", False),
            (CREATES, "corosensei, stack of its own", "corosensei, new", False),
            (CREATES, "generator", "generator", False),
        ],
    ),
    (
        "One that is suspended, bytes",
        "bytes",
        [
            (SUSPENDED, "greenlet::raw", "greenlet::raw", True),
            (SUSPENDED, "Greenlet", "Greenlet", True),
            (SUSPENDED, "corosensei", "corosensei", False),
            (SUSPENDED, "context", "context (Boost)", False),
            (SUSPENDED, "wasmtime-fiber", "wasmtime-fiber", False),
            (SUSPENDED, "generator", "generator", False),
        ],
    ),
]
# A bar that is so many times as long as ours is cut.
CUT = 6


def text(x, y, words, style="", anchor="start"):
    return f'<text x="{x:g}" y="{y:g}" class="{style}" text-anchor="{anchor}">{escape(words)}</text>'


def bar(x, y, width, height, style):
    return f'<rect x="{x:g}" y="{y:g}" width="{width:.1f}" height="{height}" rx="2" class="{style}"/>'


def amount(value, unit):
    if unit == "ns" and value >= 1000:
        return f"{value / 1000:.1f} µs"
    if unit == "µs" and value >= 100:
        return f"{value:.0f} µs"
    if unit == "bytes":
        return f"{value:,.0f} B"
    return f"{value:,.0f} {unit}" if unit != "µs" else f"{value:.1f} µs"


def python(results, version, top):
    out, y = [], top
    left, width, height = 234, 366, 15
    for part, name, label in PYTHON:
        found = [line for line in results[part] if line["name"] == name and line["version"] == version]
        if not found:
            continue
        line = found[0]
        out.append(text(left - 10, y + 12, label, "", "end"))
        out.append(bar(left, y, width, height, "theirs"))
        out.append(bar(left, y, max(width * min(line["ratio"], 1), 2), height, "ours"))
        times = 1 / line["ratio"]
        gain = f"{times:.0f}×" if times >= 9.5 else f"{times:.1f}×"
        out.append(text(left + width + 44, y + 12, gain, "gain", "end"))
        out.append(text(left + width + 50, y + 12, "smaller" if line["unit"] == "bytes" else "faster", "dim"))
        pair = f"{amount(line['ours'], line['unit'])} : {amount(line['reference'], line['unit'])}"
        out.append(text(WIDTH - 24, y + 12, pair, "dim small", "end"))
        y += 23
    return out, y


def crate(results, top):
    values = {(line["group"], line["name"]): line for line in results["crate"]}
    out, bottom = [], top
    column = (WIDTH - 48 + 12) / len(CRATE)
    for number, (title, unit, rows) in enumerate(CRATE):
        x, y = 24 + number * column, top
        key = "bytes" if unit == "bytes" else "low"
        rows = [(values[group, name][key], label, ours) for group, name, label, ours in rows if (group, name) in values]
        if not rows:
            continue
        out.append(text(x, y, title, "head"))
        limit = CUT * max(value for value, _, ours in rows if ours)
        scale = min(limit, max(value for value, _, _ in rows))
        left, width = x + 124, 86
        for value, label, ours in rows:
            y += 20
            out.append(text(left - 8, y + 10, label, "" if ours else "dim", "end"))
            length = width * min(value, scale) / scale
            out.append(bar(left, y, max(length, 2), 13, "ours" if ours else "theirs"))
            if value > scale:
                out.append(f'<path d="M{left + width - 16:g} {y + 15} l6 -17 m5 0 l-6 17" stroke-width="2.5" class="gap" fill="none"/>')
            shown = f"{value:,.1f}" if value < 10 else f"{value:,.0f}"
            out.append(text(left + length + 5, y + 11, shown, "small gain" if ours else "small dim"))
        bottom = max(bottom, y + 20)
    return out, bottom


def draw(results):
    """The figure, as text."""
    versions = {line["version"] for line in results["programs"] or results["time"]}
    version = max(versions, key=lambda words: [int(part) for part in words.split(".") if part.isdigit()], default="")
    out, y = [], 34
    if version:
        out.append(text(24, y, "The same Python programs, on this greenlet and on PyPI’s", "title"))
        out.append(text(24, y + 22, f"CPython {version}", "dim"))
        x = 234
        out += [bar(x, y + 11, 14, 13, "ours"), text(x + 20, y + 22, "this greenlet")]
        out += [bar(x + 120, y + 11, 14, 13, "theirs"), text(x + 140, y + 22, "greenlet 3.5.6"), text(x + 262, y + 22, "shorter is better", "dim")]
        rows, y = python(results, version, y + 40)
        out += rows
        y += 36
    if results["crate"]:
        out.append(text(24, y, "The Rust crate, beside crates that give each coroutine a stack", "title"))
        rows, y = crate(results, y + 30)
        out += rows
    height = y + 14
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}" role="img">\n'
        f"<title>Time and memory of this greenlet beside greenlet 3.5.6, and of the crate beside other crates</title>\n"
        f"<style>{STYLE}</style>\n"
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:g}" rx="8" class="card"/>\n' + "\n".join(out) + "\n</svg>\n"
    )
