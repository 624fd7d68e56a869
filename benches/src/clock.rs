//! Medians of many short samples, taken in turns, so that a busy neighbour hits all cases alike.

use crate::cases::TASKLETS;
use crate::{Case, Run};
use std::time::Instant;

/// How long one sample takes, in nanoseconds.
const SAMPLE: f64 = 400_000.0;

/// The nanoseconds that an operation takes.
#[derive(Clone, Copy)]
pub struct Time {
    pub median: f64,
    /// Nine in ten samples took longer: what it takes when nobody disturbs.
    pub low: f64,
}

/// The time of each case over so many samples.
pub fn times(cases: &[&Case], samples: usize) -> Vec<Time> {
    // Tasklets of one thread run whenever any of them waits, whichever case they belong to, and some never end. So each of
    // their cases is made when the one before it is gone.
    let alone = |case: &&&Case| case.group == TASKLETS;
    let turns = in_turns(cases.iter().filter(|case| !alone(case)), samples);
    let mut turns = turns.into_iter();
    let one = |case: &&Case| match alone(&case) {
        true => in_turns([case].into_iter(), samples).pop(),
        false => turns.next(),
    };
    cases.iter().map(one).map(|time| time.expect("each case has its time")).collect()
}

fn in_turns<'a>(cases: impl Iterator<Item = &'a &'a Case>, samples: usize) -> Vec<Time> {
    let mut runs: Vec<(Run, u64)> = cases.map(|case| prepare((case.make)())).collect();
    let mut times = vec![Vec::with_capacity(samples); runs.len()];
    for _ in 0..samples {
        for ((run, n), times) in runs.iter_mut().zip(&mut times) {
            times.push(time(run, *n) / *n as f64);
        }
    }
    times.into_iter().map(summary).collect()
}

fn time(run: &mut Run, n: u64) -> f64 {
    let start = Instant::now();
    run(n);
    start.elapsed().as_nanos() as f64
}

/// Warms up, and finds how often the operation fits into a sample.
fn prepare(mut run: Run) -> (Run, u64) {
    let mut n = 16;
    loop {
        let took = time(&mut run, n);
        if took > SAMPLE / 8.0 {
            return (run, ((n as f64 * SAMPLE / took) as u64).max(1));
        }
        n *= 2;
    }
}

fn summary(mut values: Vec<f64>) -> Time {
    values.sort_by(f64::total_cmp);
    Time { median: values[values.len() / 2], low: values[values.len() / 10] }
}
