//! `million [COUNT]`: that many greenlets suspended at once (1,000,000 unless said otherwise).
//!
//! Each is started, and suspends; each is resumed, and suspends again; each is resumed, and
//! finishes. What it answers depends on all that it was sent, and every answer is checked.

use greenlet::{AnyGreenlet, Greenlet};
use std::process::ExitCode;
use std::time::Instant;
use support::{number, resident};

mod support;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let count = match (words.next(), words.next()) {
        (None, _) => 1_000_000,
        (Some(word), None) => match word.replace(['_', ','], "").parse::<usize>() {
            Ok(count) if count > 0 => count,
            _ => return usage(&format!("`{word}` is not a number of greenlets")),
        },
        (_, Some(word)) => return usage(&format!("`{word}` is one argument too many")),
    };
    match run(count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("million: {why}");
            ExitCode::FAILURE
        }
    }
}

fn usage(why: &str) -> ExitCode {
    eprintln!("million: {why}\nusage: million [COUNT]");
    ExitCode::from(2)
}

fn run(count: usize) -> Result<(), String> {
    let mut greenlets: Vec<Greenlet<u64, u64>> = Vec::new();
    greenlets.try_reserve_exact(count).map_err(|_| format!("no memory for {count} handles"))?;
    let main = Greenlet::<u64, u64>::current();
    let before = resident();

    let begin = Instant::now();
    for seed in 0..count as u64 {
        let outside = main.clone();
        let body = move |seed: u64| {
            // These two live on the greenlet's own stack while it is suspended.
            let (mut sum, mut answer) = (seed, seed + 1);
            for _ in 0..2 {
                let got = outside.switch(answer);
                answer = sum ^ got;
                sum += got;
            }
            sum
        };
        // SAFETY: nothing outside reaches into the frames of `body`: all that leaves it is numbers.
        let made = unsafe { Greenlet::try_new(&AnyGreenlet::main(), body) };
        let Ok(greenlet) = made else {
            return Err(format!("no memory for more than {} greenlets", greenlets.len()));
        };
        check(seed, greenlet.try_switch(seed), seed + 1)?;
        greenlets.push(greenlet);
    }
    let suspended = greenlets.iter().filter(|greenlet| greenlet.is_active()).count();
    println!("{} greenlets are suspended at once", number(suspended as u64));
    report("create, start, switch back", begin, count, 2);
    if let (Some((before, _)), Some((now, _))) = (before, resident()) {
        let slices: usize = greenlets.iter().map(|greenlet| greenlet.saved_bytes()).sum();
        let each = (now - before) / count as u64;
        println!("  {each} bytes resident for each, of them {} of its stack", slices / count);
    }

    let begin = Instant::now();
    for (seed, greenlet) in (0u64..).zip(&greenlets) {
        check(seed, greenlet.try_switch(seed + 7), seed ^ (seed + 7))?;
    }
    report("switch to each and back", begin, count, 2);

    let begin = Instant::now();
    for (seed, greenlet) in (0u64..).zip(&greenlets) {
        let expected = seed + (seed + 7) + 5;
        check(seed, greenlet.try_switch(5), expected)?;
    }
    report("switch to each, which finishes", begin, count, 2);
    if let Some(left) = greenlets.iter().find(|greenlet| !greenlet.is_finished()) {
        return Err(format!("{left:?} has not finished"));
    }

    let begin = Instant::now();
    drop(greenlets);
    println!("  {:<34}{:>8.1} ns each", "drop the handles", nanoseconds(begin, count));
    if let Some((_, peak)) = resident() {
        println!("  peak of the process: {:.2} GiB", peak as f64 / (1u64 << 30) as f64);
    }
    println!("every one of the {} answers was right", number(3 * count as u64));
    Ok(())
}

/// Whether greenlet number `seed` has answered what it should have.
fn check<E: std::fmt::Display>(
    seed: u64,
    got: Result<u64, E>,
    expected: u64,
) -> Result<(), String> {
    match got {
        Ok(got) if got == expected => Ok(()),
        Ok(got) => Err(format!("greenlet {seed} answered {got}, not {expected}")),
        Err(why) => Err(format!("greenlet {seed}: {why}")),
    }
}

fn nanoseconds(begin: Instant, count: usize) -> f64 {
    begin.elapsed().as_nanos() as f64 / count as f64
}

fn report(what: &str, begin: Instant, count: usize, switches: usize) {
    let each = nanoseconds(begin, count);
    println!("  {what:<34}{each:>8.1} ns each, {:.1} ns per switch", each / switches as f64);
}
