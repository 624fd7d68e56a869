//! One compact table: ours, the peers, and what the project promises.

use greenlet_benches::cases::{self, CREATE, GENERATOR, PEERS};
use greenlet_benches::{Case, clock, count, memory};
use std::collections::HashMap;

const SAMPLES: usize = 61;
const COROSENSEI: &str = "corosensei";

fn main() {
    let all = cases::all();
    count::child(&all);
    memory::child();
    let everything = std::env::args().any(|argument| argument == "--all");
    let short =
        |case: &Case| [GENERATOR, PEERS, CREATE].contains(&case.group) || everything && !case.slow;
    let shown: Vec<&Case> = all.iter().filter(|case| short(case)).collect();
    let times = clock::medians(&shown, SAMPLES);
    let counts = count::all();
    let time_of: HashMap<String, f64> = shown.iter().map(|case| case.id()).zip(times).collect();

    println!("ns: median of {SAMPLES}; instr: instructions of one operation, by callgrind");
    let mut group = "";
    for case in &shown {
        if case.group != group {
            group = case.group;
            println!("\n{:<40}{:>9}{:>8}{:>8}  target", group, "ns", "instr", ratio_title(group));
        }
        let time = time_of[&case.id()];
        let instructions = counts.get(&case.id()).map_or("-".into(), |count| format!("{count:.0}"));
        let base = base(group).and_then(|id| time_of.get(&id));
        let ratio = base.map_or(String::new(), |base| format!("{:.2}", time / base));
        let target = target(case).or(case.target);
        let verdict = match (target, base) {
            (Some(most), Some(base)) if group == GENERATOR => {
                let (most, is) = (most, time / base);
                format!("{} at most {most} x corosensei", mark(is <= most))
            }
            (Some(most), _) => format!("{} at most {most}", mark(time <= most)),
            (None, _) => String::new(),
        };
        println!("  {:<38}{time:>9.1}{instructions:>8}{ratio:>8}  {verdict}", case.name);
    }

    println!("\n{:<40}{:>9}{:>16}  target", "a suspended one", "bytes", "how many");
    for print in memory::all() {
        let count = if print.more { format!("> {}", print.count) } else { print.count.to_string() };
        let most = match print.peer {
            "greenlet::raw" => Some(256.0),
            "Greenlet" => Some(400.0),
            _ => None,
        };
        let verdict = most
            .map_or(String::new(), |most| format!("{} at most {most}", mark(print.bytes <= most)));
        println!("  {:<38}{:>9.0}{count:>16}  {verdict}", print.peer, print.bytes);
    }
}

/// What the lines of a group are compared with.
fn base(group: &str) -> Option<String> {
    match group {
        GENERATOR => Some(format!("{GENERATOR}/{COROSENSEI}")),
        CREATE => Some(format!("{CREATE}/corosensei, stack of its own")),
        _ => None,
    }
}

fn ratio_title(group: &str) -> &'static str {
    if base(group).is_some() { "ratio" } else { "" }
}

/// A target that is a ratio, not a time.
fn target(case: &Case) -> Option<f64> {
    (case.group == GENERATOR && case.name == "Generator::next").then_some(4.0)
}

fn mark(ok: bool) -> &'static str {
    if ok { "ok  " } else { "OVER" }
}
