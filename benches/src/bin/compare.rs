//! One compact table: ours, the peers, and what the project promises.
//!
//! `compare` shows the tables that have a target, `compare --all` all but what takes long to set up, `compare WORD…` the lines
//! that contain one of the words. `--samples N` takes fewer or more; `--json FILE` writes the numbers there too.

use greenlet_benches::cases::{self, CREATE, GENERATOR, PEERS, TASKLETS};
use greenlet_benches::clock::{self, Time};
use greenlet_benches::{Case, count, memory};
use std::collections::HashMap;

const SAMPLES: usize = 201;

/// A line of the file: its names, and its numbers by name.
type Line = (String, String, Vec<(&'static str, f64)>);

/// With what the lines of these tables are compared.
const BASES: [(&str, &str); 2] = [(GENERATOR, "corosensei"), (CREATE, "corosensei, stack kept")];

/// Main driving one generator may take so many times as long as corosensei.
const GENERATOR_RATIO: f64 = 4.0;

/// What a suspended one may take, in bytes.
const MEMORY: [(&str, f64); 2] = [("greenlet::raw", 256.0), ("Greenlet", 400.0)];

fn main() {
    let all = cases::all();
    count::child(&all);
    memory::child();
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let samples = option(&mut words, "--samples").map_or(SAMPLES, |n| n.parse().expect("a number"));
    let file = option(&mut words, "--json");
    let mut lines = Vec::new();
    let everything = words.iter().any(|word| word == "--all");
    let wanted = |case: &&Case| match &words[..] {
        [] => [GENERATOR, PEERS, CREATE, TASKLETS].contains(&case.group),
        _ if everything => !case.slow,
        _ => words.iter().any(|word| case.id().contains(word.as_str())),
    };
    let shown: Vec<&Case> = all.iter().filter(wanted).collect();
    let counts = count::all();
    let times = clock::times(&shown, samples);
    let time_of: HashMap<String, Time> = shown.iter().map(|case| case.id()).zip(times).collect();

    println!("greenlet {} on {}", env!("CARGO_PKG_VERSION"), processor());
    println!(
        "ns: median of {samples} samples; low: their first decile; instr: instructions, by callgrind"
    );
    let mut group = "";
    for case in &shown {
        let base = BASES.iter().find(|base| base.0 == case.group);
        if case.group != group {
            group = case.group;
            let ratio = if base.is_some() { "ratio" } else { "" };
            println!("\n{group:<44}{:>8}{:>8}{:>8}{ratio:>8}  target", "ns", "low", "instr");
        }
        let time = time_of[&case.id()];
        let instructions = counts.get(&case.id()).map_or("-".into(), |count| format!("{count:.0}"));
        let ratio = base
            .and_then(|(group, name)| time_of.get(&format!("{group}/{name}")))
            .map(|base| time.median / base.median);
        let verdict = match (case.target, ratio) {
            (Some(most), _) => format!("{} at most {most} ns", mark(time.median <= most)),
            (None, Some(ratio)) if case.name == "Generator::next" => {
                format!("{} ratio at most {GENERATOR_RATIO}", mark(ratio <= GENERATOR_RATIO))
            }
            _ => String::new(),
        };
        let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
        let Time { median, low } = time;
        let line = format!(
            "  {:<42}{median:>8.1}{low:>8.1}{instructions:>8}{ratio:>8}  {verdict}",
            case.name
        );
        println!("{}", line.trim_end());
        let mut numbers = vec![("ns", median), ("low", low)];
        numbers.extend(counts.get(&case.id()).map(|count| ("instructions", *count)));
        lines.push((case.group.into(), case.name.clone(), numbers));
    }
    if words.is_empty() || everything {
        sizes(&mut lines);
    }
    if let Some(file) = file {
        std::fs::write(&file, json(&lines)).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

/// Takes an option and its value out of the words.
fn option(words: &mut Vec<String>, name: &str) -> Option<String> {
    let at = words.iter().position(|word| word == name)?;
    let value = words.get(at + 1).unwrap_or_else(|| panic!("{name} needs a value")).clone();
    words.drain(at..at + 2);
    Some(value)
}

/// The names have no characters that JSON would escape.
fn json(lines: &[Line]) -> String {
    let line = |(group, name, numbers): &Line| {
        let numbers: Vec<_> =
            numbers.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        format!("  {{\"group\": \"{group}\", \"name\": \"{name}\", {}}}", numbers.join(", "))
    };
    let lines: Vec<_> = lines.iter().map(line).collect();
    format!("{{\"machine\": \"{}\", \"lines\": [\n{}\n]}}\n", processor(), lines.join(",\n"))
}

/// Bytes of a suspended one, and how many there can be.
fn sizes(lines: &mut Vec<Line>) {
    println!("\n{:<44}{:>8}{:>16}{:>8}  target", "a suspended one", "bytes", "how many", "");
    for one in memory::all() {
        let count = if one.more { format!("> {}", one.count) } else { one.count.to_string() };
        let most = MEMORY.iter().find(|most| most.0 == one.peer);
        let verdict = most.map_or(String::new(), |most| {
            format!("{} at most {}", mark(one.bytes <= most.1), most.1)
        });
        let line = format!("  {:<42}{:>8.0}{count:>16}{:>8}  {verdict}", one.peer, one.bytes, "");
        println!("{}", line.trim_end());
        let numbers = vec![("bytes", one.bytes), ("count", one.count as f64)];
        lines.push(("a suspended one".into(), one.peer.into(), numbers));
    }
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split(": ").nth(1)).unwrap_or("?").to_owned()
    };
    format!("{}, family {} model {}", field("model name"), field("cpu family"), field("model\t"))
}

fn mark(ok: bool) -> &'static str {
    if ok { "ok  " } else { "OVER" }
}
