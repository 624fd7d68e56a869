//! `cargo xtask counts`: the instructions of the hot paths beside what was recorded of them, so that none grows unseen.
//!
//! Counted by callgrind, so nothing else that the machine does matters; but another compiler makes other code, so
//! `benches/counts.txt` has a part for each compiler that it was recorded with. With one that has none, what the nearest
//! made is the measure, and a count may be further off: that still sees a path that has become another one. It must never
//! know what a case does.

use crate::args::Args;
use crate::run::{Run, root};
use crate::table::{Outcome, Table};
use std::fs;

/// How much a count may grow, as a part of it.
const GROWTH: f64 = 0.03;
/// The same where another compiler's counts are the measure. 1.95 and 1.96 differ by less.
const GROWTH_ELSEWHERE: f64 = 0.15;

/// The groups of `benches/src/cases.rs` that are held to their counts.
const GROUPS: &[&str] = &[
    "main drives one, nothing to copy",
    "round trip of two that share the stack",
    "create + run + finish",
    "tasklets",
];

/// The cases among them that are not ours.
const PEERS: &[&str] = &["corosensei", "generator", "wasmtime-fiber", "context"];

const FILE: &str = "benches/counts.txt";

pub const PACKAGES: &[&str] = &["valgrind"];

/// The command.
pub fn command(args: Args) -> Result<bool, String> {
    args.no_words()?;
    if args.flag("--record") {
        return record().map(|()| true);
    }
    let mut table = Table::default();
    table.row("instruction counts", outcome);
    Ok(table.finish())
}

/// The row: fails if a count has grown, names each that has.
pub fn outcome() -> Outcome {
    let (text, compiler) = (fs::read_to_string(root().join(FILE)).unwrap_or_default(), compiler());
    let Some(measure) = nearest(&text, &compiler) else {
        return Outcome::Failed(format!("{FILE} has nothing: cargo xtask counts --record"));
    };
    let counted = match count() {
        Ok(counted) => counted,
        Err(why) => return Outcome::Failed(why),
    };
    let recorded = recorded(&text, measure).unwrap_or_default();
    if measure == compiler {
        return verdict(&recorded, &counted, GROWTH);
    }
    crate::run::say(&format!(
        "{FILE} has nothing for {compiler}: compared with {measure}, {:.0} % more allowed",
        GROWTH_ELSEWHERE * 100.0
    ));
    match verdict(&recorded, &counted, GROWTH_ELSEWHERE) {
        Outcome::Failed(why) => Outcome::Failed(format!(
            "beside {measure}, for want of {compiler} (cargo xtask counts --record): {why}"
        )),
        outcome => outcome,
    }
}

/// The recorded compiler whose version is the nearest to this one's; of two, the newer.
fn nearest<'a>(text: &'a str, compiler: &str) -> Option<&'a str> {
    let minor = |name: &str| -> Option<i64> {
        name.strip_prefix("rustc ")?.split('.').nth(1)?.parse().ok()
    };
    let own = minor(compiler).unwrap_or(i64::MAX / 2);
    let parts = text.lines().filter_map(|line| Some((line, minor(line)?)));
    parts.min_by_key(|(_, minor)| ((own - minor).abs(), -minor)).map(|(name, _)| name)
}

fn verdict(recorded: &[(String, f64)], counted: &[(String, f64)], growth: f64) -> Outcome {
    let mut wrong = Vec::new();
    for (name, most) in recorded {
        match counted.iter().find(|(other, _)| other == name) {
            Some((_, count)) if *count > most * (1.0 + growth) => {
                wrong.push(format!("{name}: {count:.0}, was {most:.0}"));
            }
            Some(_) => {}
            None => wrong.push(format!("{name}: not counted")),
        }
    }
    match wrong.is_empty() {
        true => Outcome::Ok(recorded.len()),
        false => Outcome::Failed(wrong.join("; ")),
    }
}

/// The part for one compiler: lines `COUNT  NAME` after the line with its name.
fn recorded(text: &str, compiler: &str) -> Option<Vec<(String, f64)>> {
    let lines = text.lines().skip_while(|line| *line != compiler).skip(1);
    let part: Vec<_> = lines.take_while(|line| !line.is_empty()).filter_map(case).collect();
    (!part.is_empty()).then_some(part)
}

fn case(line: &str) -> Option<(String, f64)> {
    let (count, name) = line.trim_start().split_once("  ")?;
    Some((name.to_string(), count.parse().ok()?))
}

fn count() -> Result<Vec<(String, f64)>, String> {
    let done = Run::cargo().words("bench -p greenlet-benches --bench instructions").done();
    if !done.ok() {
        return Err(done.how());
    }
    let ours = |name: &str| {
        let (group, case) = name.split_once('/').unwrap_or(("", ""));
        GROUPS.contains(&group) && !case.split([' ', ',']).any(|word| PEERS.contains(&word))
    };
    let counted: Vec<_> =
        done.stdout.lines().filter_map(case).filter(|(name, _)| ours(name)).collect();
    if counted.is_empty() { Err("nothing was counted".into()) } else { Ok(counted) }
}

/// Replaces this compiler's part of the file.
fn record() -> Result<(), String> {
    let path = root().join(FILE);
    let text = fs::read_to_string(&path).unwrap_or_default();
    let compiler = compiler();
    let mut parts: Vec<String> =
        text.split("\n\n").map(|part| part.trim_end().to_string()).collect();
    parts.retain(|part| !part.is_empty() && part.lines().next() != Some(&compiler));
    if parts.is_empty() {
        parts.push(HEAD.into());
    }
    let lines = count()?.into_iter().map(|(name, count)| format!("{count:>12.0}  {name}"));
    parts.push(std::iter::once(compiler).chain(lines).collect::<Vec<_>>().join("\n"));
    fs::write(&path, parts.join("\n\n") + "\n").map_err(|error| format!("{FILE}: {error}"))?;
    println!("{FILE}: written");
    Ok(())
}

const HEAD: &str = "\
Instructions of one operation on x86-64, as callgrind counts them, by compiler. `cargo xtask test` fails when one is more
than 3 % larger (15 % where the compiler has no part: then the nearest one's counts); `cargo xtask counts --record`
writes them anew, and the commit that does so says why.";

/// `rustc 1.96`: a patch release makes the same code.
pub fn compiler() -> String {
    let version = Run::new("rustc").arg("-V").output().unwrap_or_default();
    let number = version.split_whitespace().nth(1).unwrap_or("?");
    let minor: Vec<&str> = number.split('.').take(2).collect();
    format!("rustc {}", minor.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_has_grown_or_is_gone_is_named() {
        let text = "Head.\n\nrustc 1.95\n         100  a/x\n\nrustc 1.96\n         200  a/x\n          50  a/y, z\n";
        let part = recorded(text, "rustc 1.96").unwrap();
        assert_eq!(part, [("a/x".to_string(), 200.0), ("a/y, z".to_string(), 50.0)]);
        assert_eq!(recorded(text, "rustc 1.97"), None);
        let verdict = |counted: &[(String, f64)]| verdict(&part, counted, GROWTH);
        assert_eq!(verdict(&part), Outcome::Ok(2));
        let larger = [("a/x".to_string(), 206.0), ("a/y, z".to_string(), 52.0)];
        assert_eq!(verdict(&larger), Outcome::Failed("a/y, z: 52, was 50".into()));
        assert_eq!(verdict(&larger[..1]), Outcome::Failed("a/y, z: not counted".into()));
    }

    #[test]
    fn a_compiler_that_has_no_part_is_held_to_the_nearest() {
        let text = "Head.\n\nrustc 1.95\n  1  a\n\nrustc 1.97\n  1  a\n";
        assert_eq!(nearest(text, "rustc 1.95"), Some("rustc 1.95"));
        assert_eq!(nearest(text, "rustc 1.96"), Some("rustc 1.97"));
        assert_eq!(nearest(text, "rustc 1.91"), Some("rustc 1.95"));
        assert_eq!(nearest(text, "rustc ?"), Some("rustc 1.97"));
        assert_eq!(nearest("Head.\n", "rustc 1.96"), None);
    }
}
