#!/usr/bin/env python3
"""What is made of the numbers that `cargo xtask bench` has written: one file of results, the tables, the figure.

    report.py FOLDER [--write]     from the parts of a run: FOLDER/results.json and FOLDER/comparison.svg; prints the tables
    report.py RESULTS.json         the tables and the figure from results that are there already, beside them

`--write` also puts the results and the figure into benches/, and the tables between their marker lines in benches/README.md and
README.md. Nothing here may know how a number was measured; the figure is drawn by `figure.py`.
"""

import json
import pathlib
import re
import shutil
import sys

sys.dont_write_bytecode = True
import figure  # noqa: E402

HERE = pathlib.Path(__file__).parent
PARTS = ("time", "instructions", "programs", "depth")


def collect(folder):
    """The parts of a run, in one."""
    results = {"crate": [], **{part: [] for part in PARTS}}
    if (crate := folder / "crate.json").exists():
        results["machine"], results["crate"] = (json.loads(crate.read_text())[key] for key in ("machine", "lines"))
    for part in PARTS:
        for file in sorted(folder.glob(f"{part}-*.json"), key=lambda file: file.stem):
            results[part] += json.loads(file.read_text())
    return results


def by_version(lines, first):
    """A table with a row for each name and a column for each version."""
    versions = sorted({line["version"] for line in lines}, key=lambda text: [int(n) for n in re.findall(r"\d+", text)])
    names = list(dict.fromkeys(line["name"] for line in lines))
    cell = {
        (line["name"], line["version"]): f"{line['ours']:,.0f} / {line['reference']:,.0f} = {line['ratio']:.2f}" for line in lines
    }
    rows = [[first, *versions], ["---", *["---:"] * len(versions)]]
    rows += [[name, *(cell.get((name, version), "") for version in versions)] for name in names]
    return rows


def tables(results):
    """By name: rows of cells. Only of what was measured."""
    made = {}
    if results["time"]:
        made["time"] = by_version(results["time"], "ns a round (memory: bytes)")
    if results["instructions"]:
        made["instructions"] = by_version(results["instructions"], "instructions a round")
    if lines := results["programs"]:
        made["programs"] = [["µs", "ours", "reference", "ratio"], ["---", "---:", "---:", "---:"]]
        made["programs"] += [[line["name"], *(f"{line[key]:,.2f}" for key in ("ours", "reference", "ratio"))] for line in lines]
    if lines := results["depth"]:
        made["depth"] = [["CPython", "locals a frame", "function", "ours", "reference", "ratio"], ["---", *["---:"] * 5]]
        made["depth"] += [
            [line["version"], str(line["locals"]), line["function"], f"{line['ours']:,.0f}", f"{line['reference']:,.0f}", f"{line['ratio']:.2f}"]
            for line in lines
        ]
    return {name: "".join("| " + " | ".join(row) + " |\n" for row in rows) for name, rows in made.items()}


def put(file, begin, end, text):
    """Replaces what is between two pieces of text, as near to each other as they are anywhere; that must be once."""
    old = file.read_text()
    pattern = re.compile(f"({re.escape(begin)})(?:(?!{re.escape(begin)}).)*?({re.escape(end)})", re.S)
    new, count = pattern.subn(lambda found: found[1] + text + found[2], old)
    if count != 1:
        sys.exit(f"{file}: no single {begin!r} … {end!r}")
    file.write_text(new)


def main():
    write = "--write" in sys.argv
    words = [word for word in sys.argv[1:] if word != "--write"]
    if len(words) != 1:
        sys.exit(__doc__)
    path = pathlib.Path(words[0])
    if path.is_dir():
        results = collect(path)
        (path / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        path /= "results.json"
    else:
        results = json.loads(path.read_text())
    made = tables(results)
    for name, text in made.items():
        print(f"\n{name}\n\n{text}", end="")
    drawn = figure.draw(results)
    path.with_name("comparison.svg").write_text(drawn)
    if write:
        for name in ("results.json", "comparison.svg"):
            if path.with_name(name).resolve() != (HERE / name).resolve():
                shutil.copy(path.with_name(name), HERE / name)
        for name, text in made.items():
            put(HERE / "README.md", f"<!-- bench:{name}:begin -->\n", f"<!-- bench:{name}:end -->", f"\n{text}\n")
        if (crate := path.with_name("crate.txt")).exists():
            put(HERE.parent / "README.md", "```text\n", "```\n\n<!-- compare:end -->", crate.read_text())


if __name__ == "__main__":
    main()
